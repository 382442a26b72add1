"""Every public method of the package as a call without arguments: what the safety tests hammer.

Runs in programs of their own; a directory in `PROMETHEUS_MULTIPROC_DIR` decides their mode.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import tempfile
from typing import TYPE_CHECKING, Any

import forkmeter
from forkmeter import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    Summary,
    asgi,
    context_managers,
    exposition,
    gc_collector,
    metrics,
    multiprocess,
    platform_collector,
    process_collector,
    registry,
    values,
)
from forkmeter.bridge import graphite
from forkmeter.multiprocess import MultiProcessCollector, mark_process_dead
from forkmeter.openmetrics import exposition as openmetrics
from forkmeter.registry import DuplicateTimeseries

if TYPE_CHECKING:
    from collections.abc import Callable

    Operation = Callable[[], object]

DIRECTORY = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
LABEL_VALUES = 5
# How long a conversion takes that other threads, signals and the collector may come into.
BYTECODES = 8

# Public, and not among the operations; each with its reason.
EXEMPT = {
    "Collector.collect": "a protocol",
    "DuplicateTimeseries.add_note": "an exception's",
    "DuplicateTimeseries.with_traceback": "an exception's",
    "GraphiteBridge.push": "collects as a registry does, and writes to a socket",
    "GraphiteBridge.start": "a thread that calls push",
    "MutexValue.set_exemplar": "under the same lock as inc",
    "MutexValue.get_exemplar": "under the same lock as get",
    "choose_encoder": "a function of its argument",
    "close_all_multiprocess_files": "ends the use of files by values, which would fail the others",
    "escape_label_name": "a function of its argument",
    "escape_metric_name": "a function of its argument",
    "families_to_write": "the first half of generate_latest",
    "get_value_class": "chooses between classes that are called",
    "install_as_prometheus_client": "changes what imports find, before anything is counted",
    "is_same_directory": "a function of its arguments",
    "start_http_server": "a thread that calls make_wsgi_app's application",
    "start_wsgi_server": "as start_http_server",
    "warn_of_deprecated_variable": "called whenever a metric is made",
}

_MODULES = (
    metrics,
    context_managers,
    registry,
    process_collector,
    platform_collector,
    gc_collector,
    multiprocess,
    values,
    exposition,
    openmetrics,
    graphite,
    asgi,
)


def surface() -> set[str]:
    """Returns the names of all public functions, and of all methods under the class that brings them."""
    found = {name for name in forkmeter.__all__ if inspect.isroutine(getattr(forkmeter, name))}
    for module in _MODULES:
        for name, item in vars(module).items():
            if name.startswith("_") or getattr(item, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(item):
                methods = [method for method in dir(item) if not method.startswith("_")]
                found.update(_owner(item, method) for method in methods if callable(getattr(item, method, None)))
            elif inspect.isroutine(item):
                found.add(name)
    # The module function of OpenMetrics has the name of the other one.
    return found | {"openmetrics.generate_latest"}


def _owner(cls: type, method: str) -> str:
    owner = next(base for base in cls.__mro__ if method in base.__dict__)
    if issubclass(cls, BaseException):
        return f"{cls.__name__}.{method}"
    name = "MetricWrapperBase" if owner.__name__ == "NativeMetric" else owner.__name__.replace("Native", "")
    return f"{name}.{method}"


class Amount:
    """Is a number whose conversion runs Python code: inside the native method that it is passed to."""

    def __float__(self) -> float:
        """Takes its time."""
        for _ in range(BYTECODES):
            pass
        return 1.0


class LabelValue:
    """Is a label value whose conversion runs Python code."""

    def __init__(self, text: str) -> None:
        """Remembers the text."""
        self._text = text

    def __str__(self) -> str:
        """Takes its time."""
        for _ in range(BYTECODES):
            pass
        return self._text


def in_turn(*operations: Operation) -> Operation:
    """Returns one call that makes the given ones, one after the other."""

    def run() -> None:
        for operation in operations:
            operation()

    return run


class Subjects:
    """One metric of each type, and each public method as a call without arguments."""

    def __init__(self) -> None:
        """Makes the metrics in the default registry."""
        for collector in (forkmeter.PROCESS_COLLECTOR, forkmeter.PLATFORM_COLLECTOR, forkmeter.GC_COLLECTOR):
            # They are called by themselves; every collection takes half as long without them.
            forkmeter.REGISTRY.unregister(collector)
        self.counter = Counter("plain", "A counter.")
        self.counters = Counter("labelled", "Counters.", ["name"])
        self.gauge = Gauge("level", "A gauge.", multiprocess_mode="livesum")
        self.gauges = Gauge("levels", "Gauges.", ["name"], multiprocess_mode="max")
        self.recent = Gauge("recent", "A gauge.", multiprocess_mode="mostrecent")
        self.asked = Gauge("asked", "A gauge that asks a function.")
        self.summary = Summary("sizes", "A summary.", ["name"])
        self.histogram = Histogram("waits", "A histogram.", ["name"], buckets=(0.1, 1, 10))
        self.info = Info("about", "An info.")
        self.state = Enum("light", "A state.", states=["red", "green"])
        self.registry = CollectorRegistry()
        self.forks = Counter("forks", "Counted by whoever interrupts the others.")
        about = ("value", "value", ("name",), ("x",), "A value object.")
        self.mutex_value = values.MutexValue("counter", *about)
        # Named by hand: otherwise each child of a fork would leave files of its own.
        self.file_values = values.MultiProcessValue(lambda: "named")
        self.file_value = self.file_values("counter", *about) if DIRECTORY else None
        self._folder = tempfile.gettempdir()
        self._turn = 0

    def _name(self) -> str:
        self._turn += 1
        return str(self._turn % LABEL_VALUES)

    def _use_labels(self) -> None:
        name = LabelValue(self._name())
        if self._turn % LABEL_VALUES == 0:
            # So that the store is asked for them again.
            self.counters._metrics.clear()  # noqa: SLF001 -- dependents do this
            self.gauges._metrics.clear()  # noqa: SLF001 -- as above
        self.counters.labels(name=name).inc()
        self.gauges.labels(name).inc()

    def _fail(self) -> None:
        try:
            with self.counter.count_exceptions():
                raise LookupError  # noqa: TRY301 -- it is counted
        except LookupError:
            pass

    def _time_labelled(self) -> None:
        with self.histogram.time() as timer:
            timer.labels(self._name())

    def _register(self, name: str) -> None:
        try:
            metric = Gauge(name, "Comes and goes.", registry=self.registry)
        except DuplicateTimeseries:
            # Somebody else is in the middle of this.
            return
        metric.set(1)
        self.registry.unregister(metric)

    def register(self) -> None:
        """Registers a metric and takes it out again."""
        self._register("passing")

    def _collect_workers(self) -> None:
        own = CollectorRegistry()
        MultiProcessCollector(own)
        exposition.generate_latest(own)

    def _merge_files(self) -> None:
        assert DIRECTORY
        files = [os.path.join(DIRECTORY, name) for name in ("counter.db", "counter_named.db")]  # noqa: PTH118 -- short
        MultiProcessCollector.merge([file for file in files if os.path.exists(file)])  # noqa: PTH110 -- as above

    def _push(self, push: Callable[..., None]) -> None:
        def handler(**_: object) -> Operation:
            return lambda: None

        push("gateway", "job", registry=forkmeter.REGISTRY, handler=handler)

    def _delete(self) -> None:
        forkmeter.delete_from_gateway("gateway", "job", handler=lambda **_: lambda: None)

    def _answer_asgi(self) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(_: object) -> None:
            pass

        app: Any = forkmeter.make_asgi_app()
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(app({"type": "http", "method": "GET"}, receive, send))
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()

    def _answer_wsgi(self) -> None:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "wsgi.input": io.BytesIO()}
        forkmeter.make_wsgi_app()(environ, lambda *_: None)

    def _write_file(self) -> None:
        path = os.path.join(self._folder, f"safety-{os.getpid()}.prom")  # noqa: PTH118 -- short
        forkmeter.write_to_textfile(path, forkmeter.REGISTRY)
        os.remove(path)  # noqa: PTH107 -- as above

    def _move(self) -> None:
        assert self.other_directory
        forkmeter.configure(self.other_directory)
        self.counters.labels(self._name()).inc()
        forkmeter.configure(None)

    other_directory: str | None = None

    def operations(self) -> dict[str, Operation]:
        """Returns the calls by the names that `surface` has; more words behind a name make it another way to call."""
        found = {**self._recording(), **self._managing()}
        if self.file_value is not None:
            found["MultiProcessValue"] = in_turn(*_uses_of(self.file_value))
            found["mark_process_dead"] = lambda: mark_process_dead(0)
            found["MultiProcessCollector.merge"] = self._merge_files
        if self.other_directory:
            found["configure"] = self._move
        # Last, so that who takes a part of all has the quick ones or the slow ones.
        found.update(self._collecting())
        if self.file_value is not None:
            found["MultiProcessCollector.collect"] = self._collect_workers
            found["MultiProcessCollector.describe"] = self._collect_workers
        return found

    def _recording(self) -> dict[str, Operation]:
        exemplar = {"trace": "1"}
        return {
            "Counter.inc": lambda: self.counter.inc(Amount()),  # type: ignore[arg-type]
            "Counter.inc with an exemplar": lambda: self.counter.inc(1, exemplar),
            "Counter.reset": self.counter.reset,
            "Counter.count_exceptions": self._fail,
            "Gauge.inc": lambda: self.gauge.inc(Amount()),  # type: ignore[arg-type]
            "Gauge.dec": lambda: self.gauge.dec(Amount()),  # type: ignore[arg-type]
            "Gauge.set": lambda: self.gauges.labels(self._name()).set(Amount()),  # type: ignore[arg-type]
            "Gauge.set of the most recent": lambda: self.recent.set(Amount()),  # type: ignore[arg-type]
            "Gauge.set_to_current_time": self.recent.set_to_current_time,
            "Gauge.set_function": lambda: self.asked.set_function(lambda: 1.0),
            "Gauge.time": lambda: _enter(self.gauge.time()),
            "Gauge.track_inprogress": lambda: _enter(self.gauge.track_inprogress()),
            "Summary.observe": lambda: self.summary.labels(self._name()).observe(Amount()),  # type: ignore[arg-type]
            "Summary.time": lambda: _enter(self.summary.labels(self._name()).time()),
            "Histogram.observe": lambda: self.histogram.labels(self._name()).observe(Amount()),  # type: ignore[arg-type]
            "Histogram.observe with an exemplar": lambda: self.histogram.labels(self._name()).observe(1, exemplar),
            "Histogram.time": lambda: _enter(self.histogram.labels(self._name()).time()),
            "Timer.labels": self._time_labelled,
            "Info.info": lambda: self.info.info({"version": self._name()}),
            "Enum.state": lambda: self.state.state("green"),
            "MutexValue.inc": lambda: self.mutex_value.inc(1),
            "MutexValue.set": lambda: self.mutex_value.set(1),
            "MutexValue.get": self.mutex_value.get,
        }

    def _managing(self) -> dict[str, Operation]:
        return {
            "MetricWrapperBase.labels": self._use_labels,
            "MetricWrapperBase.remove": in_turn(
                lambda: self.counters.labels("x").inc(), lambda: self.counters.remove("x")
            ),
            "MetricWrapperBase.remove_by_labels": in_turn(
                lambda: self.gauges.labels("x").inc(), lambda: self.gauges.remove_by_labels({"name": "x"})
            ),
            "MetricWrapperBase.clear": in_turn(lambda: self.gauges.labels(self._name()).inc(), self.gauges.clear),
            "MetricWrapperBase.describe": self.histogram.describe,
            "CollectorRegistry.register": self.register,
            "CollectorRegistry.unregister": lambda: self._register("leaving"),
            "CollectorRegistry.restricted_registry": lambda: forkmeter.REGISTRY.restricted_registry(["plain_total"]),
            "CollectorRegistry.set_target_info": lambda: self.registry.set_target_info({"name": self._name()}),
            "CollectorRegistry.get_target_info": self.registry.get_target_info,
            "ProcessCollector.collect": forkmeter.PROCESS_COLLECTOR.collect,
            "PlatformCollector.collect": forkmeter.PLATFORM_COLLECTOR.collect,
            "GCCollector.collect": forkmeter.GC_COLLECTOR.collect,
            "status": forkmeter.status,
            "enable_created_metrics": forkmeter.enable_created_metrics,
            "disable_created_metrics": forkmeter.disable_created_metrics,
        }

    def _collecting(self) -> dict[str, Operation]:
        return {
            "Counter.value": self.counter.value,
            "Gauge.value": lambda: self.gauges.value(self._name()),
            "Summary.value": lambda: self.summary.value(self._name()),
            "Histogram.value": lambda: self.histogram.value(self._name()),
            "Info.value": self.info.value,
            "Enum.value": self.state.value,
            "MetricWrapperBase.bound_series": lambda: self.counters.bound_series(max_series=1_000_000),
            "MetricWrapperBase.label_sets": self.counters.label_sets,
            "CollectorRegistry.collect": lambda: list(forkmeter.REGISTRY.collect()),
            "RestrictedRegistry.collect": lambda: list(
                forkmeter.REGISTRY.restricted_registry(["plain_total", "levels"]).collect()
            ),
            "CollectorRegistry.get_sample_value": lambda: forkmeter.REGISTRY.get_sample_value("plain_total"),
            "MetricWrapperBase.collect": in_turn(self.counters.collect, self.histogram.collect, self.state.collect),
            "generate_latest": lambda: exposition.generate_latest(forkmeter.REGISTRY),
            "openmetrics.generate_latest": lambda: openmetrics.generate_latest(forkmeter.REGISTRY),
            "make_asgi_app": self._answer_asgi,
            "make_wsgi_app": self._answer_wsgi,
            "write_to_textfile": self._write_file,
            "push_to_gateway": lambda: self._push(forkmeter.push_to_gateway),
            "pushadd_to_gateway": lambda: self._push(forkmeter.pushadd_to_gateway),
            "delete_from_gateway": self._delete,
            "instance_ip_grouping_key": forkmeter.instance_ip_grouping_key,
        }


def _uses_of(value: Any) -> list[Operation]:
    return [lambda: value.inc(1), lambda: value.set(1, 2), value.get]


def _enter(manager: Any) -> None:
    with manager:
        pass
