"""Uses every public name, as programs do; type checkers accept it, and see the types that it says.

It is read by type checkers and not run. `rejected.py` has what they must refuse.
"""

from __future__ import annotations

import forkmeter
import forkmeter.aiohttp
import forkmeter.aiohttp.exposition
import forkmeter.asgi
import forkmeter.bridge.graphite
import forkmeter.context_managers
import forkmeter.core
import forkmeter.decorator
import forkmeter.django
import forkmeter.django.exposition
import forkmeter.exposition
import forkmeter.gc_collector
import forkmeter.metrics
import forkmeter.metrics_core
import forkmeter.mmap_dict
import forkmeter.multiprocess
import forkmeter.openmetrics.exposition
import forkmeter.openmetrics.parser
import forkmeter.parser
import forkmeter.platform_collector
import forkmeter.process_collector
import forkmeter.registry
import forkmeter.samples
import forkmeter.twisted
import forkmeter.utils
import forkmeter.validation
import forkmeter.values

import io
import os
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from typing import Any, Literal, Optional, Union
from wsgiref.simple_server import WSGIServer

from forkmeter import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    Metric,
    PlatformCollector,
    ProcessCollector,
    SelfMetricsCollector,
    Status,
    Summary,
    Worker,
)
from forkmeter.context_managers import ExceptionCounter, InprogressTracker, Timer
from forkmeter.core import (
    BucketSpan,
    CounterMetricFamily,
    DuplicateTimeseries,
    Exemplar,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    NativeHistogram,
    Sample,
    StateSetMetricFamily,
    SummaryMetricFamily,
    Timestamp,
    UnknownMetricFamily,
    UntypedMetricFamily,
)
from forkmeter.metrics import MetricWrapperBase
from forkmeter.registry import Collector, RestrictedRegistry
from typing_extensions import assert_type

# -- Metrics ----------------------------------------------------------------------------------------------------------

REQUESTS = Counter("requests", "Requests.", ["method", "path"], namespace="app", subsystem="http", unit="requests")
ERRORS = Counter("errors_total", "Errors.", registry=None)
BUSY = Gauge("busy", "Requests under way.", labelnames=("path",), multiprocess_mode="livesum")
LATENCY = Histogram("latency_seconds", "Latency.", buckets=(0.1, 1, "+Inf"), registry=CollectorRegistry())
SIZES = Summary("sizes_bytes", "Sizes.", unit="bytes")
BUILD = Info("build", "What is running.")
LIGHT = Enum("light", "What it shows.", states=["red", "green"])


def counters() -> None:
    assert_type(REQUESTS.value("GET", "/"), Union[float, None])
    assert_type(REQUESTS.value(method="GET", path=7), Union[float, None])
    assert_type(REQUESTS.label_sets(), list[dict[str, str]])
    assert_type(REQUESTS.bound_series(max_series=10, idle_seconds=3600.0), Counter)
    assert_type(REQUESTS.bound_series(max_series=None), Counter)
    forkmeter.configure(max_series=10, idle_seconds=None)
    assert_type(ERRORS.value(), float)
    child = assert_type(REQUESTS.labels("GET", "/"), Counter)
    assert_type(REQUESTS.labels(method="GET", path=7), Counter)
    assert_type(child.inc(), None)
    child.inc(2)
    child.inc(amount=0.5, exemplar={"trace_id": "1"})
    assert_type(child.reset(), None)
    assert_type(REQUESTS.remove("GET", "/"), None)
    assert_type(REQUESTS.remove_by_labels({"method": "GET"}), None)
    assert_type(REQUESTS.clear(), None)


def gauges() -> None:
    child = assert_type(BUSY.labels("/"), Gauge)
    assert_type(child.inc(), None)
    assert_type(child.dec(2.5), None)
    assert_type(child.set(1), None)
    assert_type(child.set_to_current_time(), None)
    assert_type(child.set_function(lambda: 4.5), None)
    assert_type(child.track_inprogress(), InprogressTracker)
    assert_type(child.time(), Timer)


def observations() -> None:
    assert_type(LATENCY.observe(0.3), None)
    LATENCY.observe(1, exemplar={"trace_id": "1"})
    assert_type(Histogram.DEFAULT_BUCKETS[0], float)
    assert_type(LATENCY.time(), Timer)
    assert_type(SIZES.observe(512), None)
    assert_type(SIZES.time(), Timer)
    assert_type(LATENCY.labels(1).labels(a="b"), Histogram)
    assert_type(SIZES.labels(1), Summary)


def facts() -> None:
    assert_type(BUILD.info({"version": "1"}), None)
    assert_type(BUILD.labels("x"), Info)
    assert_type(LIGHT.state("green"), None)
    assert_type(LIGHT.labels("x"), Enum)


def what_all_metrics_have(metric: MetricWrapperBase) -> None:
    assert_type(metric.collect(), Iterable[Metric])
    assert_type(metric.describe(), Iterable[Metric])
    assert_type(metric.labels("x"), MetricWrapperBase)
    assert_type(str(metric), str)


def created() -> None:
    assert_type(forkmeter.disable_created_metrics(), None)
    assert_type(forkmeter.enable_created_metrics(), None)
    forkmeter.metrics.disable_created_metrics()
    forkmeter.metrics.enable_created_metrics()
    kinds: list[type[MetricWrapperBase]] = [
        forkmeter.metrics.Counter,
        forkmeter.metrics.Gauge,
        forkmeter.metrics.Summary,
        forkmeter.metrics.Histogram,
        forkmeter.metrics.Info,
        forkmeter.metrics.Enum,
        forkmeter.metrics.MetricWrapperBase,
    ]
    assert_type(kinds[0]("name", "Help."), MetricWrapperBase)


class Unchecked(Counter):
    """A subclass, as programs have them."""

    def labels_of(self) -> tuple[str, ...]:
        return self._labelnames


assert_type(Unchecked("a", "A.").labels("x"), Unchecked)

# -- Context managers and decorators ----------------------------------------------------------------------------------


def blocks() -> None:
    with LATENCY.time() as timer:
        assert_type(timer, Timer)
        assert_type(timer.labels("GET", path="/"), None)
    assert_type(timer.duration, Optional[float])
    with BUSY.track_inprogress() as nothing:
        assert_type(nothing, None)
    with ERRORS.count_exceptions():
        length = len("block")
    # Exceptions pass, so this is reached only without one, and `length` is set.
    assert_type(length, int)
    with ERRORS.count_exceptions(KeyError), ERRORS.count_exceptions((KeyError, ValueError)):
        pass
    assert_type(ERRORS.count_exceptions(exception=KeyError), ExceptionCounter)
    assert_type(forkmeter.context_managers.Timer(LATENCY, "observe"), Timer)
    assert_type(forkmeter.context_managers.InprogressTracker(BUSY), InprogressTracker)
    assert_type(forkmeter.context_managers.ExceptionCounter(ERRORS, (KeyError,)), ExceptionCounter)


@ERRORS.count_exceptions()
@LATENCY.time()
@BUSY.track_inprogress()
def plain(path: str, *, size: int = 0) -> bytes:
    return b""


@ERRORS.count_exceptions(KeyError)
@LATENCY.time()
@BUSY.track_inprogress()
async def coroutine(path: str, *, size: int = 0) -> bytes:
    return b""


@LATENCY.time()
def generator(count: int) -> Generator[int, str, bytes]:
    yield count
    return b""


@BUSY.track_inprogress()
async def async_generator(count: int) -> AsyncIterator[int]:
    yield count


class Service:
    """Methods keep their signature too."""

    @SIZES.time()
    @ERRORS.count_exceptions()
    def method(self, path: str) -> int:
        return 1

    @classmethod
    @LATENCY.time()
    def of_class(cls) -> Service:
        return cls()


async def decorated() -> None:
    assert_type(plain("/", size=1), bytes)
    assert_type(await coroutine("/", size=1), bytes)
    running: Coroutine[Any, Any, bytes] = coroutine("/")
    await running
    assert_type(generator(1), Generator[int, str, bytes])
    assert_type(async_generator(1), AsyncIterator[int])
    async for item in async_generator(2):
        assert_type(item, int)
    assert_type(Service().method("/"), int)
    assert_type(Service.of_class(), Service)


def signatures_kept(function: Callable[[int], str]) -> None:
    wrapped = forkmeter.decorator.decorate(function, lambda call, *args: call(*args))
    assert_type(wrapped, Callable[[int], str])
    assert_type(forkmeter.decorator.decorate_run(function, lambda: LATENCY.time()), Callable[[int], str])
    assert_type(forkmeter.decorator.decorate_within(function, LATENCY.time()), Callable[[int], str])


def other_decorators() -> None:
    """The module `decorator` has always had more than this package uses."""
    assert_type(forkmeter.decorator.getargspec(plain).args, list[str])
    assert_type(forkmeter.decorator.getfullargspec(plain).varargs, Optional[str])
    assert_type(forkmeter.decorator.get_init(Service), Callable[..., None])
    assert_type(forkmeter.decorator.FunctionMaker(plain).signature, str)
    assert_type(forkmeter.decorator.ArgSpec([], None, None, None).defaults, Optional[tuple[Any, ...]])
    assert_type(forkmeter.decorator.DEF.pattern, str)
    ancestors: list[type] = []
    assert_type(forkmeter.decorator.append(int, ancestors), None)
    made: list[object] = [
        forkmeter.decorator.ContextManager(generator, 1),
        forkmeter.decorator.contextmanager(generator),
        forkmeter.decorator.decorator(plain),
        forkmeter.decorator.dispatch_on("path"),
    ]
    assert made


# -- Registries and families ------------------------------------------------------------------------------------------


class Own:
    """A custom collector."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("a", "A.", value=1)


def registries() -> None:
    registry = CollectorRegistry(auto_describe=True, target_info={"env": "prod"}, support_collectors_without_names=True)
    own: Collector = Own()
    assert_type(registry.register(own), None)
    assert_type(registry.unregister(own), None)
    registry.register(Own())
    assert_type(registry.collect(), Iterable[Metric])
    restricted = assert_type(registry.restricted_registry(["a"]), RestrictedRegistry)
    assert_type(restricted.collect(), Iterable[Metric])
    assert_type(RestrictedRegistry(["a"], registry), RestrictedRegistry)
    assert_type(registry.get_sample_value("a", {"b": "c"}), Optional[float])
    assert_type(registry.set_target_info({"env": "prod"}), None)
    assert_type(registry.get_target_info(), Optional[dict[str, str]])
    assert_type(forkmeter.registry.REGISTRY, CollectorRegistry)
    assert_type(forkmeter.registry.CollectorRegistry(), CollectorRegistry)
    assert_type(forkmeter.registry.DuplicateTimeseries({"a"}), DuplicateTimeseries)
    assert_type(forkmeter.core.REGISTRY, CollectorRegistry)
    try:
        REGISTRY.register(own)
    except DuplicateTimeseries as error:
        assert_type(error.duplicates, set[str])
        as_value_error: ValueError = error
        assert as_value_error


def families() -> None:
    exemplar = Exemplar({"trace_id": "1"}, 1.0, 2.0)
    counter = CounterMetricFamily("a", "A.", labels=["l"], created=1.0, unit="s", exemplar=exemplar)
    counter.add_metric(["x"], 1, created=2, timestamp=Timestamp(1, 2), exemplar=exemplar)
    gauge = GaugeMetricFamily("a", "A.", value=1)
    gauge.add_metric([], 1.5, timestamp=3)
    unknown = UnknownMetricFamily("a", "A.", labels=("l",))
    unknown.add_metric(["x"], 1)
    assert_type(UntypedMetricFamily("a", "A."), UnknownMetricFamily)
    summary = SummaryMetricFamily("a", "A.", count_value=1, sum_value=2)
    summary.add_metric(["x"], 1, 2.5)
    histogram = HistogramMetricFamily("a", "A.", buckets=[("1", 1), ("+Inf", 2.0, exemplar)], sum_value=3)
    histogram.add_metric([], [("+Inf", 1)], None)
    gauge_histogram = GaugeHistogramMetricFamily("a", "A.", buckets=[("+Inf", 1)], gsum_value=1)
    gauge_histogram.add_metric([], [("+Inf", 1)], gsum_value=2)
    info = InfoMetricFamily("a", "A.", value={"b": "c"})
    info.add_metric([], {"b": "c"})
    states = StateSetMetricFamily("a", "A.", value={"on": True})
    states.add_metric([], {"on": False})
    metrics: list[Metric] = [
        counter, gauge, unknown, summary, histogram, gauge_histogram, info, states, Metric("a", "A.", "gauge", "s"),
    ]  # fmt: skip
    for metric in metrics:
        texts: list[str] = [metric.name, metric.documentation, metric.type, metric.unit]
        assert texts
        assert_type(metric.samples, list[Sample])
        assert_type(metric == metrics[0], bool)
        metric.add_sample("a_total", {"l": "x"}, 1.0, timestamp=1.5, exemplar=exemplar)
    types: list[str] = list(forkmeter.metrics_core.METRIC_TYPES)
    assert types
    of_modules: list[type[Metric]] = [
        forkmeter.metrics_core.Metric,
        forkmeter.metrics_core.CounterMetricFamily,
        forkmeter.metrics_core.GaugeHistogramMetricFamily,
        forkmeter.metrics_core.GaugeMetricFamily,
        forkmeter.metrics_core.HistogramMetricFamily,
        forkmeter.metrics_core.InfoMetricFamily,
        forkmeter.metrics_core.StateSetMetricFamily,
        forkmeter.metrics_core.SummaryMetricFamily,
        forkmeter.metrics_core.UnknownMetricFamily,
        forkmeter.metrics_core.UntypedMetricFamily,
        forkmeter.core.Metric,
    ]
    assert of_modules
    of_core: list[type[MetricWrapperBase]] = [
        forkmeter.core.Counter,
        forkmeter.core.Gauge,
        forkmeter.core.Summary,
        forkmeter.core.Histogram,
        forkmeter.core.Info,
        forkmeter.core.Enum,
    ]
    assert of_core
    assert_type(forkmeter.core.CollectorRegistry(), CollectorRegistry)


def samples(sample: Sample, timestamp: Timestamp) -> None:
    assert_type(sample.name, str)
    assert_type(sample.labels, dict[str, str])
    assert_type(sample.value, float)
    assert_type(sample.timestamp, Union[Timestamp, float, None])
    assert_type(sample.exemplar, Optional[Exemplar])
    assert_type(sample.native_histogram, Optional[NativeHistogram])
    name, labels, value, *_ = sample
    assert_type((name, labels, value), tuple[str, dict[str, str], float])
    assert_type(forkmeter.samples.Sample("a", {}, 1), Sample)
    exemplar = forkmeter.samples.Exemplar({}, 1)
    assert_type(exemplar.labels, dict[str, str])
    assert_type(exemplar.value, float)
    assert_type(exemplar.timestamp, Union[float, Timestamp, None])
    assert_type(float(timestamp), float)
    assert_type(timestamp < forkmeter.samples.Timestamp(1, 2), bool)
    assert_type(timestamp > timestamp, bool)
    assert_type((timestamp.sec, timestamp.nsec), tuple[int, int])
    span = forkmeter.samples.BucketSpan(offset=1, length=2)
    assert_type((span.offset, span.length), tuple[int, int])
    assert_type(BucketSpan(0, 1), BucketSpan)
    native = forkmeter.samples.NativeHistogram(
        count_value=4, sum_value=6, schema=3, zero_threshold=2.9, zero_count=1, pos_spans=(span,), pos_deltas=(1, 2)
    )
    assert_type(native.pos_spans, Optional[Sequence[BucketSpan]])
    assert_type(native.neg_spans, Optional[Sequence[BucketSpan]])
    assert_type(native.pos_deltas, Optional[Sequence[int]])
    assert_type(native.neg_deltas, Optional[Sequence[int]])
    assert_type(native.nh_exemplars, Optional[Sequence[Exemplar]])
    assert_type((native.count_value, native.sum_value, native.schema), tuple[float, float, int])
    assert_type((native.zero_threshold, native.zero_count), tuple[float, float])


def collectors() -> None:
    registry = CollectorRegistry()
    assert_type(ProcessCollector("app", pid=os.getpid, proc="/proc", registry=registry).collect(), Iterable[Metric])
    assert_type(PlatformCollector(registry=None).collect(), Iterable[Metric])
    assert_type(GCCollector(registry).collect(), Iterable[Metric])
    assert_type(SelfMetricsCollector(registry=None).collect(), Iterable[Metric])
    own: list[Collector] = [GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR]
    assert own
    assert_type(forkmeter.gc_collector.GC_COLLECTOR, forkmeter.gc_collector.GCCollector)
    assert_type(forkmeter.platform_collector.PLATFORM_COLLECTOR, forkmeter.platform_collector.PlatformCollector)
    assert_type(forkmeter.process_collector.PROCESS_COLLECTOR, forkmeter.process_collector.ProcessCollector)


# -- Where values are kept --------------------------------------------------------------------------------------------


def modes(path: str) -> None:
    assert_type(forkmeter.configure(dir=path, fresh=True), None)
    forkmeter.configure()
    status = assert_type(forkmeter.status(), Status)
    assert_type(status.mode, Literal["single", "multiprocess"])
    assert_type(status.directory, Optional[str])
    assert_type(status.why, str)
    assert_type(status.is_open, bool)
    assert_type(status.kept_series, int)
    assert_type(status.problem, Optional[str])
    for worker in status.workers:
        assert_type(worker, Worker)
        assert_type((worker.pid, worker.tag, worker.is_alive), tuple[int, str, bool])
        assert_type((worker.started_seconds, worker.kept_series), tuple[float, int])
    assert_type(forkmeter.install_as_prometheus_client(), None)
    assert_type(forkmeter.__version__, str)


def multiprocess(path: str) -> None:
    registry = CollectorRegistry()
    collector = forkmeter.multiprocess.MultiProcessCollector(registry, path)
    forkmeter.multiprocess.MultiProcessCollector(None, path=path)
    assert_type(collector.collect(), Iterable[Metric])
    assert_type(collector.describe(), Iterable[Metric])
    assert_type(collector.merge([path], accumulate=False), Iterable[Metric])
    assert_type(forkmeter.multiprocess.MultiProcessCollector.merge([path]), Iterable[Metric])
    assert_type(forkmeter.multiprocess.mark_process_dead(1, path), None)
    forkmeter.multiprocess.mark_process_dead("worker")
    assert_type(forkmeter.multiprocess.is_same_directory(path, path), bool)


def files(path: str) -> None:
    values = forkmeter.mmap_dict.MmapedDict(path, read_mode=True)
    key = assert_type(forkmeter.mmap_dict.mmap_key("a", "a_total", ["l"], ["x"], "A."), str)
    assert_type(values.read_value(key), tuple[float, float])
    assert_type(values.write_value(key, 1.0, 2.0), None)
    assert_type(values.read_all_values(), Iterator[tuple[str, float, float]])
    assert_type(forkmeter.mmap_dict.MmapedDict.read_all_values_from_file(path), Iterator[tuple[str, float, float, int]])
    assert_type(values.close(), None)


def value_classes() -> None:
    value = forkmeter.values.MutexValue("gauge", "a", "a", ["l"], ["x"], "A.", multiprocess_mode="all")
    assert_type(value.inc(1), None)
    assert_type(value.set(1, timestamp=None), None)
    assert_type(value.get(), float)
    assert_type(value.set_exemplar(None), None)
    value.get_exemplar()
    forkmeter.values.ValueClass = forkmeter.values.MultiProcessValue(process_identifier=lambda: "worker")
    forkmeter.values.ValueClass = forkmeter.values.MutexValue
    forkmeter.values.ValueClass = forkmeter.values.NativeValueClass
    assert_type(forkmeter.values.get_value_class(), type[Any])
    assert_type(forkmeter.values.warn_of_deprecated_variable(), None)
    assert_type(forkmeter.values.close_all_multiprocess_files(), None)


# -- Expositions ------------------------------------------------------------------------------------------------------


def texts() -> None:
    assert_type(forkmeter.generate_latest(), bytes)
    assert_type(forkmeter.exposition.generate_latest(Own(), escaping="underscores"), bytes)
    assert_type(forkmeter.openmetrics.exposition.generate_latest(REGISTRY, "dots", version="1.0.0"), bytes)
    encoder, content_type = forkmeter.exposition.choose_encoder("text/plain")
    assert_type(encoder(REGISTRY), bytes)
    assert_type(content_type, str)
    assert_type(forkmeter.exposition.gzip_accepted("gzip"), bool)
    # What writers take, whatever form it has.
    forkmeter.registry.families_to_write(REGISTRY)
    constants: list[str] = [
        forkmeter.CONTENT_TYPE_LATEST,
        forkmeter.CONTENT_TYPE_PLAIN_0_0_4,
        forkmeter.CONTENT_TYPE_PLAIN_1_0_0,
        forkmeter.exposition.CONTENT_TYPE_LATEST,
        forkmeter.exposition.CONTENT_TYPE_PLAIN_0_0_4,
        forkmeter.exposition.CONTENT_TYPE_PLAIN_1_0_0,
        forkmeter.openmetrics.exposition.CONTENT_TYPE_LATEST,
        forkmeter.openmetrics.exposition.CONTENT_TYPE_LATEST_2_0,
        forkmeter.openmetrics.exposition.ALLOWUTF8,
        forkmeter.openmetrics.exposition.DOTS,
        forkmeter.openmetrics.exposition.ESCAPING_HEADER_TAG,
        forkmeter.openmetrics.exposition.UNDERSCORES,
        forkmeter.openmetrics.exposition.VALUES,
    ]
    assert constants
    assert_type(forkmeter.openmetrics.exposition.escape_metric_name("a.b", "dots"), str)
    assert_type(forkmeter.openmetrics.exposition.escape_label_name("a.b"), str)
    assert_type(forkmeter.write_to_textfile("a.prom", REGISTRY, escaping="dots", tmpdir=None), None)
    forkmeter.exposition.write_to_textfile("a.prom", REGISTRY)


def parsers(text: str) -> None:
    assert_type(forkmeter.parser.text_string_to_metric_families(text), Iterable[Metric])
    assert_type(forkmeter.parser.text_fd_to_metric_families(io.StringIO(text)), Iterator[Metric])
    assert_type(forkmeter.parser.parse_labels('a="b"', openmetrics=True), dict[str, str])
    for family in forkmeter.openmetrics.parser.text_string_to_metric_families(text):
        assert_type(family, Metric)
    assert_type(forkmeter.openmetrics.parser.text_fd_to_metric_families(["# EOF"]), Iterator[Metric])
    constants: list[object] = [
        forkmeter.parser.ESCAPE_SEQUENCES,
        forkmeter.parser.ESCAPING_RE.sub(forkmeter.parser.replace_escape_sequence, text),
        forkmeter.parser.HELP_ESCAPING_RE.pattern,
    ]
    assert constants


def servers() -> None:
    server, thread = forkmeter.start_http_server(
        8000,
        addr="127.0.0.1",
        registry=REGISTRY,
        certfile="a.crt",
        keyfile="a.key",
        client_cafile=None,
        client_capath=None,
        protocol=ssl.PROTOCOL_TLS_SERVER,
        client_auth_required=True,
        tls_min_version=ssl.TLSVersion.TLSv1_2,
        tls_max_version=None,
    )
    assert_type(server, WSGIServer)
    assert_type(thread, threading.Thread)
    assert_type(forkmeter.start_wsgi_server(8000), tuple[WSGIServer, threading.Thread])
    forkmeter.exposition.start_http_server(8000)
    forkmeter.exposition.start_wsgi_server(8000)
    handler = assert_type(forkmeter.MetricsHandler.factory(REGISTRY), type[forkmeter.MetricsHandler])
    assert_type(handler.registry, Collector)
    assert_type(forkmeter.exposition.MetricsHandler.factory(REGISTRY), type[forkmeter.exposition.MetricsHandler])
    on_get: list[Callable[[forkmeter.MetricsHandler], None]] = [forkmeter.MetricsHandler.do_GET]
    on_log: list[Callable[..., None]] = [forkmeter.MetricsHandler.log_message]
    assert on_get, on_log
    threading_server: type[WSGIServer] = forkmeter.exposition.ThreadingWSGIServer
    assert threading_server


async def applications(environ: dict[str, Any]) -> None:
    wsgi = forkmeter.make_wsgi_app(REGISTRY, disable_compression=True)
    assert_type(wsgi(environ, lambda *_: None), list[bytes])
    assert_type(forkmeter.exposition.make_wsgi_app(), Callable[..., list[bytes]])
    asgi = forkmeter.make_asgi_app(registry=REGISTRY, disable_compression=True)
    assert_type(await asgi({}, None, None), None)
    assert_type(forkmeter.asgi.make_asgi_app(), Callable[..., Awaitable[None]])
    assert_type(forkmeter.exposition.make_asgi_app(), Callable[..., Awaitable[None]])


def frameworks() -> None:
    from aiohttp import web

    app = web.Application()
    app.router.add_get("/metrics", forkmeter.aiohttp.make_aiohttp_handler(REGISTRY, disable_compression=True))
    app.router.add_get("/other", forkmeter.aiohttp.exposition.make_aiohttp_handler())
    # Django and Twisted have no annotations of their own.
    view = forkmeter.django.PrometheusDjangoView
    view.as_view(registry=REGISTRY)
    methods: list[Callable[..., object]] = [view.get, view.options]
    assert methods
    assert_type(forkmeter.django.PrometheusDjangoView.multiprocess_mode, bool)
    assert_type(forkmeter.django.exposition.PrometheusDjangoView.registry, Optional[CollectorRegistry])
    forkmeter.twisted.MetricsResource(REGISTRY)


def gateways() -> None:
    key = assert_type(forkmeter.instance_ip_grouping_key(), dict[str, Any])
    forkmeter.exposition.instance_ip_grouping_key()

    def handler(
        url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        return forkmeter.exposition.basic_auth_handler(url, method, timeout, headers, data, "user", "password")

    assert_type(forkmeter.push_to_gateway("localhost:9091", "job", REGISTRY, key, timeout=None, handler=handler), None)
    assert_type(forkmeter.pushadd_to_gateway("localhost:9091", job="job", registry=REGISTRY, compression="gzip"), None)
    assert_type(forkmeter.delete_from_gateway("localhost:9091", job="job", grouping_key=key), None)
    forkmeter.exposition.push_to_gateway("localhost:9091", "job", REGISTRY)
    forkmeter.exposition.pushadd_to_gateway("localhost:9091", "job", None)
    forkmeter.exposition.delete_from_gateway("localhost:9091", "job")
    handlers: list[Callable[[str, str, Optional[float], list[tuple[str, str]], bytes], Callable[[], None]]] = [
        forkmeter.exposition.default_handler,
        forkmeter.exposition.passthrough_redirect_handler,
        forkmeter.exposition.basic_auth_handler,
    ]
    assert handlers
    send = forkmeter.exposition.tls_auth_handler(
        "https://localhost", "PUT", 30, [], b"", "a.crt", "a.key", cafile=None, insecure_skip_verify=False
    )
    assert_type(send(), None)


def graphite() -> None:
    bridge = forkmeter.bridge.graphite.GraphiteBridge(("localhost", 2003), registry=REGISTRY, tags=True)
    assert_type(bridge.push(prefix="app"), None)
    assert_type(bridge.start(interval=10.0), None)


# -- Names, numbers ---------------------------------------------------------------------------------------------------


def helpers() -> None:
    assert_type(forkmeter.utils.floatToGoString("1"), str)
    assert_type((forkmeter.utils.INF, forkmeter.utils.MINUS_INF, forkmeter.utils.NaN), tuple[float, float, float])
    assert_type(forkmeter.utils.parse_version("1.2.3"), tuple[Union[int, str], ...])
    assert_type(forkmeter.validation.get_legacy_validation(), bool)
    assert_type(forkmeter.validation.disable_legacy_validation(), None)
    assert_type(forkmeter.validation.enable_legacy_validation(), None)
    names = (
        forkmeter.validation.METRIC_NAME_RE,
        forkmeter.validation.METRIC_LABEL_NAME_RE,
        forkmeter.validation.RESERVED_METRIC_LABEL_NAME_RE,
    )
    assert_type([name.pattern for name in names], list[str])
