"""Names with an underscore that dependents touch; each test says who."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import forkmeter.multiprocess
import pytest
from forkmeter import Counter, Gauge, Histogram, Summary, metrics, values
from forkmeter.mmap_dict import MmapedDict, mmap_key
from forkmeter.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def test_vllm_walks_and_clears_collectors(registry: forkmeter.CollectorRegistry) -> None:
    counter = Counter("vllm_requests_total", "help", registry=registry)
    for collector in list(registry._collector_to_names):
        if hasattr(collector, "_name") and "vllm" in collector._name:
            registry.unregister(collector)
    assert not registry._names_to_collectors
    registry.register(counter)
    registry._collector_to_names.clear()
    registry._names_to_collectors.clear()
    Counter("vllm_requests_total", "help", registry=registry)


def test_get_or_create_helpers_look_names_up(registry: forkmeter.CollectorRegistry) -> None:
    counter = Counter("jobs_total", "help", registry=registry)
    assert registry._names_to_collectors["jobs"] is counter
    assert registry._names_to_collectors.get("jobs_total") is counter
    with pytest.raises(ValueError, match="Duplicated timeseries in CollectorRegistry:"):
        Counter("jobs", "help", registry=registry)


def test_celery_exporter_removes_what_it_lists() -> None:
    gauge = Gauge("queue_length", "help", ["queue"], registry=None)
    gauge.labels("a").set(1)
    gauge.labels(queue="b").set(2)
    assert list(gauge._metrics.keys()) == [("a",), ("b",)]
    for labels in list(gauge._metrics.keys()):
        gauge.remove(*labels)
    assert gauge._metrics == {}


def test_children_can_be_replaced() -> None:
    gauge = Gauge("replaced", "help", ["x"], registry=None)
    kept = gauge.labels("a")
    gauge._metrics = {("b",): kept}
    assert gauge.labels("b") is kept
    assert gauge.labels("a") is not kept


def test_tests_read_values() -> None:
    counter = Counter("read_total", "help", registry=None)
    counter.inc(2)
    assert counter._value.get() == 2
    assert counter._value._value == 2
    histogram = Histogram("read_seconds", "help", registry=None, buckets=(1, 2))
    histogram.observe(1.5)
    assert [bucket.get() for bucket in histogram._buckets] == [0, 1, 0]
    assert len(histogram._upper_bounds) == len(histogram._buckets)
    summary = Summary("read_sizes", "help", registry=None)
    summary.observe(3)
    assert (summary._count.get(), summary._sum.get()) == (1, 3)


def test_an_unchecked_counter_sets_its_value(registry: forkmeter.CollectorRegistry) -> None:
    class UncheckedCounter(Counter):
        def set(self, value: float) -> None:
            self._value.set(value)

    counter = UncheckedCounter("unchecked_total", "help", ["x"], registry=registry)
    counter.labels("a").set(41)
    counter.labels("a").inc()
    assert registry.get_sample_value("unchecked_total", {"x": "a"}) == 42


def test_a_weighted_histogram_uses_buckets(registry: forkmeter.CollectorRegistry) -> None:
    class Weighted(Histogram):
        def observe_many(self, amount: float, times: int) -> None:
            self._sum.inc(amount * times)
            for index, bound in enumerate(self._upper_bounds):
                if amount <= bound:
                    self._buckets[index].inc(times)
                    break

    histogram = Weighted("weighted", "help", registry=registry)
    histogram.observe_many(0.3, 5)
    assert registry.get_sample_value("weighted_count") == 5
    assert registry.get_sample_value("weighted_sum") == 1.5


def test_subclasses_add_samples(registry: forkmeter.CollectorRegistry) -> None:
    class WithQuantile(Summary):
        def _metric_init(self) -> None:
            super()._metric_init()
            self.greatest = 0.0

        def observe(self, amount: float) -> None:
            super().observe(amount)
            self.greatest = max(self.greatest, amount)

        def _child_samples(self) -> Iterable[Sample]:
            return (*super()._child_samples(), Sample("", {"quantile": "1"}, self.greatest))

    summary = WithQuantile("with_quantile", "help", ["x"], registry=registry)
    summary.labels("a").observe(7)
    assert registry.get_sample_value("with_quantile", {"x": "a", "quantile": "1"}) == 7
    assert registry.get_sample_value("with_quantile_count", {"x": "a"}) == 1


def test_redis_values_are_called_for_every_value(registry: forkmeter.CollectorRegistry) -> None:
    made: list[tuple[Any, ...]] = []

    class RedisValue:
        _multiprocess = True

        def __init__(self, *about: Any, multiprocess_mode: str = "", **_: Any) -> None:
            made.append((*about[:3], multiprocess_mode))
            self.number = 0.0

        def inc(self, amount: float) -> None:
            self.number += amount

        def set(self, value: float, timestamp: float | None = None) -> None:
            self.number = value if timestamp is None else value + 1000

        def get(self) -> float:
            return self.number

        def set_exemplar(self, exemplar: Any) -> None: ...

        def get_exemplar(self) -> None: ...

    with mock.patch("forkmeter.values.ValueClass", new=RedisValue):
        counter = Counter("redis_total", "help", ["x"], registry=registry)
        counter.labels("a").inc(3)
        gauge = Gauge("redis_gauge", "help", registry=registry, multiprocess_mode="mostrecent")
        gauge.set(5)
        Histogram("redis_seconds", "help", registry=registry, buckets=(1,)).observe(0.5)
    assert registry.get_sample_value("redis_total", {"x": "a"}) == 3
    assert registry.get_sample_value("redis_gauge") == 1005
    assert registry.get_sample_value("redis_seconds_bucket", {"le": "1.0"}) == 1
    assert made[:2] == [
        ("counter", "redis", "redis_total", ""),
        ("gauge", "redis_gauge", "redis_gauge", "mostrecent"),
    ]


def test_rucio_subclasses_the_value_class_and_patches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    base: Any = values.MultiProcessValue(lambda: "rucio")

    class Doubling(base):  # type: ignore[misc]
        def inc(self, amount: float) -> None:
            super().inc(amount * 2)

    with mock.patch("forkmeter.values.ValueClass", new=Doubling):
        counter = Counter("rucio_total", "help", registry=None)
    counter.inc()
    assert counter._value.get() == 2
    with mock.patch("forkmeter.values.ValueClass", new=values.MutexValue):
        assert not Counter("mutex_total", "help", registry=None)._value._multiprocess
    values.close_all_multiprocess_files()
    assert [file.name for file in tmp_path.glob("counter_*")] == ["counter_rucio.db"]


def test_synapse_assigns_created(registry: forkmeter.CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter("synapse_total", "help", registry=registry)
    counter._created = 12.5
    assert registry.get_sample_value("synapse_created") == 12.5
    monkeypatch.setattr(metrics, "_use_created", False)
    assert registry.get_sample_value("synapse_created") is None


def test_metrics_are_reset_by_starting_them_again() -> None:
    counter = Counter("again_total", "help", registry=None)
    counter.inc(5)
    counter._metric_init()
    assert counter._value.get() == 0


def test_posthog_reads_and_writes_files(tmp_path: Path) -> None:
    path = tmp_path / "counter_1.db"
    file = MmapedDict(path)
    key = mmap_key("posthog", "posthog_total", ("b", "a"), ("2", "1"), "help")
    assert key == '["posthog", "posthog_total", {"a": "1", "b": "2"}, "help"]'
    file.write_value(key, 7.0, 0.0)
    file.close()
    assert [entry[:3] for entry in MmapedDict.read_all_values_from_file(path)] == [(key, 7.0, 0.0)]
    (family,) = forkmeter.multiprocess.MultiProcessCollector.merge([str(path)])
    assert family.samples == [Sample("posthog_total", {"a": "1", "b": "2"}, 7.0)]


def test_values_are_read_where_a_new_key_makes_the_file_longer(tmp_path: Path) -> None:
    file = MmapedDict(str(tmp_path / "counter_7.db"))
    keys = [mmap_key("jobs", "jobs_total", ["x"], [str(number)], "help") for number in range(3000)]
    assert {file.read_value(key) for key in keys} == {(0.0, 0.0)}
    assert [key for key, _, _ in file.read_all_values()] == keys
    file.close()
