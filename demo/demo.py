"""Shows forkmeter beside an application that it does not touch.

An ordinary FastAPI service runs under uvicorn with several workers and `forkmeter serve` stands beside it.
Requests are sent, and the merged numbers are compared with what was sent.
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
from load import Answered, Outcome, send

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

HERE = Path(__file__).resolve().parent
PORT_ATTEMPTS = 5


class Merged(NamedTuple):
    """What the exporter says about the service."""

    requests: Counter[Answered]
    observations: Counter[str]
    in_progress: float


class Running(NamedTuple):
    """A child that answers, and where."""

    child: Child
    port: int


def read_exporter(url: str) -> Merged:
    """Scrapes the exporter once.

    Args:
        url: the exporter's `/metrics`.
    """
    with urllib.request.urlopen(url, timeout=20) as response:
        text = response.read().decode()
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
        self.metrics = folder / "metrics"
        self.metrics.mkdir()
        self.children: list[Child] = []

    def start(self) -> tuple[int, int]:
        """Starts the service and the exporter, and returns their ports."""
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self.metrics)}
        python = [sys.executable, "-m", "uvicorn", "--app-dir", str(HERE), "service:app"]
        options = ["--host", "127.0.0.1", "--workers", str(self.workers), "--log-level", "warning"]
        service = self.listen(
            "uvicorn",
            lambda port: [*python, *options, "--port", str(port)],
            ready_path=None,
            environment=environment,
        )
        self.wait_workers()
        exporter = self.listen(
            "forkmeter",
            lambda port: [
                self.forkmeter,
                "serve",
                str(self.metrics),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            ready_path="/-/ready",
            environment=dict(os.environ),
        )
        return service.port, exporter.port

    def wait_workers(self, *, timeout_seconds: float = 60.0) -> None:
        """Waits until every worker has imported the service, which makes its gauge's file.

        The service counts every request, so asking it whether it is ready would show in its numbers.

        Args:
            timeout_seconds: how long to wait.
        """
        deadline = time.monotonic() + timeout_seconds
        while sum(1 for _ in self.metrics.glob("gauge_livesum_*.db")) < self.workers:
            for child in self.children:
                child.check()
            if time.monotonic() > deadline:
                raise ChildFailedError(f"not all workers started\n{self.children[0].tail()}")
            time.sleep(0.05)

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


def run(demo: Demo, *, requests: int, once: bool) -> int:
    """Starts everything, sends the requests, compares, and stays up unless told otherwise.

    Args:
        demo: what to start.
        requests: how many requests to send.
        once: end after the comparison.

    Returns:
        The exit code.
    """
    service, exporter = demo.start()
    metrics_url = f"http://127.0.0.1:{exporter}/metrics"
    print(f"uvicorn with {demo.workers} workers runs on http://127.0.0.1:{service}")
    print(f"forkmeter stands beside it on    http://127.0.0.1:{exporter}/")
    began = time.perf_counter()
    sent = send(service, requests)
    print(f"{requests} requests sent in {time.perf_counter() - began:.1f} s", end="; ")
    began = time.perf_counter()
    merged = read_exporter(metrics_url)
    files = sum(1 for _ in demo.metrics.glob("*.db"))
    print(f"{files} files of {demo.workers} workers merged in {(time.perf_counter() - began) * 1e3:.1f} ms")
    wrong = compare(sent, merged)
    if wrong:
        print("\nThe numbers do NOT agree:", *wrong, sep="\n  ")
        return 1
    print("\nThe numbers agree.")
    if once:
        return 0
    print(f"\n  the service     http://127.0.0.1:{service}/docs")
    print(f"  merged metrics  {metrics_url}")
    print(f"  landing page    http://127.0.0.1:{exporter}/")
    print(f"  the directory   {demo.metrics}")
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
    parser.add_argument("--requests", type=int, default=4000, help="requests to send")
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
