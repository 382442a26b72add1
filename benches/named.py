"""Times a scrape of one metric, as with `name[]`, against one of all that the workers of a directory counted.

Workers of both clients live in it. The scrapes give the same lines, and take turns:

    PYTHONPATH=tests python benches/named.py
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

from directories import official_workers
from forkmeter import CollectorRegistry, Counter, Gauge, generate_latest
from forkmeter.multiprocess import MultiProcessCollector
from table import Row, emit

WORKERS = 32
FAMILIES = 50
SERIES = 40
ROUNDS = 60
WANTED = "family7_total"
ASKED = 4.0
# What is written lately is looked at again.
SETTLED_SECONDS = 0.3


def count() -> None:
    """Counts in a worker of forkmeter's, which ends then."""
    for number in range(FAMILIES):
        counter = Counter(f"family{number}", "Counted by all workers.", ["path"])
        gauge = Gauge(f"gauge{number}", "Each worker's.", ["path"], multiprocess_mode="sum")
        for path in range(SERIES):
            counter.labels(f"/items/{path}").inc()
            gauge.labels(f"/items/{path}").set(path)


def make(directory: Path) -> None:
    """Lets workers of both clients count."""
    official_workers(directory, WORKERS, FAMILIES * SERIES, 0)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    for _ in range(WORKERS):
        child = os.fork()
        if not child:
            count()
            sys.stdout.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            raise SystemExit("a worker failed")
    del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def lines_of(written: bytes) -> list[bytes]:
    """Returns the samples of the metric that is wanted."""
    return [line for line in written.splitlines() if line.startswith(WANTED.encode())]


def main() -> None:
    """Prints the rows."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, "metrics")
        make(directory)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, directory)
        named = registry.restricted_registry([WANTED])
        scrapes: list[tuple[list[float], Callable[[], bytes]]] = [
            ([], lambda: generate_latest(registry)),
            ([], lambda: generate_latest(named)),
        ]
        everything, some = (lines_of(scrape()) for _, scrape in scrapes)
        if len(some) != SERIES or everything != some:
            raise SystemExit("the two scrapes differ")
        time.sleep(SETTLED_SECONDS)
        for number in range(ROUNDS + 1):
            for taken, scrape in scrapes:
                began = time.perf_counter()
                scrape()
                if number:
                    taken.append(time.perf_counter() - began)
        case = f"repeated scrape of one metric of {2 * FAMILIES + 1}, {2 * WORKERS} workers' files"
        emit(Row(case, "itself, of all of them", scrapes[0][0], scrapes[1][0], "ms", ASKED))


if __name__ == "__main__":
    main()
