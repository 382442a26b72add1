"""Context managers as decorators: they measure runs, and the function stays the kind of function that it was."""

from __future__ import annotations

import asyncio
import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
from forkmeter.context_managers import ExceptionCounter, InprogressTracker, Timer
from forkmeter.decorator import FunctionMaker, contextmanager, decorate, decorator, getargspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator


class Metric:
    """Stands in for a metric: keeps what it is told."""

    def __init__(self) -> None:
        self.value = 0
        self.observed: list[float] = []

    def inc(self) -> None:
        self.value += 1

    def dec(self) -> None:
        self.value -= 1

    def observe(self, seconds: float) -> None:
        self.observed.append(seconds)


@pytest.fixture
def metric() -> Metric:
    return Metric()


def decorators(metric: Metric) -> list[Callable[[Any], Any]]:
    return [Timer(metric, "observe"), InprogressTracker(metric), ExceptionCounter(metric, Exception)]


@pytest.mark.parametrize("index", range(3))
def test_kind_name_and_signature_stay(metric: Metric, index: int) -> None:
    """Frameworks look at the kind of a function (FastAPI, Starlette, pytest) and at its parameters."""
    wrap = decorators(metric)[index]

    def plain(a: int, /, b: int = 2, *args: int, c: int, d: int = 4, **kw: int) -> tuple[Any, ...]:
        """Says something."""
        return a, b, args, c, d, kw

    async def coroutine(a: int, *, b: int = 2) -> tuple[int, int]:
        return a, b

    def generator(a: int) -> Iterator[int]:
        yield a

    async def async_generator(a: int) -> AsyncIterator[int]:
        yield a

    for function in (plain, coroutine, generator, async_generator):
        wrapper = wrap(function)
        for test in (
            inspect.iscoroutinefunction,
            inspect.isgeneratorfunction,
            inspect.isasyncgenfunction,
            inspect.isfunction,
        ):
            assert test(wrapper) == test(function), (function, test)
        assert inspect.signature(wrapper) == inspect.signature(function)
        assert inspect.signature(wrapper, follow_wrapped=False) == inspect.signature(function)
        assert wrapper.__wrapped__ is function
        for name in ("__name__", "__qualname__", "__doc__", "__module__", "__defaults__", "__kwdefaults__"):
            assert getattr(wrapper, name) == getattr(function, name)
    assert wrap(plain)(1, c=3) == (1, 2, (), 3, 4, {})
    assert wrap(plain)(1, 5, 6, 7, c=3, d=8, e=9) == (1, 5, (6, 7), 3, 8, {"e": 9})
    assert asyncio.run(wrap(coroutine)(1, b=3)) == (1, 3)


def test_signature_as_rucio_and_the_official_tests_read_it(metric: Metric) -> None:
    @ExceptionCounter(metric, Exception)
    def function(r: int) -> int:
        return r

    assert getargspec(function) == (["r"], None, None, None)


def test_wrong_call_counts_nothing(metric: Metric) -> None:
    @ExceptionCounter(metric, Exception)
    def function(a: int) -> int:
        return a

    with pytest.raises(TypeError, match=r"function\(\) missing 1 required positional argument: 'a'"):
        function()  # type: ignore[call-arg]
    assert metric.value == 0


def test_parameters_may_have_the_names_used_inside(metric: Metric) -> None:
    @Timer(metric, "observe")
    def function(_manager_: int, _function_: int) -> tuple[int, int]:
        return _manager_, _function_

    assert function(1, _function_=2) == (1, 2)


def test_attributes_and_lambdas(metric: Metric) -> None:
    function: Any = lambda x: x + 1  # noqa: E731 -- the point of the test
    function.attribute = "kept"
    wrapper = Timer(metric, "observe")(function)
    assert wrapper(1) == 2
    assert wrapper.attribute == "kept"
    assert wrapper.__name__ == "_lambda_"


@pytest.mark.parametrize("thing", [len, int, Metric().inc, staticmethod(len), "text"])
def test_only_functions_can_be_decorated(metric: Metric, thing: Any) -> None:
    with pytest.raises(TypeError, match="You are decorating a non function"):
        Timer(metric, "observe")(thing)


def test_every_wrapper_has_a_file_name_of_its_own(metric: Metric) -> None:
    """Profilers tell functions apart by file, line and name."""

    def function() -> None: ...

    names = {Timer(metric, "observe")(function).__code__.co_filename for _ in range(3)}
    assert len(names) == 3


def test_coroutine_is_timed_from_its_start_to_its_end(metric: Metric) -> None:
    gate: asyncio.Event

    @InprogressTracker(metric)
    @Timer(metric, "observe")
    async def function() -> str:
        await gate.wait()
        return "done"

    async def main() -> None:
        nonlocal gate
        gate = asyncio.Event()
        run = function()
        assert (metric.value, metric.observed) == (0, [])
        task = asyncio.ensure_future(run)
        await asyncio.sleep(0)
        assert (metric.value, metric.observed) == (1, [])
        gate.set()
        assert await task == "done"
        assert metric.value == 0
        assert len(metric.observed) == 1

    asyncio.run(main())


def test_cancelled_coroutine_leaves(metric: Metric) -> None:
    @InprogressTracker(metric)
    async def function() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.ensure_future(function())
        await asyncio.sleep(0)
        assert metric.value == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert metric.value == 0

    asyncio.run(main())


def test_exceptions_of_coroutines_count(metric: Metric) -> None:
    @ExceptionCounter(metric, KeyError)
    async def function(error: type[Exception]) -> None:
        await asyncio.sleep(0)
        raise error

    for error in (KeyError, ValueError):
        with pytest.raises(error):
            asyncio.run(function(error))
    assert metric.value == 1


def test_generator_is_in_progress_until_it_is_exhausted_or_closed(metric: Metric) -> None:
    @InprogressTracker(metric)
    def function() -> Generator[int, int, str]:
        got = yield 1
        yield got
        return "end"

    generator = function()
    assert metric.value == 0
    assert next(generator) == 1
    assert metric.value == 1
    assert generator.send(5) == 5
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "end"
    assert metric.value == 0
    generator = function()
    next(generator)
    generator.close()
    assert metric.value == 0
    unstarted = function()
    del unstarted
    assert metric.value == 0


def test_exceptions_thrown_into_generators_count_once_where_they_are_not_caught(metric: Metric) -> None:
    @ExceptionCounter(metric, Exception)
    def function() -> Iterator[str]:
        try:
            yield "first"
        except KeyError:
            yield "caught"

    generator: Any = function()
    next(generator)
    assert generator.throw(KeyError) == "caught"
    assert metric.value == 0
    with pytest.raises(ValueError, match="mine"):
        generator.throw(ValueError("mine"))
    assert metric.value == 1
    closed: Any = function()
    next(closed)
    closed.close()
    assert metric.value == 1


def test_async_generator_passes_on_what_is_sent_thrown_and_closed(metric: Metric) -> None:
    events: list[str] = []

    @InprogressTracker(metric)
    async def function() -> Any:
        try:
            got = yield 1
            while True:
                try:
                    got = yield got
                except KeyError:
                    got = "caught"
        finally:
            await asyncio.sleep(0)
            events.append("closed")

    async def main() -> None:
        generator = function()
        assert metric.value == 0
        assert await generator.__anext__() == 1
        assert metric.value == 1
        assert await generator.asend("sent") == "sent"
        assert await generator.athrow(KeyError()) == "caught"
        with pytest.raises(ValueError, match="mine"):
            await generator.athrow(ValueError("mine"))
        assert metric.value == 0
        generator = function()
        await generator.__anext__()
        await generator.aclose()
        assert metric.value == 0

    asyncio.run(main())
    assert events == ["closed", "closed"]


def test_async_generator_ends(metric: Metric) -> None:
    @ExceptionCounter(metric, Exception)
    @Timer(metric, "observe")
    async def function(count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
        if count == 2:
            raise KeyError

    async def collect(count: int) -> list[int]:
        return [number async for number in function(count)]

    assert asyncio.run(collect(3)) == [0, 1, 2]
    assert asyncio.run(collect(0)) == []
    with pytest.raises(KeyError):
        asyncio.run(collect(2))
    assert len(metric.observed) == 3
    assert metric.value == 1


def test_generator_based_coroutine_stays_awaitable(metric: Metric) -> None:
    @Timer(metric, "observe")
    @types.coroutine
    def function() -> Any:
        yield from asyncio.sleep(0).__await__()
        return 5

    async def main() -> int:
        return await function()  # type: ignore[no-any-return]

    assert asyncio.run(main()) == 5
    assert len(metric.observed) == 1


def test_function_marked_as_a_coroutine_function(metric: Metric) -> None:
    async def inner() -> int:
        assert metric.value == 1
        return 5

    def function() -> Awaitable[int]:
        return inner()

    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(function)
        is_coroutine_function = inspect.iscoroutinefunction
    else:
        function._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]
        is_coroutine_function = asyncio.iscoroutinefunction
    wrapper = InprogressTracker(metric)(function)
    assert is_coroutine_function(wrapper)
    assert asyncio.run(wrapper()) == 5
    assert metric.value == 0


def test_each_run_has_a_timer_of_its_own(metric: Metric) -> None:
    @Timer(metric, "observe")
    def function(depth: int) -> None:
        if depth:
            function(depth - 1)

    function(2)
    assert len(metric.observed) == 3
    assert metric.observed == sorted(metric.observed)


def test_timer_chooses_its_series_inside_the_block() -> None:
    chosen = Metric()

    class Parent:
        def labels(self, *_: str, **__: str) -> Metric:
            return chosen

    with Timer(Parent(), "observe") as timer:
        timer.labels("a")
    assert chosen.observed == [timer.duration]


def test_time_never_goes_backwards(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([5.0, 3.0])
    monkeypatch.setattr("forkmeter.context_managers.default_timer", lambda: next(times))
    with Timer(metric, "observe"):
        pass
    assert metric.observed == [0]


def test_decorate_calls_the_caller() -> None:
    def caller(function: Callable[..., int], *args: int, **kw: int) -> int:
        return function(*args, **kw) * 10

    def function(a: int, *, b: int = 2) -> int:
        return a + b

    def no_parameters() -> int:
        return 4

    assert decorate(function, caller)(1) == 30
    assert decorate(function, caller)(a=1, b=3) == 40
    assert decorate(no_parameters, caller)() == 40
    assert decorator(caller)(function)(2) == 40
    assert decorator(caller, function)(2) == 40
    assert decorator(caller).__name__ == "caller"


def test_context_manager_of_the_vendored_module() -> None:
    events: list[str] = []

    @contextmanager  # type: ignore[untyped-decorator,unused-ignore]
    def managed(name: str) -> Iterator[None]:
        events.append(f"enter {name}")
        yield
        events.append(f"leave {name}")

    with managed("block"):
        events.append("block")

    @managed("function")  # type: ignore[untyped-decorator,unused-ignore]
    def function(a: int) -> int:
        events.append("function")
        return a

    assert function(3) == 3
    assert events == ["enter block", "block", "leave block", "enter function", "function", "leave function"]


def test_function_maker() -> None:
    made = FunctionMaker.create("add(a, b)", "return f(%(shortsignature)s)", {"f": lambda a, b: a + b}, defaults=(3,))
    assert made(1) == 4
    with pytest.raises(TypeError, match="non function"):
        FunctionMaker(len)


def test_generic_functions_of_the_vendored_module() -> None:
    from collections.abc import Sized

    from forkmeter.decorator import dispatch_on

    @dispatch_on("thing")  # type: ignore[untyped-decorator,unused-ignore]
    def describe(thing: Any, end: str = "") -> str:  # noqa: ARG001 -- its type is looked at
        return "something" + end

    @describe.register(int)  # type: ignore[untyped-decorator,unused-ignore]
    def describe_int(thing: int, end: str = "") -> str:  # noqa: ARG001 -- as above
        return "integer" + end

    @describe.register(Sized)  # type: ignore[untyped-decorator,unused-ignore]
    def describe_sized(thing: Sized, end: str = "") -> str:  # noqa: ARG001 -- as above
        return "sized" + end

    assert describe(1) == "integer"
    assert describe(bool(1), "!") == "integer!"
    assert describe([], end="?") == "sized?"
    assert describe(1.5) == "something"
    assert describe.dispatch_info(bool) == [("bool",), ("int",)]
    with pytest.raises(TypeError, match="Expected 1 arguments, got 2"):
        describe.register(int, int)
    with pytest.raises(NameError, match="Unknown dispatch arguments"):
        dispatch_on("other")(describe)
    with pytest.raises(AssertionError, match="No dispatch args passed"):
        dispatch_on()
