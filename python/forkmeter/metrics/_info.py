"""Infos."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, overload

from .._forkmeter import NativeStates
from ..samples import Sample
from . import _reading
from ._base import MetricWrapperBase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Info(MetricWrapperBase, NativeStates):
    """Exposes facts, such as a version, as labels of a sample whose value is 1.

    Note: differs
        In several processes the facts that were set last count, whichever worker set them; the official client has
        none there.

    Example:
        >>> from forkmeter import CollectorRegistry, Info
        >>> build = Info("build", "What is running.", registry=CollectorRegistry())
        >>> build.info({"version": "1.2.3"})
    """

    _type = "info"

    def _metric_init(self) -> None:
        self._labelname_set = set(self._labelnames)
        self._lock = Lock()
        self._value: dict[str, str] = {}
        self._start_native()

    def info(self, val: Mapping[str, str]) -> None:
        """Replaces the facts.

        Args:
            val: Values by name.

        Raises:
            ValueError: A name is one of the metric's labels, or a value is `None`.
        """
        if not set(self._labelnames).isdisjoint(val.keys()):
            raise ValueError(f"Overlapping labels for Info metric, metric: {self._labelnames} child: {val}")
        if any(value is None for value in val.values()):
            raise ValueError("Label value cannot be None")
        self._value = dict(val)
        if self._is_native:
            self._set_facts([(str(name), str(value)) for name, value in val.items()])

    @overload
    def value(self) -> dict[str, str]: ...
    @overload
    def value(self, *labelvalues: object, **labels: object) -> dict[str, str] | None: ...
    def value(self, *labelvalues: object, **labels: object) -> dict[str, str] | None:
        """Returns the facts, counted by all workers where values are shared. Makes no series.

        Args:
            *labelvalues: One value for each label name, in order; none for a metric without labels, or a child.
            **labels: The same by name.

        Returns:
            The value, or `None` where there is no such series.

        Raises:
            ValueError: The metric has other label names, or another number of them.

        Example:
            >>> from forkmeter import CollectorRegistry, Info
            >>> build = Info("build", "Build.", registry=CollectorRegistry())
            >>> build.info({"version": "1.2.3"})
            >>> build.value()
            {'version': '1.2.3'}
        """
        samples = _reading.read(self, labelvalues, labels)
        if samples is None:
            return None
        return {name: value for name, value in samples[0].labels.items() if name not in self._labelnames}

    def _child_samples(self) -> Iterable[Sample]:
        return (Sample("_info", self._value, 1.0, None, None),)
