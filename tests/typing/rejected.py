"""Mistakes that type checkers must refuse: each line that says so, and no other.

Where one of these is accepted, an `Any` has leaked into the interface. It is read by type checkers and not run.
"""

from __future__ import annotations

import forkmeter
import forkmeter.context_managers
import forkmeter.decorator
import forkmeter.exposition
import forkmeter.multiprocess
import forkmeter.openmetrics.exposition
import forkmeter.parser
import forkmeter.samples
import forkmeter.values
from forkmeter import REGISTRY, CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary
from forkmeter.core import CounterMetricFamily, HistogramMetricFamily

COUNTER = Counter("a", "A.", ["l"])
GAUGE = Gauge("b", "B.")
HISTOGRAM = Histogram("c", "C.")


@COUNTER.count_exceptions()
@GAUGE.track_inprogress()
@HISTOGRAM.time()
def plain(path: str) -> bytes:
    return path.encode()


@COUNTER.count_exceptions()
@GAUGE.track_inprogress()
@HISTOGRAM.time()
async def coroutine(path: str) -> bytes:
    return path.encode()


class NoCollector:
    """Has no `collect`."""


def metrics() -> None:
    Counter("a")  # expect error
    Counter("a", "A.", "l", wrong=1)  # expect error
    Counter("a", "A.", registry="default")  # expect error
    Gauge("a", "A.", multiprocess_mode="average")  # expect error
    Histogram("a", "A.", buckets=5)  # expect error
    Enum("a", "A.", states=5)  # expect error
    COUNTER.inc("1")  # expect error
    COUNTER.inc(1, exemplar={"a": 1})  # expect error
    COUNTER.dec()  # expect error
    COUNTER.labels("x").observe(1)  # expect error
    COUNTER.labels(l="x").labels("y").set(1)  # expect error
    GAUGE.set("1")  # expect error
    GAUGE.set_function(lambda: "1")  # expect error
    HISTOGRAM.observe("1")  # expect error
    Summary("a", "A.").observe(None)  # expect error
    Info("a", "A.").info({"a": 1})  # expect error
    Enum("a", "A.", states=["b"]).state(1)  # expect error
    COUNTER.remove_by_labels(["l"])  # expect error
    result: int = COUNTER.inc()  # expect error
    print(result)


async def decorated() -> None:
    plain(1)  # expect error
    plain()  # expect error
    plain("/").decode().nothing  # expect error
    (await coroutine("/")).nothing  # expect error
    coroutine("/").decode()  # expect error
    await coroutine(1)  # expect error
    forkmeter.decorator.decorate_run(plain, HISTOGRAM.time)(1)  # expect error
    COUNTER.count_exceptions("KeyError")  # expect error
    HISTOGRAM.time()(5)  # expect error
    forkmeter.context_managers.Timer(HISTOGRAM)  # expect error
    with HISTOGRAM.time() as timer:
        timer.nothing()  # expect error
    late: float = timer.duration  # expect error
    print(late)


def registries() -> None:
    REGISTRY.register(NoCollector())  # expect error
    CollectorRegistry(target_info="a")  # expect error
    REGISTRY.get_sample_value("a") + 1  # expect error
    REGISTRY.restricted_registry(5)  # expect error
    for family in REGISTRY.collect():
        family.nothing()  # expect error
        for sample in family.samples:
            sample.labels["a"] + 1  # expect error
    CounterMetricFamily("a", "A.", value="1")  # expect error
    HistogramMetricFamily("a", "A.", buckets=[(1, 1)])  # expect error
    forkmeter.samples.Sample("a", {}, "1")  # expect error


def expositions() -> None:
    text: str = forkmeter.generate_latest()  # expect error
    forkmeter.generate_latest(NoCollector())  # expect error
    forkmeter.openmetrics.exposition.generate_latest()  # expect error
    forkmeter.make_wsgi_app(5)  # expect error
    forkmeter.make_asgi_app(NoCollector())  # expect error
    forkmeter.start_http_server("8000")  # expect error
    forkmeter.push_to_gateway("host", "job", REGISTRY, compression="zip")  # expect error
    forkmeter.push_to_gateway("host", "job")  # expect error
    forkmeter.exposition.choose_encoder("text/plain")[0](NoCollector())  # expect error
    for family in forkmeter.parser.text_string_to_metric_families(text):
        family.nothing()  # expect error
    forkmeter.no_such_name  # expect error
    forkmeter.exposition.no_such_name  # expect error
    forkmeter.decorator.no_such_name  # expect error
    forkmeter.values.no_such_name  # expect error


def modes() -> None:
    forkmeter.configure("a", True)  # expect error
    forkmeter.configure(5)  # expect error
    forkmeter.status().mode = "single"  # expect error
    forkmeter.status().nothing  # expect error
    forkmeter.multiprocess.MultiProcessCollector("directory")  # expect error
