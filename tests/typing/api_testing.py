"""Uses the public names for tests of programs that count; see `api.py`."""

from __future__ import annotations

import forkmeter.pytest_plugin
import forkmeter.testing

from contextlib import AbstractContextManager
from typing import Optional

from forkmeter import REGISTRY
from forkmeter.core import Sample
from forkmeter.testing import Change, Delta, Metrics, isolate
from typing_extensions import assert_type


def reading(metrics: Metrics) -> None:
    assert_type(metrics.directory, Optional[str])
    assert_type(metrics.of(REGISTRY), Metrics)
    assert_type(metrics.value("jobs_total", {"a.b": 1}, queue="mail"), Optional[float])
    assert_type(metrics.samples("jobs"), list[Sample])
    assert_type(metrics.text(), str)
    assert_type(metrics.assert_sample("jobs_total", 1, {"a.b": 1}, queue="mail"), None)
    assert_type(metrics.assert_exposition("jobs_total 1"), None)


async def waiting(metrics: Metrics) -> None:
    assert_type(metrics.eventually(lambda: metrics.value("jobs_total") == 1, timeout_seconds=1), bool)
    assert_type(await metrics.eventually_async(lambda: metrics.samples("jobs")), list[Sample])


def watching() -> None:
    assert_type(Metrics(REGISTRY), forkmeter.testing.Metrics)
    with isolate(multiprocess=True) as metrics, metrics.delta() as delta:
        assert_type(metrics, Metrics)
        assert_type(delta, Delta)
    assert_type(delta.value("jobs_total", {"a.b": 1}, queue="mail"), float)
    assert_type(delta.sum("jobs_total"), float)
    for change in delta.changes:
        assert_type(change, Change)
        assert_type((change.name, change.labels), tuple[str, dict[str, str]])
        assert_type((change.before, change.after), tuple[Optional[float], Optional[float]])
        assert_type(change.amount, float)
    isolated: AbstractContextManager[Metrics] = forkmeter.testing.isolate()
    assert isolated


def same_names_for_pytest() -> None:
    assert_type(forkmeter.pytest_plugin.Change("a", {}, None, 1.0), forkmeter.testing.Change)
    assert_type(forkmeter.pytest_plugin.Delta(), forkmeter.testing.Delta)
    assert_type(forkmeter.pytest_plugin.Metrics(), forkmeter.testing.Metrics)
    with forkmeter.pytest_plugin.isolate() as metrics:
        assert_type(metrics, Metrics)
