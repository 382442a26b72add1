"""The folder is removed after every test, and nobody makes it again."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ["PROMETHEUS_MULTIPROC_DIR"] = os.path.join(tempfile.mkdtemp(), "metrics")
os.mkdir(os.environ["PROMETHEUS_MULTIPROC_DIR"])


@pytest.fixture(autouse=True)
def no_folder() -> Iterator[None]:
    yield
    shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"])
