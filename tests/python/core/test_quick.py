"""Methods that have a native plain case: that case, and all that leaves it."""

from __future__ import annotations

import copy
import decimal
import gc
import inspect
import pickle
import weakref
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from forkmeter import Counter, Gauge, Histogram, Summary, context_managers
from forkmeter.context_managers import Timer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Lets no metric of these tests move into a directory of others."""
    yield
    gc.collect()


class Half:
    """A number of somebody's own."""

    def __float__(self) -> float:
        """Is a half."""
        return 0.5


def counter() -> Any:
    return Counter("c", "C.", registry=None)


def histogram() -> Any:
    return Histogram("h", "H.", buckets=(1, 2, 4), registry=None)


def gauge() -> Any:
    return Gauge("g", "G.", registry=None)


def summary() -> Any:
    return Summary("s", "S.", registry=None)


def buckets(metric: Histogram) -> list[float]:
    """Returns the counts of the buckets, each for itself."""
    return metric._native_values()[1:]


@pytest.mark.parametrize("amount", [2, 2.0, True, Half(), decimal.Decimal("1.5"), 2**40])
def test_amounts_of_all_kinds_count(amount: Any) -> None:
    metric = counter()
    metric.inc(amount)
    metric.inc(amount=amount)
    assert metric._value.get() == 2 * float(amount)
    level = gauge()
    level.set(amount)
    level.inc(amount)
    level.dec(amount)
    level.dec(amount=amount)
    assert level._value.get() == 0
    observations = summary()
    observations.observe(amount)
    assert observations._sum.get() == float(amount)
    observed = histogram()
    observed.observe(amount)
    observed.observe(amount=amount)
    assert observed._sum.get() == 2 * float(amount)


def test_what_is_left_out_is_one() -> None:
    metric, level = counter(), gauge()
    metric.inc()
    level.inc()
    level.dec()
    level.inc()
    assert (metric._value.get(), level._value.get()) == (1, 1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: counter().inc(-1), ValueError),
        (lambda: counter().inc(-0.5), ValueError),
        (lambda: counter().inc("1"), TypeError),
        (lambda: counter().inc(1, None, 2), TypeError),
        (lambda: counter().inc(other=1), TypeError),
        (lambda: counter().inc(10**400), OverflowError),
        (lambda: gauge().set(), TypeError),
        (lambda: gauge().set("x"), ValueError),
        (lambda: histogram().observe(), TypeError),
        (lambda: histogram().observe("1"), TypeError),
        (lambda: summary().observe(), TypeError),
        (lambda: Counter("c", "C.", ["a"], registry=None).inc(), ValueError),
        (lambda: Histogram("h", "H.", ["a"], registry=None).observe(1), ValueError),
        (lambda: Gauge("g", "G.", ["a"], registry=None).set(1), ValueError),
        (lambda: counter().labels("x"), ValueError),
        (lambda: Counter("c", "C.", ["a"], registry=None).labels(), ValueError),
        (lambda: Counter("c", "C.", ["a"], registry=None).labels("x", "y"), ValueError),
        (lambda: Counter("c", "C.", ["a"], registry=None).labels(b="x"), ValueError),
        (lambda: Counter("c", "C.", ["a", "b"], registry=None).labels("x", b="y"), ValueError),
        (lambda: Counter("c", "C.", ["a"], registry=None).labels("x").labels("y"), ValueError),
        (lambda: Counter.inc(histogram()), TypeError),
    ],
)
def test_what_cannot_be_recorded_is_refused(call: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        call()


def test_every_amount_finds_its_bucket() -> None:
    metric = histogram()
    for amount in (-1, 0, 1, 1.5, 2, 2.5, 4, 5, float("inf")):
        metric.observe(amount)
    assert buckets(metric) == [3, 2, 2, 2]
    metric.observe(float("nan"))
    assert buckets(metric) == [3, 2, 2, 2]


def test_many_buckets_are_found_too() -> None:
    metric = Histogram("h", "H.", buckets=range(100), registry=None)
    for amount in range(100):
        metric.observe(amount + 0.5)
    assert buckets(metric) == [0, *[1] * 100]


def test_labels_by_name_in_any_order() -> None:
    metric = Counter("c", "C.", ["a", "b", "c"], registry=None)
    child = metric.labels("x", "y", "z")
    assert metric.labels(a="x", b="y", c="z") is child
    assert metric.labels(c="z", a="x", b="y") is child
    assert metric.labels(**{str(name): value for name, value in zip("bca", "yzx")}) is child
    assert metric.labels(*"xyz") is child


def test_signatures_are_what_they_were() -> None:
    assert str(inspect.signature(Counter.inc)) == "(self, /, amount=1, exemplar=None)"
    assert str(inspect.signature(Gauge.set)) == "(self, /, value)"
    assert str(inspect.signature(Counter.labels)) == "(self, /, *labelvalues, **labelkwargs)"
    assert str(inspect.signature(Histogram.time)) == "(self, /)"
    # As in the official client, and called in less time than what a base has.
    for kind, names in (
        (Counter, "inc"),
        (Gauge, "inc dec set time"),
        (Summary, "observe time"),
        (Histogram, "observe"),
    ):
        assert set(names.split()) <= vars(kind).keys()
    assert Counter.inc.__qualname__ == "Counter.inc"


def test_what_a_subclass_or_an_object_overrides_is_called() -> None:
    class Doubling(Counter):
        def inc(self, amount: float = 1, exemplar: Any = None) -> None:
            super().inc(2 * amount, exemplar)

    metric = Doubling("c", "C.", registry=None)
    metric.inc(3)
    assert metric._value.get() == 6
    observed = histogram()
    with mock.patch.object(observed, "observe") as observe, observed.time():
        pass
    assert observe.call_count == 1
    with mock.patch.object(Histogram, "observe") as observe, observed.time():
        pass
    assert observe.call_count == 1


def test_metrics_cannot_be_pickled() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(counter())


def test_timers_are_new_each_time() -> None:
    metric = histogram()
    for _ in range(200):
        timer = metric.time()
        assert not hasattr(timer, "note")
        with pytest.raises(AttributeError):
            _ = timer._start
        with timer:
            pass
        assert timer._metric is metric
        del timer
    assert metric._native_values()[1] == 200


def test_timers_nest_and_are_entered_again() -> None:
    outer, inner = histogram(), Summary("s", "S.", registry=None)
    with outer.time() as first, inner.time() as second:
        assert first is not second
    again = outer.time()
    for _ in range(3):
        with again:
            pass
    assert (buckets(outer)[0], inner._count.get()) == (4, 1)


def test_what_hangs_on_a_timer_goes_with_it() -> None:
    metric = histogram()
    timer: Any = metric.time()
    timer.note = weakref.ref(timer)
    weak = timer.note
    kept_dict = metric.time().__dict__
    assert kept_dict == {}
    del timer
    assert weak() is None

    class Own(dict):  # type: ignore[type-arg]
        pass

    own: Any = Own()
    weak = weakref.ref(own)
    timer = metric.time()
    timer.__dict__ = own
    del own, timer
    assert weak() is None
    assert type(metric.time().__dict__) is dict
    timers = [metric.time() for _ in range(100)]
    assert len({id(timer) for timer in timers}) == 100
    assert not any(hasattr(timer, "note") for timer in timers)
    kept_dict["note"] = 1
    assert not any(hasattr(timer, "note") for timer in timers)


def test_an_ended_timer_holds_no_metric() -> None:
    metric = histogram()
    weak = weakref.ref(metric)
    with metric.time():
        pass
    del metric
    gc.collect()
    assert weak() is None


def test_timers_of_a_subclass_go_as_others() -> None:
    class Own(Timer):
        def __exit__(self, *args: object) -> None:
            super().__exit__(*args)  # type: ignore[arg-type]

    metric = histogram()
    for _ in range(100):
        with Own(metric, "observe"):
            pass
    assert buckets(metric)[0] == 100


def test_timers_are_seen_by_the_collector() -> None:
    metric = histogram()
    for _ in range(3):
        timer: Any = metric.time()
        assert gc.is_tracked(timer)
        timer.cycle = timer
        weak = weakref.ref(timer)
        del timer
        gc.collect()
        assert weak() is None


def test_a_clock_in_the_place_of_the_timers_is_read() -> None:
    metric = histogram()
    with mock.patch.object(context_managers, "default_timer", side_effect=[10.0, 13.0]), metric.time() as timer:
        pass
    assert metric._sum.get() == 3
    assert timer.duration == 3
    with metric.time() as timer:
        assert timer.duration is None


def test_copies_of_children_are_refused() -> None:
    metric = Counter("c", "C.", ["a"], registry=None)
    with pytest.raises(TypeError):
        copy.deepcopy(metric.labels("x"))


def test_many_timers_leave_nothing() -> None:
    metric = histogram()
    before = len(gc.get_objects())
    for _ in range(100_000):
        with metric.time():
            pass
    assert len(gc.get_objects()) - before < 10
