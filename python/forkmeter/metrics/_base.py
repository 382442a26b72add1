"""What all metric types have in common."""

from __future__ import annotations

import time
import warnings
from threading import Lock
from typing import TYPE_CHECKING, cast

# As a module: programs replace `values.ValueClass`.
from .. import _alias, _bounds, metrics, values
from .._forkmeter import NativeMetric, directory, native_family, remove_series
from ..metrics_core import Metric
from ..registry import REGISTRY
from ..samples import Sample
from ..validation import _validate_labelnames, _validate_metric_name
from . import _reading
from ._attributes import Inherited, NativeSamples
from ._children import Children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, TypeVar

    from typing_extensions import Self

    from .._forkmeter import NativeFamily
    from ..registry import CollectorRegistry

    F = TypeVar("F", bound=Callable[..., Any])

_KEEP = _bounds.KEEP
_NAME_PARTS = frozenset({"namespace", "subsystem", "unit"})


def _build_full_name(metric_type: str | None, name: str, namespace: str, subsystem: str, unit: str) -> str:
    """Puts a family's name together.

    Args:
        metric_type: The type; a counter's `_total` is taken off, since it belongs to the sample.
        name: The name as it was given.
        namespace: First part of the name, if any.
        subsystem: Second part of the name, if any.
        unit: Last part of the name, unless the name ends in it.

    Returns:
        The parts, joined by underscores.

    Raises:
        ValueError: There is no name, or a unit for a type without values.
    """
    if not name:
        raise ValueError("Metric name should not be empty")
    full_name = "_".join(part for part in (namespace, subsystem, name) if part)
    if metric_type == "counter" and full_name.endswith("_total"):
        full_name = full_name[: -len("_total")]
    if not unit:
        return full_name
    if not full_name.endswith(f"_{unit}"):
        full_name = f"{full_name}_{unit}"
    if metric_type in {"info", "stateset"}:
        raise ValueError("Metric name is of a type that cannot have a unit: " + full_name)
    return full_name


_quick_starts: set[object] = set()
# What a program may replace in one metric alone.
_OWN_EXPOSITION = frozenset({"_child_samples", "_get_metric", "_multi_samples", "_samples", "collect"})


def quick_start(method: F) -> F:
    """Marks an `__init__` or a `_metric_init` that a native child can do without.

    Children of classes whose methods are all marked are set up by the native half alone.
    """
    _quick_starts.add(method)
    return method


class MetricWrapperBase(NativeMetric):
    """What all metric types have in common.

    Args:
        name: Name, without namespace and subsystem.
        documentation: Help text.
        labelnames: Names of the labels, in the order in which `labels` takes values.
        namespace: First part of the full name.
        subsystem: Second part of the full name.
        unit: Unit, which becomes the last part of the full name.
        registry: Where to register it; `None` for nowhere.

    Raises:
        ValueError: A name is not allowed, or registered already (`DuplicateTimeseries`).
    """

    _type: str | None = None
    _reserved_labelnames: Sequence[str] = ()
    _bounds = _bounds.Bounds()
    if not TYPE_CHECKING:
        # Every type is made by the common native base; the native bases of the types only add methods.
        __new__ = NativeMetric.__new__
        _documentation = Inherited()
        _kwargs = Inherited()
        _labelnames = Inherited()
        _labelvalues = Inherited()
        _name = Inherited()
        _namespace = Inherited()
        _original_name = Inherited()
        _subsystem = Inherited()
        _unit = Inherited()

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
    ) -> None:
        self._original_name = name
        self._namespace = namespace
        self._subsystem = subsystem
        self._name = _build_full_name(self._type, name, namespace, subsystem, unit)
        self._labelnames = _validate_labelnames(self, labelnames)
        self._labelvalues: tuple[str, ...] = tuple(_labelvalues or ())
        self._kwargs: dict[str, Any] = {}
        self._documentation = documentation
        self._unit = unit
        _validate_metric_name(self._name)

        cls = type(self)
        if (
            cls._is_observable is not MetricWrapperBase._is_observable
            or cls._raise_if_not_observable is not MetricWrapperBase._raise_if_not_observable
        ):
            self._use_foreign_values()
        if self._is_parent():
            _bounds.report_problems()
            self._lock = Lock()
            self._start_parent(self._labelnames, self._declaration() if self._is_to_be_native() else None)
        if self._is_observable():
            self._metric_init()
        if not self._labelvalues and registry:
            registry.register(self)

    def __str__(self) -> str:
        """Writes type and name."""
        return f"{self._type}:{self._name}"

    def __repr__(self) -> str:
        """Writes class and name."""
        cls = type(self)
        return f"{_alias.public_name(cls.__module__)}.{cls.__name__}({self._name})"

    def _is_to_be_native(self) -> bool:
        """Tells whether nobody put another value class in place."""
        return self._type is not None and values.ValueClass is values.NativeValueClass

    def _declaration(self) -> tuple[str, str, str, str, str, Sequence[float], Sequence[str]]:
        """Says what the native half needs to know of the family."""
        about = (str(self._type), self._name, str(self._documentation), self._unit or "")
        return (*about, *self._type_declaration())

    def _type_declaration(self) -> tuple[str, Sequence[float], Sequence[str]]:
        """Says what only some types have: multiprocess mode, upper bounds, states."""
        return ("all", (), ())

    def _start_native(self) -> bool:
        """Gives the metric native values, unless another value class is in place; tells whether it did."""
        if not self._is_to_be_native():
            return False
        values.warn_of_deprecated_variable()
        self._start_series(self._labelnames, self._labelvalues, self._declaration(), time.time())
        return True

    def _new_value(self, suffix: str = "", bucket: str | None = None, **kwargs: Any) -> Any:
        """Makes a value object of the class that is in place.

        Args:
            suffix: What the sample's name has after the family's.
            bucket: The sample's `le` label, if it has one.
            **kwargs: What the class takes beyond what all take.
        """
        names: Sequence[str] = self._labelnames
        label_values: Sequence[str] = self._labelvalues
        if bucket is not None:
            names = (*names, "le")
            label_values = (*label_values, bucket)
        return values.ValueClass(
            self._type, self._name, self._name + suffix, names, label_values, self._documentation, **kwargs
        )

    def _is_observable(self) -> bool:
        """Tells whether it has values itself: it has no labels, or values for them."""
        return not self._labelnames or bool(self._labelvalues)

    def _raise_if_not_observable(self) -> None:
        if not self._is_observable():
            raise ValueError(f"{self._type!s} metric is missing label values")

    def _is_parent(self) -> bool:
        """Tells whether it has children instead of values."""
        return bool(self._labelnames) and not self._labelvalues

    def _get_metric(self) -> Metric:
        return Metric(self._name, self._documentation, str(self._type), self._unit)

    def describe(self) -> Iterable[Metric]:
        """Returns the family without samples."""
        return [self._get_metric()]

    def collect(self) -> Iterable[Metric]:
        """Returns the family with its samples."""
        family = self._get_metric()
        name = self._name
        for suffix, labels, value, timestamp, exemplar, native_histogram in self._samples():
            family.add_sample(name + suffix, labels, value, timestamp, exemplar, native_histogram)
        return [family]

    def _native_families(self) -> list[NativeFamily] | None:
        """Returns the family in its native form, unless somebody decides how it or its samples are made."""
        cls = type(self)
        if (
            type(cls._child_samples) is not NativeSamples
            or cls.collect is not MetricWrapperBase.collect
            or cls._samples is not MetricWrapperBase._samples
            or cls._multi_samples is not MetricWrapperBase._multi_samples
            or cls._get_metric is not MetricWrapperBase._get_metric
            or not _OWN_EXPOSITION.isdisjoint(vars(self))
            or not isinstance(self._documentation, str)
        ):
            return None
        family = native_family(self, self._name, self._documentation, self._unit or "", metrics._use_created)
        return None if family is None else [family]

    def _require_labelnames(self) -> tuple[str, ...]:
        if not self._labelnames:
            raise ValueError(f"No label names were set when constructing {self}")
        return self._labelnames

    def _new_child(self, *labelvalues: object, **labelkwargs: object) -> Self:
        """Checks what `labels` was given, and returns the child, made where there is none."""
        names = self._require_labelnames()
        if self._labelvalues:
            given = dict(zip(names, self._labelvalues))
            raise ValueError(f"{self} already has labels set ({given}); can not chain calls to .labels()")
        key = self._label_key(labelvalues, labelkwargs)
        children = self._metrics
        child = children.get(key)
        limit = None if child is not None else self._bounds.limit()
        if limit is not None:
            key = _bounds.key_with_room(self, key, limit)
            child = children.get(key)
        if child is None:
            # No lock: of two threads that make it at once, one is heard.
            child = children.setdefault(key, self._make_child(key))
        return cast("Self", child)

    @property
    def _metrics(self) -> Children:
        """The children by their label values."""
        if not self._is_parent():
            raise AttributeError("_metrics")
        return Children(self)

    @_metrics.setter
    def _metrics(self, children: Mapping[tuple[str, ...], Any]) -> None:
        given = dict(children)
        own = self._metrics
        for key in own:
            if own.get(key) is not given.get(key):
                self._forget_child(key)
        own.update(given)

    def _label_key(self, labelvalues: Sequence[object], labelkwargs: Mapping[str, object]) -> tuple[str, ...]:
        """Checks label values of either form, and returns them in order, as text."""
        names = self._labelnames
        if labelvalues and labelkwargs:
            raise ValueError("Can't pass both *args and **kwargs")
        if labelkwargs:
            if sorted(labelkwargs) != sorted(names):
                raise ValueError("Incorrect label names")
            return tuple([str(labelkwargs[name]) for name in names])
        if len(labelvalues) != len(names):
            raise ValueError("Incorrect label count")
        return tuple([str(value) for value in labelvalues])

    def bound_series(self, *, max_series: int | None = _KEEP, idle_seconds: float | None = _KEEP) -> Self:
        """Limits how many series the metric has, and how long they stay when nobody counts in them.

        What has no room is counted in one series more, whose labels all have the value `__overflow__`, and
        `forkmeter_series_overflows_total` in the default registry says for each metric how often. Series that are there
        count on; removed ones make room. Where values are shared, the limit is on the series of all workers together
        (workers that make some at the same time may go over it by an eighth and one each), and of gauges on each
        worker's own.

        An idle series is one whose values stay what they are. The first scrape that finds it so for long enough, at its
        third look at the earliest, removes it for all workers. It stays while the program holds its child, as in
        `child = metric.labels(...)`, in the worker that answers the scrape. Counted in again, it starts from zero. The
        series for what has no room stays.

        Args:
            max_series: The limit; `None` for none. Left out, it is that of `forkmeter.configure`.
            idle_seconds: How long an idle series stays; `None` for ever. Left out, it is that of `forkmeter.configure`.

        Returns:
            The metric.

        Raises:
            ValueError: The metric has no labels, or a bound is negative.

        Example:
            >>> from forkmeter import CollectorRegistry, Counter
            >>> visits = Counter("visits", "Visits.", ["page"], registry=CollectorRegistry()).bound_series(max_series=1)
            >>> visits.labels("/").inc()
            >>> visits.labels("/?id=1").inc()
            >>> visits.label_sets()
            [{'page': '/'}, {'page': '__overflow__'}]
        """
        self._require_labelnames()
        self._bounds = _bounds.Bounds(max_series, idle_seconds)
        self._bound_children(None if max_series is _KEEP else max_series is not None)
        return self

    def label_sets(self) -> list[dict[str, str]]:
        """Returns the labels of all series: those of all workers, where values are shared.

        Returns:
            One dict per series; of a metric without labels an empty one.

        Example:
            >>> from forkmeter import CollectorRegistry, Counter
            >>> jobs = Counter("jobs", "Jobs.", ["queue"], registry=CollectorRegistry())
            >>> jobs.labels("mail").inc()
            >>> jobs.label_sets()
            [{'queue': 'mail'}]
        """
        return _reading.label_sets(self)

    def _make_child(self, key: tuple[str, ...]) -> Self:
        cls = type(self)
        if cls.__init__ in _quick_starts and cls._metric_init in _quick_starts and self._is_to_be_native():
            child = cls.__new__(cls)
            if child._start_child(self, key, time.time()):
                return child
        kwargs = {name: value for name, value in self._kwargs.items() if name not in _NAME_PARTS}
        return cls(
            getattr(self, "_original_name", self._name),
            documentation=self._documentation,
            labelnames=self._labelnames,
            namespace=getattr(self, "_namespace", ""),
            subsystem=getattr(self, "_subsystem", ""),
            unit=getattr(self, "_unit", ""),
            _labelvalues=key,
            **kwargs,
        )

    def _warn_where_removal_is_local(self, warning: str) -> None:
        if not self._is_declared and directory() is not None:
            warnings.warn(warning, UserWarning, stacklevel=3)

    def remove(self, *labelvalues: Any) -> None:
        """Removes the child with these label values, in every worker.

        Args:
            *labelvalues: One value for each label name, in order.

        Raises:
            ValueError: The metric has no labels, or another number of them.
        """
        self._warn_where_removal_is_local("Removal of labels has not been implemented in  multi-process mode yet.")
        names = self._require_labelnames()
        if len(labelvalues) != len(names):
            raise ValueError(f"Incorrect label count (expected {len(names)}, got {labelvalues})")
        self._remove(tuple([str(value) for value in labelvalues]))

    def _remove(self, key: tuple[str, ...]) -> None:
        # First: who asks for the child meanwhile gets the old one, and not one of what is being removed.
        if self._is_declared:
            remove_series(self, key)
        self._forget_removed_child(key)

    def remove_by_labels(self, labels: dict[str, str]) -> None:
        """Removes all children that have these label values, whatever their other labels.

        Args:
            labels: Values by label name; none removes nothing.

        Raises:
            ValueError: The metric has no labels, or not one of these.
            TypeError: `labels` is no dict.
        """
        self._warn_where_removal_is_local("Removal of labels has not been implemented in  multi-process mode yet.")
        names = self._require_labelnames()
        if not isinstance(labels, dict):
            raise TypeError("labels must be a dict of {label_name: label_value}")
        unknown = [name for name in labels if name not in names]
        if unknown:
            raise ValueError(f"Unknown label names: {unknown}; expected {names}")
        wanted = [(names.index(name), str(value)) for name, value in labels.items()]
        if not wanted:
            return
        for key in list(self._metrics):
            if all(key[index] == value for index, value in wanted):
                self._remove(key)

    def clear(self) -> None:
        """Removes all children, in every worker; does nothing for a metric without labels."""
        if not self._labelnames:
            return
        self._warn_where_removal_is_local("Clearing labels has not been implemented in multi-process mode yet")
        for key in list(self._metrics):
            self._remove(key)

    def _samples(self) -> Iterable[Sample]:
        return self._multi_samples() if self._is_parent() else self._child_samples()

    def _multi_samples(self) -> Iterable[Sample]:
        names = self._labelnames
        for key, child in self._metrics.copy().items():
            own = dict(zip(names, key))
            for suffix, labels, value, timestamp, exemplar, native_histogram in child._samples():
                yield Sample(suffix, {**own, **labels}, value, timestamp, exemplar, native_histogram)

    def _child_samples(self) -> Iterable[Sample]:
        raise NotImplementedError(f"_child_samples() must be implemented by {self!r}")

    def _metric_init(self) -> None:
        """Makes the values; called once a metric has values for its labels, or needs none."""
        raise NotImplementedError(f"_metric_init() must be implemented by {self!r}")
