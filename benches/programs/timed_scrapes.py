"""Times scrapes of one directory, for `benches/scale.py`: SIDE DIRECTORY SCRAPES.

The sides are "official", its "speedups", and "forkmeter". Prints the seconds of first scrapes and of later ones, and a
digest of the samples.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# From then on there are no more scrapes, except that there is at least one of each kind.
ENOUGH_SECONDS = 4.0
FIRST_SCRAPES = 3
# More than the directories that forkmeter keeps in mind between scrapes.
OTHER_DIRECTORIES = 10


def scraper(side: str, directory: Path) -> Callable[[], bytes]:
    """Returns what scrapes a directory again and again."""
    if side == "forkmeter":
        import forkmeter
        from forkmeter.multiprocess import MultiProcessCollector

        registry = forkmeter.CollectorRegistry()
        MultiProcessCollector(registry, path=directory)
        return lambda: forkmeter.generate_latest(registry)
    from official_scrapes import scrape, scrape_with_speedups

    scrape_one = scrape if side == "official" else scrape_with_speedups
    return lambda: scrape_one(str(directory))


def digest(text: bytes) -> str:
    """Returns a digest of the samples, whatever their order."""
    samples = sorted(line for line in text.splitlines() if not line.startswith(b"#"))
    return f"{len(samples)}:{hashlib.sha256(b''.join(samples)).hexdigest()[:16]}"


def seconds_of(call: Callable[[], bytes]) -> float:
    """Returns how long a call took."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    """Prints them."""
    side, directory, scrapes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    first: list[float] = []
    repeated: list[float] = []
    began = time.perf_counter()

    def is_enough(taken: list[float], count: int) -> bool:
        return bool(taken) and (len(taken) >= count or time.perf_counter() - began > ENOUGH_SECONDS)

    with tempfile.TemporaryDirectory() as folder:
        others = [Path(folder, str(number)) for number in range(OTHER_DIRECTORIES)]
        for other in others:
            other.mkdir()
        while not is_enough(first, FIRST_SCRAPES if side == "forkmeter" else 1):
            for other in others:
                scraper(side, other)()
            first.append(seconds_of(scraper(side, directory)))
    scrape = scraper(side, directory)
    samples = digest(scrape())
    began = time.perf_counter()
    while not is_enough(repeated, scrapes):
        repeated.append(seconds_of(scrape))
    print(json.dumps({"first": first, "repeated": repeated, "samples": samples}))


if __name__ == "__main__":
    main()
