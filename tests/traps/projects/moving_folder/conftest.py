"""Every test has a fresh folder, which is removed after it; the application is made at import."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = tempfile.mkdtemp()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", path)
    yield
    shutil.rmtree(path)
