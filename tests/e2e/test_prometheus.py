"""A real Prometheus scrapes the exporter beside a real service whose workers are killed and restarted."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from demo import Demo
from load import send
from support.exposition import promtool_check
from support.forkmeter import command
from support.processes import is_running
from support.prometheus import Prometheus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKERS = 4
ROUNDS = 8
REQUESTS_PER_ROUND = 150


class Fleet:
    """A FastAPI service under uvicorn, which restarts workers that die; the exporter; and Prometheus."""

    def __init__(self, folder: Path) -> None:
        """Starts all of it."""
        self.demo = Demo(folder, command(), WORKERS)
        try:
            self.service_port, self.metrics = self.demo.start_service("service", on_forkmeter=False)
            self.exporter_port = self.demo.start_exporter(self.metrics)
            (folder / "prometheus").mkdir()
            self.prometheus = Prometheus(folder / "prometheus", exporter=self.exporter_port)
            # It finds its target only seconds after its start.
            self.prometheus.wait_scrape_after(0)
        except BaseException:
            self.demo.stop()
            raise

    def workers(self) -> list[int]:
        """Returns the process ids of the workers that live and have imported the service."""
        tags = [path.stem.rsplit("_", 1)[1] for path in self.metrics.glob("gauge_livesum_*.db")]
        return [int(tag) for tag in tags if is_running(int(tag))]

    def wait_workers(self, count: int) -> list[int]:
        """Waits until `count` workers live, and returns them."""
        deadline = time.monotonic() + 60
        while len(workers := self.workers()) < count:
            assert time.monotonic() < deadline, f"only {workers} live\n{self.demo.children[0].tail()}"
            time.sleep(0.05)
        return workers

    def stop(self) -> None:
        """Stops all of it."""
        self.prometheus.child.stop()
        self.demo.stop()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Runs a fleet for one test."""
    running = Fleet(tmp_path)
    yield running
    running.stop()


@pytest.mark.timeout(300)
def test_sum_is_exactly_what_was_answered(fleet: Fleet) -> None:
    """The sum of the counter equals the requests that were answered, while workers are killed and restarted.

    The service counts before the answer leaves, so what was answered was counted. A worker that is killed between
    counting and answering would leave a request that is counted but unanswered, and no client could tell. So each
    kill happens at a moment at which the client waits for no answer; the next requests are sent at once, while the
    worker is missing and then restarts. Every request then is answered, and the sum has to be exact. How kills in the
    middle of requests may differ is the next test's.
    """
    prometheus = fleet.prometheus
    chance = random.Random(2)
    killed = set()
    answered = 0
    for number in range(ROUNDS):
        outcome = send(fleet.service_port, REQUESTS_PER_ROUND, seed=number * 100)
        assert outcome.failures == []
        answered += sum(outcome.answered.values())
        prometheus.wait_scrape_after(time.time())
        assert prometheus.one("sum(http_requests_total)") == answered
        if number < ROUNDS - 1:
            victim = chance.choice(fleet.wait_workers(2))
            os.kill(victim, signal.SIGKILL)
            killed.add(victim)
    assert answered == ROUNDS * REQUESTS_PER_ROUND
    assert not killed & set(fleet.wait_workers(WORKERS)), "a killed worker lives"
    assert len(killed) == ROUNDS - 1, "the killed workers were not replaced by new ones"

    assert prometheus.one("sum(http_request_duration_seconds_count)") == answered
    assert prometheus.one('sum(http_request_duration_seconds_bucket{le="+Inf"})') == answered
    assert prometheus.one("http_requests_in_progress") == 0
    assert prometheus.query("http_requests_total") != [answered], "all requests fell on one series"
    assert prometheus.one("min_over_time(up[1h])") == 1, "a scrape failed"
    assert prometheus.one("count_over_time(up[1h])") >= ROUNDS
    assert max(prometheus.query("resets(http_requests_total[1h])")) == 0, "a counter went back"
    assert prometheus.one('sum(forkmeter_files{state!="ok"})') == 0


@pytest.mark.timeout(300)
def test_kills_in_the_middle_of_requests(fleet: Fleet) -> None:
    """Whenever workers are killed, all that was answered is counted, and nothing is counted twice.

    A request whose worker dies before the answer may be counted or not; every other one is counted once.
    """
    stop = threading.Event()
    killed: list[int] = []

    def kill_now_and_then() -> None:
        chance = random.Random(3)
        while not stop.wait(chance.uniform(0.1, 0.4)):
            workers = fleet.workers()
            if len(workers) > 1:
                killed.append(chance.choice(workers))
                os.kill(killed[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        outcome = send(fleet.service_port, 2500, seed=20_000)
    finally:
        stop.set()
        killer.join()
    answered = sum(outcome.answered.values())
    assert killed
    assert answered + len(outcome.failures) == 2500
    fleet.wait_workers(1)

    prometheus = fleet.prometheus
    prometheus.wait_scrape_after(time.time())
    counted = prometheus.one("sum(http_requests_total)")
    assert answered <= counted <= answered + len(outcome.failures)
    assert prometheus.one("min_over_time(up[1h])") == 1, "a scrape failed"
    assert max(prometheus.query("resets(http_requests_total[1h])")) == 0, "a counter went back"


def test_prometheus_and_promtool_accept_what_it_says_of_itself(fleet: Fleet) -> None:
    """Prometheus stores the exporter's own metrics, promtool has no complaint, and nothing is out of place."""
    assert send(fleet.service_port, 50).failures == []
    prometheus = fleet.prometheus
    prometheus.wait_scrape_after(time.time())
    assert prometheus.one('sum(forkmeter_files{state="ok"})') == 3 * WORKERS
    assert prometheus.one("forkmeter_series") > 5
    assert prometheus.one("forkmeter_scrape_duration_seconds") > 0
    with_names = prometheus.query('count by (__name__) ({__name__=~"forkmeter_.+"})')
    assert len(with_names) >= 6
    promtool_check(fleet_text(fleet))


def fleet_text(fleet: Fleet) -> str:
    """Returns what the exporter answers now."""
    with urllib.request.urlopen(f"http://127.0.0.1:{fleet.exporter_port}/metrics", timeout=20) as response:
        return str(response.read(), "utf-8")
