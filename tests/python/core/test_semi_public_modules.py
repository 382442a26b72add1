"""Modules, value classes and files that dependents reach into; each test says who. See also test_semi_public.py."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any
from unittest import mock

import forkmeter
import pytest
from forkmeter import Counter, Gauge, Histogram, exposition, metrics, mmap_dict, multiprocess, parser, registry, values
from forkmeter.core import REGISTRY as CORE_REGISTRY
from forkmeter.metrics import MetricWrapperBase
from forkmeter.mmap_dict import MmapedDict, mmap_key
from forkmeter.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


@pytest.fixture
def value_class() -> Iterator[None]:
    """Puts the value class back that a test replaces, and lets go of its files."""
    before = values.ValueClass
    yield
    values.ValueClass = before
    values.close_all_multiprocess_files()


def test_celery_exporter_logs_what_a_metric_is() -> None:
    counter = Counter("tasks_total", "Tasks.", ["queue"], namespace="celery", unit="", registry=None)
    child = counter.labels("mail")
    assert (counter._name, counter._documentation, counter._type) == ("celery_tasks", "Tasks.", "counter")
    assert (counter._labelnames, counter._labelvalues, counter._unit) == (("queue",), (), "")
    assert (child._name, child._labelnames, child._labelvalues) == ("celery_tasks", ("queue",), ("mail",))
    assert Histogram("h", "H.", registry=None, buckets=(1, 2))._kwargs["buckets"] == (1, 2)


def test_flower_lists_label_sets_under_the_lock() -> None:
    gauge = Gauge("workers", "Workers.", ["name"], registry=None)
    gauge.labels("a")
    with gauge._lock:
        assert gauge._metrics.copy().keys() == {("a",)}
    gauge._metrics.clear()
    (family,) = gauge.collect()
    assert family.samples == []


def test_aegra_empties_a_registry_and_goes_on() -> None:
    own = forkmeter.CollectorRegistry()
    Counter("jobs", "Jobs.", registry=own)
    with own._lock:
        own._collector_to_names.clear()
        own._names_to_collectors.clear()
    assert own._collectors_without_names == []
    assert own._get_names(Counter("again", "Again.", registry=own)) == ["again", "again_total", "again_created"]
    assert set(own._names_to_collectors) == {"again", "again_total", "again_created"}


def test_the_otel_extension_asks_what_a_metric_can_do() -> None:
    counter = Counter("x", "X.", ["label"], registry=None)
    assert counter._is_parent()
    assert not counter._is_observable()
    assert counter.labels("v")._is_observable()
    with pytest.raises(ValueError, match="missing label values"):
        counter._raise_if_not_observable()
    counter.labels("v").inc()
    for samples, labels in (
        (counter._multi_samples(), {"label": "v"}),
        (counter._samples(), {"label": "v"}),
        (counter.labels("v")._child_samples(), {}),
    ):
        assert next(iter(samples))[:3] == ("_total", labels, 1.0)


def test_starlette_exporter_and_litestar_know_metrics_by_their_base() -> None:
    for make in (Counter, Gauge, forkmeter.Summary, Histogram, forkmeter.Info):
        assert isinstance(make("x", "X.", registry=None), MetricWrapperBase)
    assert issubclass(forkmeter.Enum, MetricWrapperBase)
    assert metrics._build_full_name("counter", "x_total", "a", "b", "") == "a_b_x"


def test_subclasses_know_the_modes_of_a_gauge() -> None:
    class Current(Gauge):
        _MULTIPROC_MODES = Gauge._MULTIPROC_MODES | {"current"}

    gauge = Current("now", "Now.", registry=None, multiprocess_mode="current")  # type: ignore[arg-type]
    assert str(gauge._multiprocess_mode) == "current"
    with pytest.raises(ValueError, match="Invalid multiprocess mode"):
        Gauge("now", "Now.", registry=None, multiprocess_mode="current")  # type: ignore[arg-type]


@pytest.mark.usefixtures("value_class")
def test_django_prometheus_puts_a_value_class_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    worker = {"id": 3}
    values.ValueClass = values.MultiProcessValue(process_identifier=lambda: worker["id"])
    counter = Counter("django", "Django.", ["view"], registry=None)
    counter.labels("home").inc()
    worker["id"] = 4
    counter.labels("home").inc()
    values.close_all_multiprocess_files()
    assert sorted(path.name for path in tmp_path.glob("*.db")) == ["counter_3.db", "counter_4.db"]
    families = MultiProcessCollector(None, path=str(tmp_path)).collect()
    # Metrics that other tests made may have come along when the variable was set.
    totals = [sample.value for family in families for sample in family.samples if sample.name == "django_total"]
    assert totals == [2.0]


@pytest.mark.usefixtures("value_class")
def test_services_choose_the_value_class_after_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    values.ValueClass = values.get_value_class()
    assert values.ValueClass._multiprocess
    Counter("late", "Late.", registry=None).inc()
    values.close_all_multiprocess_files()
    assert f"counter_{os.getpid()}.db" in [path.name for path in tmp_path.iterdir()]


def test_gunicorn_exporter_patches_the_value_class() -> None:
    with mock.patch("forkmeter.values.ValueClass", new=values.MutexValue):
        gauge = Gauge("patched", "Patched.", registry=None)
        gauge.set(2)
        assert isinstance(gauge._value, values.MutexValue)
        assert gauge._value.get() == 2


@pytest.mark.usefixtures("value_class")
def test_talisker_collects_any_directory_without_a_registry(tmp_path: Path) -> None:
    file = MmapedDict(str(tmp_path / "gauge_livesum_7.db"))
    file.write_value(mmap_key("busy", "busy", (), (), "Busy."), 2.0, 1.0)
    file.close()
    collector = MultiProcessCollector(None, path=str(tmp_path))
    assert collector._path == str(tmp_path)
    assert [(family.name, family.samples[0].value) for family in collector.collect()] == [("busy", 2.0)]
    multiprocess.mark_process_dead("7", str(tmp_path))
    assert list(collector.collect()) == []


def test_multi_directory_collectors_override_how_files_are_found(tmp_path: Path) -> None:
    for number in ("1", "2"):
        file = MmapedDict(str(tmp_path / f"counter_{number}.db"))
        file.write_value(mmap_key("jobs", "jobs_total", (), (), "Jobs."), 5.0, 0.0)
        file.close()
    paths = [str(path) for path in tmp_path.glob("*.db")]
    read = MultiProcessCollector._read_metrics(paths)
    assert [sample.value for sample in read["jobs"].samples] == [5.0, 5.0]
    (family,) = MultiProcessCollector._accumulate_metrics(read, accumulate=True)
    assert [sample.value for sample in family.samples] == [10.0]

    class Renaming(MultiProcessCollector):
        def collect(self) -> Iterable[Any]:
            for family in super().collect():
                family.name = "renamed"
                yield family

    own = forkmeter.CollectorRegistry()
    Renaming(own, str(tmp_path))
    assert b"# HELP renamed_total Jobs.\n" in exposition.generate_latest(own)
    with mock.patch.object(MultiProcessCollector, "_read_metrics", return_value={}):
        plain = forkmeter.CollectorRegistry()
        MultiProcessCollector(plain, str(tmp_path))
        assert exposition.generate_latest(plain) == b""
    with (
        mock.patch("forkmeter.multiprocess.glob.glob", return_value=paths[:1]),
        mock.patch.object(MultiProcessCollector, "merge", MultiProcessCollector.merge),
    ):
        assert vars(multiprocess)["os"] is os


def test_a_patched_merge_is_called(tmp_path: Path) -> None:
    own = forkmeter.CollectorRegistry()
    MultiProcessCollector(own, str(tmp_path))
    with mock.patch.object(MultiProcessCollector, "merge", return_value=[]) as merge:
        assert exposition.generate_latest(own) == b""
    merge.assert_called_once_with([], accumulate=True)


def test_programs_lower_the_first_size_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap_dict, "_INITIAL_MMAP_SIZE", 4096)
    path = tmp_path / "counter_1.db"
    file = MmapedDict(str(path))
    assert path.stat().st_size == 4096
    assert file.read_value("k") == (0.0, 0.0)
    file.write_value("k", 2.0, 3.0)
    assert list(file.read_all_values()) == [("k", 2.0, 3.0)]
    file.close()
    (used,) = struct.unpack("i", path.read_bytes()[:4])
    assert 8 < used <= 4096
    reader = MmapedDict(str(path), read_mode=True)
    assert list(reader.read_all_values()) == [("k", 2.0, 3.0)]
    reader.close()


def test_datadog_parses_single_samples() -> None:
    assert parser._parse_sample('a_total{b="c"} 2').value == 2
    assert parser._replace_help_escaping(r"two\nlines") == "two\nlines"


def test_the_flask_exporter_chooses_encoders_and_uses_the_registry_of_core() -> None:
    encoder, content_type = exposition.choose_encoder("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert encoder(forkmeter.CollectorRegistry()) == b"# EOF\n"
    assert CORE_REGISTRY is forkmeter.REGISTRY
    assert registry.REGISTRY is forkmeter.REGISTRY


def test_servers_reach_for_the_parts_of_exposition() -> None:
    status, headers, body = exposition._bake_output(
        forkmeter.CollectorRegistry(), "", "", {}, disable_compression=False
    )
    assert (status, body) == ("200 OK", b"")
    assert ("Content-Type", exposition.CONTENT_TYPE_PLAIN_0_0_4) in headers
    assert issubclass(exposition._SilentHandler, exposition.WSGIRequestHandler)
    family, address = exposition._get_best_family("127.0.0.1", 80)
    assert (family.name, address) == ("AF_INET", "127.0.0.1")


def test_instrumentator_recognizes_duplicates_by_the_message() -> None:
    own = forkmeter.CollectorRegistry()
    Counter("requests", "Requests.", registry=own)
    with pytest.raises(ValueError, match="Duplicated timeseries in CollectorRegistry:") as caught:
        Counter("requests", "Requests.", registry=own)
    assert isinstance(caught.value, registry.DuplicateTimeseries)
    assert caught.value.duplicates == {"requests", "requests_total", "requests_created"}
