"""Puts load on exporters: 64 scrapers at once, 100,000 series of several workers, with gzip and without.

The official client's `start_http_server`, and `forkmeter serve`, on the same directory of official files, one after the
other; both must give the same samples before. Each is loaded for a bounded time: a scrape that is not over then counts
as long as it was waited for.

    PYTHONPATH=tests python benches/exporter_load.py --bin-dir target/release
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import directories
from table import Row, emit

from support.folders import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRAPERS = 64
WORKERS = 4
SERIES = 100_000
OFFICIAL_SECONDS = 20.0
SECONDS = 10.0
PROGRAMS = Path(__file__).parent / "programs"
# What is asked of a row that has no ratio to reach: to be no worse.
ASKED = 1


@contextmanager
def exporter(command: list[str]) -> Iterator[tuple[int, int]]:
    """Runs an exporter; yields its process identifier and its port, and ends it."""
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                    yield process.pid, int(found[1])
                    break
            else:
                raise SystemExit(f"{command[0]} does not serve")
        finally:
            process.kill()


def samples(port: int) -> list[str]:
    """Returns the samples of an exporter, without those that it says of itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return sorted(line for line in lines if not line.startswith(("#", "forkmeter_")))


def peak_bytes(pid: int) -> int:
    """Returns the most memory that a process had resident."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def load(port: int, seconds: float, encoding: str, scrapers: int) -> dict[str, Any]:
    """Lets scrapers at an exporter, and returns what they saw."""
    command = [sys.executable, str(PROGRAMS / "scrapers.py"), str(port), str(scrapers), str(seconds), encoding]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def measure(command: list[str], seconds: float, encoding: str, scrapers: int) -> tuple[list[str], dict[str, Any]]:
    """Loads an exporter that is started for it; returns its samples, and what the scrapers saw."""
    with exporter(command) as (pid, port):
        found = samples(port)
        seen = load(port, seconds, encoding, scrapers)
        seen["peak"] = peak_bytes(pid)
    print(
        f"{command[0]}, {encoding}: {len(seen['taken'])} answers of {seen['size']:,} bytes in {seen['lasted']:.1f} s",
        file=sys.stderr,
    )
    return found, seen


def rows(case: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Iterator[Row]:
    """Returns the rows of one load."""
    peer = f"prometheus_client {version('prometheus_client')} start_http_server"
    answered = len(theirs["taken"])
    if theirs["waiting"]:
        peer += f" ({answered} answers in {theirs['lasted']:.0f} s, then {len(theirs['waiting'])} scrapers gave up)"
    theirs_took: list[float] = theirs["taken"] + theirs["waiting"]
    ours_took: list[float] = ours["taken"]
    yield Row(f"{case}: median latency", peer, theirs_took, ours_took, "ms", ASKED)
    for share in (90, 99):
        shares = [statistics.quantiles(taken, n=100)[share - 1] for taken in (theirs_took, ours_took)]
        yield Row(f"{case}: p{share}", peer, shares[:1], shares[1:], "ms", ASKED)
    yield Row(f"{case}: longest", peer, [max(theirs_took)], [max(ours_took)], "ms", ASKED)
    # Where none was answered in time, the first one was not.
    pace = [seen["lasted"] / max(len(seen["taken"]), 1) for seen in (theirs, ours)]
    yield Row(f"{case}: time per answer", peer, pace[:1], pace[1:], "ms", ASKED)
    yield Row(f"{case}: peak memory of the exporter", peer, [theirs["peak"]], [ours["peak"]], "MiB", ASKED)


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", type=Path, required=True, help="where the release programs are")
    parser.add_argument("--series", type=int, default=SERIES)
    parser.add_argument("--scrapers", type=int, default=SCRAPERS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long to load forkmeter")
    parser.add_argument("--official-seconds", type=float, default=OFFICIAL_SECONDS, help="how long the other one")
    options = parser.parse_args()
    with in_memory(Path(tempfile.gettempdir())) as folder:
        directory = folder / "official"
        directories.official_counters(directory, WORKERS, options.series)
        official = [sys.executable, str(PROGRAMS / "official_exporter.py"), str(directory)]
        serve = [str(options.bin_dir / "forkmeter"), "serve", str(directory), "--web.listen-address=127.0.0.1:0"]
        for encoding in ("identity", "gzip"):
            their_samples, theirs = measure(official, options.official_seconds, encoding, options.scrapers)
            our_samples, ours = measure(serve, options.seconds, encoding, options.scrapers)
            if their_samples != our_samples:
                raise SystemExit("different samples")
            case = f"{options.scrapers} scrapers of {options.series:,} series, {encoding}"
            for row in rows(case, theirs, ours):
                emit(row)


if __name__ == "__main__":
    main()
