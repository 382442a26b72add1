"""The directory that workers share, as registries and collectors see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _forkmeter
from .metrics_core import Metric
from .samples import Sample

if TYPE_CHECKING:
    from typing import Any

    from ._forkmeter import NativeFamily

_reported: set[str] = set()


def is_shared() -> bool:
    """Tells whether values are shared in a directory now."""
    return _forkmeter.directory() is not None


def to_metric(family: Metric | NativeFamily) -> Metric:
    """Makes a family in Python's form of one in any form."""
    if isinstance(family, Metric):
        return family
    name, documentation, kind, unit, samples = family.fields()
    metric = Metric(name, documentation, kind, unit)
    metric.samples = [Sample(*sample) for sample in samples]
    return metric


def collect_own() -> list[NativeFamily]:
    """Returns what all workers of this process's directory counted; logs once what could not be read."""
    from . import metrics

    families, errors = _forkmeter.collect_store(metrics._use_created)
    for error in errors:
        if error not in _reported:
            _reported.add(error)
            # Most programs never need it, or import it after all they must start with.
            import logging

            logging.getLogger("forkmeter").warning("%s", error)
    return families


def stands_in_directory(collector: Any) -> bool:
    """Tells whether a collector is a metric whose values are in the directory, and nowhere else."""
    return (
        isinstance(collector, _forkmeter.NativeMetric)
        and collector._is_declared
        and "_child_samples" not in vars(collector)
    )


def is_reader(collector: Any) -> bool:
    """Tells whether a collector is a `MultiProcessCollector`."""
    # On the type: what makes up attributes, such as a mock, has this one too.
    return getattr(type(collector), "_is_reader", False) is True


def is_collector_of_own(collector: Any) -> bool:
    """Tells whether a collector reads this process's directory, so that asking it as well would count twice."""
    from . import multiprocess

    if not isinstance(collector, multiprocess.MultiProcessCollector):
        return False
    own = _forkmeter.directory()
    return own is not None and multiprocess.is_same_directory(own[0], collector._path)
