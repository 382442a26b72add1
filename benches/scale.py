"""Measures how costs grow with series, workers, label length and threads, forkmeter's and its peers', in one run.

All sides must give the same samples before a point counts. A line ends where one scrape would take some twenty seconds.
Writes the numbers; `benches/plots.py` draws them:

    PYTHONPATH=tests python benches/scale.py --bin-dir target/release
    PYTHONPATH=tests python benches/scale.py --bin-dir target/release --most 10000 scrape_by_series
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import directories
from run import commit, machine

from support.folders import in_memory

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[[Path, int], None]

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
RESULTS = HERE / "results" / "scale"

MOST_SECONDS = 20.0
SCRAPES = 15
SERIES = [100, 1_000, 10_000, 100_000, 1_000_000]
SERIES_WORKERS = 4
WORKERS = [1, 4, 16, 64, 256]
WORKER_COUNTERS = 1_000
WORKER_HISTOGRAMS = 50
LENGTHS = [2, 10, 100, 1_000, 10_000]
PYTHON_THREADS = [1, 2, 4, 8, 16]
RUST_THREADS = [1, 2, 4, 8]

OFFICIAL = f"prometheus_client {version('prometheus_client')}"
SPEEDUPS = f"with its Rust speedups {version('prometheus_client_python_speedups')}"


@dataclass
class Line:
    """Is one line of a plot.

    Args:
        points: The seconds of each round, by what grows.
        stopped_at: The first point that would take too long, if any.
    """

    points: dict[int, list[float]] = field(default_factory=dict)
    stopped_at: int | None = None

    def goes_on(self, size: int) -> bool:
        """Tells whether a point is to be measured; the line ends where it would take too long."""
        if self.stopped_at is None and self.points:
            last = max(self.points)
            if statistics.median(self.points[last]) * size / last > MOST_SECONDS:
                self.stopped_at = size
        return self.stopped_at is None

    def numbers(self) -> dict[str, Any]:
        """Returns it as it is written."""
        points = []
        for size, taken in self.points.items():
            low, median, high = min(taken), statistics.median(taken), max(taken)
            if len(taken) >= 4:
                low, median, high = statistics.quantiles(taken, n=4)
            numbers = {"low": low, "median": median, "high": high}
            points.append({"x": size, **{name: float(f"{number:.4g}") for name, number in numbers.items()}})
        return {"points": points, "stopped_at": self.stopped_at}


Lines = dict[str, Line]


def output(program: str, *arguments: object) -> Any:
    """Runs a program of this folder and returns what it prints."""
    command = [sys.executable, str(PROGRAMS / program), *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def check(what: str, found: dict[str, Any]) -> None:
    """Ends the program where the sides differ."""
    if len(set(found.values())) > 1:
        raise SystemExit(f"{what}: different results: {found}")


def scrapes(
    sizes: list[int], make_official: Callable[[Path, int], None], make_own: Callable[[Path, int], None]
) -> Lines:
    """Times scrapes of directories that grow.

    Args:
        sizes: How large they are.
        make_official: Makes one of the official client's files.
        make_own: Makes one of forkmeter's.
    """
    lines: Lines = {
        name: Line()
        for name in (
            OFFICIAL,
            SPEEDUPS,
            "forkmeter, the same files, first",
            "forkmeter, the same files, repeated",
            "forkmeter, its own files, first",
            "forkmeter, its own files, repeated",
        )
    }
    for size in sizes:
        samples = {}
        with in_memory(Path(tempfile.gettempdir())) as folder:
            official, own = folder / "official", folder / "own"
            make_official(official, size)
            for name, side in ((OFFICIAL, "official"), (SPEEDUPS, "speedups")):
                if lines[name].goes_on(size):
                    taken = output("timed_scrapes.py", side, official, SCRAPES)
                    lines[name].points[size] = taken["first"] + taken["repeated"]
                    samples[name] = taken["samples"]
            make_own(own, size)
            for name, directory in (("the same files", official), ("its own files", own)):
                taken = output("timed_scrapes.py", "forkmeter", directory, SCRAPES)
                samples[name] = taken["samples"]
                for kind in ("first", "repeated"):
                    lines[f"forkmeter, {name}, {kind}"].points[size] = taken[kind]
        check(f"{size:,}", samples)
        progress(f"{size:,}", lines, size)
    return lines


def progress(what: str, lines: Lines, size: int) -> None:
    """Says how far it is."""
    seconds = {name: statistics.median(line.points[size]) for name, line in lines.items() if size in line.points}
    print(f"  {what}: " + ", ".join(f"{name} {value:.3g} s" for name, value in seconds.items()), file=sys.stderr)


def scrape_by_series(most: int) -> Lines:
    """Times scrapes of four workers that all have the same counters."""
    return scrapes(
        [size for size in SERIES if size <= most],
        lambda path, size: directories.official_counters(path, SERIES_WORKERS, size),
        lambda path, size: directories.own_counters(path, SERIES_WORKERS, size),
    )


def scrape_by_workers(most: int) -> Lines:
    """Times scrapes of workers that all have the same counters and histograms."""
    return scrapes(
        [size for size in WORKERS if size <= most],
        lambda path, size: directories.official_workers(path, size, WORKER_COUNTERS, WORKER_HISTOGRAMS),
        lambda path, size: directories.own_workers(path, size, WORKER_COUNTERS, WORKER_HISTOGRAMS),
    )


def calls(axis: str, sizes: list[int]) -> Lines:
    """Times calls of both clients."""
    lines: Lines = {}
    stopped: set[str] = set()
    for size in sizes:
        totals = {}
        for client, name in (("prometheus_client", OFFICIAL), ("forkmeter", "forkmeter")):
            if name in stopped:
                continue
            taken = output("timed_calls.py", client, axis, size)
            if "stopped" in taken:
                stopped.add(name)
                for key, line in lines.items():
                    if key.startswith(name):
                        line.stopped_at = size
                continue
            totals[name] = taken.pop("total")
            for call, seconds in taken.items():
                lines.setdefault(f"{name}: {call}", Line()).points[size] = seconds
        check(f"{axis} {size:,}", totals)
        progress(f"{axis} {size:,}", lines, size)
    return lines


def count_by_series(most: int) -> Lines:
    """Times counting on one of many series."""
    return calls("series", [size for size in SERIES if size <= most])


def count_by_length(most: int) -> Lines:
    """Times counting on a series with a long label value."""
    return calls("length", [size for size in LENGTHS if size <= most])


def count_by_threads(most: int) -> Lines:
    """Times counting on one series in several threads of Python."""
    return calls("threads", [size for size in PYTHON_THREADS if size <= most])


def rust_count_by_threads(most: int, binary: Path) -> Lines:
    """Times counting on one series in several threads of Rust."""
    sizes = [str(size) for size in RUST_THREADS if size <= most]
    done = subprocess.run([str(binary), *sizes], check=True, stdout=subprocess.PIPE)
    lines: Lines = {}
    names = {"prometheus": "prometheus 0.14", "prometheus-client": "prometheus-client 0.25"}
    for row in map(json.loads, done.stdout.splitlines()):
        line = lines.setdefault(names.get(row["side"], row["side"]), Line())
        line.points[row["threads"]] = [nanoseconds / 1e9 for nanoseconds in row["nanoseconds"]]
    return lines


def main() -> None:
    """Measures and writes."""
    plots = (scrape_by_series, scrape_by_workers, count_by_series, count_by_length, count_by_threads)
    measures: dict[str, Callable[[int, Path], Lines]] = {
        plot.__name__: lambda most, _, plot=plot: plot(most)  # type: ignore[misc]
        for plot in plots
    }
    measures["rust_count_by_threads"] = lambda most, folder: rust_count_by_threads(most, folder / "threads")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin-dir", type=Path, required=True, help="where the release programs are")
    parser.add_argument("--most", type=int, default=max(SERIES), help="leave out what is larger")
    parser.add_argument("--out", type=Path, default=RESULTS / "numbers.json", help="what to write")
    parser.add_argument("plots", nargs="*", metavar="PLOT", choices=[*measures, []], help=f"of {', '.join(measures)}")
    options = parser.parse_args()
    numbers: dict[str, Any] = {"machine": machine(), "commit": commit(), "unit": "seconds", "plots": {}}
    for name in options.plots or measures:
        print(f"{name} ...", file=sys.stderr)
        began = time.monotonic()
        lines = measures[name](options.most, options.bin_dir)
        numbers["plots"][name] = {line: measured.numbers() for line, measured in lines.items()}
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
