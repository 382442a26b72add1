"""`time()`, `track_inprogress()` and `count_exceptions()`: native, and as open to programs as the official classes."""

from __future__ import annotations

import gc
import inspect
import sys
import weakref
from typing import Any
from unittest import mock

import forkmeter
import forkmeter.context_managers
import prometheus_client
import prometheus_client.context_managers
import pytest

# The same operations must give the same results with both.
CLIENTS = [
    pytest.param(forkmeter, forkmeter.context_managers, id="forkmeter"),
    pytest.param(prometheus_client, prometheus_client.context_managers, id="official"),
]
pytestmark = pytest.mark.parametrize(("client", "managers"), CLIENTS)


def make(client: Any, kind: str, *labels: str) -> Any:
    return getattr(client, kind)("m", "A metric.", labels, registry=None)


def set_clock(monkeypatch: pytest.MonkeyPatch, managers: Any, *readings: float) -> None:
    monkeypatch.setattr(managers, "default_timer", mock.Mock(side_effect=readings))


@pytest.mark.parametrize(("kind", "value"), [("Histogram", "_sum"), ("Summary", "_sum"), ("Gauge", "_value")])
def test_timer_tells_the_seconds(
    client: Any, managers: Any, monkeypatch: pytest.MonkeyPatch, kind: str, value: str
) -> None:
    metric = make(client, kind)
    set_clock(monkeypatch, managers, 10.0, 12.5)
    with metric.time() as timer:
        assert (str(timer.duration), timer._start) == ("None", 10.0)
    assert isinstance(timer, managers.Timer)
    assert (timer.duration, getattr(metric, value).get()) == (2.5, 2.5)
    assert (timer._metric, timer._callback_name) == (metric, "set" if kind == "Gauge" else "observe")


def test_real_clock_is_that_of_the_module(client: Any, managers: Any) -> None:
    before = managers.default_timer()
    with make(client, "Summary").time() as timer:
        started = timer._start
    after = managers.default_timer()
    # What `_start` says is worked out from a later reading.
    assert before - 1e-3 <= started <= after + 1e-3
    assert 0 <= timer.duration <= after - before


def test_start_that_was_assigned_counts(client: Any, managers: Any) -> None:
    timer = make(client, "Summary").time()
    timer.__enter__()
    timer._start = managers.default_timer() - 100
    timer.__exit__(None, None, None)
    assert 100 <= timer.duration < 200


def test_timer_without_a_start_cannot_end(client: Any, managers: Any) -> None:
    timer = managers.Timer(make(client, "Summary"), "observe")
    with pytest.raises(AttributeError, match="_start"):
        timer.__exit__(None, None, None)


def test_timer_counts_after_an_exception_too(client: Any, managers: Any) -> None:
    metric = make(client, "Summary")
    with pytest.raises(KeyError), metric.time() as timer:
        raise KeyError
    assert isinstance(timer, managers.Timer)
    assert metric._count.get() == 1


def test_labels_are_chosen_while_the_timer_runs(client: Any, managers: Any) -> None:
    parent = make(client, "Summary", "code")
    with parent.time() as timer:
        timer.labels("200")
    with managers.Timer(parent, callback_name="observe") as timer:
        timer.labels(code="200")
    assert timer._metric is parent.labels("200")
    assert parent.labels("200")._count.get() == 2


def test_parent_takes_no_observation(client: Any, managers: Any) -> None:
    timer = make(client, "Summary", "code").time()
    assert isinstance(timer, managers.Timer)
    with pytest.raises(ValueError, match="missing label values"), timer:
        pass


def test_subclass_takes_what_it_wants_and_overrides_what_it_wants(client: Any, managers: Any) -> None:
    class Twice(managers.Timer):  # type: ignore[misc]
        def __init__(self, metric: Any, callback_name: str = "observe", *, factor: int = 2) -> None:
            super().__init__(metric, callback_name)
            self.factor = factor

        def __exit__(self, typ: object, value: object, traceback: object) -> None:
            super().__exit__(typ, value, traceback)
            self.seen = (typ, repr(value))

    metric = make(client, "Summary")
    with pytest.raises(KeyError), Twice(metric, factor=3) as timer:
        raise KeyError("k")
    assert (timer.factor, timer.seen, metric._count.get()) == (3, (KeyError, "KeyError('k')"), 1)

    made: list[Any] = []

    class Noted(Twice):
        def _new_timer(self) -> Any:
            made.append(super()._new_timer())
            return made[-1]

    @Noted(metric)
    def work() -> int:
        return 1

    assert (work(), work()) == (1, 1)
    assert [type(timer) for timer in made] == [Noted, Noted]
    assert metric._count.get() == 3


def test_replaced_methods_of_a_metric_are_called(client: Any, managers: Any) -> None:
    """Tests of programs replace `observe` and `inc` of one metric, or of a class."""
    histogram, gauge, counter = make(client, "Histogram"), make(client, "Gauge"), make(client, "Counter")
    with mock.patch.object(histogram, "observe") as observe, histogram.time() as timer:
        pass
    observe.assert_called_once_with(timer.duration)
    with mock.patch.object(client.Histogram, "observe") as observe, histogram.time() as timer:
        pass
    observe.assert_called_once_with(timer.duration)
    assert histogram._sum.get() == 0
    with mock.patch.object(gauge, "inc") as inc, mock.patch.object(gauge, "dec") as dec, gauge.track_inprogress():
        inc.assert_called_once_with()
    dec.assert_called_once_with()
    with mock.patch.object(counter, "inc") as inc, pytest.raises(KeyError), counter.count_exceptions():
        raise KeyError
    inc.assert_called_once_with()
    assert managers.__name__


def test_subclass_of_a_metric_is_asked(client: Any, managers: Any) -> None:
    class Rounded(client.Summary):  # type: ignore[misc]
        def observe(self, amount: float) -> None:
            super().observe(float(round(amount)))

    metric = Rounded("m", "A metric.", registry=None)
    timer = metric.time()
    with timer:
        timer._start = managers.default_timer() - 3.1
    assert metric._sum.get() == 3


@pytest.mark.parametrize("exception", [Exception, KeyError, (ValueError, KeyError), (ValueError, (KeyError,))])
def test_exceptions_that_count(client: Any, managers: Any, exception: Any) -> None:
    counter = make(client, "Counter")
    manager = counter.count_exceptions(exception)
    assert isinstance(manager, managers.ExceptionCounter)
    with pytest.raises(KeyError), manager:
        raise KeyError
    with pytest.raises(KeyboardInterrupt), counter.count_exceptions(exception=exception):
        raise KeyboardInterrupt
    with manager:
        pass
    assert counter._value.get() == 1
    assert manager.__exit__(None, None, None) is False
    assert manager.__enter__() is None
    assert (manager._counter, manager._exception) == (counter, exception)


def test_everything_that_is_wrong_is_a_type_error(client: Any, managers: Any) -> None:
    counter = make(client, "Counter")
    with pytest.raises(TypeError), counter.count_exceptions("KeyError"):
        raise KeyError
    with pytest.raises(TypeError):
        managers.Timer(counter)
    with pytest.raises(TypeError), managers.Timer(counter, 7):
        pass
    with pytest.raises(TypeError):
        managers.InprogressTracker()


def test_gauge_knows_how_many_are_under_way(client: Any, managers: Any) -> None:
    gauge = make(client, "Gauge")
    tracker = gauge.track_inprogress()
    assert isinstance(tracker, managers.InprogressTracker)
    assert tracker._gauge is gauge
    with tracker, tracker:
        assert gauge._value.get() == 2
    with pytest.raises(KeyError), gauge.track_inprogress():
        raise KeyError
    assert gauge._value.get() == 0


def test_metrics_without_label_values_say_so_at_once(client: Any, managers: Any) -> None:
    with pytest.raises(ValueError, match="counter metric is missing label values"):
        make(client, "Counter", "a").count_exceptions()
    with pytest.raises(ValueError, match="gauge metric is missing label values"):
        make(client, "Gauge", "a").track_inprogress()
    assert managers.__name__


def test_objects_take_attributes_and_weak_references(client: Any, managers: Any) -> None:
    counter, gauge = make(client, "Counter"), make(client, "Gauge")
    for manager in (gauge.time(), gauge.track_inprogress(), counter.count_exceptions()):
        manager.note = [manager]
        assert weakref.ref(manager)() is manager
        assert vars(manager)["note"] == [manager]
    assert managers.__name__


def test_cycles_are_collected(client: Any, managers: Any) -> None:
    class Metric:
        inc = dec = observe = lambda *_: None

    gone = []
    for manager in (
        lambda metric: managers.Timer(metric, "observe"),
        managers.InprogressTracker,
        lambda metric: managers.ExceptionCounter(metric, Exception),
    ):
        metric: Any = Metric()
        metric.manager = manager(metric)
        gone.append(weakref.ref(metric))
        del metric
    gc.collect()
    assert [reference() for reference in gone] == [None, None, None]
    assert client.__name__


def test_nothing_is_leaked(client: Any, managers: Any) -> None:
    metric = make(client, "Histogram")
    with metric.time():
        pass
    before = sys.getrefcount(metric)
    for _ in range(100):
        with metric.time():
            pass
        managers.Timer(metric, "observe")._new_timer()
    assert sys.getrefcount(metric) == before


def test_signatures(client: Any, managers: Any) -> None:
    expected = {"exception": Exception}
    parameters = inspect.signature(client.Counter.count_exceptions).parameters
    assert {name: parameter.default for name, parameter in parameters.items() if name != "self"} == expected
    assert list(inspect.signature(client.Histogram.time).parameters) == ["self"]
    assert list(inspect.signature(managers.Timer.__exit__).parameters) == ["self", "typ", "value", "traceback"]
