"""Times `import forkmeter` against `import prometheus_client`, in one run, taking turns.

What an interpreter loads when it starts does not count:

    python benches/import_time.py
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from importlib.metadata import version

from table import Row, emit

RUNS = 21
ASKED = 3


def import_microseconds(module: str) -> dict[str, int]:
    """Returns what `-X importtime` says of every module that an import loads, without those that it loads in turn."""
    # In a directory of its own, so that no package lies there.
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", f"import {module}"],
        check=True,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
    )
    times = {}
    for line in done.stderr.splitlines():
        own, _, name = line.removeprefix("import time:").split("|")
        if own.strip().isdigit():
            times[name.strip()] = int(own)
    if module not in times:
        raise SystemExit(f"{sys.executable} did not import {module}: {done.stderr}")
    return times


def main() -> None:
    """Prints the row."""
    always = set(import_microseconds("site"))
    runs: dict[str, list[dict[str, int]]] = {"prometheus_client": [], "forkmeter": []}
    for _ in range(RUNS):
        for module, times in runs.items():
            times.append(import_microseconds(module))
    seconds: dict[str, list[float]] = {}
    for module, times in runs.items():
        names = set(times[0]) - always
        # Each module's lower half: on a busy machine hardly any run is undisturbed from its beginning to its end.
        sorted_times = {name: sorted(run[name] for run in times if name in run) for name in names}
        middle = statistics.median(range(RUNS))
        seconds[module] = [
            sum(taken[min(rank, len(taken) - 1)] for taken in sorted_times.values()) / 1e6
            for rank in range(int(middle))
        ]
    peer = f"prometheus_client {version('prometheus_client')}"
    emit(Row("import", peer, seconds["prometheus_client"], seconds["forkmeter"], "ms", ASKED))


if __name__ == "__main__":
    main()
