from __future__ import annotations

import pytest
from checks import check, count_and_check, request
from conftest import delete
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


@pytest.mark.parametrize("how", ["rm", "fork"])
def test_deleted_in_the_middle(how: str) -> None:
    count_and_check(client, items=2)
    delete(how)
    request(client, users=1)
    check(client, users=1)
