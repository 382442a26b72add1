from __future__ import annotations

import os
import shutil

from checks import count_and_check
from fastapi.testclient import TestClient
from service import Metrics, make_app

metrics = Metrics()
client = TestClient(make_app(metrics))


def test_one_request() -> None:
    count_and_check(client, items=1)


def test_many_requests() -> None:
    count_and_check(client, items=3, users=2)


def test_other_requests() -> None:
    count_and_check(client, users=1)


def test_no_request() -> None:
    count_and_check(client)


def test_removed_in_the_middle() -> None:
    count_and_check(client, items=2)
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    count_and_check(client, items=1, users=1)


def test_an_application_made_without_the_folder() -> None:
    count_and_check(client, items=1)
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    count_and_check(TestClient(make_app(metrics)), users=1)
