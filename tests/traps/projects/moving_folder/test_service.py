from __future__ import annotations

from checks import count_and_check
from fastapi.testclient import TestClient
from service import Metrics, make_app

client = TestClient(make_app(Metrics()))


def test_one_request() -> None:
    count_and_check(client, items=1)


def test_many_requests() -> None:
    count_and_check(client, items=3, users=2)


def test_other_requests() -> None:
    count_and_check(client, users=1)


def test_no_request() -> None:
    count_and_check(client)
