"""Counters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, overload

from .._forkmeter import NativeCounter
from ..samples import Exemplar, Sample
from ..validation import _validate_exemplar
from . import _reading
from ._attributes import CreatedAttribute, NativeSamples, ValueAttribute, created_samples
from ._base import MetricWrapperBase, quick_start

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._forkmeter import _ExceptionTypes
    from ..context_managers import ExceptionCounter


class Counter(MetricWrapperBase, NativeCounter):
    """Counts events or adds up amounts; only goes up.

    Example:
        >>> from forkmeter import CollectorRegistry, Counter
        >>> jobs = Counter("jobs_total", "Jobs that were done.", ["queue"], registry=CollectorRegistry())
        >>> jobs.labels("mail").inc()
        >>> jobs.labels(queue="mail").inc(2)
        >>> jobs.labels("mail")._value.get()
        3.0
    """

    _type = "counter"
    _value = ValueAttribute(0)
    _created = CreatedAttribute()

    @quick_start
    def _metric_init(self) -> None:
        if not self._start_native():
            self._value = self._new_value("_total")
            self._created = time.time()

    def _slow_inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        self._raise_if_not_observable()
        if amount < 0:
            raise ValueError("Counters can only be incremented by non-negative amounts.")
        self._value.inc(amount)
        if exemplar:
            _validate_exemplar(exemplar)
            self._value.set_exemplar(Exemplar(exemplar, amount, time.time()))

    @overload
    def value(self) -> float: ...
    @overload
    def value(self, *labelvalues: object, **labels: object) -> float | None: ...
    def value(self, *labelvalues: object, **labels: object) -> float | None:
        """Returns the total, counted by all workers where values are shared. Makes no series.

        Args:
            *labelvalues: One value for each label name, in order; none for a metric without labels, or a child.
            **labels: The same by name.

        Returns:
            The value, or `None` where there is no such series.

        Raises:
            ValueError: The metric has other label names, or another number of them.

        Example:
            >>> from forkmeter import CollectorRegistry, Counter
            >>> jobs = Counter("jobs", "Jobs.", ["queue"], registry=CollectorRegistry())
            >>> jobs.labels("mail").inc(2)
            >>> jobs.value("mail"), jobs.labels("mail").value(), jobs.value(queue="print")
            (2.0, 2.0, None)
        """
        samples = _reading.read(self, labelvalues, labels)
        return None if samples is None else samples[0].value

    def reset(self) -> None:
        """Sets the counter to zero, for all workers, and its created time to now."""
        if self._is_native:
            self.__dict__.pop("_created", None)
            self._native_reset(time.time())
        else:
            self._value.set(0)
            self._created = time.time()

    def count_exceptions(self, exception: _ExceptionTypes = Exception) -> ExceptionCounter:
        """Counts exceptions that leave a `with` block or a decorated function.

        Args:
            exception: The types that count.

        Raises:
            ValueError: The metric lacks label values.
        """
        return self._count_exceptions(exception)

    @NativeSamples
    def _child_samples(self) -> Iterable[Sample]:
        total = Sample("_total", {}, self._value.get(), None, self._value.get_exemplar())
        return (total, *created_samples(self))
