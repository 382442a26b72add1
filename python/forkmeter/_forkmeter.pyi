"""The native half of the package: private, but documented for those who work on it."""

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import Self, TypeAlias

from .samples import Exemplar

__version__: str

# Type, name, help text, unit, multiprocess mode, upper bounds, states.
_Declaration: TypeAlias = tuple[str, str, str, str, str, Sequence[float], Sequence[str]]
# Name, labels, value, timestamp, exemplar.
RawSample: TypeAlias = tuple[str, dict[str, str], float, float | None, Exemplar | None]
# Name, help text, type, unit, samples.
RawFamily: TypeAlias = tuple[str, str, str, str, list[RawSample]]

def command(argv: Sequence[str]) -> int:
    """Runs the `forkmeter` command, the first of `argv` being its name, and returns its exit code."""

def directory() -> tuple[str, str] | None:
    """Returns the directory in which values are shared and what named it, or `None` in a lone process."""

def set_directory(path: str | None) -> None:
    """Names the directory explicitly, or with `None` leaves the choice to the environment again."""

def uses_deprecated_variable() -> bool:
    """Tells whether only the deprecated variable names the directory."""

def refresh() -> None:
    """Brings the directory and this process's values together now."""

def status() -> tuple[str | None, int, str | None]:
    """Returns the open directory, the number of series kept in memory although there is one, and why."""

def workers(path: str) -> list[tuple[int, str, bool, float, int]]:
    """Returns pid, tag, life, start and kept series of the workers that a directory knows."""

def remove_series(metric: NativeMetric, label_values: Sequence[str]) -> None:
    """Removes a series of a metric from the directory, for all workers."""

def collect_store() -> tuple[list[RawFamily], list[str]]:
    """Reads what the process's own directory holds; also returns what could not be read."""

def collect_directory(path: str) -> list[RawFamily]:
    """Reads any directory."""

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

class NativeMetric:
    """The native half of every metric object."""

    _metrics: dict[tuple[str, ...], Any]
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
    def _use_foreign_values(self) -> None: ...
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

class NativeGauge(NativeMetric):
    """The native half of `Gauge`."""

    def inc(self, amount: float = 1) -> None:
        """Adds to the gauge."""

    def dec(self, amount: float = 1) -> None:
        """Takes away from the gauge."""

    def set(self, value: float) -> None:
        """Replaces the gauge's value by anything that `float` takes."""

class NativeSummary(NativeMetric):
    """The native half of `Summary`."""

    def observe(self, amount: float) -> None:
        """Counts an observation and adds it to the sum."""

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

class NativeStates(NativeMetric):
    """The native half of `Info` and `Enum`."""
