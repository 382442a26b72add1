"""Every way to run workers: sums are exact while workers are killed and recycled, whichever worker is scraped."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from support.exposition import samples
from support.servers import CeleryService, Service, WebService, python

if TYPE_CHECKING:
    from pathlib import Path

WORKERS = 3
ROUNDS = 4
KILLS = ROUNDS - 1
REQUESTS_PER_ROUND = 70
MAX_REQUESTS = 20
# Of workers that import the application anew, which takes a while.
SLOW_MAX_REQUESTS = 40
# Gauges of two modes, of the workers, of those whose files the next worker will fold, and of a process or two that
# only imported the application.
MAX_GAUGE_FILES = 2 * (WORKERS + 3)
MAX_OTHER_FILES = 10


class Way(NamedTuple):
    """A way to run workers.

    Attributes:
        command: What to run.
        service: How to talk to it.
        recycles: Whether workers are recycled after `MAX_REQUESTS`; otherwise SIGHUP recycles all of them.
    """

    command: list[str]
    service: type[Service] = WebService
    recycles: bool = True


def gunicorn(*options: str, max_requests: int = MAX_REQUESTS) -> Way:
    return Way(
        python(
            *("-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", str(WORKERS)),
            *("--max-requests", str(max_requests), "--log-level", "warning"),
            *options,
            "wsgi_app:application",
        )
    )


def uvicorn() -> Way:
    return Way(
        python(
            *("-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--workers", str(WORKERS)),
            *("--limit-max-requests", str(SLOW_MAX_REQUESTS), "--no-access-log", "asgi_app:application"),
        )
    )


def granian(interface: str) -> Way:
    """It recycles by age, which takes a minute at least; and all at SIGHUP."""
    return Way(
        python(
            *("-m", "granian", "--interface", interface, "--host", "127.0.0.1", "--port", "{port}"),
            *("--workers", str(WORKERS), "--respawn-failed-workers", "--respawn-interval", "0.3"),
            *("--no-ws", f"{interface}_app:application"),
        ),
        recycles=False,
    )


def processes(method: str, max_requests: int = MAX_REQUESTS) -> Way:
    return Way(python("-m", "multiprocessing_server", method, "{port}", str(WORKERS), str(max_requests)))


def celery() -> Way:
    return Way(
        python(
            *("-m", "celery", "--app", "celery_app", "worker", "--pool", "prefork", "--concurrency", str(WORKERS)),
            *("--max-tasks-per-child", str(MAX_REQUESTS), "--loglevel", "warning"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        ),
        CeleryService,
    )


# Workers of gevent look once a second at how many requests they have answered, so theirs are fewer.
WAYS = {
    "gunicorn-sync": gunicorn(),
    "gunicorn-sync-preload": gunicorn("--preload"),
    "gunicorn-gthread": gunicorn("--worker-class", "gthread", "--threads", "4"),
    "gunicorn-gthread-preload": gunicorn("--worker-class", "gthread", "--threads", "4", "--preload"),
    "gunicorn-gevent": gunicorn("--worker-class", "gevent", max_requests=5),
    "gunicorn-gevent-preload": gunicorn("--worker-class", "gevent", "--preload", max_requests=5),
    "uvicorn": uvicorn(),
    "granian-wsgi": granian("wsgi"),
    "multiprocessing-fork": processes("fork"),
    "multiprocessing-spawn": processes("spawn", SLOW_MAX_REQUESTS),
    "multiprocessing-forkserver": processes("forkserver"),
    "celery": celery(),
}


@pytest.mark.parametrize("name", WAYS)
def test_sums_are_exact(name: str, tmp_path: Path) -> None:
    """What every worker says is exactly what was counted, by living, killed and recycled workers.

    Kills happen while no request waits for its answer, so that nothing is half counted; the next requests are sent at
    once. Workers are recycled whenever it is their turn. A request whose connection a server drops on that occasion
    is sent again: the journal, which the application writes beside counting, says what was counted. The worker killed
    is the one that is there for the longest time, as granian ends where one dies soon after its start.
    """
    way = WAYS[name]
    known: list[int] = []
    killed: set[int] = set()
    with way.service(tmp_path, way.command) as service:
        run = Run(service)
        for _ in range(ROUNDS):
            run.load()
            living = run.check()
            known += [worker for worker in living if worker not in known]
            if len(killed) < KILLS:
                killed.add(service.kill(sorted(living, key=known.index), run.next_number()))
        if not way.recycles:
            os.kill(service.child.process.pid, signal.SIGHUP)
        run.load_until_recycled()
        living = run.check()
        assert len(killed) == KILLS
        assert not killed & living, "a killed worker answers"

        names = sorted(path.name for path in service.metrics.iterdir())
        gauges = [name for name in names if name.startswith("gauge_")]
        assert len(gauges) <= MAX_GAUGE_FILES, names
        assert len(names) - len(gauges) <= MAX_OTHER_FILES, names


class Run:
    """Requests to a service, and what they have to come to."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.used = 0
        self.answered: set[int] = set()

    def next_number(self) -> int:
        self.used += 1
        return self.used

    def load(self) -> None:
        """Sends some requests and waits for their answers."""
        numbers = [self.next_number() for _ in range(REQUESTS_PER_ROUND)]
        self.service.ask([f"/work?number={number}" for number in numbers])
        self.answered.update(numbers)

    def workers(self) -> set[int]:
        """Returns the process ids of all workers that counted something until now."""
        return {worker for _, worker in self.service.noted()}

    def load_until_recycled(self) -> None:
        """Sends requests until as many workers were recycled as there are, besides those that were killed."""
        deadline = time.monotonic() + 30
        while len(self.workers()) < WORKERS + KILLS + WORKERS:
            assert time.monotonic() < deadline, f"workers are not recycled\n{self.service.child.tail()}"
            self.load()

    def check(self) -> set[int]:
        """Scrapes every worker, and compares all that they say with the journal; returns the workers."""
        answers = self.service.scrape_workers(WORKERS)
        noted = [number for number, _ in self.service.noted()]
        assert self.answered <= set(noted), "an answered request is not in the journal"
        shared = {worker: counted(text) for worker, text in answers.items()}
        for found in shared.values():
            values = {key: value for key, value in found.items() if not key[0].endswith("_created")}
            assert values == expected(noted)
        assert all(found == shared[min(shared)] for found in shared.values()), "workers say different things"
        return set(answers)


def counted(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Returns the samples of the application, with created times; `process_*` and the like are of one worker."""
    return {key: value for key, value in samples(text).items() if key[0].startswith("app_")}


def expected(numbers: list[int]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Returns the samples that counting these requests gives."""
    units = [number % 7 for number in numbers]
    routes = Counter("odd" if number % 2 else "even" for number in numbers)
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
