"""A real Prometheus scrapes a Rust service of several processes, whose workers are killed and restarted."""

from __future__ import annotations

import http.client
import os
import random
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from children import Child
from support.forkmeter import Exporter, command
from support.processes import kill
from support.prometheus import Prometheus
from support.skipping import skip

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = 4
ROUNDS = 6
REQUESTS_PER_ROUND = 300


class Service:
    """`examples/axum_prefork`: each worker answers `/metrics` with what all of them counted."""

    def __init__(self, folder: Path, *options: str) -> None:
        """Starts the service.

        Args:
            folder: for its metrics and its log.
            options: further arguments.
        """
        program = Path(command()).with_name("axum_prefork")
        if not program.exists():
            skip("the example axum_prefork was not built")
        self.metrics = folder / "metrics"
        self.metrics.mkdir()
        self.child = Child(
            "axum_prefork",
            [str(program), "--listen", "127.0.0.1:0", "--workers", str(WORKERS), *options],
            folder / "service.log",
            environment={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(self.metrics)},
        )
        try:
            self.port = self._find_port()
            self.child.wait_ready(self.port, None)
        except BaseException:
            self.child.stop()
            raise

    def _find_port(self) -> int:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            self.child.check()
            found = re.search(r"http://127\.0\.0\.1:(\d+)/ ", self.child.log.read_text(encoding="utf-8"))
            if found:
                return int(found[1])
            time.sleep(0.02)
        raise AssertionError(f"the service does not say where it listens\n{self.child.tail()}")

    def ask(self) -> int:
        """Sends one request and returns the process id of the worker that answered."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            response = connection.getresponse()
            assert response.status == 200
            return int(response.read().split()[-1])
        finally:
            connection.close()


@pytest.fixture(params=["fork", "spawn"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    """The service with forked workers, and with spawned ones."""
    running = Service(tmp_path, *(["--spawn"] if request.param == "spawn" else []))
    yield running
    running.child.stop()


@pytest.mark.timeout(300)
def test_every_worker_shows_exactly_what_was_answered(service: Service, tmp_path: Path) -> None:
    """The service's own `/metrics`, whichever worker answers, and the exporter beside it give the exact sum.

    As in the test of the Python service, workers are killed while no answer is awaited, and the next requests are
    sent while they are missing. Each worker has a listening socket of its own here, to which the kernel hands
    connections for as long as it is open, so the next request waits until the kill has closed it.
    """
    chance = random.Random(4)
    (tmp_path / "prometheus").mkdir()
    killed: set[int] = set()
    answered = 0
    with (
        Exporter(service.metrics, log=tmp_path / "log") as exporter,
        Prometheus(tmp_path / "prometheus", service=service.port, exporter=exporter.port) as prometheus,
    ):
        prometheus.wait_scrape_after(0)
        for number in range(ROUNDS):
            pids = [service.ask() for _ in range(REQUESTS_PER_ROUND)]
            answered += len(pids)
            assert not killed & set(pids)
            prometheus.wait_scrape_after(time.time())
            assert prometheus.query('sum by (job) (http_requests_total{route="/"})') == [answered, answered]
            if number < ROUNDS - 1:
                victim = chance.choice(sorted(set(pids)))
                kill(victim)
                killed.add(victim)
        assert len(killed) == ROUNDS - 1
        observed = 'sum by (job) (http_request_duration_seconds_count{route="/"})'
        assert prometheus.query(observed) == [answered, answered]
        assert prometheus.query('workers_started_total{job="exporter"}') == [WORKERS + len(killed)]
        assert prometheus.one('min_over_time(up{job="exporter"}[1h])') == 1, "a scrape failed"
        assert max(prometheus.query('resets(http_requests_total{job="exporter"}[1h])')) == 0, "a counter went back"
    # However many workers there were.
    assert [path.name for path in sorted(service.metrics.glob("counter_*"))] == ["counter_shared.db"]
    assert [path.name for path in sorted(service.metrics.glob("histogram_*"))] == ["histogram_shared.db"]
