"""Gives a test values, and a directory, of its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _forkmeter
from ..metrics import Info
from ..metrics._base import MetricWrapperBase
from ..registry import _registries

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class _Values(NamedTuple):
    """The values of one series, and when it was made."""

    series: Any
    values: list[float]
    created_seconds: float


def _all_series() -> Iterator[Any]:
    """Yields all series of registered metrics that have native values."""
    seen = set()
    for registry in _registries.items():
        for collector in list(registry._collector_to_names):
            if not isinstance(collector, MetricWrapperBase) or isinstance(collector, Info) or id(collector) in seen:
                continue
            seen.add(id(collector))
            series: list[Any] = list(collector._metrics.values()) if collector._is_parent() else [collector]
            yield from (one for one in series if one._is_native)


def _save_and_zero() -> list[_Values]:
    saved = []
    for series in _all_series():
        saved.append(_Values(series, list(series._native_values()), series._native_created))
        _zero(series)
    return saved


def _zero(series: Any) -> None:
    series._native_reset(series._native_created)


def _restore(saved: list[_Values]) -> None:
    for series in _all_series():
        _zero(series)
    for series, values, created_seconds in saved:
        series._native_created = created_seconds
        for index, value in enumerate(values):
            series._native_value(index).set(value)


@contextmanager
def isolated_memory() -> Iterator[None]:
    """Sets the values of this lone process to zero, and back afterwards."""
    saved = _save_and_zero()
    pid = os.getpid()
    try:
        yield
    finally:
        # A test may have left the process in a directory; those values are not in memory.
        if os.getpid() == pid and _forkmeter.directory() is None:
            _restore(saved)


@contextmanager
def isolated_directory() -> Iterator[str]:
    """Shares values in a fresh directory, and where they were shared before afterwards."""
    named = _forkmeter.directory()
    explicit = named[0] if named is not None and named[1] == "configure()" else None
    variable = os.environ.get(_VARIABLE)
    pid = os.getpid()
    root = tempfile.mkdtemp(prefix="forkmeter-test-")
    if named is None:
        # The first directory is given what memory holds; the next one starts from zero.
        _forkmeter.set_directory(os.path.join(root, "before"))
        _forkmeter.refresh()
    path = os.path.join(root, "metrics")
    os.mkdir(path)
    # Where programs look that the test starts.
    os.environ[_VARIABLE] = path
    _forkmeter.set_directory(path)
    _forkmeter.refresh()
    try:
        yield path
    finally:
        # A forked child goes on counting where its parent looks.
        if os.getpid() == pid:
            if variable is None:
                os.environ.pop(_VARIABLE, None)
            else:
                os.environ[_VARIABLE] = variable
            _forkmeter.set_directory(explicit)
            _forkmeter.refresh()
            shutil.rmtree(root, ignore_errors=True)
