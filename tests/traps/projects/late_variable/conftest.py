"""The variable is set once the client is imported: before the first metric, or after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client  # noqa: F401 -- before the variable is set
import pytest
from fastapi.testclient import TestClient
from service import Metrics, make_app

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["before_the_metric", "before_its_first_use"])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TestClient:
    if request.param == "before_its_first_use":
        metrics = Metrics()
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    else:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
        metrics = Metrics()
    return TestClient(make_app(metrics))
