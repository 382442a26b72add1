"""Values and label sets can be read without underscores: one's own, and those of all workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import forkmeter
import pytest
from forkmeter import Counter, Enum, Gauge, Histogram, Info, Summary
from forkmeter.metrics._reading import HistogramValue, SummaryValue

INF = float("inf")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KINDS: list[tuple[Callable[..., Any], dict[str, Any], Callable[[Any], object], Any]] = [
    (Counter, {}, lambda metric: metric.inc(2), 2.0),
    (Gauge, {}, lambda metric: metric.set(3), 3.0),
    (Gauge, {"multiprocess_mode": "sum"}, lambda metric: metric.set(3), 3.0),
    (Summary, {}, lambda metric: metric.observe(4), SummaryValue(1, 4)),
    (Histogram, {"buckets": (1, 5)}, lambda metric: metric.observe(4), HistogramValue(1, 4, {1: 0, 5: 1, INF: 1})),
    (Info, {}, lambda metric: metric.info({"version": "1"}), {"version": "1"}),
    (Enum, {"states": ["red", "green"]}, lambda metric: metric.state("green"), "green"),
]
IDS = ["counter", "gauge", "gauge-sum", "summary", "histogram", "info", "enum"]


@pytest.fixture(params=["lone", "shared"], autouse=True)
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    if request.param == "shared":
        forkmeter.configure(tmp_path / "metrics")
    yield
    forkmeter.configure(None)


@pytest.mark.parametrize(("cls", "options", "use", "expected"), KINDS, ids=IDS)
def test_every_kind(
    cls: Callable[..., Any],
    options: dict[str, Any],
    use: Callable[[Any], object],
    expected: object,
    request: pytest.FixtureRequest,
) -> None:
    name = "read_" + "".join(filter(str.isalnum, request.node.callspec.id))
    plain = cls(name, "help", registry=None, **options)
    use(plain)
    assert plain.value() == expected
    assert plain.label_sets() == [{}]
    with pytest.raises(ValueError, match="label"):
        plain.value("a")

    labelled = cls(name + "_labelled", "help", ["one", "two"], registry=None, **options)
    assert (labelled.value("a", "b"), labelled.label_sets()) == (None, [])
    use(labelled.labels("a", "b"))
    assert labelled.value("a", "b") == labelled.value(two="b", one="a") == labelled.labels("a", "b").value() == expected
    assert labelled.value("a", "other") is None
    # Asking made none.
    assert labelled.label_sets() == [{"one": "a", "two": "b"}] == labelled.labels("a", "b").label_sets()
    for wrong in ((), ("a",), ("a", "b", "c")):
        with pytest.raises(ValueError, match="Incorrect label"):
            labelled.value(*wrong)
    with pytest.raises(ValueError, match="Incorrect label names"):
        labelled.value(one="a", three="b")


def test_what_other_workers_counted(request: pytest.FixtureRequest) -> None:
    is_shared = "shared" in request.node.callspec.id
    metrics = [
        cls(f"others_{number}", "help", ["l"], registry=None, **options)
        for number, (cls, options, _, _) in enumerate(KINDS)
    ]
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for metric, (_, _, use, _) in zip(metrics, KINDS):
                use(metric.labels("a"))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    for metric, (cls, options, _, expected) in zip(metrics, KINDS):
        # The other worker's gauge is its own.
        is_seen = is_shared and (cls is not Gauge or bool(options))
        assert metric.value("a") == (expected if is_seen else None), metric
        assert (metric.label_sets() == [{"l": "a"}]) == is_shared, metric


def test_a_function_and_another_value_class(monkeypatch: pytest.MonkeyPatch) -> None:
    gauge = Gauge("of_a_function", "help", registry=None)
    gauge.set_function(lambda: 7)
    assert gauge.value() == 7
    monkeypatch.setattr("forkmeter.values.ValueClass", forkmeter.values.MutexValue)
    counter = Counter("with_a_lock", "help", ["l"], registry=None)
    counter.labels("a").inc(2)
    assert (counter.value("a"), counter.value("b"), counter.label_sets()) == (2, None, [{"l": "a"}])
