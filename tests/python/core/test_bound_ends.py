"""Bound `__enter__` and `__exit__`, whose memory is used again: they are as others, and nothing else shows."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import inspect
import types
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from forkmeter import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", autouse=True)
def _collected() -> Iterator[None]:
    """Lets no metric of these tests move into a directory of others."""
    yield
    gc.collect()


def counter() -> Any:
    return Counter("c", "C.", registry=None)


def histogram() -> Any:
    return Histogram("h", "H.", buckets=(1, 2, 4), registry=None)


def gauge() -> Any:
    return Gauge("g", "G.", registry=None)


every_manager = pytest.mark.parametrize(
    "make",
    [
        lambda: histogram().time(),
        lambda: gauge().track_inprogress(),
        lambda: counter().count_exceptions(),
    ],
)


@every_manager
def test_wrong_arguments_are_refused_as_by_the_class(make: Any) -> None:
    made = make()
    kind: Any = type(made)
    for arguments in [(), (None,), (None,) * 4]:
        with pytest.raises(TypeError) as bound:
            made.__exit__(*arguments)
        with pytest.raises(TypeError) as of_class:
            kind.__exit__(made, *arguments)
        assert str(bound.value) == str(of_class.value)
    with pytest.raises(TypeError):
        made.__enter__(None)
    with pytest.raises(TypeError):
        made.__exit__(None, None, tb=None)
    with pytest.raises(TypeError):
        kind.__exit__(counter(), None, None, None)
    with pytest.raises(TypeError):
        kind.__enter__()


@every_manager
def test_bound_ends_are_methods_as_others(make: Any) -> None:
    made = make()
    kind: Any = type(made)
    for name in ("__enter__", "__exit__"):
        bound = getattr(made, name)
        assert isinstance(bound, types.BuiltinMethodType)
        assert inspect.isbuiltin(bound)
        assert bound.__self__ is made
        assert (bound.__name__, bound.__qualname__) == (name, f"{kind.__name__}.{name}")
        assert bound.__doc__ == getattr(kind, name).__doc__
        assert repr(bound).startswith(f"<built-in method {name} of ")
        assert inspect.signature(bound) == inspect.signature(getattr(made, name))
        assert bound == getattr(made, name)
        assert hash(bound) == hash(getattr(made, name))
        assert bound is not getattr(made, name)
        assert bound != made.__call__
        assert copy.copy(bound) is bound
        assert copy.deepcopy([bound]) == [bound]
        assert gc.is_tracked(bound)
        with pytest.raises(TypeError):
            type(bound)()
        function = getattr(kind, name)
        assert isinstance(function, types.MethodDescriptorType)
        assert inspect.getattr_static(made, name) is function
        assert function.__objclass__ is kind
        assert function.__get__(made) == bound
        with pytest.raises(TypeError):
            function.__get__(counter())


def test_a_bound_end_holds_its_timer_and_works_for_as_long_as_it_is_held() -> None:
    metric = histogram()
    timer: Any = metric.time()
    weak = weakref.ref(timer)
    timer.__enter__()
    end = functools.partial(timer.__exit__, None, None, None)
    del timer
    for number in range(1, 4):
        end()
        with metric.time():
            pass
        assert metric._native_values()[1] == 2 * number
    assert weak() is not None
    del end
    assert weak() is None


def test_bound_ends_are_collected() -> None:
    weak = []
    for made in (histogram().time(), gauge().track_inprogress(), counter().count_exceptions()):
        made.cycle = made.__exit__
        weak.append(weakref.ref(made.cycle))
        weak.append(weakref.ref(made))
    del made
    gc.collect()
    assert [reference() for reference in weak] == [None] * 6


def test_a_weak_reference_to_a_bound_end_goes_with_it() -> None:
    gone: list[object] = []
    timer = histogram().time()
    for _ in range(200):
        weak = weakref.ref(timer.__exit__, gone.append)
        assert weak() is None
    assert len(gone) == 200
    held = [timer.__exit__ for _ in range(200)]
    assert len({id(bound) for bound in held}) == 200
    weak = weakref.ref(held[0])
    del held
    assert weak() is None
    assert weakref.getweakrefcount(timer.__enter__) == 0


def test_exit_stacks_end_them() -> None:
    metric, level = histogram(), gauge()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(metric.time())
            stack.enter_context(level.track_inprogress())
        stack.push(metric.time().__enter__())
        assert level._value.get() == 100
    assert (metric._native_values()[1], level._value.get()) == (101, 0)


def test_many_blocks_leave_nothing() -> None:
    metric, level, errors = histogram(), gauge(), counter()
    tracker, manager = level.track_inprogress(), errors.count_exceptions()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20_000):
        with metric.time(), tracker, manager:
            pass
    assert len(gc.get_objects()) - before < 10
