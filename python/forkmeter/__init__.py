"""Prometheus metrics for programs that run as many processes: a drop-in for `prometheus_client`.

What most programs never use, such as the servers, is imported when it is first asked for. PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

from ._alias import install_as_prometheus_client
from ._forkmeter import __version__
from .gc_collector import GC_COLLECTOR, GCCollector
from .metrics import (
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    Summary,
    disable_created_metrics,
    enable_created_metrics,
)
from .metrics_core import Metric
from .platform_collector import PLATFORM_COLLECTOR, PlatformCollector
from .process_collector import PROCESS_COLLECTOR, ProcessCollector
from .registry import REGISTRY, CollectorRegistry

if TYPE_CHECKING:
    from . import asgi as asgi
    from . import core as core
    from . import exposition as exposition
    from . import multiprocess as multiprocess
    from . import openmetrics as openmetrics
    from . import parser as parser
    from ._configure import Status, Worker, configure, status
    from ._self_metrics import SelfMetricsCollector
    from .exposition import (
        CONTENT_TYPE_LATEST,
        CONTENT_TYPE_PLAIN_0_0_4,
        CONTENT_TYPE_PLAIN_1_0_0,
        MetricsHandler,
        delete_from_gateway,
        generate_latest,
        instance_ip_grouping_key,
        make_asgi_app,
        make_wsgi_app,
        push_to_gateway,
        pushadd_to_gateway,
        start_http_server,
        start_wsgi_server,
        write_to_textfile,
    )

__all__ = (
    "CONTENT_TYPE_LATEST",
    "CONTENT_TYPE_PLAIN_0_0_4",
    "CONTENT_TYPE_PLAIN_1_0_0",
    "GC_COLLECTOR",
    "PLATFORM_COLLECTOR",
    "PROCESS_COLLECTOR",
    "REGISTRY",
    "CollectorRegistry",
    "Counter",
    "Enum",
    "GCCollector",
    "Gauge",
    "Histogram",
    "Info",
    "Metric",
    "MetricsHandler",
    "PlatformCollector",
    "ProcessCollector",
    "SelfMetricsCollector",
    "Status",
    "Summary",
    "Worker",
    "__version__",
    "configure",
    "delete_from_gateway",
    "disable_created_metrics",
    "enable_created_metrics",
    "generate_latest",
    "install_as_prometheus_client",
    "instance_ip_grouping_key",
    "make_asgi_app",
    "make_wsgi_app",
    "push_to_gateway",
    "pushadd_to_gateway",
    "start_http_server",
    "start_wsgi_server",
    "status",
    "write_to_textfile",
)

_OF_EXPOSITION = frozenset(
    {
        "CONTENT_TYPE_LATEST",
        "CONTENT_TYPE_PLAIN_0_0_4",
        "CONTENT_TYPE_PLAIN_1_0_0",
        "MetricsHandler",
        "delete_from_gateway",
        "generate_latest",
        "instance_ip_grouping_key",
        "make_asgi_app",
        "make_wsgi_app",
        "push_to_gateway",
        "pushadd_to_gateway",
        "start_http_server",
        "start_wsgi_server",
        "write_to_textfile",
    }
)
_OF_CONFIGURE = frozenset({"Status", "Worker", "configure", "status"})
# What the official client has loaded once it is imported.
_SUBMODULES = frozenset({"asgi", "exposition", "openmetrics"})
# What it has not; programs reach for these as attributes all the same, after some other import of them.
_MORE_SUBMODULES = frozenset({"core", "multiprocess", "parser"})


# Under pytest, where its plugin is at work.
_pytest_plugin = sys.modules.get("pytest_forkmeter")
if _pytest_plugin is not None:
    _pytest_plugin.forkmeter_is_imported()


if not TYPE_CHECKING:
    # Type checkers know the names from above, and that there are no others.
    def __getattr__(name: str) -> object:
        """Imports what is asked for late."""
        if name in _OF_EXPOSITION:
            value = getattr(importlib.import_module(".exposition", __name__), name)
            globals()[name] = value
            return value
        if name in _OF_CONFIGURE:
            value = getattr(importlib.import_module("._configure", __name__), name)
            globals()[name] = value
            return value
        if name == "SelfMetricsCollector":
            value = importlib.import_module("._self_metrics", __name__).SelfMetricsCollector
            globals()[name] = value
            return value
        if name in _SUBMODULES or name in _MORE_SUBMODULES:
            return importlib.import_module(f".{name}", __name__)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(
        {*globals(), *_OF_EXPOSITION, *_OF_CONFIGURE, "SelfMetricsCollector", *_SUBMODULES, *_MORE_SUBMODULES}
    )
