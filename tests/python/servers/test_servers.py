"""Every way to run workers: sums are exact while workers are killed and recycled, whichever worker is scraped.

No server is told of metrics: there is no `child_exit` hook, and nobody empties the directory.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.exposition import samples
from support.processes import is_running, kill
from support.servers import CLIENT_THREADS, PAUSE_SECONDS, CeleryService, Service, WebService, python

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from concurrent.futures import Future
    from pathlib import Path

    Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

WORKERS = 4
KILLS = 3
MAX_REQUESTS = 20
# Of workers that import the application anew, which takes a while.
SLOW_MAX_REQUESTS = 40
LOAD_SECONDS = 60
# Of a request, as workers note them; it comes to an end or hangs.
EVENTS = ("begun", "hangs", "done")

# What stands in the directory, however many workers have lived: three kinds with one file each, two side files, the
# gauges of the dead; and for each process that lives a file of each mode. Beside the workers that is a process that
# imported the application to fork them, and one that died after the last worker had begun.
SHARED_FILES = {
    *("counter_shared.db", "histogram_shared.db", "summary_shared.db", "gauge_sum_retired.db"),
    *("forkmeter.meta", "forkmeter.workers"),
}
MAX_GAUGE_FILES = 2 * (WORKERS + 2)
# One for each of these processes, and one that is being written.
MAX_PUBLISHED_FILES = WORKERS + 3


class Way(NamedTuple):
    """A way to run workers.

    Attributes:
        command: What to run.
        service: How to talk to it.
        at_once: How many requests a worker handles at once.
        reloads: Whether SIGHUP recycles all workers; otherwise each is after `MAX_REQUESTS`.
        unedited: Whether it runs under `forkmeter run`, with the official client's name in the application.
    """

    command: list[str]
    service: type[Service] = WebService
    at_once: int = 1
    reloads: bool = False
    unedited: bool = False


def gunicorn(*options: str, at_once: int = 1, max_requests: int = MAX_REQUESTS) -> Way:
    command = python(
        *("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", str(WORKERS)),
        *("--max-requests", str(max_requests), "--log-level", "warning"),
        *options,
        "wsgi_app:application",
    )
    return Way(command, at_once=at_once)


def gthread(*options: str) -> Way:
    return gunicorn("--worker-class", "gthread", "--threads", "4", *options, at_once=4)


def gevent(*options: str) -> Way:
    """Such workers look once a second at how many requests they have answered."""
    return gunicorn("--worker-class", "gevent", *options, at_once=CLIENT_THREADS, max_requests=5)


def uvicorn() -> Way:
    command = python(
        *("-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--workers", str(WORKERS)),
        *("--limit-max-requests", str(SLOW_MAX_REQUESTS), "--no-access-log", "asgi_app:application"),
    )
    return Way(command, at_once=CLIENT_THREADS)


def granian(interface: str) -> Way:
    """It recycles by age, which takes a minute at least; and all at SIGHUP.

    A worker of granian 2.5 that is asked to end while requests come may wait for ever, with or without metrics: the
    main thread joins one that waits for the interpreter lock, and does not let go of it. So granian is told to kill
    such workers.
    """
    command = python(
        *("-m", "granian", "--interface", interface, "--host", "127.0.0.1", "--port", "{port}"),
        *("--workers", str(WORKERS), "--respawn-failed-workers", "--respawn-interval", "0.3"),
        *("--workers-kill-timeout", "1", "--no-ws", f"{interface}_app:application"),
    )
    return Way(command, at_once=CLIENT_THREADS, reloads=True)


def processes(method: str, max_requests: int = MAX_REQUESTS) -> Way:
    return Way(python("-m", "multiprocessing_server", method, "{port}", str(WORKERS), str(max_requests)))


def celery() -> Way:
    command = python(
        *("-m", "celery", "--app", "celery_app", "worker", "--pool", "prefork", "--concurrency", str(WORKERS)),
        *("--max-tasks-per-child", str(MAX_REQUESTS), "--loglevel", "warning"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
    )
    return Way(command, CeleryService)


WAYS = {
    "gunicorn-sync": gunicorn(),
    "gunicorn-sync-preload": gunicorn("--preload"),
    "gunicorn-gthread": gthread(),
    "gunicorn-gthread-preload": gthread("--preload"),
    "gunicorn-gevent": gevent(),
    "gunicorn-gevent-preload": gevent("--preload"),
    "uvicorn": uvicorn(),
    "granian-wsgi": granian("wsgi"),
    "granian-asgi": granian("asgi"),
    "multiprocessing-fork": processes("fork"),
    "multiprocessing-spawn": processes("spawn", SLOW_MAX_REQUESTS),
    "multiprocessing-forkserver": processes("forkserver"),
    "celery": celery(),
    "run-gunicorn-gthread": gthread()._replace(unedited=True),
    "run-uvicorn": uvicorn()._replace(unedited=True),
    "run-celery": celery()._replace(unedited=True),
}


@pytest.mark.parametrize("name", WAYS)
def test_sums_are_exact(name: str, tmp_path: Path) -> None:
    """What every worker says is exactly what was counted, by living, killed and recycled workers.

    All the time requests are sent, and workers recycled. Three times a worker hangs in the middle of a request, of
    which it has counted the first part, and is killed. What was counted then stands between what is known to be
    counted, be it answered or not, and what was begun; the difference is at most the requests that the killed worker
    handled besides. A second load, in which nobody is killed, adds exactly what was answered.
    """
    way = WAYS[name]
    with way.service(tmp_path, way.command, unedited=way.unedited) as service:
        run = Run(service)
        killed = run.load_and_kill()
        first = run.check(most_lost=KILLS * (way.at_once - 1))
        assert not killed & first.workers, "a killed worker answers"

        run.load_until_recycled(reload=way.reloads)
        # A worker that granian kills, as it does not end, may be in the middle of requests too.
        last = run.check(most_lost=first.lost + (WORKERS * way.at_once if way.reloads else 0))
        if last.lost == first.lost:
            assert last.surplus == first.surplus, "not what was answered since"

        names = {path.name for path in service.metrics.iterdir()}
        gauges = {name for name in names - SHARED_FILES if name.startswith("gauge_")}
        published = {name for name in names if name.startswith("forkmeter.published.")}
        assert names - gauges - published == SHARED_FILES, sorted(names)
        assert len(published) <= MAX_PUBLISHED_FILES, sorted(names)
        assert len(gauges) <= MAX_GAUGE_FILES, sorted(names)


class Checked(NamedTuple):
    """What was found when all workers were asked.

    Attributes:
        workers: Who answered.
        lost: How many requests came to no end, besides those in which a worker hung.
        surplus: What is counted beyond the requests that came to an end, and the first parts of those that hung.
    """

    workers: set[int]
    lost: int
    surplus: Samples


class Run:
    """Requests to a service, and what they have to come to."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.sent = 0
        self.answered: set[int] = set()
        self.victim = 0
        self.lock = threading.Lock()
        self.clients: list[Future[None]] = []

    @contextlib.contextmanager
    def load(self) -> Generator[None, None, None]:
        """Sends requests all the time, and waits for their answers at the end."""
        stop = threading.Event()
        with ThreadPoolExecutor(CLIENT_THREADS) as threads:
            self.clients = [threads.submit(self.send, stop) for _ in range(CLIENT_THREADS)]
            try:
                yield
            finally:
                stop.set()
            for client in self.clients:
                client.result()

    def send(self, stop: threading.Event) -> None:
        """Sends one request after the other, each with a number of its own, until told to stop."""
        while not stop.is_set():
            with self.lock:
                self.sent += 1
                number = self.sent
            if self.service.ask(f"/work?number={number}&victim={self.victim}") is not None:
                with self.lock:
                    self.answered.add(number)

    def wait(self, reached: Callable[[], bool], what: str) -> None:
        """Waits until something is so while requests are sent."""
        deadline = time.monotonic() + LOAD_SECONDS
        while not reached():
            for client in self.clients:
                if client.done():
                    client.result()
            assert time.monotonic() < deadline, f"{what}\n{self.service.child.tail()}"
            time.sleep(PAUSE_SECONDS)

    def workers(self) -> list[int]:
        """Returns all workers that began a request until now, in the order in which they began their first."""
        return list(dict.fromkeys(note.worker for note in self.service.notes()))

    def load_and_kill(self) -> set[int]:
        """Sends requests while workers are killed in the middle of one, and returns the workers killed.

        It is always the worker's turn that has been there for the longest time: granian gives up where one ends soon
        after its start.
        """
        killed: set[int] = set()

        def hanging() -> set[int]:
            living = [worker for worker in self.workers() if worker not in killed and is_running(worker)]
            self.victim = living[0] if living else 0
            return {note.worker for note in self.service.notes() if note.event == "hangs"} - killed

        with self.load():
            while len(killed) < KILLS:
                self.wait(lambda: bool(hanging()), "no worker hangs")
                for worker in hanging():
                    kill(worker)
                    killed.add(worker)
            self.victim = 0
        return killed

    def load_until_recycled(self, *, reload: bool) -> None:
        """Sends requests until as many new workers have come as there are."""
        known = set(self.workers())
        with self.load():
            if reload:
                os.kill(self.service.child.process.pid, signal.SIGHUP)
            self.wait(lambda: len(set(self.workers()) - known) >= WORKERS, "workers are not recycled")

    def check(self, *, most_lost: int) -> Checked:
        """Scrapes every worker, and compares all that they say with the journal and with what was answered.

        Args:
            most_lost: How many requests may have come to no end, besides those in which a worker hung.
        """
        answers = self.service.scrape_workers(WORKERS)
        found = {worker: counted(text) for worker, text in answers.items()}
        first = found[min(found)]
        assert all(one == first for one in found.values()), "workers say different things"

        notes = self.service.notes()
        begun, hung, done = ([note.number for note in notes if note.event == event] for event in EVENTS)
        assert len(begun) == len(set(begun)), "a request came twice"
        assert self.answered <= set(done) <= set(begun) <= set(range(1, self.sent + 1))
        lost = set(begun) - set(done) - set(hung)
        assert len(lost) <= most_lost, lost

        values = {key: value for key, value in first.items() if not key[0].endswith("_created")}
        least, most = expected(done, hung), expected([*done, *lost], hung)
        assert set(least) <= set(values) <= set(most)
        surplus = {key: value - least.get(key, 0) for key, value in values.items()}
        beyond = {key: value for key, value in surplus.items() if not 0 <= value <= most[key] - least.get(key, 0)}
        assert not beyond, f"neither what was answered nor, at most, what was begun; to no end came {lost}"
        return Checked(set(answers), len(lost), surplus)


def counted(text: str) -> Samples:
    """Returns the samples of the application, with created times; `process_*` and the like go on meanwhile."""
    return {key: value for key, value in samples(text).items() if key[0].startswith("app_")}


def expected(numbers: list[int], hung: list[int]) -> Samples:
    """Returns the samples that requests give.

    Args:
        numbers: Requests that came to an end.
        hung: Requests in which a worker hung when it had counted the first part.
    """
    units = [number % 7 for number in numbers]
    routes = Counter("odd" if number % 2 else "even" for number in [*numbers, *hung])
    wanted: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {
        ("app_units_count", ()): len(units),
        ("app_units_sum", ()): sum(units),
        ("app_sizes_count", ()): len(units),
        ("app_sizes_sum", ()): sum(units),
        ("app_done", ()): sum(units),
        ("app_in_progress", ()): 0,
    }
    for route, requests in routes.items():
        wanted["app_requests_total", (("route", route),)] = requests
    for bound in (1.0, 2.0, 5.0, float("inf")):
        label = "+Inf" if bound == float("inf") else str(bound)
        wanted["app_units_bucket", (("le", label),)] = sum(unit <= bound for unit in units)
    return {(name, frozenset(labels)): value for (name, labels), value in wanted.items()}
