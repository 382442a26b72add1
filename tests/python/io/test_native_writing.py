"""What is written natively is what Python would write; and whatever somebody overrides is written in Python."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import forkmeter
import pytest
from forkmeter import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary, _forkmeter, exposition, metrics
from forkmeter.multiprocess import MultiProcessCollector
from forkmeter.openmetrics import exposition as openmetrics
from forkmeter.registry import families_to_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from forkmeter.metrics_core import Metric
    from forkmeter.samples import Sample

NAN = float("nan")
INF = float("inf")


@pytest.fixture(params=["single", "multiprocess"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[CollectorRegistry]:
    """Has a metric of each kind, with awkward texts and numbers; in a lone process, and in a directory."""
    if request.param == "multiprocess":
        forkmeter.configure(tmp_path)
    registry = CollectorRegistry()
    fill(registry)
    yield registry
    forkmeter.configure(None)


def fill(registry: CollectorRegistry) -> None:
    """Makes a metric of each kind and gives it values."""
    Counter("plain", "Text with \\ and\nnewline.", registry=registry).inc(3)
    labelled = Counter("labelled", "", ["a", "b"], registry=registry)
    for value in ("", "x", 'q"uote', "back\\slash", "new\nline", "ünïcödé", "\U0001f600"):
        labelled.labels(value, "z").inc(0.1)
    labelled.labels("traced", "z").inc(2, exemplar={"trace_id": "abc"})
    gauge = Gauge("values", "Numbers.", ["n"], registry=registry, multiprocess_mode="max")
    for index, number in enumerate((0, -0.0, 1e15, 1e16, 1e-7, 123456789.123, NAN, INF, -INF, -1.5, 2**53)):
        gauge.labels(str(index)).set(number)
    Summary("sizes", "Sizes.", unit="bytes", registry=registry).observe(7)
    histogram = Histogram("waits", "Waits.", ["q"], registry=registry, buckets=(0.1, 1, 2.5), unit="seconds")
    for number in (0.05, 0.7, 2, 3, NAN):
        histogram.labels("mail").observe(number)
    histogram.labels("mail").observe(0.7, {"trace_id": "def"})
    Histogram("negative", "Below zero.", registry=registry, buckets=(-1, 1)).observe(0.5)
    Enum("light", "Colour.", ["street"], states=["red", "green"], registry=registry).labels("main").state("green")
    Info("build", "Build.", registry=registry).info({"version": "1.2"})
    Counter("empty", "No series.", ["x"], registry=registry)
    Counter("dotted.name", "UTF-8.", ["label.name"], registry=registry).labels("v").inc()


class InPython:
    """Collects what a registry collects, of which nothing is known."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry

    def collect(self) -> Iterable[Metric]:
        """Returns the registry's families."""
        return self.registry.collect()


WRITERS: dict[str, Callable[[Any], bytes]] = {
    "text": exposition.generate_latest,
    "text, UTF-8": lambda registry: exposition.generate_latest(registry, openmetrics.ALLOWUTF8),
    "text, dots": lambda registry: exposition.generate_latest(registry, openmetrics.DOTS),
    "text, unknown escaping": lambda registry: exposition.generate_latest(registry, "none of these"),
    "OpenMetrics": openmetrics.generate_latest,
    "OpenMetrics, UTF-8": lambda registry: openmetrics.generate_latest(registry, openmetrics.ALLOWUTF8),
    "OpenMetrics 2": lambda registry: openmetrics.generate_latest(registry, openmetrics.VALUES, "2.0.0"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_the_same_is_written(registry: CollectorRegistry, writer: str) -> None:
    write = WRITERS[writer]
    assert write(registry) == write(InPython(registry))
    restricted = registry.restricted_registry(["waits_seconds_bucket", "sizes_bytes_sum", "build_info", "none"])
    assert write(restricted) == write(InPython(restricted))  # type: ignore[arg-type]
    assert is_native(families_to_write(registry)) == {
        **dict.fromkeys(["plain", "labelled", "values", "sizes_bytes", "waits_seconds", "negative"], True),
        "light": True,
        "build": False,
        "empty": True,
        "dotted.name": True,
    }


def test_the_same_is_written_without_created_samples(registry: CollectorRegistry) -> None:
    metrics.disable_created_metrics()
    try:
        written = exposition.generate_latest(registry)
        assert b"_created" not in written
        assert written == exposition.generate_latest(InPython(registry))
    finally:
        metrics.enable_created_metrics()
    assert b"plain_created" in exposition.generate_latest(registry)


def test_the_same_is_written_of_a_directory(tmp_path: Path) -> None:
    forkmeter.configure(tmp_path)
    try:
        fill(CollectorRegistry())
        merging = CollectorRegistry()
        MultiProcessCollector(merging, os_path(tmp_path))
        for write in WRITERS.values():
            assert write(merging) == write(InPython(merging))
        assert set(is_native(families_to_write(merging)).values()) == {True}
    finally:
        forkmeter.configure(None)


def os_path(path: Path) -> str:
    """Returns a path as text, as programs pass it."""
    return str(path)


def is_native(families: Iterable[Any]) -> dict[str, bool]:
    """Tells of each family whether it is in its native form."""
    return {family.name: type(family).__name__ == "NativeFamily" for family in families}


class Doubled(Counter):
    """Exposes twice what it counted."""

    def _child_samples(self) -> Iterable[Sample]:
        return [sample._replace(value=2 * sample.value) for sample in super()._child_samples()]


def replace_value(metric: Any) -> None:
    metric._value = forkmeter.values.MutexValue("counter", "x", "x_total", (), (), "")
    metric._value.set(6)


def replace_samples(metric: Any) -> None:
    samples = [sample._replace(value=6.0) for sample in metric._child_samples()]
    metric._child_samples = lambda: samples


def replace_collect(metric: Any) -> None:
    families = metric.collect()
    families[0].samples = [sample._replace(value=6.0) for sample in families[0].samples]
    metric.collect = lambda: families


OVERRIDES: dict[str, tuple[Callable[..., Any], Callable[[Any], None], bytes]] = {
    "a subclass": (Doubled, lambda metric: metric.inc(3), b"x_total 6.0\n"),
    "a value object": (Counter, replace_value, b"x_total 6.0\n"),
    "samples of one metric": (Counter, replace_samples, b"x_total 6.0\n"),
    "collect of one metric": (Counter, replace_collect, b"x_total 6.0\n"),
    "a function": (Gauge, lambda metric: metric.set_function(lambda: 6), b"x 6.0\n"),
    "the created time": (Counter, lambda metric: setattr(metric, "_created", 6.0), b"x_created 6.0\n"),
    "the name": (Counter, lambda metric: setattr(metric, "_name", "y"), b"y_total 0.0\n"),
    "the help text": (Counter, lambda metric: setattr(metric, "_documentation", "Y."), b"# HELP x_total Y.\n"),
}


@pytest.mark.parametrize("override", OVERRIDES)
def test_what_is_overridden_is_written(override: str) -> None:
    make, change, line = OVERRIDES[override]
    registry = CollectorRegistry()
    change(make("x", "X.", registry=registry))
    assert line in exposition.generate_latest(registry)
    assert set(is_native(families_to_write(registry)).values()) == {False}


@pytest.mark.parametrize("override", ["a value object", "samples of one metric", "a function", "the created time"])
def test_what_is_overridden_of_a_child_is_written(override: str) -> None:
    make, change, line = OVERRIDES[override]
    registry = CollectorRegistry()
    change(make("x", "X.", ["label"], registry=registry).labels("v"))
    name, _, value = line.decode().partition(" ")
    assert f'{name}{{label="v"}} {value}' in exposition.generate_latest(registry).decode()


def test_a_metric_class_that_is_patched_is_written_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CollectorRegistry()
    Counter("x", "X.", registry=registry)
    monkeypatch.setattr(Counter, "collect", lambda _: [])
    assert exposition.generate_latest(registry) == b""


def test_a_registry_class_that_is_patched_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CollectorRegistry()
    Counter("x", "X.", registry=registry)
    monkeypatch.setattr(CollectorRegistry, "collect", lambda _: [])
    assert exposition.generate_latest(registry) == b""


def test_other_threads_run_while_a_large_registry_is_written() -> None:
    registry = CollectorRegistry()
    counter = Counter("x", "X.", ["label"], registry=registry)
    for number in range(20_000):
        counter.labels(str(number)).inc()
    (family,) = families_to_write(registry)
    assert isinstance(family, _forkmeter.NativeFamily)
    ticks = [0]
    stop = threading.Event()

    def tick() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.0001)

    interval = sys.getswitchinterval()
    thread = threading.Thread(target=tick)
    thread.start()
    # Nobody is made to give the interpreter up: another thread runs only while the writer has released it.
    sys.setswitchinterval(1000)
    try:
        before = ticks[0]
        text = _forkmeter.Exposition(0, is_openmetrics=False, escaping="underscores")
        text.write_families([family])
        after = ticks[0]
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        thread.join()
    assert len(text.finish()) > 400_000
    assert after > before
