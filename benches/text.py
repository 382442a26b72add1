"""Times the exposition of many series of one process, the official client's and ours, in one interpreter.

python benches/text.py
"""

from __future__ import annotations

import os
import time
from importlib.metadata import version
from typing import Any

from table import Row, emit

SERIES = 100_000
ROUNDS = 7
ASKED = 150


PATHS = [f"/api/v1/items/{number}" for number in range(SERIES)]


def make(client: Any) -> tuple[Any, Any]:
    """Makes a registry, and in it a metric with many series."""
    registry = client.CollectorRegistry()
    requests = client.Counter("http_requests", "Requests.", ["method", "path"], registry=registry)
    for number, path in enumerate(PATHS):
        requests.labels("GET", path).inc(number % 10_000 + 1)
    return registry, requests


def lines(text: bytes) -> list[bytes]:
    """Returns the lines, without those that say when something was made."""
    return sorted(line for line in text.splitlines() if b"_created" not in line)


def main() -> None:
    """Prints the row."""
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        os.environ.pop(name, None)
    import forkmeter
    import prometheus_client

    # Of times alone there would be as many samples again.
    prometheus_client.disable_created_metrics()
    forkmeter.disable_created_metrics()
    sides = {"prometheus_client": prometheus_client, "forkmeter": forkmeter}
    made = {name: make(client) for name, client in sides.items()}
    texts = {name: client.generate_latest(made[name][0]) for name, client in sides.items()}
    if lines(texts["forkmeter"]) != lines(texts["prometheus_client"]):
        raise SystemExit("different samples")
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, client in sides.items():
            registry, requests = made[name]
            # What was written of the last values is worth nothing.
            for path in PATHS:
                requests.labels("GET", path).inc()
            begin = time.perf_counter()
            client.generate_latest(registry)
            taken[name].append(time.perf_counter() - begin)
    peer = f"prometheus_client {version('prometheus_client')}"
    case = f"text of {SERIES:,} single-process series"
    emit(Row(case, peer, taken["prometheus_client"], taken["forkmeter"], "ms", ASKED))


if __name__ == "__main__":
    main()
