"""Times scrapes of many workers' files: the official client, its helper in Rust, and forkmeter, in one run.

All sides must give the same samples before anything is timed:

    python benches/scrape.py --bin-dir target/release
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from table import Row, emit

WORKERS = 32
COUNTERS = 2_000
HISTOGRAMS = 100
LEFT_OVERS = 6_800
LEFT_OVER_SERIES = 98
# How often both sides take turns, and what each does in its turn.
TURNS = 3
OFFICIAL_SCRAPES = 3
READERS = 5
READS = 21
# As large as the official client makes a file that it has just made.
FILE_BYTES = 64 << 10

PROGRAMS = Path(__file__).parent / "programs"


def make_fleet(client: str, directory: Path) -> None:
    """Lets all workers count, one after the other."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    for worker in range(WORKERS):
        arguments = [client, str(worker), str(COUNTERS), str(HISTOGRAMS)]
        subprocess.run([sys.executable, str(PROGRAMS / "fleet_worker.py"), *arguments], env=environment, check=True)


def make_left_overs(directory: Path) -> None:
    """Makes the files that thousands of workers of the official client left, all with the same series."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    arguments = ["prometheus_client", "1", str(LEFT_OVER_SERIES), "0"]
    subprocess.run([sys.executable, str(PROGRAMS / "fleet_worker.py"), *arguments], env=environment, check=True)
    (first,) = directory.glob("counter_*.db")
    content = first.read_bytes().rstrip(b"\0")
    for number in range(1, LEFT_OVERS):
        path = directory / f"counter_{1_000_000 + number}.db"
        with path.open("wb") as file:
            file.write(content)
            file.truncate(max(FILE_BYTES, len(content)))
    for path in directory.glob("histogram_*.db"):
        path.unlink()


def official(directory: Path, binary: Path) -> dict[str, list[float]]:
    """Compares the samples of all sides; returns the others' seconds per scrape."""
    with tempfile.NamedTemporaryFile() as text:
        subprocess.run([str(binary), "text", str(directory)], check=True, stdout=text)
        command = [
            sys.executable,
            str(PROGRAMS / "official_scrapes.py"),
            str(directory),
            str(OFFICIAL_SCRAPES),
            text.name,
        ]
        taken: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(f"the same {taken.pop('samples'):,} samples on all sides", file=sys.stderr)
    return taken


def forkmeter(binary: Path, directory: Path, readers: int, reads: int) -> tuple[list[float], list[float]]:
    """Returns the seconds of first and of repeated scrapes."""
    command = [str(binary), "time", str(directory), str(readers), str(reads)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()
    runs = [[int(nanoseconds) / 1e9 for nanoseconds in line.split()] for line in lines]
    return [run[0] for run in runs], [seconds for run in runs for seconds in run[1:]]


def in_turns(directory: Path, binary: Path, reads: int) -> tuple[dict[str, list[float]], list[float], list[float]]:
    """Returns the others' seconds per scrape, and ours of first and of repeated ones."""
    theirs: dict[str, list[float]] = {}
    first: list[float] = []
    repeated: list[float] = []
    for _ in range(TURNS):
        for side, taken in official(directory, binary).items():
            theirs.setdefault(side, []).extend(taken)
        for seconds, taken in zip((first, repeated), forkmeter(binary, directory, READERS, reads)):
            seconds.extend(taken)
    return theirs, first, repeated


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", type=Path, required=True, help="where the release programs are")
    binary = parser.parse_args().bin_dir / "scrape"
    peers = {
        "official": f"prometheus_client {version('prometheus_client')}",
        "speedups": f"its Rust speedups {version('prometheus-client-python-speedups')}",
    }
    with tempfile.TemporaryDirectory(prefix="forkmeter-bench-") as folder:
        fleet, own_fleet, left_overs = (Path(folder, name) for name in ("fleet", "own", "left"))
        for directory in (fleet, own_fleet, left_overs):
            directory.mkdir()
        make_fleet("prometheus_client", fleet)
        theirs, first, repeated = in_turns(fleet, binary, READS)
        case = f"scrape of {WORKERS} workers x ({COUNTERS:,} counters + {HISTOGRAMS} histograms), official files"
        for side, asked in (("official", 200), ("speedups", 100)):
            emit(Row(f"{case}, repeated", peers[side], theirs[side], repeated, "ms", asked))
        emit(Row(f"{case}, first", peers["official"], theirs["official"], first, "ms", 30))

        make_fleet("forkmeter", own_fleet)
        official(own_fleet, binary)
        _, repeated = forkmeter(binary, own_fleet, READERS, READS)
        case = "the same fleet written by each client, repeated"
        emit(Row(case, peers["official"], theirs["official"], repeated, "ms", 500))

        make_left_overs(left_overs)
        theirs, first, _ = in_turns(left_overs, binary, 1)
        case = f"{LEFT_OVERS:,} left-over files x {LEFT_OVER_SERIES} series, first scrape"
        for side, asked in (("official", 25), ("speedups", 10)):
            emit(Row(case, peers[side], theirs[side], first, "ms", asked))


if __name__ == "__main__":
    main()
