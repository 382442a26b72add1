"""A worker that counts with the official client, as the lines on its standard input say.

Run as a program with `PROMETHEUS_MULTIPROC_DIR` set. `support.worker` speaks the protocol; `tests/driver` is the same
for forkmeter.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, values


class OfficialWorker:
    """Keeps the families that were declared; each operation is a method."""

    def __init__(self) -> None:
        """Starts with nothing declared."""
        self.registry = CollectorRegistry()
        self.families: dict[str, Any] = {}

    def begin(self, directory: str, identity: str = "") -> None:
        """Forgets all and goes on as another worker.

        Args:
            directory: where to count from now on.
            identity: what takes the place of the process id in file names, where it is not empty.
        """
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        values.close_all_multiprocess_files()
        values.ValueClass = values.MultiProcessValue(lambda: identity or os.getpid())
        self.registry = CollectorRegistry()
        self.families = {}

    def declare(self, type: str, name: str, help: str, labels: list[str], **options: Any) -> None:  # noqa: A002
        """Makes a family.

        Args:
            type: `counter`, `gauge`, `histogram` or `summary`.
            name: its name.
            help: its help.
            labels: its label names.
            options: `mode` of a gauge, `buckets` of a histogram.
        """
        made: Any
        if type == "counter":
            made = Counter(name, help, labels, registry=self.registry)
        elif type == "gauge":
            made = Gauge(name, help, labels, registry=self.registry, multiprocess_mode=options["mode"])
        elif type == "histogram":
            bounds = tuple(float(bound) for bound in options.get("buckets", Histogram.DEFAULT_BUCKETS))
            made = Histogram(name, help, labels, registry=self.registry, buckets=bounds)
        elif type == "summary":
            made = Summary(name, help, labels, registry=self.registry)
        else:
            raise ValueError(f"the official client has no {type}")
        self.families[name] = made

    def series(self, name: str, labels: list[str]) -> Any:
        """Returns the series of a family.

        Args:
            name: the family's name.
            labels: the label values.
        """
        family = self.families[name]
        return family.labels(*labels) if labels else family

    def touch(self, name: str, labels: list[str]) -> None:
        """Makes a series and leaves it at zero."""
        self.series(name, labels)

    def inc(self, name: str, labels: list[str], value: float | str) -> None:
        """Adds to a counter or gauge."""
        self.series(name, labels).inc(float(value))

    def set(self, name: str, labels: list[str], value: float | str) -> None:
        """Sets a gauge."""
        self.series(name, labels).set(float(value))

    def observe(self, name: str, labels: list[str], value: float | str) -> None:
        """Observes a value."""
        self.series(name, labels).observe(float(value))


def main() -> None:
    """Does what each line says; answers `sync` once all before it is done, with the process id."""
    worker = OfficialWorker()
    for line in sys.stdin:
        operation: dict[str, Any] = json.loads(line)
        what = operation.pop("op")
        if what == "sync":
            print(json.dumps({"pid": os.getpid()}), flush=True)
            continue
        act: Callable[..., None] = getattr(worker, what)
        act(**operation)


if __name__ == "__main__":
    main()
