"""Compares the memory that many series take, the official client's and ours, each in a process of its own.

python benches/memory.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from table import Row, emit

COUNTERS = 100_000
HISTOGRAMS = 5_000
RUNS = 3
ASKED = 4

PROGRAM = Path(__file__).parent / "programs" / "resident.py"


def resident_bytes(client: str, directory: Path | None) -> tuple[int, float]:
    """Returns the bytes that the series take, and the sum of what was counted.

    Args:
        client: The module.
        directory: Where values are shared, if so.
    """
    environment = {name: value for name, value in os.environ.items() if "PROMETHEUS" not in name.upper()}
    if directory is not None:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    command = [sys.executable, str(PROGRAM), client, str(COUNTERS), str(HISTOGRAMS)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    taken, total = json.loads(done.stdout)
    return taken, total


def used_bytes(directory: Path) -> int:
    """Returns how many bytes of a directory's segments are in use, as their headers say."""
    headers = (path.read_bytes()[:4] for path in directory.glob("*.db"))
    return sum(int.from_bytes(header, "little") for header in headers)


def main() -> None:
    """Prints the rows."""
    peer = f"prometheus_client {version('prometheus_client')}"
    for mode in ("one process", "multi-process"):
        taken: dict[str, list[float]] = {"prometheus_client": [], "forkmeter": []}
        in_files = 0
        for _ in range(RUNS):
            totals = set()
            for client, sizes in taken.items():
                with tempfile.TemporaryDirectory() as folder:
                    size, total = resident_bytes(client, Path(folder) if mode == "multi-process" else None)
                    in_files = used_bytes(Path(folder))
                sizes.append(size)
                totals.add(total)
            if len(totals) != 1:
                raise SystemExit(f"{mode}: different samples: {totals}")
        case = f"resident memory of {COUNTERS:,} labelled counters and {HISTOGRAMS:,} histograms, {mode}"
        # Ours came last. Nobody has less whose files the official client can read.
        floor, floor_case = (in_files, "what stands in the directory's files alone") if in_files else (None, "")
        emit(Row(case, peer, taken["prometheus_client"], taken["forkmeter"], "MiB", ASKED, floor, floor_case))


if __name__ == "__main__":
    main()
