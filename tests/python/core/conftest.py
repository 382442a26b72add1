"""Fixtures of the tests of metrics, registries and modes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import forkmeter
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMEOUT_SECONDS = 90


@pytest.fixture
def registry() -> forkmeter.CollectorRegistry:
    """A registry of the test's own."""
    return forkmeter.CollectorRegistry()


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory in which values are shared during the test."""
    directory = tmp_path / "metrics"
    forkmeter.configure(directory)
    yield directory
    forkmeter.configure(None)


@pytest.fixture
def run_python() -> Callable[..., str]:
    """Runs a program in an interpreter of its own and returns what it prints; a failure shows both outputs."""

    def run(program: str, **variables: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.lower().startswith("prometheus")}
        environment["PYTHONPATH"] = str(Path(forkmeter.__file__).parents[1])
        completed = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        assert completed.returncode == 0, completed.stdout + completed.stderr
        return completed.stdout

    return run
