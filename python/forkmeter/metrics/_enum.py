"""Enums."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, overload

from .._forkmeter import NativeStates
from ..registry import REGISTRY
from ..samples import Sample
from . import _reading
from ._attributes import Inherited, NativeSamples, ValueAttribute
from ._base import MetricWrapperBase, quick_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..registry import CollectorRegistry


class _StateAttribute(ValueAttribute):
    """The index of an enum's current state."""

    def __set__(self, metric: Any, value: object) -> None:
        if metric._is_native:
            metric._native_value(0).set(value)
        else:
            metric.__dict__[self._name] = value

    def _native(self, metric: Any) -> int:
        return int(metric._native_value(0).get())


class Enum(MetricWrapperBase, NativeStates):
    """Exposes which one of a fixed set of states something is in; the first one to begin with.

    Args:
        name: Name, without namespace and subsystem; also the name of the label that holds the state.
        documentation: Help text.
        labelnames: Names of the labels, in the order in which `labels` takes values.
        namespace: First part of the full name.
        subsystem: Second part of the full name.
        unit: Not allowed; there for symmetry.
        registry: Where to register it; `None` for nowhere.
        states: The states.

    Raises:
        ValueError: A name is not allowed or registered already, or there are no states.

    Note: differs
        In several processes the state that was set last counts, whichever worker set it; the official client has
        none there.

    Example:
        >>> from forkmeter import CollectorRegistry, Enum
        >>> light = Enum("light", "What it shows.", states=["red", "green"], registry=CollectorRegistry())
        >>> light.state("green")
    """

    _type = "stateset"
    _value = _StateAttribute(0)
    if not TYPE_CHECKING:
        _lock = Inherited()
        _states = Inherited()

    @quick_start
    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        namespace: str = "",
        subsystem: str = "",
        unit: str = "",
        registry: CollectorRegistry | None = REGISTRY,
        _labelvalues: Sequence[str] | None = None,
        states: Sequence[str] | None = None,
    ) -> None:
        if name in labelnames:
            raise ValueError(f"Overlapping labels for Enum metric: {name}")
        if not states:
            raise ValueError(f"No states provided for Enum metric: {name}")
        self._states = states
        super().__init__(name, documentation, labelnames, namespace, subsystem, unit, registry, _labelvalues)
        self._kwargs["states"] = states

    def _type_declaration(self) -> tuple[str, Sequence[float], Sequence[str]]:
        return ("all", (), [str(state) for state in self._states])

    @quick_start
    def _metric_init(self) -> None:
        self._lock = Lock()
        if not self._start_native():
            self._value = 0

    def state(self, state: str) -> None:
        """Sets the state.

        Args:
            state: One of the states.

        Raises:
            ValueError: There is no such state.
        """
        self._raise_if_not_observable()
        self._value = self._states.index(state)

    @overload
    def value(self) -> str: ...
    @overload
    def value(self, *labelvalues: object, **labels: object) -> str | None: ...
    def value(self, *labelvalues: object, **labels: object) -> str | None:
        """Returns the state, counted by all workers where values are shared. Makes no series.

        Args:
            *labelvalues: One value for each label name, in order; none for a metric without labels, or a child.
            **labels: The same by name.

        Returns:
            The value, or `None` where there is no such series.

        Raises:
            ValueError: The metric has other label names, or another number of them.

        Example:
            >>> from forkmeter import CollectorRegistry, Enum
            >>> light = Enum("light", "Light.", states=["red", "green"], registry=CollectorRegistry())
            >>> light.value()
            'red'
        """
        samples = _reading.read(self, labelvalues, labels)
        if samples is None:
            return None
        return next((sample.labels[self._name] for sample in samples if sample.value), None)

    @NativeSamples
    def _child_samples(self) -> Iterable[Sample]:
        current = self._value
        return [
            Sample("", {self._name: state}, 1 if index == current else 0, None, None)
            for index, state in enumerate(self._states)
        ]
