"""Repeats every test of a project: all of them once, all of them again, and so on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives every test a number that it does not look at."""
    metafunc.fixturenames.append("repetition")
    metafunc.parametrize("repetition", range(int(os.environ["TRAPS_REPETITIONS"])))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets other tests run between two repetitions of one."""
    items.sort(key=lambda item: item.callspec.params["repetition"])  # type: ignore[attr-defined]
