"""Makes the native recorder of a middleware, and the families that it counts in."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

from .. import registry as _registry
from .._forkmeter import HttpRecorder
from ..metrics import Counter, Gauge, Histogram, Summary
from . import _labels, _names, _trace
from ._report import report

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any, Literal, Union

    from .._forkmeter import AsgiExchange
    from ..metrics import MetricWrapperBase
    from ..registry import CollectorRegistry
    from ._labels import Exchange, Label
    from ._names import Buckets, Family, Names, Quantity

    Labels = Mapping[str, Union[str, Label, Callable[[Exchange], object]]]
    Template = Callable[..., Union[str, None]]
    Exemplars = Union[bool, Callable[[dict[str, Any]], Union[Mapping[str, str], None]]]

_CLASSES: dict[str, type[MetricWrapperBase]] = {
    "counter": Counter,
    "gauge": Gauge,
    "histogram": Histogram,
    "summary": Summary,
}
_KEEP: Any = object()


class Hooks:
    """What the native half asks."""

    def __init__(
        self,
        expect: Template,
        resolve: Template,
        custom: Callable[[Any], list[str]] | None,
        exemplar: Callable[..., Any] | None,
        *,
        asks_always: bool,
        seeks_trace: bool,
    ) -> None:
        self.expect = expect
        self.receive = _receive
        self.resolve = resolve
        self.custom = custom
        self.exemplar = exemplar
        self.report = report
        self.asks_always = asks_always
        self.modules = sys.modules if seeks_trace else None


async def _receive(receive: Callable[[], Any], exchange: AsgiExchange) -> Any:
    message = await receive()
    exchange.see_received(message)
    return message


def make(
    expect: Template,
    resolve: Template,
    *,
    asks_always: bool = False,
    registry: CollectorRegistry | None = None,
    names: str | Names = "forkmeter",
    without: Collection[Quantity] = (),
    status: Literal["code", "class"] | None = None,
    unmatched: str | None = _KEEP,
    duration_buckets: Buckets | None = None,
    size_buckets: Buckets | None = None,
    exclude_paths: Iterable[str] = (),
    exclude_methods: Iterable[str] = (),
    labels: Labels | None = None,
    exemplars: Exemplars = True,
) -> HttpRecorder:
    """Makes a recorder.

    Args:
        expect: Says before a request is answered which route it will take.
        resolve: Says afterwards which it took.
        asks_always: Whether only these know routes.
        registry: Where the families are; the default registry if there is none.
        names: What they are called.
        without: Quantities that are left out.
        status: How a status is written, instead of as the names have it.
        unmatched: The route of requests that no route matches, instead of as the names have it.
        duration_buckets: Upper bounds of all histograms of durations, in seconds.
        size_buckets: Upper bounds of all histograms of sizes, in bytes.
        exclude_paths: Paths that are not measured; one that ends in `*` means all that begin so.
        exclude_methods: Methods that are not measured.
        labels: Further labels: constants, or what computes them.
        exemplars: Whether traces become exemplars, or what returns an exemplar's labels for a scope.

    Raises:
        ValueError: A name or the buckets are not valid, or something else has one of the names.
    """
    chosen = _names.find(names)
    if unmatched is not _KEEP:
        chosen = dataclasses.replace(chosen, unmatched=unmatched)
    constants, computed = _labels.split(labels or {})
    constants = {**chosen.constants, **constants}
    measures = []
    for family in chosen.families:
        if family.quantity in without:
            continue
        buckets = duration_buckets if family.quantity == "duration" else size_buckets
        own = dataclasses.replace(family, buckets=buckets) if buckets is not None else family
        label_names = [chosen.labels.get(part, part) for part in own.labels]
        sources: list[str | int | tuple[str]] = list(own.labels)
        if own.has_custom:
            label_names += constants
            sources += [(value,) for value in constants.values()]
            if own.quantity != "in_progress":
                label_names += computed
                sources += range(len(computed))
        metric = _register(registry or _registry.REGISTRY, own, tuple(label_names))
        measures.append((own.quantity, metric, sources))
    return HttpRecorder(
        measures,
        by_class=(status or chosen.status) == "class",
        unmatched=chosen.unmatched,
        cancelled=chosen.cancelled,
        exclude_methods=list(exclude_methods),
        exclude_paths=list(exclude_paths),
        hooks=Hooks(
            expect,
            resolve,
            _labels.computer(computed.values()) if computed else None,
            exemplars if callable(exemplars) else _trace.exemplar if exemplars else None,
            asks_always=asks_always,
            seeks_trace=exemplars is True,
        ),
    )


def _register(registry: CollectorRegistry, family: Family, label_names: tuple[str, ...]) -> MetricWrapperBase:
    """Registers a family, or returns the one that is there: a middleware is made anew with every stack of them."""
    cls = _CLASSES[family.kind]
    options: dict[str, Any] = {}
    if family.kind == "gauge":
        options["multiprocess_mode"] = "livesum"
    if family.kind == "histogram":
        options["buckets"] = family.buckets
    name = family.name[: -len("_total")] if family.kind == "counter" and family.name.endswith("_total") else family.name
    try:
        return cls(name, family.documentation, label_names, registry=registry, **options)
    except ValueError:
        known = registry._names_to_collectors.get(name)
        if type(known) is not cls or known._labelnames != label_names or known._name != name:
            raise
        if isinstance(known, Histogram) and known._upper_bounds != _upper_bounds(family.buckets):
            raise
        return known


def _upper_bounds(buckets: Buckets) -> list[float]:
    bounds = [float(bound) for bound in buckets]
    return bounds if bounds[-1] == float("inf") else [*bounds, float("inf")]
