"""Attributes of metrics whose values live in the native half, or in the metric that a child belongs to."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

# As a module, in the middle of its import: programs assign `metrics._use_created`.
from .. import metrics
from ..samples import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class ValueAttribute:
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


class NativeSamples:
    """A `_child_samples` that returns what the native half would make of the native values.

    The native half notices when somebody gives one metric another one.
    """

    def __init__(self, method: Callable[[Any], Iterable[Sample]]) -> None:
        self._method = method

    def __get__(self, metric: Any, owner: type | None = None) -> Any:
        if metric is None:
            return self
        return metric.__dict__.get("_child_samples") or MethodType(self._method, metric)

    def __set__(self, metric: Any, value: object) -> None:
        metric.__dict__["_child_samples"] = value
        metric._use_own_samples()

    def __delete__(self, metric: Any) -> None:
        metric.__dict__.pop("_child_samples", None)

    def __call__(self, metric: Any) -> Iterable[Sample]:
        return self._method(metric)


class CreatedAttribute:
    """When a metric was made, as Unix time in seconds."""

    def __get__(self, metric: Any, owner: type | None = None) -> Any:
        if metric is None:
            return self
        if "_created" in metric.__dict__:
            return metric.__dict__["_created"]
        return metric._native_created

    def __set__(self, metric: Any, value: Any) -> None:
        metric.__dict__["_created"] = value
        metric._use_own_samples()


def created_samples(metric: Any) -> tuple[Sample, ...]:
    """Returns the sample of a metric's created time, unless those are switched off."""
    if not metrics._use_created:
        return ()
    return (Sample("_created", {}, metric._created, None, None),)


class Inherited:
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
