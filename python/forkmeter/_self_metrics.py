"""What forkmeter says of the directory that workers share, as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _directory, _forkmeter
from .registry import REGISTRY, Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .metrics_core import Metric


class SelfMetricsCollector(Collector):
    """Collects files by state, their size, series, workers live and dead, updates kept in memory, and scrape seconds.

    It registers itself. Where values are not shared in a directory it yields nothing. Every worker has the same answer,
    as of the last time it read the directory: in the default registry, of the scrape that it is part of.

    Args:
        registry: Where to register; `None` for nowhere.

    Note:
        The official client says nothing of itself, so nobody gets these metrics without asking for them.

    Example:
        >>> import forkmeter
        >>> collector = forkmeter.SelfMetricsCollector(registry=forkmeter.CollectorRegistry())
        >>> list(collector.collect())
        []
    """

    _describes_directory = True

    def __init__(self, registry: CollectorRegistry | None = REGISTRY) -> None:
        if registry is not None:
            registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples."""
        return [_directory.to_metric(family) for family in _forkmeter.self_metrics(describe=True)]

    def collect(self) -> Iterable[Metric]:
        """Returns the families as the directory was when it was read last."""
        return [_directory.to_metric(family) for family in _forkmeter.self_metrics()]
