"""Reads values: those of this process, or where they are shared those of all workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._forkmeter import directory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from ..samples import Sample

# What tells the workers of a gauge apart.
_PID = "pid"


class SummaryValue:
    """What a summary counted.

    Attributes:
        count: How many observations.
        sum: Their sum.
    """

    __slots__ = ("count", "sum")
    count: float
    sum: float

    def __init__(self, count: float, sum: float) -> None:  # noqa: A002 -- the sample's name
        self.count = count
        self.sum = sum

    def __eq__(self, other: object) -> bool:
        """Compares both."""
        if not isinstance(other, SummaryValue):
            return NotImplemented
        return (self.count, self.sum) == (other.count, other.sum)

    def __repr__(self) -> str:
        """Writes both."""
        return f"SummaryValue(count={self.count}, sum={self.sum})"


class HistogramValue:
    """What a histogram counted.

    Attributes:
        count: How many observations.
        sum: Their sum; `None` where observations may be negative, since it is not exposed then.
        buckets: How many observations are at most so large, by upper bound.
    """

    __slots__ = ("buckets", "count", "sum")
    count: float
    sum: float | None
    buckets: dict[float, float]

    def __init__(self, count: float, sum: float | None, buckets: dict[float, float]) -> None:  # noqa: A002 -- as above
        self.count = count
        self.sum = sum
        self.buckets = buckets

    def __eq__(self, other: object) -> bool:
        """Compares all."""
        if not isinstance(other, HistogramValue):
            return NotImplemented
        return (self.count, self.sum, self.buckets) == (other.count, other.sum, other.buckets)

    def __repr__(self) -> str:
        """Writes all."""
        return f"HistogramValue(count={self.count}, sum={self.sum}, buckets={self.buckets})"


def read(metric: Any, labelvalues: tuple[object, ...], labels: Mapping[str, object]) -> list[Sample] | None:
    """Returns the samples of one series with suffixes for names, or nothing where there is none; makes none.

    Args:
        metric: The metric, or a child.
        labelvalues: Label values of a metric with labels, in order.
        labels: Label values by name.

    Raises:
        ValueError: There are other label names, another number of values, or values for a child.
    """
    if metric._is_parent():
        key = metric._label_key(labelvalues, labels)
        own = metric._metrics.get(key)
    else:
        if labelvalues or labels:
            raise ValueError(f"{metric} takes no label values")
        key = metric._labelvalues
        own = metric
    if not metric._is_declared or _has_own_samples(own) or directory() is None:
        return None if own is None else list(own._child_samples())
    if getattr(metric, "_multiprocess_mode", "") in {"all", "liveall"}:
        # Each worker has a value of its own.
        return None if own is None else list(own._child_samples())
    wanted = dict(zip(metric._labelnames, key))
    samples = [sample for sample in _shared_samples(metric) if _own_labels(metric, sample) == wanted]
    return [sample._replace(name=sample.name[len(metric._name) :]) for sample in samples] or None


def label_sets(metric: Any) -> list[dict[str, str]]:
    """Returns the labels of all series."""
    if not metric._labelnames:
        return [{}]
    names = metric._labelnames
    if not metric._is_parent():
        return [dict(zip(names, metric._labelvalues))]
    keys = dict.fromkeys(metric._metrics.copy())
    if metric._is_declared and directory() is not None:
        keys = {}
        for sample in _shared_samples(metric):
            keys[tuple(_own_labels(metric, sample).values())] = None
    return [dict(zip(names, key)) for key in keys]


def _has_own_samples(metric: Any) -> bool:
    """Tells whether a function gives the value, which only this process can call."""
    return metric is not None and "_child_samples" in vars(metric)


def _own_labels(metric: Any, sample: Sample) -> dict[str, str]:
    """Returns a sample's labels without those that its type adds."""
    return {name: sample.labels.get(name, "") for name in metric._labelnames}


def _shared_samples(metric: Any) -> list[Sample]:
    from .. import _directory

    for family in _directory.collect_own():
        if family.name == metric._name:
            return _directory.to_metric(family).samples
    return []
