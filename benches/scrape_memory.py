"""Compares the memory that a repeated scrape takes with the length of its text; it is to be twice that at most.

The official client and forkmeter, each in a process of its own, which must give the same samples:

    python benches/scrape_memory.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from table import Row, emit

SERIES = 100_000
RUNS = 2
PROGRAM = Path(__file__).parent / "programs" / "scrape_peak.py"


def peak(client: str, directory: Path | None) -> dict[str, Any]:
    """Returns what one process says of its scrape."""
    environment = {name: value for name, value in os.environ.items() if "PROMETHEUS" not in name.upper()}
    if directory is not None:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    command = [sys.executable, str(PROGRAM), client, str(SERIES)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Prints the rows."""
    for mode in ("one process", "multi-process"):
        taken: dict[str, list[float]] = {"prometheus_client": [], "forkmeter": []}
        twice = []
        for _ in range(RUNS):
            digests = set()
            for client, peaks in taken.items():
                with tempfile.TemporaryDirectory() as folder:
                    found = peak(client, Path(folder) if mode == "multi-process" else None)
                peaks.append(found["peak"])
                digests.add(found["digest"])
            twice.append(2.0 * found["text"])
            if len(digests) != 1:
                raise SystemExit(f"{mode}: different samples")
        case = f"peak memory of a repeated scrape of {SERIES:,} series, Python, {mode}"
        peer = f"prometheus_client {version('prometheus_client')}"
        emit(Row(case, peer, taken["prometheus_client"], taken["forkmeter"], "MiB", 1))
        emit(Row(case, "twice the length of its text", twice, taken["forkmeter"], "MiB", 1))


if __name__ == "__main__":
    main()
