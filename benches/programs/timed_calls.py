"""Times calls of one client in multi-process mode as one thing grows, for `benches/scale.py`: CLIENT AXIS SIZE.

The axes are "series" of a counter, "length" of a label value, and "threads" that count at once. Prints the seconds of
one call in each round, by what was called, and what was counted in all.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import random
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 15
CALLS = 4000
THREAD_CALLS = 20_000
# How long making the series may take, after which fewer are made and nothing is timed.
MAKING_SECONDS = 20.0


def seconds_per_item(loop: Callable[[list[Any]], None], items: list[Any]) -> float:
    """Returns the seconds that a loop takes for an item, without those of an empty loop."""
    taken = []
    for each in (nothing, loop):
        begin = time.perf_counter()
        each(items)
        taken.append(time.perf_counter() - begin)
    return (taken[1] - taken[0]) / len(items)


def nothing(items: list[Any]) -> None:
    """Does nothing for each item."""
    for _ in items:
        pass


def by_series(client: Any, size: int) -> dict[str, Any]:
    """Counts on series that are picked at random among so many."""
    counter = client.Counter("requests", "Requests.", ["method", "path"])
    began = time.perf_counter()
    for number in range(size):
        counter.labels("GET", f"/api/v1/items/{number}").inc()
        if time.perf_counter() - began > MAKING_SECONDS:
            return {"stopped": number}
    made = time.perf_counter() - began
    rng = random.Random(1)  # noqa: S311 -- numbers to count
    held: list[float] = []
    looked_up: list[float] = []

    def look_up_and_count(paths: list[str]) -> None:
        for path in paths:
            counter.labels("GET", path).inc()

    def count(children: list[Any]) -> None:
        for child in children:
            child.inc()

    for _ in range(ROUNDS):
        paths = [f"/api/v1/items/{rng.randrange(size)}" for _ in range(CALLS)]
        looked_up.append(seconds_per_item(look_up_and_count, paths))
        held.append(seconds_per_item(count, [counter.labels("GET", path) for path in paths]))
    return {"labels().inc()": looked_up, "inc()": held, "new": [made / size]}


def by_length(client: Any, size: int) -> dict[str, Any]:
    """Counts on series with one label value of that length, each time in a string of its own, as of a request."""
    counter = client.Counter("requests", "Requests.", ["method", "path"])
    taken = []

    def look_up_and_count(paths: list[str]) -> None:
        for path in paths:
            counter.labels("GET", path).inc()

    for _ in range(ROUNDS):
        # Ten series; strings that are made anew have no hash yet.
        paths = ["x" * (size - 1) + str(number % 10) for number in range(CALLS)]
        taken.append(seconds_per_item(look_up_and_count, paths))
    return {"labels().inc()": taken}


def by_threads(client: Any, size: int) -> dict[str, Any]:
    """Counts on one series in so many threads at once."""
    counter = client.Counter("requests", "Requests.")
    calls = THREAD_CALLS // size
    taken = []
    for _ in range(ROUNDS):
        barrier = threading.Barrier(size + 1)

        def work(barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            for _ in range(calls):
                counter.inc()

        threads = [threading.Thread(target=work) for _ in range(size)]
        for thread in threads:
            thread.start()
        barrier.wait()
        begin = time.perf_counter()
        for thread in threads:
            thread.join()
        taken.append((time.perf_counter() - begin) / (calls * size))
    return {"inc()": taken}


def total(client: Any) -> float:
    """Returns what was counted in all."""
    families = client.REGISTRY.collect()
    values: list[float] = [
        s.value for f in families if f.name == "requests" for s in f.samples if s.name == "requests_total"
    ]
    return sum(values)


AXES = {"series": by_series, "length": by_length, "threads": by_threads}


def main() -> None:
    """Prints them."""
    name, axis, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with tempfile.TemporaryDirectory() as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        client = importlib.import_module(name)
        client.disable_created_metrics()
        gc.disable()
        measured = AXES[axis](client, size)
        if "stopped" not in measured:
            measured["total"] = total(client)
        print(json.dumps(measured))


if __name__ == "__main__":
    main()
