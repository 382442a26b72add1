"""Scrapes the directory that the variable names, as a worker of its own, and prints what that cost as a JSON object."""

from __future__ import annotations

import json
import os
from pathlib import Path

from forkmeter import CollectorRegistry, generate_latest
from forkmeter.multiprocess import MultiProcessCollector

from churn import generations


def reads() -> tuple[int, int]:
    """Returns how many bytes this thread has read so far, and in how many system calls."""
    lines = dict(line.split(": ") for line in Path("/proc/thread-self/io").read_text(encoding="ascii").splitlines())
    return int(lines["rchar"]), int(lines["syscr"])


def main() -> None:
    """Prints files, their size, and what the first scrape and a later one read."""
    # A worker that begins puts away what dead ones left.
    generations.Families().requests.labels("0").inc(0)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    cost = {}
    text = ""
    for which in ("first", "again"):
        before = reads()
        text = generate_latest(registry).decode()
        cost[which] = [after - earlier for after, earlier in zip(reads(), before)]
    files = sorted(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]).iterdir())
    # After a moment it publishes what only it can compute, under its own name.
    own = f"forkmeter.published.{os.getpid()}"
    sizes = {file.name: file.stat().st_size for file in files if not file.name.startswith(own)}
    print(json.dumps({"files": sizes, "reads": cost, "text": text}))


if __name__ == "__main__":
    main()
