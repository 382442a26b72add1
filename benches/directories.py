"""Makes directories of many workers, the official client's and forkmeter's, for benchmarks.

The same counts in either form: what a scrape shows of both is the same.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

PROGRAMS = Path(__file__).parent / "programs"
# What the official client starts a file with, and what it makes it grow by.
FILE_BYTES = 1 << 20
FIRST_PID = 1_000_000


def counter_entries(series: int) -> bytes:
    """Returns the bytes of a file of the official client with that many counters, as it writes them itself.

    It takes minutes to let it count a million series.
    """
    parts = []
    for number in range(series):
        labels = f'{{"method": "GET", "path": "/api/v1/items/{number}"}}'
        key = f'["http_requests", "http_requests_total", {labels}, "Requests that were answered."]'.encode()
        # What follows is aligned to eight bytes; the length before it is that of the key alone.
        padded = key + b" " * (8 - (len(key) + 4) % 8)
        parts.append(struct.pack(f"=i{len(padded)}sdd", len(key), padded, float(number % 1000 + 1), 0.0))
    content = b"".join(parts)
    return struct.pack("=ii", len(content) + 8, 0) + content


def official_counters(directory: Path, workers: int, series: int) -> None:
    """Makes the files of workers of the official client that all counted the same series."""
    directory.mkdir()
    content = counter_entries(series)
    size = FILE_BYTES
    while size < len(content):
        size *= 2
    for worker in range(workers):
        with (directory / f"counter_{FIRST_PID + worker}.db").open("wb") as file:
            file.write(content)
            file.truncate(size)


def official_workers(directory: Path, workers: int, counters: int, histograms: int) -> None:
    """Lets one worker of the official client count, and makes the files of others that counted the same."""
    directory.mkdir()
    run_worker("prometheus_client", directory, 1, 1, counters, histograms)
    for path in list(directory.iterdir()):
        kind = path.name.partition("_")[0]
        first = path.rename(directory / f"{kind}_{FIRST_PID}.db")
        for worker in range(1, workers):
            shutil.copyfile(first, directory / f"{kind}_{FIRST_PID + worker}.db")


def own_workers(directory: Path, workers: int, counters: int, histograms: int) -> None:
    """Lets workers of forkmeter count the same, each in a process of its own."""
    directory.mkdir()
    run_worker("forkmeter", directory, workers, 1, counters, histograms)


def own_counters(directory: Path, workers: int, series: int) -> None:
    """Lets one worker of forkmeter count what several would: that makes no other files, and is done sooner."""
    directory.mkdir()
    run_worker("forkmeter", directory, 1, workers, series, 0)


def run_worker(client: str, directory: Path, *numbers: int) -> None:
    """Runs the program that counts; the numbers are those of `same_counts.py`."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    arguments = [str(number) for number in numbers]
    program = PROGRAMS / "same_counts.py"
    subprocess.run([sys.executable, str(program), client, *arguments], env=environment, check=True)
