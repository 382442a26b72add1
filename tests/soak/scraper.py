"""Scrapes without end and checks that no counter goes down: `scraper.py [URL]`, without a URL as one of the workers.

Ends at SIGTERM and prints how many scrapes there were, and in how many a series was missing that was there before.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import forkmeter

from soak.worker import Families

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_SECONDS = 0.02
# What is not removed, and only grows.
GROWING = re.compile(r"^(soak_(?:counts|everybody|seconds|waits)(?:_\w+)?(?:\{[^}]*\})?) (\S+)$", re.MULTILINE)


class Watcher:
    """Compares each scrape with those before."""

    def __init__(self, scrape: Callable[[], str]) -> None:
        """Takes what scrapes."""
        self.scrape = scrape
        self.greatest: dict[str, float] = {}
        self.scrapes = 0
        self.gaps = 0
        self.is_over = False

    def look(self) -> None:
        """Scrapes once."""
        text = self.scrape()
        found = {series: float(value) for series, value in GROWING.findall(text)}
        for series, value in found.items():
            before = self.greatest.get(series, 0.0)
            if value < before:
                sys.exit(f"{found}\nscrape {self.scrapes} at {time.time()}: {series} went from {before} to {value}")
            self.greatest[series] = value
        self.gaps += bool(self.greatest.keys() - found.keys())
        self.scrapes += 1

    def end(self, *_: object) -> None:
        """Lets the loop end."""
        self.is_over = True


def main() -> None:
    """Scrapes."""

    def fetch() -> str:
        with urllib.request.urlopen(sys.argv[1], timeout=20) as response:
            body: bytes = response.read()
            return body.decode()

    def collect() -> str:
        return forkmeter.generate_latest(forkmeter.REGISTRY).decode()

    if len(sys.argv) > 1:
        watcher = Watcher(fetch)
    else:
        Families()
        watcher = Watcher(collect)
    signal.signal(signal.SIGTERM, watcher.end)
    while not watcher.is_over:
        watcher.look()
        time.sleep(PAUSE_SECONDS)
    print(json.dumps({"scrapes": watcher.scrapes, "gaps": watcher.gaps}))


if __name__ == "__main__":
    main()
