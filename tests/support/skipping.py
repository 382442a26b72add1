"""Skipping out loud: what is missing is listed at the end, and fails where `CI=true`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def in_ci() -> bool:
    """Tells whether this is the continuous integration job, in which nothing may be skipped."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


def skip(reason: str) -> NoReturn:
    """Skips the test that runs, or fails it in CI.

    Args:
        reason: what is missing, in words for the list at the end.
    """
    if in_ci():
        pytest.fail(f"skipped in CI: {reason}", pytrace=False)
    pytest.skip(reason)


def tool(name: str) -> str:
    """Returns the path of a program on PATH; skips the test where it is not there.

    Args:
        name: the program's name, such as `promtool`.
    """
    path = shutil.which(name)
    if path is None:
        skip(f"{name} is not on PATH")
    return path


NOTED: dict[str, int] = {}


def note_skip(reason: str) -> None:
    """Notes that a check was left out although its test goes on; in CI that fails the test.

    Args:
        reason: what is missing, in words for the list at the end.
    """
    if in_ci():
        pytest.fail(f"skipped in CI: {reason}", pytrace=False)
    NOTED[reason] = NOTED.get(reason, 0) + 1


def skipped_before() -> list[str]:
    """Returns what earlier steps of `make test` skipped, one reason each."""
    path = os.environ.get("FORKMETER_SKIPPED")
    if not path or not Path(path).exists():
        return []
    return Path(path).read_text(encoding="utf-8").splitlines()
