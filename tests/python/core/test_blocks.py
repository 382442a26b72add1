"""The ends of `with` blocks have a native plain case: that case, and all that leaves it."""

from __future__ import annotations

import contextlib
import functools
import gc
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from forkmeter import Counter, Gauge, Histogram, Summary, context_managers
from forkmeter.context_managers import ExceptionCounter, InprogressTracker, Timer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Lets no metric of these tests move into a directory of others."""
    yield
    gc.collect()


def counter(kind: Any = Counter) -> Any:
    return kind("c", "C.", registry=None)


def histogram(kind: Any = Histogram) -> Any:
    return kind("h", "H.", buckets=(1, 2, 4), registry=None)


def gauge(kind: Any = Gauge) -> Any:
    return kind("g", "G.", registry=None)


def summary(kind: Any = Summary) -> Any:
    return kind("s", "S.", registry=None)


# How a metric is made, what its class is, a block with it, and the method that it calls.
KINDS = [
    (histogram, Histogram, lambda metric: metric.time(), "observe"),
    (summary, Summary, lambda metric: metric.time(), "observe"),
    (gauge, Gauge, lambda metric: metric.time(), "set"),
    (gauge, Gauge, lambda metric: metric.track_inprogress(), "inc"),
    (gauge, Gauge, lambda metric: metric.track_inprogress(), "dec"),
    (counter, Counter, lambda metric: metric.count_exceptions(), "inc"),
]
every_kind = pytest.mark.parametrize(("make", "kind", "block", "method"), KINDS)


def run(block: Callable[[Any], Any], metric: Any) -> None:
    """Runs a block that fails, so that all three context managers call something."""
    with contextlib.suppress(KeyError), block(metric):
        raise KeyError


@every_kind
def test_a_method_replaced_on_the_class_is_called(make: Any, kind: Any, block: Any, method: str) -> None:
    metric = make()
    for _ in range(3):
        run(block, metric)
        with mock.patch.object(kind, method) as replaced:
            run(block, metric)
            run(block, make())
        assert replaced.call_count == 2
    values = metric._native_values()
    run(block, metric)
    if method == "observe":
        assert metric._native_values() != values


@every_kind
@pytest.mark.parametrize("way", ["another dict", "attribute", "dict"])
def test_a_method_replaced_on_an_object_is_called(make: Any, kind: Any, block: Any, method: str, way: str) -> None:
    # A class of its own, since all objects of a class share the names of their attributes.
    make = functools.partial(make, type("Own", (kind,), {}))
    metric, other = make(), make()
    run(block, metric)
    replaced = mock.Mock()
    if way == "attribute":
        setattr(metric, method, replaced)
    elif way == "dict":
        vars(metric)[method] = replaced
    else:
        # The class does not get to know of a name in such a dict.
        metric.__dict__ = {**vars(metric), method: replaced}
    run(block, metric)
    run(block, other)
    assert replaced.call_count == 1
    delattr(metric, method)
    run(block, metric)
    assert replaced.call_count == 1


@every_kind
def test_what_a_subclass_overrides_is_called(make: Any, kind: Any, block: Any, method: str) -> None:
    calls = []

    def overriding(self: Any, *args: Any) -> None:
        calls.append(args)
        getattr(kind, method)(self, *args)

    class Plain(kind):  # type: ignore[misc]
        pass

    class Overriding(kind):  # type: ignore[misc]
        pass

    setattr(Overriding, method, overriding)
    plain, metric = make(Plain), make(Overriding)
    for _ in range(3):
        run(block, plain)
        run(block, metric)
    assert len(calls) == 3
    # A base that comes later is seen by its subclasses.
    Plain.__bases__ = (Overriding,)
    run(block, plain)
    assert len(calls) == 4


@every_kind
def test_a_class_that_looks_attributes_up_itself_is_asked(make: Any, kind: Any, block: Any, method: str) -> None:
    asked = []

    class Asking(kind):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> Any:
            asked.append(name)
            return super().__getattribute__(name)

    metric = make(Asking)
    for _ in range(2):
        run(block, metric)
    assert asked.count(method) >= 2


def test_more_classes_than_are_remembered_count_all_the_same() -> None:
    metrics = [histogram(type(f"Own{number}", (Histogram,), {})) for number in range(10)]
    for _ in range(3):
        for metric in metrics:
            with metric.time():
                pass
    assert [metric._native_values()[1] for metric in metrics] == [3] * 10


def test_a_method_of_another_name_is_called() -> None:
    seen: list[float] = []

    class Own:
        observe = seen.append
        note = staticmethod(seen.append)

    with Timer(Own(), "observe"), Timer(Own(), "note"):
        pass
    assert len(seen) == 2
    metric = gauge()
    with Timer(metric, "inc"):
        pass
    assert 0 < metric._value.get() < 1


def test_a_method_of_a_metric_is_none_of_another_class() -> None:
    class Own:
        observe = Histogram.observe

    with pytest.raises(TypeError), Timer(Own(), "observe"):
        pass


def test_a_timer_that_is_given_another_metric_observes_there() -> None:
    first, second = histogram(), summary()
    timer: Any = first.time()
    timer._metric = second
    with timer:
        pass
    timer._metric, timer._callback_name = gauge(), "set"
    with timer:
        pass
    assert (first._native_values()[1], second._count.get()) == (0, 1)
    assert timer._metric._value.get() > 0


def test_what_cannot_be_recorded_is_refused_as_by_a_call() -> None:
    parent: Any = Histogram("h", "H.", ["a"], registry=None)
    with pytest.raises(ValueError, match="missing label values") as by_call:
        parent.observe(1)
    with pytest.raises(ValueError, match="missing label values") as by_block, parent.time():
        pass
    assert str(by_block.value) == str(by_call.value)
    with parent.time() as timer:
        timer.labels("x")
    assert parent.labels("x")._native_values()[1] == 1
    levels: Any = Gauge("g", "G.", ["a"], registry=None)
    tracker = InprogressTracker(levels)
    with pytest.raises(ValueError, match="missing label values") as by_call:
        levels.inc()
    with pytest.raises(ValueError, match="missing label values") as by_block, tracker:
        pass
    assert str(by_block.value) == str(by_call.value)


def test_what_was_not_begun_cannot_end() -> None:
    with pytest.raises(AttributeError, match="_start"):
        histogram().time().__exit__(None, None, None)
    kinds: Any = ((InprogressTracker, "_gauge"), (ExceptionCounter, "_exception"), (Timer, "_start"))
    for kind, attribute in kinds:
        empty = kind.__new__(kind)
        with pytest.raises(AttributeError, match=attribute):
            empty.__exit__(None, None, None)
    nobodys: Any = Timer.__new__(Timer)
    with pytest.raises(AttributeError, match="_metric"), nobodys:
        pass


def test_trackers_nest_and_are_entered_again() -> None:
    metric = gauge()
    tracker = metric.track_inprogress()
    with tracker, tracker, metric.track_inprogress() as nothing:
        assert nothing is None
        assert metric._value.get() == 3
    assert metric._value.get() == 0
    with pytest.raises(KeyError), tracker:
        raise KeyError
    assert metric._value.get() == 0
    other = gauge()
    with tracker:
        tracker._gauge = other
    assert (metric._value.get(), other._value.get()) == (1, -1)


def test_counters_of_exceptions_count_those_of_their_kind() -> None:
    metric = counter()
    manager = metric.count_exceptions((ValueError, LookupError))
    with manager as nothing, manager:
        assert nothing is None
    for error in (KeyError, IndexError, ValueError, TypeError, KeyboardInterrupt):
        with pytest.raises(error), manager, metric.count_exceptions(ValueError):
            raise error
    assert metric._value.get() == 4
    assert manager.__exit__(None, None, None) is False
    assert manager.__exit__(KeyError, KeyError(), None) is False
    assert metric._value.get() == 5
    with pytest.raises(TypeError), metric.count_exceptions("no class"):
        pass


def test_a_class_that_says_what_its_instances_are_is_asked() -> None:
    class Kind(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return True

    class EveryError(Exception, metaclass=Kind):
        pass

    metric = counter()
    with metric.count_exceptions(EveryError), metric.count_exceptions(type(None)):
        pass
    assert metric._value.get() == 2


@pytest.mark.parametrize("kind", [Timer, InprogressTracker, ExceptionCounter])
def test_ends_that_a_subclass_or_a_program_replaces_are_called(kind: Any) -> None:
    entered = []

    class Own(kind):  # type: ignore[misc]
        def __enter__(self) -> Any:
            entered.append(self)
            return super().__enter__()

    metric = counter() if kind is ExceptionCounter else gauge()
    arguments = {Timer: ("set",), ExceptionCounter: (KeyError,)}.get(kind, ())
    manager = Own(metric, *arguments)
    with manager:
        pass
    assert entered == [manager]
    plain = metric.count_exceptions() if kind is ExceptionCounter else metric.track_inprogress()
    plain = metric.time() if kind is Timer else plain
    with mock.patch.object(kind, "__exit__", return_value=True) as replaced:
        with plain:
            raise KeyError
        assert replaced.call_count == 1
    with pytest.raises(KeyError), plain:
        raise KeyError


def test_a_clock_that_is_replaced_inside_a_block_is_read_from_then_on() -> None:
    metric = histogram()
    with metric.time():
        pass
    timer = metric.time()
    with mock.patch.object(context_managers, "default_timer", return_value=5.0):
        timer.__enter__()
    timer._start = 2.0
    with mock.patch.object(context_managers, "default_timer", return_value=5.0):
        timer.__exit__(None, None, None)
    assert timer.duration == 3
    for _ in range(3):
        with mock.patch.dict(vars(context_managers), default_timer=lambda: 1.0), metric.time() as timer:
            pass
        assert timer.duration == 0
        with metric.time() as timer:
            pass
        assert 0 < timer.duration < 60
    vars(context_managers)["unrelated"] = 1
    del vars(context_managers)["unrelated"]
    with metric.time() as timer:
        pass
    assert 0 < timer.duration < 60


def test_exemplars_stay_what_they_were() -> None:
    metric = histogram()
    metric.observe(0.5, {"trace": "a"})
    with metric.time():
        pass
    samples = [sample for family in metric.collect() for sample in family.samples]
    found = {sample.labels["le"]: sample for sample in samples if sample.name == "h_bucket"}
    assert found["1.0"].value == 2
    assert found["1.0"].exemplar.labels == {"trace": "a"}


PROGRAM = """
    import os
    import forkmeter

    registry = forkmeter.REGISTRY
    metric = forkmeter.Histogram("h", "H.")
    level = forkmeter.Gauge("g", "G.", multiprocess_mode="sum")
    errors = forkmeter.Counter("e", "E.")
    waiting = level.track_inprogress()

    def use():
        for _ in range(3):
            try:
                with metric.time(), errors.count_exceptions():
                    waiting.__enter__()
                    raise KeyError
            except KeyError:
                pass

    def told():
        names = ("h_count", "g", "e_total")
        return [int(registry.get_sample_value(name)) for name in names]

    use()
    print(told())
    forkmeter.configure("DIRECTORY")
    use()
    print(told())
    child = os.fork()
    use()
    if not child:
        while forkmeter.status().kept_series:
            forkmeter._forkmeter.refresh()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(told())
    waiting.__exit__(None, None, None)
    print(told())
"""


def test_blocks_count_where_the_process_does(run_python: Callable[..., str], tmp_path: Path) -> None:
    told = run_python(PROGRAM.replace("DIRECTORY", str(tmp_path)))
    assert told.splitlines() == ["[3, 3, 3]", "[6, 6, 6]", "[12, 12, 12]", "[12, 11, 12]"]
