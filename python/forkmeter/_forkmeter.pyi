"""The native half of the package: private, but documented for those who work on it."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar, final

from typing_extensions import Self, TypeAlias, disjoint_base

from .samples import Exemplar

__version__: str
OVERFLOW_LABEL_VALUE: str
OVERFLOWS_NAME: str
OVERFLOWS_HELP: str

_F = TypeVar("_F", bound=Callable[..., Any])
_ExceptionTypes: TypeAlias = type[BaseException] | tuple[type[BaseException], ...]

# Type, name, help text, unit, multiprocess mode, upper bounds, states.
_Declaration: TypeAlias = tuple[str, str, str, str, str, Sequence[float], Sequence[str]]
# Name, labels, value, timestamp, exemplar.
_RawSample: TypeAlias = tuple[str, dict[str, str], float, float | None, Exemplar | None]
# Name, help text, type, unit, samples.
_RawFamily: TypeAlias = tuple[str, str, str, str, list[_RawSample]]

def command(argv: Sequence[str]) -> int:
    """Runs the `forkmeter` command, the first of `argv` being its name, and returns its exit code."""

def directory() -> tuple[str, str] | None:
    """Returns the directory in which values are shared and what named it, or `None` in a lone process."""

def set_directory(path: str | None) -> None:
    """Names the directory explicitly, or with `None` leaves the choice to the environment again."""

def uses_deprecated_variable() -> bool:
    """Tells whether only the deprecated variable names the directory."""

def refresh_at_exit() -> tuple[int, str | None]:
    """Brings both together for the last time; returns how many series are lost with this process, and why."""

def refresh() -> None:
    """Brings the directory and this process's values together now."""

def status() -> tuple[str | None, int, str | None]:
    """Returns the open directory, the number of series kept in memory although there is one, and why."""

def workers(path: str) -> list[tuple[int, str, bool, float, int]]:
    """Returns pid, tag, life, start and kept series of the workers that a directory knows."""

def reset_on_deletion(is_on: bool) -> None:
    """Says whether deleting the files of a directory resets it, as under a test runner."""

def begin_part_of_test(is_first: bool) -> None:
    """Notices what was deleted without a word, before each part of a test."""

def know_plain(
    values: dict[str, Any], clocks: dict[str, Any], count_weakrefs: Callable[[object], int], classes: tuple[type, ...]
) -> None:
    """Remembers what has to be as it is for a child to be made natively: value class, clock, classes."""

def remove_series(metric: NativeMetric, label_values: Sequence[str]) -> None:
    """Removes a series of a metric from the directory, for all workers."""

def expire_series(metric: NativeMetric, label_values: Sequence[str]) -> None:
    """As `remove_series`, until somebody counts in the series, in whatever worker."""

def has_room(metric: NativeMetric, label_values: Sequence[str], max_series: int) -> bool | None:
    """Tells whether a series of a metric is there or has room, and makes it; `None` in a lone process."""

def set_max_series(max_series: int | None) -> None:
    """Sets how many series a metric has that says nothing of its own, or that there is no limit."""

def set_idle_seconds(idle_seconds: float | None) -> None:
    """Sets how long series stay in which nobody counts, or that they stay for ever."""

def process_bounds() -> tuple[int | None, float | None]:
    """Returns the bounds of metrics that say nothing of their own: series, and seconds."""

def problems_of_bounds() -> list[str]:
    """Says which of the variables with bounds cannot be used, and why."""

def without_series(metric: NativeMetric, family: NativeFamily, series: Sequence[Sequence[str]]) -> NativeFamily:
    """Returns a family of a metric without the series of these label values."""

def collect_store(created_samples: bool, names: list[str] | None = None) -> tuple[list[NativeFamily], list[str]]:
    """Reads what the process's own directory holds; also returns what could not be read."""

def self_metrics(*, describe: bool = False) -> list[NativeFamily]:
    """Returns what is said of the process's own directory, or the families that may be said."""

def collect_directory(path: str, names: list[str] | None = None) -> list[NativeFamily]:
    """Reads any directory, and what of this process is not in it yet, if it is its own."""

def read_directory(path: str, names: list[str] | None = None) -> list[NativeFamily]:
    """Reads what the files of a directory hold."""

def make_family(
    name: str,
    help: str,
    kind: str,
    unit: str,
    samples: Sequence[tuple[str, Sequence[tuple[str, str]], float, float | tuple[int, int] | None, Exemplar | None]],
) -> NativeFamily:
    """Makes a family of its parts."""

def begin_publishing() -> int:
    """Returns a number for the collection that begins now."""

def publish(ticket: int, families: Sequence[tuple[NativeFamily, str]], is_all: bool) -> tuple[bool, str | None]:
    """Publishes what only this process can compute, each family with its mode: all, or in place of the same names.

    Does nothing where another collection was published since this one began, as some of that may be newer. Returns
    whether what is published now was collected since then, and why it cannot be written, if so.
    """

def collect_published(names: list[str] | None = None) -> tuple[list[NativeFamily], list[str]]:
    """Merges what this process published last with what other live workers did; also what could not be read."""

def set_keeper(publish: Callable[[], float], work: Callable[[], None]) -> None:
    """Says what publishes: once, for a thread that does so about once a second, and all the time, for a greenlet."""

def start_keeper() -> None:
    """Starts that thread or greenlet where values are shared and there is none yet."""

def want_keeper() -> None:
    """Has the next use of a metric start one, since there is none any more."""

def end_keeper() -> None:
    """Ends the thread for good; waits at most a second for a collector that it is in."""

def enter_collectors() -> bool:
    """Says that the thread calls what is not forkmeter's; returns whether it may, as no thread forks."""

def leave_collectors() -> None:
    """Says that it came back from there."""

def keeper_before_fork() -> None:
    """Waits a moment for such a call; ends the thread where this Python would warn of it alone."""

def keeper_after_fork_in_parent() -> None:
    """Starts the thread again where it was ended."""

def keeper_after_fork_in_child() -> None:
    """Starts one where the parent had one."""

def follow_clock(namespace: dict[str, Any]) -> None:
    """Has timers read `default_timer` in a namespace, whenever something else than now stands there."""

@disjoint_base
class ExceptionCounter:
    """Counts the exceptions that leave a block or a function; they go on their way.

    Args:
        counter: The counter to increment.
        exception: Which exceptions count, subclasses included.
    """

    @property
    def _counter(self) -> Any: ...
    @property
    def _exception(self) -> Any: ...
    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def __init__(self, counter: Any, exception: _ExceptionTypes) -> None: ...
    def __enter__(self) -> None:
        """Does nothing."""

    def __exit__(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        """Counts the exception if it is one of those, and lets it pass."""

    def __call__(self, f: _F) -> _F:
        """Decorates a function of any kind.

        Note: differs
            An exception of a coroutine, a generator or an asynchronous generator counts when it is raised; the
            official client sees only those of the call that makes the object.
        """

@disjoint_base
class InprogressTracker:
    """Keeps a gauge at the number of blocks or runs that are under way.

    Args:
        gauge: The gauge.
    """

    _gauge: Any
    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def __init__(self, gauge: Any) -> None: ...
    def __enter__(self) -> None:
        """Increments the gauge."""

    def __exit__(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Decrements the gauge."""

    def __call__(self, f: _F) -> _F:
        """Decorates a function of any kind.

        Note: differs
            A coroutine, a generator or an asynchronous generator is in progress from its first step to its last; the
            official client counts only the call that makes the object.
        """

@disjoint_base
class Timer:
    """Measures how long a block or a run takes, in seconds, and hands that to a metric.

    Args:
        metric: The metric; `labels` may choose the series later.
        callback_name: Its method that takes the seconds, such as `observe` or `set`.
    """

    duration: float | None
    _metric: Any
    _callback_name: str
    _start: float
    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def __init__(self, metric: Any, callback_name: str) -> None: ...
    def _new_timer(self) -> Timer: ...
    def __enter__(self) -> Self:
        """Starts the clock."""

    def __exit__(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops the clock, keeps the seconds in `duration` and hands them over, also after an exception."""

    def labels(self, *args: Any, **kw: Any) -> None:
        """Chooses the series, at the latest inside the block.

        Args:
            *args: Label values, in the order of the names.
            **kw: Label values by name.
        """

    def __call__(self, f: _F) -> _F:
        """Decorates a function of any kind; each run has a timer of its own.

        Note: differs
            A coroutine, a generator or an asynchronous generator is timed from its first step to its last; the
            official client times the call that makes the object.
        """

def native_family(metric: NativeMetric, name: str, help: str, unit: str, created_samples: bool) -> NativeFamily | None:
    """Returns the family of a metric, where all its samples come from native values.

    Args:
        metric: A metric, with values or with children.
        name: The family's name as it is to be exposed; another one than the metric was made with gives `None`.
        help: The help text, in the same way.
        unit: The unit, in the same way.
        created_samples: Whether to add `_created` samples.
    """

@final
class Exposition:
    """An exposition that is being written, by one thread.

    It is written into the bytes that are returned, with room for as much as the registry's last exposition took.

    Args:
        registry: A number that tells registries apart.
        is_openmetrics: Whether to write OpenMetrics, not the text format.
        escaping: How to write names that the legacy scheme does not allow.
    """

    def __new__(cls, registry: int, is_openmetrics: bool, escaping: str) -> Self: ...
    def write_families(self, families: Sequence[NativeFamily]) -> None:
        """Writes families, with the interpreter released; after an error it is as if nothing had been written.

        Raises:
            ValueError: The escaping is unknown, or a sample cannot be written.
        """

    def write(self, lines: bytes) -> None:
        """Adds lines that were written elsewhere."""

    def finish(self) -> bytes:
        """Returns all that was written, and starts anew."""

@final
class NativeFamily:
    """A family as it was collected, with all its samples."""

    @property
    def name(self) -> str: ...
    def restricted(self, names: set[str]) -> NativeFamily | None:
        """Returns the family with only the samples of these names, or `None` where there are none."""

    def fields(self) -> _RawFamily:
        """Returns what the family consists of, as Python's objects."""

@final
class NativeIdleWatch:
    """Watches the series of a metric for those in which nobody counts."""

    def __new__(cls, idle_seconds: float) -> Self: ...
    def look(self, metric: NativeMetric, family: NativeFamily, now_seconds: float) -> list[list[str]]:
        """Looks at the metric's family as it was collected at a time, and returns the label values of what is idle."""

@final
class NativeValue:
    """One value of a metric: `get`, `set`, `inc` and its exemplar."""

    _value: float
    @property
    def _exemplar(self) -> Exemplar | None: ...
    @property
    def _multiprocess(self) -> bool: ...
    def inc(self, amount: float) -> None: ...
    def set(self, value: float, timestamp: float | None = None) -> None: ...
    def get(self) -> float: ...
    def set_exemplar(self, exemplar: Exemplar | None) -> None: ...
    def get_exemplar(self) -> Exemplar | None: ...

@disjoint_base
class NativeMetric:
    """The native half of every metric object."""

    _native_created: float
    @property
    def _is_native(self) -> bool: ...
    @property
    def _is_declared(self) -> bool: ...
    @property
    def _origin(self) -> tuple[Any, tuple[str, ...]] | None: ...
    def __new__(cls, *_args: object, **_kwargs: object) -> Self: ...
    def labels(self, *labelvalues: object, **labelkwargs: object) -> Self:
        """Returns the child for label values, given in order or by name; makes it at the first call."""

    def _start_parent(self, label_names: tuple[str, ...], declaration: _Declaration | None) -> None: ...
    def _start_series(
        self,
        label_names: tuple[str, ...],
        label_values: tuple[str, ...],
        declaration: _Declaration,
        created_seconds: float,
    ) -> None: ...
    def _start_child(self, parent: NativeMetric, label_values: tuple[str, ...], created_seconds: float) -> bool: ...
    def _bound_children(self, is_bounded: bool | None) -> None: ...
    def _child(self, key: object) -> Any: ...
    def _add_child(self, key: tuple[str, ...], child: object) -> Any: ...
    def _replace_child(self, key: tuple[str, ...], child: object) -> None: ...
    def _forget_child(self, key: object) -> bool: ...
    def _forget_removed_child(self, key: tuple[str, ...]) -> bool: ...
    def _expire_child(self, key: tuple[str, ...], now_seconds: float) -> bool: ...
    def _child_keys(self) -> list[tuple[str, ...]]: ...
    def _child_count(self) -> int: ...
    def _is_child_held(self, key: tuple[str, ...]) -> bool: ...
    def _use_foreign_values(self) -> None: ...
    def _use_own_samples(self) -> None: ...
    def _native_value(self, index: int) -> NativeValue: ...
    def _native_values(self) -> list[float]: ...
    def _native_reset(self, created_seconds: float) -> None: ...
    def _set_facts(self, facts: Sequence[tuple[str, str]]) -> None: ...

class NativeCounter(NativeMetric):
    """The native half of `Counter`."""

    def inc(self, amount: float = 1, exemplar: Mapping[str, str] | None = None) -> None:
        """Adds to the counter: 1, or an amount that is not negative.

        Args:
            amount: How much.
            exemplar: Labels of an event that was counted, such as a trace.

        Raises:
            ValueError: The amount is negative, the metric lacks label values, or the exemplar is not allowed.
        """

    def _count_exceptions(self, exception: _ExceptionTypes) -> ExceptionCounter: ...

class NativeGauge(NativeMetric):
    """The native half of `Gauge`."""

    def inc(self, amount: float = 1) -> None:
        """Adds to the gauge."""

    def dec(self, amount: float = 1) -> None:
        """Takes away from the gauge."""

    def set(self, value: float) -> None:
        """Replaces the gauge's value by anything that `float` takes."""

    def track_inprogress(self) -> InprogressTracker:
        """Adds 1 while a `with` block or a decorated function runs.

        Raises:
            ValueError: The metric lacks label values.
        """

    def time(self) -> Timer:
        """Sets the gauge to the seconds that a `with` block or a decorated function took."""

class NativeSummary(NativeMetric):
    """The native half of `Summary`."""

    def observe(self, amount: float) -> None:
        """Counts an observation and adds it to the sum."""

    def time(self) -> Timer:
        """Observes the seconds that a `with` block or a decorated function takes."""

class NativeHistogram(NativeMetric):
    """The native half of `Histogram`."""

    def observe(self, amount: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Counts an observation in its bucket and adds it to the sum.

        Args:
            amount: What was observed; a NaN is in no bucket.
            exemplar: Labels of the event, such as a trace.

        Raises:
            ValueError: The metric lacks label values, or the exemplar is not allowed.
        """

    def time(self) -> Timer:
        """Observes the seconds that a `with` block or a decorated function takes."""

@final
class HttpRecorder:
    """Counts HTTP requests in families that the Python half declared.

    A measure is `(quantity, family, label sources)`; a source is the name of what every request has, the place of a
    label that the program computes, or a tuple with a value that is always the same.
    """

    def __new__(
        cls,
        measures: Sequence[tuple[str, Any, Sequence[str | int | tuple[str]]]],
        *,
        by_class: bool,
        unmatched: str | None,
        cancelled: str,
        exclude_methods: Sequence[str],
        exclude_paths: Sequence[str],
        hooks: Any,
    ) -> Self: ...

@final
class AsgiExchange:
    """One ASGI request: called as the `send` of its application, which it measures on the way."""

    @property
    def scope(self) -> dict[str, Any]: ...
    @property
    def status(self) -> int | None: ...
    @property
    def response(self) -> dict[str, Any] | None: ...
    @staticmethod
    def begin(recorder: HttpRecorder, scope: Any, receive: Any, send: Any) -> AsgiExchange | None:
        """Begins to measure a request; `None` for what is not measured here."""

    def __call__(self, message: Any) -> Any: ...
    def receive(self) -> Any:
        """Receives a message of the request, and measures it."""

    def see_received(self, message: Any) -> None:
        """Measures a message that the application received."""

    def finish(self) -> None:
        """Says that the application returned."""

    def fail(self, is_cancelled: bool) -> None:
        """Says that an exception left the application, and whether that was because nobody waits any more."""

@final
class WsgiExchange:
    """One WSGI request: called as the `start_response` of its application."""

    @property
    def scope(self) -> dict[str, Any]: ...
    @property
    def status(self) -> int | None: ...
    @property
    def response(self) -> list[tuple[str, str]] | None: ...
    @staticmethod
    def begin(recorder: HttpRecorder, environ: Any, start_response: Any) -> WsgiExchange | None:
        """Begins to measure a request; `None` for what is not measured here."""

    def __call__(self, status: str, headers: list[tuple[str, str]], *more: Any) -> Any: ...
    def measure(self, body: Any) -> Any:
        """Returns the body with the end of the request bound to its own."""

    def fail(self, is_cancelled: bool) -> None:
        """Says that an exception left the application, and whether that was because nobody waits any more."""

class NativeStates(NativeMetric):
    """The native half of `Info` and `Enum`."""
