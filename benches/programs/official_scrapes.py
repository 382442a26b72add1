"""Scrapes a directory with the official collector, and with its helper in Rust, for `benches/scrape.py`.

Checks our text against both, and prints the number of samples and the seconds of each scrape: DIRECTORY SCRAPES TEXT.
"""

from __future__ import annotations

import glob
import json
import os
import sys
import time
from typing import Any

import prometheus_client_python_speedups as speedups
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Merged:
    """Collects what the helper merges of a directory."""

    def __init__(self, directory: str) -> None:
        """Takes the directory."""
        self._directory = directory

    def collect(self) -> Any:
        """Returns the families of all files, which the helper gives in types of its own."""
        files = glob.glob(os.path.join(self._directory, "*.db"))  # noqa: PTH118, PTH207 -- as the peer does
        for merged in speedups.merge(files):
            family = Metric(merged.name, merged.documentation, merged.typ)
            family.samples = [Sample(sample.name, sample.labels, sample.value) for sample in merged.samples]
            yield family


def scrape(directory: str) -> bytes:
    """Scrapes as the official client's documents say."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=directory)
    return generate_latest(registry)


def scrape_with_speedups(directory: str) -> bytes:
    """Scrapes with the helper in the place of the official merge."""
    registry = CollectorRegistry()
    registry.register(Merged(directory))
    return generate_latest(registry)


def samples(text: str) -> dict[Any, float]:
    """Returns the value of each series."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def main() -> None:
    """Checks, and prints."""
    directory = sys.argv[1]
    with open(sys.argv[3], encoding="utf-8") as file:  # noqa: PTH123 -- a path from the command line
        wanted = samples(file.read())
    sides = {"official": scrape, "speedups": scrape_with_speedups}
    for side, scrape_one in sides.items():
        theirs = samples(scrape_one(directory).decode())
        if theirs.keys() != wanted.keys():
            raise SystemExit(f"{side}: other samples: {list(theirs.keys() ^ wanted.keys())[:10]}")
        for key, value in theirs.items():
            # Sums of floats depend on their order.
            if abs(value - wanted[key]) > 1e-9 * abs(value):
                raise SystemExit(f"{side}: {key} is {value}, and {wanted[key]} for forkmeter")
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(int(sys.argv[2])):
        for side, scrape_one in sides.items():
            start = time.perf_counter()
            scrape_one(directory)
            taken[side].append(time.perf_counter() - start)
    print(json.dumps({"samples": len(wanted), **taken}))


if __name__ == "__main__":
    main()
