"""The metric types: counters, gauges, summaries, histograms, infos and enums.

The hot methods (`labels`, `inc`, `dec`, `set`, `observe`) are native. They call their `_slow_*` twins here whenever a
metric cannot be used as it is, was given foreign value objects, or belongs to a class that overrides what decides
whether it can be used; the twins check in the official client's order and work with any value object.
"""

from __future__ import annotations

import os
import time
import types
import warnings
from threading import Lock
from typing import TYPE_CHECKING

from . import _alias, values
from ._forkmeter import (
    NativeCounter,
    NativeGauge,
    NativeHistogram,
    NativeMetric,
    NativeStates,
    NativeSummary,
    directory,
    remove_series,
)
from .context_managers import ExceptionCounter, InprogressTracker, Timer
from .metrics_core import Metric
from .registry import REGISTRY
from .samples import Exemplar, Sample
from .utils import INF, floatToGoString
from .validation import _validate_exemplar, _validate_labelnames, _validate_metric_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Literal, Union

    from typing_extensions import Self

    from .registry import CollectorRegistry

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
    ExceptionTypes = Union[type[BaseException], tuple[type[BaseException], ...]]


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


def _get_use_created() -> bool:
    """Tells what the environment says about `_created` samples."""
    disabled = os.environ.get("PROMETHEUS_DISABLE_CREATED_SERIES", "False")
    return disabled.lower() not in {"true", "1", "t"}


_use_created = _get_use_created()


def disable_created_metrics() -> None:
    """Leaves `_created` samples of counters, histograms and summaries out from now on."""
    global _use_created  # noqa: PLW0603 -- programs assign this name
    _use_created = False


def enable_created_metrics() -> None:
    """Exposes `_created` samples of counters, histograms and summaries from now on."""
    global _use_created  # noqa: PLW0603 -- programs assign this name
    _use_created = True


class _ValueAttribute:
    """A value object of a metric as an attribute: native until somebody assigns another one."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, metric: Any, owner: type | None = None) -> Any:
        if metric is None:
            return self
        try:
            return metric.__dict__[self._name]
        except KeyError:
            return self._native(metric)

    def __set__(self, metric: Any, value: object) -> None:
        metric.__dict__[self._name] = value
        metric._use_foreign_values()

    def __delete__(self, metric: Any) -> None:
        metric.__dict__.pop(self._name, None)

    def _native(self, metric: Any) -> Any:
        return metric._native_value(self._index)


class _BucketsAttribute(_ValueAttribute):
    """The value objects of a histogram's buckets."""

    def _native(self, metric: Any) -> Any:
        # Index 0 is the sum.
        return [metric._native_value(index) for index in range(1, len(metric._upper_bounds) + 1)]


class _StateAttribute(_ValueAttribute):
    """The index of an enum's current state."""

    def __set__(self, metric: Any, value: object) -> None:
        if metric._is_native:
            metric._native_value(0).set(value)
        else:
            metric.__dict__[self._name] = value

    def _native(self, metric: Any) -> int:
        return int(metric._native_value(0).get())


class _CreatedAttribute:
    """When a metric was made, as Unix time in seconds."""

    def __get__(self, metric: Any, owner: type | None = None) -> Any:
        if metric is None:
            return self
        if "_created" in metric.__dict__:
            return metric.__dict__["_created"]
        return metric._native_created

    def __set__(self, metric: Any, value: Any) -> None:
        metric.__dict__["_created"] = value


class _Inherited:
    """An attribute that a native child has no copy of: it looks at the metric it belongs to.

    What an instance has itself comes first. A `__getattr__` would do the same, and slow every method call down.
    """

    def __init__(self) -> None:
        self._name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, metric: Any, owner: type) -> Any:
        origin = None if metric is None else metric._origin
        if origin is None:
            raise AttributeError(f"{owner.__name__!r} object has no attribute {self._name!r}")
        return origin[1] if self._name == "_labelvalues" else getattr(origin[0], self._name)


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
    if not TYPE_CHECKING:
        # Every type is made by the common native base; the native bases of the types only add methods.
        __new__ = NativeMetric.__new__
        _documentation = _Inherited()
        _kwargs = _Inherited()
        _labelnames = _Inherited()
        _labelvalues = _Inherited()
        _name = _Inherited()
        _namespace = _Inherited()
        _original_name = _Inherited()
        _subsystem = _Inherited()
        _unit = _Inherited()

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
        return (str(self._type), self._name, str(self._documentation), self._unit or "", "all", (), ())

    def _start_native(self) -> bool:
        """Gives the metric native values, unless another value class is in place; tells whether it did."""
        if not self._is_to_be_native():
            return False
        values.warn_of_deprecated_variable()
        self._start_series(self._labelnames, self._labelvalues, self._declaration(), time.time())
        return True

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

    def _new_child(self, *labelvalues: object, **labelkwargs: object) -> Self:
        """Checks what `labels` was given, and returns the child, made where there is none."""
        names = self._labelnames
        if not names:
            raise ValueError(f"No label names were set when constructing {self}")
        if self._labelvalues:
            given = dict(zip(names, self._labelvalues))
            raise ValueError(f"{self} already has labels set ({given}); can not chain calls to .labels()")
        if labelvalues and labelkwargs:
            raise ValueError("Can't pass both *args and **kwargs")
        if labelkwargs:
            if sorted(labelkwargs) != sorted(names):
                raise ValueError("Incorrect label names")
            key = tuple([str(labelkwargs[name]) for name in names])
        else:
            if len(labelvalues) != len(names):
                raise ValueError("Incorrect label count")
            key = tuple([str(value) for value in labelvalues])
        children: dict[tuple[str, ...], Self] = self._metrics
        child = children.get(key)
        if child is None:
            # No lock: of two threads that make it at once, one is heard.
            child = children.setdefault(key, self._make_child(key))
        return child

    def _make_child(self, key: tuple[str, ...]) -> Self:
        cls = type(self)
        if cls.__init__ in _OWN_INITS and cls._metric_init in _OWN_STARTS and self._is_to_be_native():
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
        names = self._labelnames
        if not names:
            raise ValueError(f"No label names were set when constructing {self}")
        if len(labelvalues) != len(names):
            raise ValueError(f"Incorrect label count (expected {len(names)}, got {labelvalues})")
        self._remove(tuple([str(value) for value in labelvalues]))

    def _remove(self, key: tuple[str, ...]) -> None:
        self._metrics.pop(key, None)
        if self._is_declared:
            remove_series(self, key)

    def remove_by_labels(self, labels: dict[str, str]) -> None:
        """Removes all children that have these label values, whatever their other labels.

        Args:
            labels: Values by label name; none removes nothing.

        Raises:
            ValueError: The metric has no labels, or not one of these.
            TypeError: `labels` is no dict.
        """
        self._warn_where_removal_is_local("Removal of labels has not been implemented in  multi-process mode yet.")
        names = self._labelnames
        if not names:
            raise ValueError(f"No label names were set when constructing {self}")
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
    _value = _ValueAttribute(0)
    _created = _CreatedAttribute()

    def _metric_init(self) -> None:
        if not self._start_native():
            self._value = values.ValueClass(
                self._type,
                self._name,
                self._name + "_total",
                self._labelnames,
                self._labelvalues,
                self._documentation,
            )
            self._created = time.time()

    def _slow_inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        self._raise_if_not_observable()
        if amount < 0:
            raise ValueError("Counters can only be incremented by non-negative amounts.")
        self._value.inc(amount)
        if exemplar:
            _validate_exemplar(exemplar)
            self._value.set_exemplar(Exemplar(exemplar, amount, time.time()))

    def reset(self) -> None:
        """Sets the counter to zero, for all workers, and its created time to now."""
        if self._is_native:
            self.__dict__.pop("_created", None)
            self._native_reset(time.time())
        else:
            self._value.set(0)
            self._created = time.time()

    def count_exceptions(self, exception: ExceptionTypes = Exception) -> ExceptionCounter:
        """Counts exceptions that leave a `with` block or a decorated function.

        Args:
            exception: The types that count.
        """
        self._raise_if_not_observable()
        return ExceptionCounter(self, exception)

    def _child_samples(self) -> Iterable[Sample]:
        total = Sample("_total", {}, self._value.get(), None, self._value.get_exemplar())
        if _use_created:
            return (total, Sample("_created", {}, self._created, None, None))
        return (total,)


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
    _value = _ValueAttribute(0)
    if not TYPE_CHECKING:
        _is_most_recent = _Inherited()
        _multiprocess_mode = _Inherited()

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
        super().__init__(
            name=name,
            documentation=documentation,
            labelnames=labelnames,
            namespace=namespace,
            subsystem=subsystem,
            unit=unit,
            registry=registry,
            _labelvalues=_labelvalues,
        )
        self._kwargs["multiprocess_mode"] = multiprocess_mode

    def _declaration(self) -> tuple[str, str, str, str, str, Sequence[float], Sequence[str]]:
        kind, name, documentation, unit, _, bounds, states = super()._declaration()
        return (kind, name, documentation, unit, self._multiprocess_mode, bounds, states)

    def _is_to_be_native(self) -> bool:
        # A subclass may have modes of its own, which only its own code understands.
        return super()._is_to_be_native() and self._multiprocess_mode in Gauge._MULTIPROC_MODES

    def _metric_init(self) -> None:
        if not self._start_native():
            self._value = values.ValueClass(
                self._type,
                self._name,
                self._name,
                self._labelnames,
                self._labelvalues,
                self._documentation,
                multiprocess_mode=self._multiprocess_mode,
            )

    def _raise_if_most_recent(self, method: str) -> None:
        if self._is_most_recent:
            raise RuntimeError(f"{method} must not be used with the mostrecent mode")

    def _slow_inc(self, amount: float = 1) -> None:
        self._raise_if_most_recent("inc")
        self._raise_if_not_observable()
        self._value.inc(amount)

    def _slow_dec(self, amount: float = 1) -> None:
        self._raise_if_most_recent("dec")
        self._raise_if_not_observable()
        self._value.inc(-amount)

    def _slow_set(self, value: float) -> None:
        self._raise_if_not_observable()
        if self._is_most_recent:
            self._value.set(float(value), timestamp=time.time())
        else:
            self._value.set(float(value))

    def set_to_current_time(self) -> None:
        """Sets the gauge to the Unix time in seconds."""
        self.set(time.time())

    def track_inprogress(self) -> InprogressTracker:
        """Adds 1 while a `with` block or a decorated function runs."""
        self._raise_if_not_observable()
        return InprogressTracker(self)

    def time(self) -> Timer:
        """Sets the gauge to the seconds that a `with` block or a decorated function took."""
        return Timer(self, "set")

    def set_function(self, f: Callable[[], float]) -> None:
        """Takes the value from a function at every collection; the other methods no longer have an effect.

        Args:
            f: Returns the value. It may be called from any thread.
        """
        self._raise_if_not_observable()

        def samples(_: Gauge) -> Iterable[Sample]:
            return (Sample("", {}, float(f()), None, None),)

        self._child_samples = types.MethodType(samples, self)  # type: ignore[method-assign]

    def _child_samples(self) -> Iterable[Sample]:
        return (Sample("", {}, self._value.get(), None, None),)


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
    _count = _ValueAttribute(0)
    _sum = _ValueAttribute(1)
    _created = _CreatedAttribute()

    def _metric_init(self) -> None:
        if not self._start_native():
            about = (self._labelnames, self._labelvalues, self._documentation)
            self._count = values.ValueClass(self._type, self._name, self._name + "_count", *about)
            self._sum = values.ValueClass(self._type, self._name, self._name + "_sum", *about)
            self._created = time.time()

    def _slow_observe(self, amount: float) -> None:
        self._raise_if_not_observable()
        self._count.inc(1)
        self._sum.inc(amount)

    def time(self) -> Timer:
        """Observes the seconds that a `with` block or a decorated function takes."""
        return Timer(self, "observe")

    def _child_samples(self) -> Iterable[Sample]:
        samples = (
            Sample("_count", {}, self._count.get(), None, None),
            Sample("_sum", {}, self._sum.get(), None, None),
        )
        if _use_created:
            return (*samples, Sample("_created", {}, self._created, None, None))
        return samples


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
    _sum = _ValueAttribute(0)
    _buckets = _BucketsAttribute(1)
    _created = _CreatedAttribute()
    if not TYPE_CHECKING:
        _upper_bounds = _Inherited()

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
        super().__init__(
            name=name,
            documentation=documentation,
            labelnames=labelnames,
            namespace=namespace,
            subsystem=subsystem,
            unit=unit,
            registry=registry,
            _labelvalues=_labelvalues,
        )
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

    def _declaration(self) -> tuple[str, str, str, str, str, Sequence[float], Sequence[str]]:
        kind, name, documentation, unit, mode, _, states = super()._declaration()
        return (kind, name, documentation, unit, mode, self._upper_bounds, states)

    def _metric_init(self) -> None:
        if self._start_native():
            return
        about = (self._type, self._name)
        self._created = time.time()
        self._sum = values.ValueClass(
            *about, self._name + "_sum", self._labelnames, self._labelvalues, self._documentation
        )
        names = (*self._labelnames, "le")
        self._buckets = [
            values.ValueClass(
                *about,
                self._name + "_bucket",
                names,
                (*self._labelvalues, floatToGoString(bound)),
                self._documentation,
            )
            for bound in self._upper_bounds
        ]

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

    def time(self) -> Timer:
        """Observes the seconds that a `with` block or a decorated function takes."""
        return Timer(self, "observe")

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
        if _use_created:
            samples.append(Sample("_created", {}, self._created, None, None))
        return tuple(samples)


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

    def _child_samples(self) -> Iterable[Sample]:
        return (Sample("_info", self._value, 1.0, None, None),)


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
        _lock = _Inherited()
        _states = _Inherited()

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
        super().__init__(
            name=name,
            documentation=documentation,
            labelnames=labelnames,
            namespace=namespace,
            subsystem=subsystem,
            unit=unit,
            registry=registry,
            _labelvalues=_labelvalues,
        )
        self._kwargs["states"] = states

    def _declaration(self) -> tuple[str, str, str, str, str, Sequence[float], Sequence[str]]:
        kind, name, documentation, unit, mode, bounds, _ = super()._declaration()
        return (kind, name, documentation, unit, mode, bounds, [str(state) for state in self._states])

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

    def _child_samples(self) -> Iterable[Sample]:
        current = self._value
        return [
            Sample("", {self._name: state}, 1 if index == current else 0, None, None)
            for index, state in enumerate(self._states)
        ]


_NAME_PARTS = frozenset({"namespace", "subsystem", "unit"})
# Children of classes that start as these do need no call of `__init__`. Infos hold a dict that must be made.
_OWN_INITS = frozenset({MetricWrapperBase.__init__, Gauge.__init__, Histogram.__init__, Enum.__init__})
_OWN_STARTS = frozenset(
    {Counter._metric_init, Gauge._metric_init, Summary._metric_init, Histogram._metric_init, Enum._metric_init}
)
