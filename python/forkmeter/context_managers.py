"""What `time()`, `track_inprogress()` and `count_exceptions()` return: context managers that decorate as well.

As decorators they measure runs: of functions, coroutines, generators and asynchronous generators alike.
"""

from __future__ import annotations

from time import perf_counter as default_timer
from typing import TYPE_CHECKING

from .decorator import decorate_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Literal, TypeVar

    from typing_extensions import Self

    F = TypeVar("F", bound=Callable[..., Any])

__all__ = ("ExceptionCounter", "InprogressTracker", "Timer")


class ExceptionCounter:
    """Counts the exceptions that leave a block or a function; they go on their way.

    Args:
        counter: The counter to increment.
        exception: Which exceptions count, subclasses included.
    """

    def __init__(self, counter: Any, exception: type[BaseException] | tuple[type[BaseException], ...]) -> None:
        self._counter = counter
        self._exception = exception

    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        """Counts the exception if it is one of those, and lets it pass."""
        if isinstance(value, self._exception):
            self._counter.inc()
        return False

    def __call__(self, f: F) -> F:
        """Decorates a function of any kind.

        Note: differs
            An exception of a coroutine, a generator or an asynchronous generator counts when it is raised; the
            official client sees only those of the call that makes the object.
        """
        return decorate_run(f, lambda: self)


class InprogressTracker:
    """Keeps a gauge at the number of blocks or runs that are under way.

    Args:
        gauge: The gauge.
    """

    def __init__(self, gauge: Any) -> None:
        self._gauge = gauge

    def __enter__(self) -> None:
        """Increments the gauge."""
        self._gauge.inc()

    def __exit__(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Decrements the gauge."""
        self._gauge.dec()

    def __call__(self, f: F) -> F:
        """Decorates a function of any kind.

        Note: differs
            A coroutine, a generator or an asynchronous generator is in progress from its first step to its last; the
            official client counts only the call that makes the object.
        """
        return decorate_run(f, lambda: self)


class Timer:
    """Measures how long a block or a run takes, in seconds, and hands that to a metric.

    Args:
        metric: The metric; `labels` may choose the series later.
        callback_name: Its method that takes the seconds, such as `observe` or `set`.
    """

    def __init__(self, metric: Any, callback_name: str) -> None:
        self._metric = metric
        self._callback_name = callback_name
        self.duration: float | None = None

    def _new_timer(self) -> Timer:
        return self.__class__(self._metric, self._callback_name)

    def __enter__(self) -> Self:
        """Starts the clock."""
        self._start = default_timer()
        return self

    def __exit__(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops the clock, keeps the seconds in `duration` and hands them over, also after an exception."""
        self.duration = max(default_timer() - self._start, 0)
        getattr(self._metric, self._callback_name)(self.duration)

    def labels(self, *args: Any, **kw: Any) -> None:
        """Chooses the series, at the latest inside the block.

        Args:
            *args: Label values, in the order of the names.
            **kw: Label values by name.
        """
        self._metric = self._metric.labels(*args, **kw)

    def __call__(self, f: F) -> F:
        """Decorates a function of any kind; each run has a timer of its own.

        Note: differs
            A coroutine, a generator or an asynchronous generator is timed from its first step to its last; the
            official client times the call that makes the object.
        """
        return decorate_run(f, self._new_timer)
