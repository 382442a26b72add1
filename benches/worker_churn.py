"""Times scrapes of a directory on which thousands of workers lived and died against one that had a single worker.

Both have the same series. They take turns, so that whatever else the machine does hits both:

    PYTHONPATH=tests python benches/worker_churn.py --workers 10000
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Callable

from forkmeter import CollectorRegistry, generate_latest
from forkmeter.multiprocess import MultiProcessCollector
from table import Row, emit

from churn import generations

ROUNDS = 400
PATHS = 16
# It may take 1.1 times as long.
ASKED = round(1 / 1.1, 3)
PROGRAMS = Path(generations.__file__).parent


def prepare(directory: Path, *arguments: str) -> None:
    """Lets workers count in a directory and die, and one more look at it, which puts away what they left.

    Args:
        directory: made here.
        arguments: how many workers.
    """
    directory.mkdir()
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    for program in (["generations.py", *arguments], ["scraping.py"]):
        command = [sys.executable, str(PROGRAMS / program[0]), *program[1:]]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def scraper(directory: Path) -> Callable[[], bytes]:
    """Returns what scrapes a directory again and again."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, directory)
    return lambda: generate_latest(registry)


def scrape_anew(paths: Iterator[Path]) -> bytes:
    """Scrapes a directory as if for the first time, under the next of its paths."""
    return scraper(next(paths))()


def paths_of(directory: Path) -> Iterator[Path]:
    """Yields paths of a directory again and again.

    What was read is kept in mind by the path, of a few of them: of so many none is known any more when it comes again.
    """
    links = [directory.with_name(f"{directory.name}-{number}") for number in range(PATHS)]
    for link in links:
        link.symlink_to(directory)
    return itertools.cycle(links)


def seconds_of(scrapes: dict[str, Callable[[], bytes]]) -> dict[str, list[float]]:
    """Returns for each scrape how long it took in each round; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in scrapes}
    for _ in range(ROUNDS):
        for name, scrape in scrapes.items():
            began = time.perf_counter()
            scrape()
            taken[name].append(time.perf_counter() - began)
    return taken


def main() -> None:
    """Prints the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=10_000, help="how many live and die")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        directories = {"one": Path(folder, "one"), "many": Path(folder, "many")}
        prepare(directories["one"], "--one", str(generations.ROUND))
        prepare(directories["many"], str(options.workers))
        lines = {
            name: sorted(line.split(" ")[0] for line in scraper(path)().decode().splitlines())
            for name, path in directories.items()
        }
        if lines["one"] != lines["many"]:
            raise SystemExit("the two directories have different series")
        for name, path in directories.items():
            sizes = [file.stat().st_size for file in path.iterdir()]
            print(f"{name}: {len(sizes)} files, {sum(sizes):,} bytes", file=sys.stderr)
        kinds: dict[str, dict[str, Callable[[], bytes]]] = {
            "first scrape": {name: partial(scrape_anew, paths_of(path)) for name, path in directories.items()},
            "repeated scrape": {name: scraper(path) for name, path in directories.items()},
        }
        for kind, scrapes in kinds.items():
            taken = seconds_of(scrapes)
            case = f"{kind} after {options.workers:,} workers lived and died"
            emit(Row(case, "itself after one worker", taken["one"], taken["many"], "us", ASKED))


if __name__ == "__main__":
    main()
