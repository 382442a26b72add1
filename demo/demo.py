"""Shows forkmeter in an application, and beside one that it does not touch.

The same ordinary FastAPI service runs twice under uvicorn with several workers: on forkmeter, where every worker's
`/metrics` says the same, and on the official client, with `forkmeter serve` beside it. Requests are sent to both, and
the merged numbers are compared with what was answered.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from children import Child, ChildFailedError, free_port
from load import Answered, Outcome, scrape_workers, send

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

HERE = Path(__file__).resolve().parent
PORT_ATTEMPTS = 5
START_SECONDS = 60.0
# What goes on between two scrapes, by worker.
OWN_FAMILIES = ("process_", "python_gc_")


class Merged(NamedTuple):
    """What the exporter says about the service."""

    requests: Counter[Answered]
    observations: Counter[str]
    in_progress: float


class Running(NamedTuple):
    """A child that answers, and where."""

    child: Child
    port: int


def read_url(url: str) -> str:
    """Returns what a URL answers."""
    with urllib.request.urlopen(url, timeout=20) as response:
        text: str = response.read().decode()
        return text


def merged_numbers(text: str) -> Merged:
    """Picks the service's numbers out of an exposition.

    Args:
        text: the answer of a `/metrics`.
    """
    merged = Merged(Counter(), Counter(), 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            if sample.name == "http_requests_total":
                key = Answered(labels["method"], labels["route"], labels["status"])
                merged.requests[key] += int(sample.value)
            elif sample.name == "http_request_duration_seconds_count":
                merged.observations[labels["route"]] += int(sample.value)
            elif sample.name == "http_requests_in_progress":
                merged = merged._replace(in_progress=sample.value)
    return merged


def compare(sent: Outcome, merged: Merged) -> list[str]:
    """Prints what was answered beside what was merged.

    Args:
        sent: what the client saw.
        merged: what the exporter says.

    Returns:
        One line for each number that disagrees.
    """
    wrong = [f"request failed: {failure}" for failure in sent.failures]
    print(f"\n  {'method':<8}{'route':<18}{'status':<8}{'answered':>10}{'merged':>10}")
    for key in sorted(set(sent.answered) | set(merged.requests)):
        answered, counted = sent.answered[key], merged.requests[key]
        mark = "" if answered == counted else "  <-- differs"
        print(f"  {key.method:<8}{key.route:<18}{key.status:<8}{answered:>10}{counted:>10}{mark}")
        if answered != counted:
            wrong.append(f"{key}: {answered} answered, {counted} merged")
    total, merged_total = sum(sent.answered.values()), sum(merged.requests.values())
    print(f"  {'':<34}{total:>10}{merged_total:>10}")
    routes: Counter[str] = Counter()
    for key, count in sent.answered.items():
        routes[key.route] += count
    wrong += [
        f"{route}: {routes[route]} answered, {merged.observations[route]} observed in the histogram"
        for route in sorted(set(routes) | set(merged.observations))
        if routes[route] != merged.observations[route]
    ]
    print(f"\n  observations in the latency histogram: {sum(merged.observations.values())}")
    print(f"  requests in progress now (livesum gauge): {merged.in_progress:g}")
    if merged.in_progress != 0:
        wrong.append(f"{merged.in_progress:g} requests in progress after the last answer")
    if total == 0:
        wrong.append("nothing was answered")
    return wrong


def compare_workers(expositions: dict[str, str], workers: int) -> list[str]:
    """Compares what the workers expose, but for what goes on between two scrapes.

    Args:
        expositions: by worker, the answer of its `/metrics`.
        workers: how many there should be.

    Returns:
        One line for each disagreement.
    """
    shared = {worker: [line for line in text.splitlines() if not is_own(line)] for worker, text in expositions.items()}
    first = next(iter(shared), "")
    wrong = [] if len(shared) == workers else [f"{len(shared)} of {workers} workers answered a scrape"]
    for worker, lines in shared.items():
        different = set(lines) ^ set(shared[first])
        wrong += [f"workers {first} and {worker} differ: {line}" for line in sorted(different)]
    return wrong


def is_own(line: str) -> bool:
    """Tells whether a line of an exposition belongs to what goes on between two scrapes."""
    words = line.split(maxsplit=3)
    name = words[2] if words and words[0] == "#" else line
    return name.startswith(OWN_FAMILIES)


class Demo:
    """Owns the children; `stop` ends them in reverse order."""

    def __init__(self, folder: Path, forkmeter: str, workers: int) -> None:
        """Keeps the settings; nothing runs yet.

        Args:
            folder: for logs and metric files.
            forkmeter: path of the command.
            workers: how many uvicorn workers to run.
        """
        self.folder = folder
        self.forkmeter = forkmeter
        self.workers = workers
        self.children: list[Child] = []

    def start_service(self, name: str, *, on_forkmeter: bool) -> tuple[int, Path]:
        """Starts the service with all its workers, and returns its port and the directory of its metrics.

        The service counts every request, so asking it whether it is ready would show in its numbers: each worker
        makes its gauge's file when it has imported the service.

        Args:
            name: what to call it.
            on_forkmeter: put forkmeter in the place of the official client.
        """
        metrics = self.folder / name
        metrics.mkdir()
        command = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "service:app"]
        command += ["--host", "127.0.0.1", "--workers", str(self.workers), "--log-level", "warning"]
        environment = dict(os.environ)
        if on_forkmeter:
            command = [self.forkmeter, "run", "--dir", str(metrics), "--", *command]
        else:
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        service = self.listen(
            name, lambda port: [*command, "--port", str(port)], ready_path=None, environment=environment
        )
        deadline = time.monotonic() + START_SECONDS
        while sum(1 for _ in metrics.glob("gauge_livesum_*.db")) < self.workers:
            service.child.check()
            if time.monotonic() > deadline:
                raise ChildFailedError(f"not all workers of {name} started\n{service.child.tail()}")
            time.sleep(0.05)
        return service.port, metrics

    def start_exporter(self, metrics: Path) -> int:
        """Starts the exporter beside a service, and returns its port.

        Args:
            metrics: the directory of the service's metrics.
        """
        exporter = self.listen(
            "exporter",
            lambda port: [self.forkmeter, "serve", str(metrics), f"--web.listen-address=127.0.0.1:{port}"],
            ready_path="/-/ready",
            environment=dict(os.environ),
        )
        return exporter.port

    def listen(
        self,
        name: str,
        command: Callable[[int], list[str]],
        *,
        ready_path: str | None,
        environment: dict[str, str],
    ) -> Running:
        """Starts a server on a free port; tries another one where somebody else was faster.

        Args:
            name: what to call it, and its log.
            command: makes the command line for a port.
            ready_path: answers once the server is ready; None where it is enough that somebody listens.
            environment: all its environment variables.
        """
        failure = None
        for _ in range(PORT_ATTEMPTS):
            port = free_port()
            child = Child(name, command(port), self.folder / f"{name}.log", environment=environment)
            self.children.append(child)
            try:
                child.wait_ready(port, ready_path)
            except ChildFailedError as error:
                failure = error
                child.stop()
                if "in use" not in child.tail():
                    raise
            else:
                return Running(child, port)
        raise ChildFailedError(f"{name} found no free port") from failure

    def stop(self) -> None:
        """Ends all children, the last one first."""
        while self.children:
            self.children.pop().stop()


def terminated(_number: int, _frame: FrameType | None) -> None:
    """Turns SIGINT and SIGTERM into the same exception, so that both end everything in order."""
    raise KeyboardInterrupt


def show_inside(demo: Demo, requests: int) -> tuple[list[str], int]:
    """Shows the service on forkmeter: whichever worker answers a scrape, it answers for all.

    Args:
        demo: starts what is needed.
        requests: how many requests to send.

    Returns:
        One line for each disagreement, and the service's port.
    """
    print(f"\n1. The service on forkmeter, {demo.workers} workers: /metrics of every one of them", flush=True)
    port, metrics = demo.start_service("on-forkmeter", on_forkmeter=True)
    sent = send_timed(port, requests)
    expositions = scrape_workers(port, demo.workers)
    wrong = compare_workers(expositions, demo.workers)
    for worker, text in expositions.items():
        total = sum(merged_numbers(text).requests.values())
        print(f"  worker {worker:<8} says that {total} requests were answered")
        if total != sum(sent.answered.values()):
            wrong.append(f"worker {worker} says {total} requests")
    print(f"  all {len(expositions)} expositions are {'NOT ' if wrong else ''}equal (process_* and python_gc_* go on)")
    print(f"  {sum(1 for _ in metrics.glob('*.db'))} files of {demo.workers} workers")
    return wrong + compare(sent, merged_numbers(next(iter(expositions.values()), ""))), port


def show_beside(demo: Demo, requests: int) -> tuple[list[str], int, int]:
    """Shows the same service on the official client, and the exporter that merges its files.

    Args:
        demo: starts what is needed.
        requests: how many requests to send.

    Returns:
        One line for each disagreement, the service's port and the exporter's.
    """
    print(f"\n2. The service on the official client, {demo.workers} workers: forkmeter serve beside it", flush=True)
    port, metrics = demo.start_service("on-the-official-client", on_forkmeter=False)
    exporter = demo.start_exporter(metrics)
    sent = send_timed(port, requests)
    began = time.perf_counter()
    text = read_url(f"http://127.0.0.1:{exporter}/metrics")
    files = sum(1 for _ in metrics.glob("*.db"))
    print(f"  {files} files of {demo.workers} workers merged in {(time.perf_counter() - began) * 1e3:.1f} ms")
    return compare(sent, merged_numbers(text)), port, exporter


def send_timed(port: int, requests: int) -> Outcome:
    """Sends the requests and says how long that took.

    Args:
        port: where the service listens.
        requests: how many to send.
    """
    began = time.perf_counter()
    sent = send(port, requests)
    print(f"  {requests} requests sent in {time.perf_counter() - began:.1f} s")
    return sent


def run(demo: Demo, *, requests: int, once: bool) -> int:
    """Shows both, and stays up unless told otherwise.

    Args:
        demo: what to start.
        requests: how many requests to send to each service.
        once: end after the comparison.

    Returns:
        The exit code.
    """
    wrong_inside, service = show_inside(demo, requests)
    wrong_beside, official, exporter = show_beside(demo, requests)
    wrong = wrong_inside + wrong_beside
    if wrong:
        print("\nThe numbers do NOT agree:", *wrong, sep="\n  ")
        return 1
    print("\nThe numbers agree.")
    if once:
        return 0
    print(f"\n  the service on forkmeter            http://127.0.0.1:{service}/docs")
    print(f"  its metrics, of whichever worker    http://127.0.0.1:{service}/metrics/")
    print(f"  the service on the official client  http://127.0.0.1:{official}/docs")
    print(f"  the exporter beside it              http://127.0.0.1:{exporter}/")
    print("\nCtrl-C ends it.", flush=True)
    while True:
        for child in demo.children:
            child.check()
        time.sleep(0.5)


def main() -> int:
    """Reads the arguments and runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forkmeter", default="forkmeter", help="path of the command")
    parser.add_argument("--workers", type=int, default=4, help="uvicorn workers")
    parser.add_argument("--requests", type=int, default=4000, help="requests to send to each service")
    parser.add_argument("--once", action="store_true", help="end after the comparison; 0 where all agrees")
    arguments = parser.parse_args()
    # Said explicitly: a shell that starts this in the background has SIGINT ignored.
    signal.signal(signal.SIGINT, terminated)
    signal.signal(signal.SIGTERM, terminated)
    with tempfile.TemporaryDirectory(prefix="forkmeter-demo-") as folder:
        demo = Demo(Path(folder), arguments.forkmeter, arguments.workers)
        try:
            return run(demo, requests=arguments.requests, once=arguments.once)
        except KeyboardInterrupt:
            print("\nstopping")
            # Who waited for the comparison did not get it; who looked around is done.
            return 130 if arguments.once else 0
        except (ChildFailedError, OSError) as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            # A second Ctrl-C must not leave children behind.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            demo.stop()


if __name__ == "__main__":
    sys.exit(main())
