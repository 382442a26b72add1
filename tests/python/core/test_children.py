"""Children: objects that stand for series while somebody needs them, and what programs do with `_metrics`."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any
from unittest import mock

import forkmeter
import pytest
from forkmeter import Counter, Gauge, Histogram, Info, generate_latest, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# More than stay alive of so many series without somebody who holds them.
SERIES = 20_000
KEPT = 1_500


@pytest.fixture(params=["one process", "several"], autouse=True)
def _shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Runs a test in a lone process, and in one that shares its values."""
    # Metrics of other tests would move into the directory with those of their names, until they are collected.
    gc.collect()
    if request.param == "several":
        forkmeter.configure(tmp_path / "metrics")
    yield
    forkmeter.configure(None)
    gc.collect()


def children_of(metric: Any) -> list[Any]:
    """Returns the objects that stand for series of a metric now."""
    kind = type(metric)
    found: list[Any] = gc.get_objects()
    return [one for one in found if type(one) is kind and one._origin and one._origin[0] is metric]


def make_many(metric: Counter) -> None:
    """Makes more series than objects stay for."""
    for number in range(SERIES):
        metric.labels("other", str(number)).inc()


def test_objects_go_and_values_stay() -> None:
    counter = Counter("c", "C.", ["a", "b"], registry=None)
    make_many(counter)
    assert len(counter._metrics) == SERIES
    assert len(children_of(counter)) < KEPT
    (family,) = counter.collect()
    totals = [sample.value for sample in family.samples if sample.name == "c_total"]
    assert totals == [1.0] * SERIES
    counter.labels("other", "0").inc(2)
    assert counter.labels("other", "0")._value.get() == 3


def test_what_somebody_holds_is_the_same_object() -> None:
    counter = Counter("c", "C.", ["a", "b"], registry=None)
    held = counter.labels("held", "x")
    held_by_value = counter.labels("value", "x")._value
    held_by_method: Any = counter.labels("method", "x").inc
    made_by_name = counter.labels(b="x", a="name")
    make_many(counter)
    assert counter.labels("held", "x") is held
    assert counter.labels(a="held", b="x") is held
    assert counter.labels("method", "x") is held_by_method.__self__
    assert counter.labels("name", "x") is made_by_name
    held_by_value.inc(5)
    held_by_method(7)
    held.inc(9)
    values = [counter.labels(name, "x")._value.get() for name in ("value", "method", "held")]
    assert values == [5, 7, 9]


def test_what_somebody_refers_to_weakly_or_gave_attributes_stays() -> None:
    counter = Counter("c", "C.", ["a", "b"], registry=None)
    weak = weakref.ref(counter.labels("weak", "x"))
    counter.labels("attribute", "x").note = "mine"  # type: ignore[attr-defined]
    vars(counter.labels("asked for", "x"))["note"] = "mine"
    emptied = counter.labels("emptied", "x")
    emptied.note = "mine"  # type: ignore[attr-defined]
    del emptied.note  # type: ignore[attr-defined]
    del emptied
    make_many(counter)
    assert weak() is not None
    assert counter.labels("attribute", "x").note == "mine"  # type: ignore[attr-defined]
    assert counter.labels("asked for", "x").note == "mine"  # type: ignore[attr-defined]
    assert ("emptied", "x") not in {child._labelvalues for child in children_of(counter)}


def test_children_of_a_class_of_somebodys_own_stay() -> None:
    class Slotted(Counter):
        __slots__ = ("seen",)
        seen: int

    counter = Slotted("c", "C.", ["a", "b"], registry=None)
    counter.labels("slot", "x").seen = 3
    make_many(counter)
    assert counter.labels("slot", "x").seen == 3


def test_exemplars_and_created_times_stay() -> None:
    counter = Counter("c", "C.", ["a", "b"], registry=None)
    with mock.patch.object(time, "time", return_value=1000.5):
        counter.labels("exemplar", "x").inc(2, {"trace": "abc"})
    assert counter.labels("exemplar", "x")._created == 1000.5
    make_many(counter)
    exemplar = counter.labels("exemplar", "x")._value.get_exemplar()
    assert exemplar is not None
    assert exemplar.labels == {"trace": "abc"}
    assert counter.labels("exemplar", "x")._created == 1000.5


def test_a_frozen_clock_is_honoured_by_native_children() -> None:
    counter = Counter("c", "C.", ["a"], registry=None)
    counter.labels("first")
    with mock.patch.object(time, "time", return_value=2000.25):
        assert counter.labels("second")._created == 2000.25


@pytest.mark.parametrize("seconds", [-3600.0, 2000.25])
def test_a_frozen_clock_does_not_reach_the_directory(seconds: float, tmp_path: Path) -> None:
    # There a time below zero would mark series as removed, and other workers have the real one.
    forkmeter.configure(tmp_path / "metrics")
    counter = Counter("frozen", "F.", ["a"])
    try:
        begin = time.time()
        with mock.patch.object(time, "time", return_value=seconds):
            for number in range(100):
                counter.labels(str(number))
        (family,) = [family for family in forkmeter.REGISTRY.collect() if family.name == "frozen"]
        created = [sample.value for sample in family.samples if sample.name == "frozen_created"]
        assert len(created) == len([sample for sample in family.samples if sample.name == "frozen_total"]) == 100
        assert min(created) >= begin - 1
    finally:
        forkmeter.REGISTRY.unregister(counter)


def test_a_patched_class_is_honoured_by_later_children() -> None:
    counter = Counter("c", "C.", ["a"], registry=None)
    counter.labels("first")
    counter.labels("second")
    with mock.patch.object(Counter, "_new_child", side_effect=lambda *values: values):
        assert counter.labels("third") == ("third",)  # type: ignore[comparison-overlap]
        assert counter.labels("first") is not None
    assert counter.labels("third")._value.get() == 0


def test_another_value_class_is_honoured_by_later_children() -> None:
    counter = Counter("c", "C.", ["a"], registry=None)
    counter.labels("native").inc()
    before = values.ValueClass
    values.ValueClass = values.MutexValue
    try:
        child = counter.labels("foreign")
        child.inc(2)
    finally:
        values.ValueClass = before
    assert isinstance(child._value, values.MutexValue)
    assert counter.labels("foreign") is child
    (family,) = counter.collect()
    totals = {sample.labels["a"]: sample.value for sample in family.samples if sample.name == "c_total"}
    assert totals == {"native": 1, "foreign": 2}


def test_metrics_is_what_a_dict_would_be() -> None:
    gauge = Gauge("g", "G.", ["a"], registry=None)
    for name in ("x", "y", "z"):
        gauge.labels(name).set(1)
    children = gauge._metrics
    assert list(children) == [("x",), ("y",), ("z",)]
    assert ("x",) in children
    assert ("w",) not in children
    assert "x" not in children
    assert (1,) not in children
    assert children[("x",)] is gauge.labels("x")
    assert children.pop(("y",)) is not None
    assert children.pop(("y",), None) is None
    with pytest.raises(KeyError):
        children.pop(("y",))
    with pytest.raises(KeyError):
        del children[("y",)]
    assert repr(children) == repr({key: gauge.labels(*key) for key in (("x",), ("z",))})
    stand_in = object()
    children[("z",)] = stand_in
    assert gauge.labels("z") is stand_in
    assert children == {("x",): gauge.labels("x"), ("z",): stand_in}
    children.clear()
    assert len(gauge._metrics) == 0
    with pytest.raises(AttributeError):
        _ = gauge.labels("x")._metrics


def test_a_child_that_was_put_back_counts_for_others() -> None:
    gauge = Gauge("g", "G.", ["a"], registry=None)
    kept = gauge.labels("x")
    kept.set(1)
    gauge._metrics.clear()
    gauge._metrics[("x",)] = kept
    kept.set(2)
    assert gauge.labels("x") is kept
    (family,) = gauge.collect()
    assert [sample.value for sample in family.samples] == [2]


def test_metrics_of_one_name_have_children_of_their_own() -> None:
    one = Counter("c", "C.", ["a"], registry=None)
    one.labels("x").inc()
    one.labels("y").inc()
    other = Counter("c", "C.", ["a"], registry=None)
    other.labels("y").inc()
    other.labels("z").inc()
    one.labels("new").inc()
    assert list(one._metrics) == [("x",), ("y",), ("new",)]
    # In a directory these are in the order in which the first of both made them.
    assert sorted(other._metrics) == [("y",), ("z",)]
    assert ("x",) not in other._metrics
    (family,) = other.collect()
    assert sorted(sample.labels["a"] for sample in family.samples if sample.name == "c_total") == ["y", "z"]
    other.clear()
    assert not other._metrics
    assert ("x",) in one._metrics
    del one, other
    gc.collect()
    # As one that is registered anew has, in the place of another that nobody has any more.
    assert not Counter("c", "C.", ["a"], registry=None)._metrics


def test_a_child_that_was_forgotten_is_not_listed() -> None:
    counter = Counter("c", "C.", ["a"], registry=None)
    for name in "xyz":
        counter.labels(name).inc()
    del counter._metrics[("y",)]
    assert list(counter._metrics) == [("x",), ("z",)]
    assert ("y",) not in counter._metrics
    with pytest.raises(KeyError):
        del counter._metrics[("y",)]
    counter.labels("y").inc()
    assert sorted(counter._metrics) == [("x",), ("y",), ("z",)]
    counter.remove("x")
    assert sorted(counter._metrics) == [("y",), ("z",)]


def test_text_that_is_no_plain_string_finds_the_same_child() -> None:
    class Text(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            return False

    counter = Counter("c", "C.", ["a"], registry=None)
    child = counter.labels("1")
    assert counter.labels(1) is child
    assert counter.labels(Text("1")) is child
    assert counter.labels("\N{SNOWMAN}") is counter.labels("\N{SNOWMAN}"[:])
    with pytest.raises(UnicodeEncodeError):
        counter.labels("\udc80")


def test_threads_that_make_the_same_series_count_in_one() -> None:
    histogram = Histogram("h", "H.", ["a"], registry=None)
    start = threading.Barrier(4)

    def count() -> None:
        start.wait()
        for number in range(2000):
            histogram.labels(str(number)).observe(1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(histogram._metrics) == 2000
    (family,) = histogram.collect()
    counts = {sample.value for sample in family.samples if sample.name == "h_count"}
    assert counts == {4}


def test_a_removed_series_starts_anew_and_its_number_is_given_again() -> None:
    counter = Counter("c", "C.", ["a"], registry=None)
    for round_ in range(300):
        held = counter.labels("held")
        counter.labels("gone").inc(5)
        counter.remove("gone")
        counter.remove("held")
        held.inc()
        assert counter.labels(f"new {round_}")._value.get() == 0
        counter.remove(f"new {round_}")
        assert counter.labels("held")._value.get() == 0
        assert counter.labels("held") is not held


def test_a_series_counts_in_one_place_when_the_directory_goes() -> None:
    counter = Counter("c", "C.", ["a", "b"], registry=None)
    held = counter.labels("held", "x")
    for child in (held, counter.labels("other", "x")):
        child.inc(2)
    make_many(counter)
    forkmeter.configure(None)
    held.inc()
    counter.labels("other", "x").inc()
    make_many(counter)
    totals = [counter.labels(name, "x")._value.get() for name in ("held", "other")]
    assert totals[0] == totals[1]
    (family,) = counter.collect()
    labels = [{"a": name, "b": "x"} for name in ("held", "other")]
    assert [sample.value for sample in family.samples if sample.labels in labels and sample.name == "c_total"] == totals


def test_infos_keep_their_facts() -> None:
    info = Info("i", "I.", ["a"], registry=None)
    for number in range(SERIES // 4):
        info.labels(str(number)).info({"version": str(number)})
    assert len(info._metrics) == SERIES // 4
    (family,) = info.collect()
    assert [sample.labels["version"] for sample in family.samples] == [str(n) for n in range(SERIES // 4)]


def test_a_collected_cycle_of_metric_and_children_goes() -> None:
    counter = Counter("c", "C.", ["a"], registry=None)
    counter.labels("x").inc()
    weak = weakref.ref(counter)
    del counter
    gc.collect()
    assert weak() is None


def test_text_of_many_series_changes_with_them() -> None:
    own = forkmeter.CollectorRegistry()
    gauge = Gauge("g", "G.", ["a"], registry=own)
    for number in range(50):
        gauge.labels(str(number)).set(number)
    first = generate_latest(own).decode()
    gauge.remove("7")
    gauge.labels("8").set(-1)
    gauge.labels("new").set(3)
    expected = [line for line in first.splitlines() if 'a="7"' not in line]
    expected = [line.replace("8.0", "-1.0") if 'a="8"' in line else line for line in expected]
    assert generate_latest(own).decode().splitlines() == [*expected, 'g{a="new"} 3.0']
