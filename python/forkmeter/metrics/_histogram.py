"""Classic histograms."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, overload

from .._forkmeter import NativeHistogram
from ..registry import REGISTRY
from ..samples import Exemplar, Sample
from ..utils import INF, floatToGoString
from ..validation import _validate_exemplar
from . import _reading
from ._attributes import CreatedAttribute, Inherited, NativeSamples, ValueAttribute, created_samples
from ._base import MetricWrapperBase, quick_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..registry import CollectorRegistry


class _BucketsAttribute(ValueAttribute):
    """The value objects of a histogram's buckets."""

    def _native(self, metric: Any) -> Any:
        # Index 0 is the sum.
        return [metric._native_value(index) for index in range(1, len(metric._upper_bounds) + 1)]


class Histogram(MetricWrapperBase, NativeHistogram):
    """Counts observations by size, in buckets, and adds them up.

    Args:
        name: Name, without namespace and subsystem.
        documentation: Help text.
        labelnames: Names of the labels, in the order in which `labels` takes values.
        namespace: First part of the full name.
        subsystem: Second part of the full name.
        unit: Unit, which becomes the last part of the full name.
        registry: Where to register it; `None` for nowhere.
        buckets: Upper bounds in ascending order; `+Inf` is added where it is missing.

    Raises:
        ValueError: A name or the buckets are not allowed, or the name is registered already.

    Example:
        >>> from forkmeter import CollectorRegistry, Histogram
        >>> waits = Histogram("wait_seconds", "Waits.", buckets=(0.1, 1), registry=CollectorRegistry())
        >>> with waits.time():
        ...     pass
        >>> waits._buckets[0].get()
        1.0
    """

    _type = "histogram"
    _reserved_labelnames = ("le",)
    DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, INF)
    _sum = ValueAttribute(0)
    _buckets = _BucketsAttribute(1)
    _created = CreatedAttribute()
    if not TYPE_CHECKING:
        _upper_bounds = Inherited()

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
        buckets: Sequence[float | str] = DEFAULT_BUCKETS,
    ) -> None:
        self._prepare_buckets(buckets)
        super().__init__(name, documentation, labelnames, namespace, subsystem, unit, registry, _labelvalues)
        self._kwargs["buckets"] = buckets

    def _prepare_buckets(self, source_buckets: Sequence[float | str]) -> None:
        """Checks upper bounds, and keeps them as `_upper_bounds`."""
        bounds = [float(bound) for bound in source_buckets]
        if bounds != sorted(bounds):
            raise ValueError("Buckets not in sorted order")
        if bounds and bounds[-1] != INF:
            bounds.append(INF)
        if len(bounds) < 2:
            raise ValueError("Must have at least two buckets")
        self._upper_bounds = bounds

    def _type_declaration(self) -> tuple[str, Sequence[float], Sequence[str]]:
        return ("all", self._upper_bounds, ())

    @quick_start
    def _metric_init(self) -> None:
        if self._start_native():
            return
        self._created = time.time()
        self._sum = self._new_value("_sum")
        self._buckets = [self._new_value("_bucket", floatToGoString(bound)) for bound in self._upper_bounds]

    def _slow_observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        self._raise_if_not_observable()
        self._sum.inc(amount)
        for bucket, bound in zip(self._buckets, self._upper_bounds):
            if amount <= bound:
                bucket.inc(1)
                if exemplar:
                    _validate_exemplar(exemplar)
                    bucket.set_exemplar(Exemplar(exemplar, amount, time.time()))
                break

    @overload
    def value(self) -> _reading.HistogramValue: ...
    @overload
    def value(self, *labelvalues: object, **labels: object) -> _reading.HistogramValue | None: ...
    def value(self, *labelvalues: object, **labels: object) -> _reading.HistogramValue | None:
        """Returns count, sum and buckets, counted by all workers where values are shared. Makes no series.

        Args:
            *labelvalues: One value for each label name, in order; none for a metric without labels, or a child.
            **labels: The same by name.

        Returns:
            The value, or `None` where there is no such series.

        Raises:
            ValueError: The metric has other label names, or another number of them.

        Example:
            >>> from forkmeter import CollectorRegistry, Histogram
            >>> waits = Histogram("waits", "Waits.", buckets=(1, 5), registry=CollectorRegistry())
            >>> waits.observe(2)
            >>> waits.value()
            HistogramValue(count=1.0, sum=2.0, buckets={1.0: 0.0, 5.0: 1.0, inf: 1.0})
        """
        samples = _reading.read(self, labelvalues, labels)
        if samples is None:
            return None
        values = {sample.name: sample.value for sample in samples}
        buckets = {float(sample.labels["le"]): sample.value for sample in samples if sample.name == "_bucket"}
        return _reading.HistogramValue(values["_count"], values.get("_sum"), buckets)

    @NativeSamples
    def _child_samples(self) -> Iterable[Sample]:
        samples = []
        count = 0.0
        for bucket, bound in zip(self._buckets, self._upper_bounds):
            count += bucket.get()
            labels = {"le": floatToGoString(bound)}
            samples.append(Sample("_bucket", labels, count, None, bucket.get_exemplar()))
        samples.append(Sample("_count", {}, count, None, None))
        if self._upper_bounds[0] >= 0:
            samples.append(Sample("_sum", {}, self._sum.get(), None, None))
        return (*samples, *created_samples(self))
