"""Statistics of Python's garbage collector as metrics."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from .metrics_core import CounterMetricFamily, Metric
from .registry import REGISTRY, Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable

_FAMILIES = (
    ("collected", "python_gc_objects_collected", "Objects collected during gc"),
    ("uncollectable", "python_gc_objects_uncollectable", "Uncollectable objects found during GC"),
    ("collections", "python_gc_collections", "Number of times this generation was collected"),
)


class GCCollector(Collector):
    """Collects what the garbage collector counts, by generation. It registers itself, on CPython only.

    Args:
        registry: Where to register.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        if sys.implementation.name == "cpython" and hasattr(gc, "get_stats"):
            registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Returns three counters, each with the label `generation`."""
        generations = gc.get_stats()
        families = []
        for key, name, documentation in _FAMILIES:
            family = CounterMetricFamily(name, documentation, labels=["generation"])
            for generation, statistics in enumerate(generations):
                family.add_metric([str(generation)], value=statistics[key])
            families.append(family)
        return families


GC_COLLECTOR = GCCollector()
"""The collector in the default registry."""
