from __future__ import annotations

from checks import count_and_check
from conftest import delete
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from service import Metrics, make_app

metrics = Metrics()
client = TestClient(make_app(metrics))
registry = CollectorRegistry()
MultiProcessCollector(registry)


def test_one_request() -> None:
    count_and_check(client, items=1)


def test_many_requests() -> None:
    count_and_check(client, items=3, users=2)


def test_other_requests() -> None:
    count_and_check(client, users=1)


def test_no_request() -> None:
    count_and_check(client)


def test_a_tight_loop() -> None:
    labels = {"method": "GET", "endpoint": "/items"}
    for count in range(1, 51):
        delete("path")
        metrics.requests.labels(**labels).inc(count)
        assert registry.get_sample_value("http_requests_total", labels) == count
        delete("path")
        assert registry.get_sample_value("http_requests_total", labels) is None
