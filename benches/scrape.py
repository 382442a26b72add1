"""Times a scrape of many workers' files: the official client against forkmeter, in one run.

The fleet is written by the official client: 32 workers with 2,000 counters and 100 histograms each. Both sides
must give the same samples before anything is timed. Run it with `make bench`, or:

    python benches/scrape.py --bin-dir target/release
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

WORKERS = 32
COUNTERS = 2_000
HISTOGRAMS = 100
OFFICIAL_SCRAPES = 7
READERS = 15
READS = 21

# Runs as one worker of the fleet, under the official client.
WORKER = """
import os, random, sys
from prometheus_client import Counter, Histogram, values
worker, counters, histograms = map(int, sys.argv[1:])
values.ValueClass = values.MultiProcessValue(lambda: worker)
rng = random.Random(worker)
requests = Counter("http_requests", "Requests that were answered.", ["method", "path", "status"])
for i in range(counters):
    method, status = ("GET", "POST", "PUT", "DELETE")[i % 4], ("200", "404", "500")[i % 3]
    requests.labels(method, f"/api/v1/items/{i}", status).inc(rng.randrange(1, 10_000))
seconds = Histogram("http_request_duration_seconds", "Seconds that a request took.", ["path"])
for i in range(histograms):
    child = seconds.labels(f"/api/v1/items/{i}")
    for _ in range(20):
        child.observe(rng.expovariate(5))
"""

# Reads the fleet with the official collector: checks our text, or prints seconds per scrape.
OFFICIAL = """
import sys, time
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.parser import text_string_to_metric_families
directory, scrapes, ours = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def scrape():
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=directory)
    return generate_latest(registry)
def samples(text):
    return {(s.name, tuple(sorted(s.labels.items()))): s.value
            for family in text_string_to_metric_families(text) for s in family.samples}
theirs, ours = samples(scrape().decode()), samples(open(ours, encoding="utf-8").read())
assert theirs.keys() == ours.keys(), theirs.keys() ^ ours.keys()
for key, value in theirs.items():
    assert abs(value - ours[key]) <= 1e-9 * abs(value), (key, value, ours[key])
print(len(theirs))
for _ in range(scrapes):
    start = time.perf_counter()
    scrape()
    print(time.perf_counter() - start)
"""


def make_fleet(python: str, directory: Path) -> None:
    """Writes the files of all workers with the official client."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    for worker in range(WORKERS):
        arguments = [str(worker), str(COUNTERS), str(HISTOGRAMS)]
        subprocess.run([python, "-c", WORKER, *arguments], env=environment, check=True)


def official(python: str, directory: Path, ours: Path) -> tuple[int, list[float]]:
    """Compares the samples of both sides; returns their number and the official seconds per scrape."""
    command = [python, "-c", OFFICIAL, str(directory), str(OFFICIAL_SCRAPES), str(ours)]
    count, *seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(count), [float(second) for second in seconds]


def forkmeter(binary: Path, directory: Path) -> tuple[list[float], list[float]]:
    """Returns the seconds of first and of repeated scrapes."""
    command = [str(binary), "time", str(directory), str(READERS), str(READS)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    runs = [[int(nanoseconds) / 1e9 for nanoseconds in line.split()] for line in lines]
    return [run[0] for run in runs], [seconds for run in runs for seconds in run[1:]]


def figure(seconds: list[float]) -> str:
    """Formats the median of some times and the spread of their middle half, in milliseconds."""
    low, _, high = statistics.quantiles(seconds, n=4)
    return f"{statistics.median(seconds) * 1e3:.2f} ms ({low * 1e3:.2f} to {high * 1e3:.2f})"


def rows(python: str, binary: Path, directory: Path) -> Iterator[tuple[str, list[float], list[float], int]]:
    """Yields one row per case: its name, both sides' seconds and the ratio that is asked for."""
    make_fleet(python, directory)
    text = directory / "ours.txt"
    text.write_bytes(subprocess.run([str(binary), "text", str(directory)], check=True, capture_output=True).stdout)
    count, theirs = official(python, directory, text)
    print(f"same {count:,} samples on both sides", file=sys.stderr)
    first, repeated = forkmeter(binary, directory)
    case = f"scrape of {WORKERS} workers x ({COUNTERS:,} counters + {HISTOGRAMS} histograms)"
    yield f"{case}, repeated", theirs, repeated, 100
    yield f"{case}, first", theirs, first, 20


def main() -> int:
    """Runs the benchmark and prints its table; fails when a ratio that is asked for is not reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin-dir", type=Path, required=True, help="where the release programs are")
    parser.add_argument(
        "--python",
        default=os.environ.get("FORKMETER_ORACLE_PYTHON", sys.executable),
        help="a Python that has the official client [env: FORKMETER_ORACLE_PYTHON]",
    )
    options = parser.parse_args()
    binary = options.bin_dir / "scrape"
    version = subprocess.run(
        [options.python, "-c", "from importlib.metadata import version; print(version('prometheus_client'))"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    print(f"| case | prometheus_client {version} | forkmeter | ratio | asked |")
    print("|---|---|---|---|---|")
    reached = True
    with tempfile.TemporaryDirectory(prefix="forkmeter-bench-") as directory:
        for case, theirs, ours, asked in rows(options.python, binary, Path(directory)):
            ratio = statistics.median(theirs) / statistics.median(ours)
            reached &= ratio >= asked
            print(f"| {case} | {figure(theirs)} | {figure(ours)} | {ratio:.0f}x | {asked}x |")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
