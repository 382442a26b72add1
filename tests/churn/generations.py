"""Starts short-lived workers one after the other, each of which counts a little and dies: `generations.py COUNT`.

A few of them live at the same time. What they count depends on their number alone, so that `expected` knows the sums.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Literal

from forkmeter import Counter, Gauge, Histogram, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Mode = Literal[
        "all", "min", "max", "sum", "mostrecent", "livemin", "livemax", "livesum", "liveall", "livemostrecent"
    ]
    Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

ROUTES = 4
AT_ONCE = 4
# `all` is apart: it keeps the last values of 64 dead workers.
MODES: tuple[Mode, ...] = (
    "min",
    "max",
    "sum",
    "mostrecent",
    "livemin",
    "livemax",
    "livesum",
    "liveall",
    "livemostrecent",
)
SECONDS = (0.125, 2.0, 32.0)
# So many workers touch every series.
ROUND = ROUTES * len(MODES)


def modes_of(number: int) -> list[Mode]:
    """Returns the modes of the gauges that a worker sets."""
    return [MODES[(number + step) % len(MODES)] for step in range(2)]


def expected(workers: Iterable[Iterable[int]]) -> Samples:
    """Returns what workers leave behind: sums and counts, and gauges but for `mostrecent`.

    Args:
        workers: for each one the numbers that it counts as.
    """
    found: Samples = defaultdict(float)
    levels = defaultdict(list)
    for numbers in workers:
        own = {}
        for number in numbers:
            labels = frozenset({("route", str(number % ROUTES))})
            seconds = SECONDS[number % len(SECONDS)]
            found["requests_total", labels] += 1 + number % 5
            found["latency_seconds_count", labels] += 1
            found["latency_seconds_sum", labels] += seconds
            found["latency_seconds_bucket", labels | {("le", "1.0")}] += seconds <= 1
            found["wait_seconds_count", labels] += 1
            found["wait_seconds_sum", labels] += 0.25
            own.update(dict.fromkeys([(mode, labels) for mode in modes_of(number)], number))
        for series, number in own.items():
            levels[series].append(number)
    rules: dict[str, Callable[[list[int]], int]] = {"min": min, "max": max, "sum": sum}
    for (mode, labels), values in levels.items():
        if mode in rules:
            found[f"level_{mode}", labels] = rules[mode](values)
    return dict(found)


def jobs(count: int, *, is_one: bool) -> list[range]:
    """Returns for each worker the numbers that it counts as.

    Args:
        count: how many numbers there are.
        is_one: whether a single worker counts as all of them.
    """
    return [range(count)] if is_one else [range(number, number + 1) for number in range(count)]


class Families:
    """What workers count in."""

    def __init__(self) -> None:
        """Declares the families."""
        self.requests = Counter("requests", "Requests.", ["route"])
        self.latency = Histogram("latency_seconds", "Latency.", ["route"], buckets=[1, 10])
        self.wait = Summary("wait_seconds", "Waiting.", ["route"])
        modes: tuple[Mode, ...] = (*MODES, "all")
        self.levels = {mode: Gauge(f"level_{mode}", "Level.", ["route"], multiprocess_mode=mode) for mode in modes}

    def count(self, number: int, *, is_all: bool) -> None:
        """Does what the worker of a number does.

        Args:
            number: which worker it is.
            is_all: whether it sets a gauge of mode `all` as well.
        """
        route = str(number % ROUTES)
        self.requests.labels(route).inc(1 + number % 5)
        self.latency.labels(route).observe(SECONDS[number % len(SECONDS)])
        self.wait.labels(route).observe(0.25)
        for mode in (*modes_of(number), "all") if is_all else modes_of(number):
            self.levels[mode].labels(route).set(number)


def start(families: Families, numbers: Iterable[int], *, is_all: bool) -> int:
    """Starts a worker.

    Args:
        families: what it counts in.
        numbers: it counts as workers of these numbers would.
        is_all: whether it sets a gauge of mode `all` as well.

    Returns:
        Its process id.
    """
    child = os.fork()
    if child:
        return child
    number = 0
    for number in numbers:
        families.count(number, is_all=is_all)
    if number % 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number % 50 == 0:
        # As a program that comes to its end, exit handlers included.
        sys.exit(0)
    os._exit(0)


def main() -> None:
    """Starts the workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--one", action="store_true", help="one worker counts what COUNT workers would")
    parser.add_argument("--all", action="store_true", help="workers set a gauge of mode `all` as well")
    options = parser.parse_args()
    families = Families()
    running: deque[int] = deque()

    def wait() -> None:
        status = os.waitpid(running.popleft(), 0)[1]
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            sys.exit("a worker failed")

    for job in jobs(options.count, is_one=options.one):
        running.append(start(families, job, is_all=options.all))
        if len(running) == AT_ONCE:
            wait()
        if job.start == options.count // 2:
            # From here on children inherit a directory that is open.
            families.requests.labels("0").inc(0)
    while running:
        wait()


if __name__ == "__main__":
    main()
