"""Sends samples to Graphite, in its plaintext protocol."""

from __future__ import annotations

import re
import socket
import threading
import time
from timeit import default_timer
from typing import TYPE_CHECKING

from ..registry import REGISTRY, Collector

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..samples import Sample

# What is left works as the name of a file, and has no dots, which separate the parts of a path.
_INVALID_GRAPHITE_CHARS = re.compile(r"[^a-zA-Z0-9_-]")


def _sanitize(s: str) -> str:
    return _INVALID_GRAPHITE_CHARS.sub("_", s)


class _RegularPush(threading.Thread):
    """Pushes every so many seconds, for as long as the process lives.

    Args:
        pusher: What to push with.
        interval: Seconds from one push to the next.
        prefix: What comes before every path.
    """

    def __init__(self, pusher: GraphiteBridge, interval: float, prefix: str) -> None:
        super().__init__()
        self._pusher = pusher
        self._interval = interval
        self._prefix = prefix

    def run(self) -> None:
        """Pushes, and logs what fails. A push that takes too long skips those that it is late for."""
        wait_until = default_timer()
        while True:
            now = default_timer()
            while now < wait_until:
                time.sleep(wait_until - now)
                now = default_timer()
            while wait_until < now:
                wait_until += self._interval
            try:
                self._pusher.push(prefix=self._prefix)
            except OSError:
                import logging

                logging.getLogger().exception("Push failed")


class GraphiteBridge:
    """Sends what a registry collects to Graphite.

    Args:
        address: Host and port of Graphite.
        registry: Where to collect.
        timeout_seconds: Seconds until a connection is given up.
        _timer: Returns the time in seconds since 1970.
        tags: Whether labels become tags; otherwise they become parts of the path.
    """

    def __init__(
        self,
        address: tuple[str, int],
        registry: Collector = REGISTRY,
        timeout_seconds: float = 30,
        _timer: Callable[[], float] = time.time,
        tags: bool = False,
    ) -> None:
        self._address = address
        self._registry = registry
        self._tags = tags
        self._timeout = timeout_seconds
        self._timer = _timer

    def push(self, prefix: str = "") -> None:
        """Collects and sends once.

        Args:
            prefix: What comes before every path, with a dot between.

        Raises:
            OSError: Graphite cannot be reached.
        """
        now = int(self._timer())
        start = f"{prefix}." if prefix else ""
        lines = [
            f"{start}{self._path(sample)} {float(sample.value)} {now}\n"
            for metric in self._registry.collect()
            for sample in metric.samples
        ]
        with socket.create_connection(self._address, self._timeout) as connection:
            connection.sendall("".join(lines).encode("ascii"))

    def _path(self, sample: Sample) -> str:
        between, inside = (";", "=") if self._tags else (".", ".")
        labels = [f"{_sanitize(name)}{inside}{_sanitize(value)}" for name, value in sorted(sample.labels.items())]
        return between.join([_sanitize(sample.name), *labels])

    def start(self, interval: float = 60.0, prefix: str = "") -> None:
        """Starts a daemon thread that collects and sends from now on.

        Args:
            interval: Seconds from one push to the next.
            prefix: What comes before every path, with a dot between.
        """
        thread = _RegularPush(self, interval, prefix)
        thread.daemon = True
        thread.start()
