"""Gauges."""

from __future__ import annotations

import time
import types
from typing import TYPE_CHECKING, overload

from .._forkmeter import NativeGauge
from ..registry import REGISTRY
from ..samples import Sample
from . import _reading
from ._attributes import Inherited, NativeSamples, ValueAttribute
from ._base import MetricWrapperBase, quick_start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Literal

    from ..registry import CollectorRegistry

    MultiprocessMode = Literal[
        "all",
        "liveall",
        "min",
        "livemin",
        "max",
        "livemax",
        "sum",
        "livesum",
        "mostrecent",
        "livemostrecent",
    ]


class Gauge(MetricWrapperBase, NativeGauge):
    """Holds a value that goes up and down.

    Args:
        name: Name, without namespace and subsystem.
        documentation: Help text.
        labelnames: Names of the labels, in the order in which `labels` takes values.
        namespace: First part of the full name.
        subsystem: Second part of the full name.
        unit: Unit, which becomes the last part of the full name.
        registry: Where to register it; `None` for nowhere.
        multiprocess_mode: How values of several workers merge. `all` shows each under a `pid` label; the `live*`
            modes leave dead workers out.

    Raises:
        ValueError: A name or the mode is not allowed, or the name is registered already.

    Example:
        >>> from forkmeter import CollectorRegistry, Gauge
        >>> busy = Gauge("busy_workers", "Workers with a job.", registry=CollectorRegistry())
        >>> with busy.track_inprogress():
        ...     busy._value.get()
        1.0
        >>> busy.set(4.5)
    """

    _type = "gauge"
    _MULTIPROC_MODES = frozenset(
        {
            "all",
            "liveall",
            "min",
            "livemin",
            "max",
            "livemax",
            "sum",
            "livesum",
            "mostrecent",
            "livemostrecent",
        }
    )
    _MOST_RECENT_MODES = frozenset({"mostrecent", "livemostrecent"})
    _value = ValueAttribute(0)
    # What `set_function` was given.
    _function: Callable[[], float] | None = None
    if not TYPE_CHECKING:
        _is_most_recent = Inherited()
        _multiprocess_mode = Inherited()

    @quick_start
    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Iterable[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: CollectorRegistry | None = REGISTRY,
        _labelvalues: Sequence[str] | None = None,
        multiprocess_mode: MultiprocessMode = "all",
    ) -> None:
        self._multiprocess_mode = multiprocess_mode
        if multiprocess_mode not in self._MULTIPROC_MODES:
            raise ValueError("Invalid multiprocess mode: " + multiprocess_mode)
        self._is_most_recent = multiprocess_mode in self._MOST_RECENT_MODES
        super().__init__(name, documentation, labelnames, namespace, subsystem, unit, registry, _labelvalues)
        self._kwargs["multiprocess_mode"] = multiprocess_mode

    def _type_declaration(self) -> tuple[str, Sequence[float], Sequence[str]]:
        return (self._multiprocess_mode, (), ())

    def _is_to_be_native(self) -> bool:
        # A subclass may have modes of its own, which only its own code understands.
        return super()._is_to_be_native() and self._multiprocess_mode in Gauge._MULTIPROC_MODES

    @quick_start
    def _metric_init(self) -> None:
        if not self._start_native():
            self._value = self._new_value(multiprocess_mode=self._multiprocess_mode)

    def _slow_inc(self, amount: float = 1) -> None:
        self._raise_if_not_observable()
        if self._is_most_recent:
            # Adding sets no time, and without one it is not the most recent.
            self._slow_set(self._value.get() + amount)
        else:
            self._value.inc(amount)

    def _slow_dec(self, amount: float = 1) -> None:
        self._slow_inc(-amount)

    def _slow_set(self, value: float) -> None:
        self._raise_if_not_observable()
        if self._is_most_recent:
            self._value.set(float(value), timestamp=time.time())
        else:
            self._value.set(float(value))

    @overload
    def value(self) -> float: ...
    @overload
    def value(self, *labelvalues: object, **labels: object) -> float | None: ...
    def value(self, *labelvalues: object, **labels: object) -> float | None:
        """Returns the value, merged as the multiprocess mode says. Makes no series.

        Where the mode shows each worker's value, it is that of this process.

        Args:
            *labelvalues: One value for each label name, in order; none for a metric without labels, or a child.
            **labels: The same by name.

        Returns:
            The value, or `None` where there is no such series.

        Raises:
            ValueError: The metric has other label names, or another number of them.

        Example:
            >>> from forkmeter import CollectorRegistry, Gauge
            >>> level = Gauge("level", "Level.", registry=CollectorRegistry())
            >>> level.set(3)
            >>> level.value()
            3.0
        """
        samples = _reading.read(self, labelvalues, labels)
        return None if samples is None else samples[0].value

    def set_to_current_time(self) -> None:
        """Sets the gauge to the Unix time in seconds."""
        self.set(time.time())

    def set_function(self, f: Callable[[], float]) -> None:
        """Takes the value from a function at every collection; the other methods no longer have an effect.

        Args:
            f: Returns the value. It may be called from any thread.

        Note: differs
            In several processes each calls its own function, about once a second and at the scrapes that it answers;
            the values merge as those of any gauge. The official client exposes zeros there.
        """
        self._raise_if_not_observable()

        def samples(_: Gauge) -> Iterable[Sample]:
            return (Sample("", {}, float(f()), None, None),)

        self._child_samples = self._function_samples = types.MethodType(samples, self)
        if self._is_native:
            from .. import _published

            self._function = f
            _published.gauges.add(self)

    @NativeSamples
    def _child_samples(self) -> Iterable[Sample]:
        return (Sample("", {}, self._value.get(), None, None),)
