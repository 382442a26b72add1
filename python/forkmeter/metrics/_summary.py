"""Summaries."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, overload

from .._forkmeter import NativeSummary
from ..samples import Sample
from . import _reading
from ._attributes import CreatedAttribute, NativeSamples, ValueAttribute, created_samples
from ._base import MetricWrapperBase, quick_start

if TYPE_CHECKING:
    from collections.abc import Iterable


class Summary(MetricWrapperBase, NativeSummary):
    """Counts observations and adds them up.

    Example:
        >>> from forkmeter import CollectorRegistry, Summary
        >>> sizes = Summary("upload_bytes", "Sizes of uploads.", registry=CollectorRegistry())
        >>> sizes.observe(512)
        >>> sizes._sum.get()
        512.0
    """

    _type = "summary"
    _reserved_labelnames = ("quantile",)
    _count = ValueAttribute(0)
    _sum = ValueAttribute(1)
    _created = CreatedAttribute()

    @quick_start
    def _metric_init(self) -> None:
        if not self._start_native():
            self._count = self._new_value("_count")
            self._sum = self._new_value("_sum")
            self._created = time.time()

    def _slow_observe(self, amount: float) -> None:
        self._raise_if_not_observable()
        self._count.inc(1)
        self._sum.inc(amount)

    @overload
    def value(self) -> _reading.SummaryValue: ...
    @overload
    def value(self, *labelvalues: object, **labels: object) -> _reading.SummaryValue | None: ...
    def value(self, *labelvalues: object, **labels: object) -> _reading.SummaryValue | None:
        """Returns count and sum, counted by all workers where values are shared. Makes no series.

        Args:
            *labelvalues: One value for each label name, in order; none for a metric without labels, or a child.
            **labels: The same by name.

        Returns:
            The value, or `None` where there is no such series.

        Raises:
            ValueError: The metric has other label names, or another number of them.

        Example:
            >>> from forkmeter import CollectorRegistry, Summary
            >>> sizes = Summary("sizes", "Sizes.", registry=CollectorRegistry())
            >>> sizes.observe(512)
            >>> sizes.value()
            SummaryValue(count=1.0, sum=512.0)
        """
        samples = _reading.read(self, labelvalues, labels)
        if samples is None:
            return None
        values = {sample.name: sample.value for sample in samples}
        return _reading.SummaryValue(values["_count"], values["_sum"])

    @NativeSamples
    def _child_samples(self) -> Iterable[Sample]:
        return (
            Sample("_count", {}, self._count.get(), None, None),
            Sample("_sum", {}, self._sum.get(), None, None),
            *created_samples(self),
        )
