"""The metric types: counters, gauges, summaries, histograms, infos and enums.

The hot methods (`labels`, `inc`, `dec`, `set`, `observe`) are native. They call their `_slow_*` twins here whenever a
metric cannot be used as it is, was given foreign value objects, or belongs to a class that overrides what decides
whether it can be used; the twins check in the official client's order and work with any value object.
"""

from __future__ import annotations

# Names that programs and their tests look up here, as in the official client's module.
import os as os
import time as time
import types as types
import warnings as warnings
from _weakref import getweakrefcount

from .. import values as values
from .._forkmeter import know_plain
from ..context_managers import ExceptionCounter as ExceptionCounter
from ..context_managers import InprogressTracker as InprogressTracker
from ..context_managers import Timer as Timer
from ..metrics_core import Metric as Metric
from ..registry import REGISTRY as REGISTRY
from ..registry import Collector as Collector
from ..registry import CollectorRegistry as CollectorRegistry
from ..samples import Exemplar as Exemplar
from ..samples import Sample as Sample
from ..utils import INF as INF
from ..utils import floatToGoString as floatToGoString
from ..validation import _validate_exemplar as _validate_exemplar
from ..validation import _validate_labelnames as _validate_labelnames
from ..validation import _validate_metric_name as _validate_metric_name
from ._base import MetricWrapperBase
from ._base import _build_full_name as _build_full_name
from ._counter import Counter
from ._enum import Enum
from ._gauge import Gauge
from ._histogram import Histogram
from ._info import Info
from ._summary import Summary

__all__ = (
    "Counter",
    "Enum",
    "Gauge",
    "Histogram",
    "Info",
    "MetricWrapperBase",
    "Summary",
    "disable_created_metrics",
    "enable_created_metrics",
)


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


# Programs know the classes by this name, also from their `repr`; how this package is cut into files is its own affair.
for _class in (MetricWrapperBase, Counter, Gauge, Summary, Histogram, Info, Enum):
    _class.__module__ = __name__
del _class

know_plain(vars(values), vars(time), getweakrefcount, (Counter, Gauge, Summary, Histogram, Info, Enum))
