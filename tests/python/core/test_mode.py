"""Which directory values are shared in: no order of imports, calls and variables leads into a trap."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import forkmeter
import pytest
from forkmeter import Counter, Enum, Gauge, Histogram, Info, values
from forkmeter.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def merged(path: Path, name: str, labels: dict[str, str] | None = None) -> float | None:
    registry = forkmeter.CollectorRegistry()
    MultiProcessCollector(registry, path)
    return registry.get_sample_value(name, labels)


def test_a_variable_that_is_set_after_the_import_takes_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter("late_variable_total", "help", registry=None)
    counter.inc(3)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    counter.inc()
    assert forkmeter.status().why == "PROMETHEUS_MULTIPROC_DIR"
    assert merged(tmp_path, "late_variable_total") == 4


def test_a_variable_that_moves_takes_writers_and_collectors_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "a"))
    counter = Counter("moving_variable_total", "help", registry=None)
    counter.inc(5)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "b"))
    counter.inc(2)
    assert merged(tmp_path / "b", "moving_variable_total") == 2
    assert merged(tmp_path / "a", "moving_variable_total") == 5
    assert counter._value.get() == 2


def test_a_variable_that_goes_leaves_a_lone_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert forkmeter.status().mode == "multiprocess"
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    assert forkmeter.status().mode == "single"
    first = Counter("twice_total", "help", registry=None)
    second = Counter("twice_total", "help", registry=None)
    first.inc()
    assert second._value.get() == 0


def test_what_a_foreign_value_class_keeps_is_all_that_its_collector_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "a"))
    native = Counter("native_total", "help", registry=None)
    native.inc()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "b"))
    monkeypatch.setattr(values, "ValueClass", values.MultiProcessValue(lambda: 123))
    Counter("foreign_total", "help", registry=None).inc(2)
    registry = forkmeter.CollectorRegistry()
    MultiProcessCollector(registry)
    assert [family.name for family in registry.collect()] == ["foreign"]
    assert forkmeter.generate_latest(registry).decode().splitlines()[2:] == ["foreign_total 2.0"]
    monkeypatch.setattr(values, "ValueClass", values.NativeValueClass)
    native.inc(3)
    assert {family.name for family in registry.collect()} == {"foreign", "native"}


def test_files_that_are_deleted_come_back_with_what_was_counted(shared: Path) -> None:
    counter = Counter("deleted_total", "help", registry=None)
    counter.inc(4)
    for file in shared.iterdir():
        file.unlink()
    counter.inc()
    assert merged(shared, "deleted_total") == 5


def test_a_directory_that_is_deleted_breaks_nothing(shared: Path) -> None:
    counter = Counter("directory_deleted_total", "help", registry=None)
    counter.inc()
    shutil.rmtree(shared)
    counter.inc()
    assert counter._value.get() == 2


def test_configure_wins_over_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: Path) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert forkmeter.status().directory == str(shared)
    forkmeter.configure(None)
    assert forkmeter.status().directory == str(tmp_path)


def test_all_that_was_counted_before_moves_in_once_there_is_a_directory(
    tmp_path: Path, registry: forkmeter.CollectorRegistry
) -> None:
    gauge = Gauge("early_gauge", "help", ["x"], registry=registry, multiprocess_mode="sum")
    gauge.labels("1").set(4)
    histogram = Histogram("early_histogram", "help", registry=registry)
    histogram.observe(0.3)
    Info("early", "help", registry=registry).info({"version": "1"})
    Enum("early_state", "help", states=["off", "on"], registry=registry).state("on")
    forkmeter.configure(tmp_path)
    try:
        assert merged(tmp_path, "early_gauge", {"x": "1"}) == 4
        assert merged(tmp_path, "early_histogram_sum") == 0.3
        assert merged(tmp_path, "early_histogram_bucket", {"le": "0.5"}) == 1
        assert merged(tmp_path, "early_info", {"version": "1"}) == 1
        assert merged(tmp_path, "early_state", {"early_state": "on"}) == 1
    finally:
        forkmeter.configure(None)


def test_fresh_deletes_metrics_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "counter_99.db").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("keep", "utf-8")
    forkmeter.configure(tmp_path, fresh=True)
    try:
        assert (tmp_path / "notes.txt").exists()
        assert not (tmp_path / "counter_99.db").exists()
    finally:
        forkmeter.configure(None)
    with pytest.raises(ValueError, match="needs a directory"):
        forkmeter.configure(fresh=True)


def test_status_names_the_workers(shared: Path) -> None:
    Counter("status_total", "help", registry=None).inc()
    status = forkmeter.status()
    assert (status.mode, status.directory, status.is_open, status.kept_series) == ("multiprocess", str(shared), True, 0)
    assert [(worker.pid, worker.is_alive) for worker in status.workers] == [(os.getpid(), True)]


def test_a_lower_case_variable_warns_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Set and deleted, so that monkeypatch takes away what the warning sets.
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "x")
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    monkeypatch.setenv("prometheus_multiproc_dir", str(tmp_path))
    with pytest.warns(DeprecationWarning, match="prometheus_multiproc_dir variable has been deprecated") as caught:
        Counter("lower_total", "help", registry=None)
    assert len(caught) == 1
    # Warnings are errors here: a second one would be seen.
    Counter("lower_case_total", "help", registry=None)
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == str(tmp_path)


def test_the_default_registry_is_merged_and_never_doubled(run_python: Callable[..., str], tmp_path: Path) -> None:
    printed = run_python(
        """
        import os
        import forkmeter
        from forkmeter.multiprocess import MultiProcessCollector

        counter = forkmeter.Counter("jobs_total", "help")
        elsewhere = forkmeter.CollectorRegistry()
        forkmeter.Counter("other_total", "help", registry=elsewhere).inc()
        counter.inc()
        child = os.fork()
        if not child:
            counter.inc(2)
            forkmeter.Counter("only_in_child_total", "help").inc()
            os._exit(0)
        os.waitpid(child, 0)
        value = forkmeter.REGISTRY.get_sample_value
        print(value("jobs_total"), value("only_in_child_total"), value("other_total"))
        print(elsewhere.get_sample_value("other_total"))
        MultiProcessCollector(forkmeter.REGISTRY)
        samples = [s for f in forkmeter.REGISTRY.collect() for s in f.samples if s.name == "jobs_total"]
        print([s.value for s in samples])
        restricted = forkmeter.REGISTRY.restricted_registry(["jobs_total"]).collect()
        print([(f.name, [s.value for s in f.samples]) for f in restricted])
        """,
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
    )
    assert printed.splitlines() == ["3.0 1.0 None", "1.0", "[3.0]", "[('jobs', [3.0])]"]


def test_a_removed_series_is_removed_for_all(shared: Path) -> None:
    gone = Counter("removed_total", "help", ["x"], registry=None)
    gone.labels("a").inc()
    gone.labels("b").inc()
    gone.remove("a")
    assert merged(shared, "removed_total", {"x": "a"}) is None
    gone.clear()
    assert merged(shared, "removed_total", {"x": "b"}) is None
    gone.labels("a").inc(7)
    assert merged(shared, "removed_total", {"x": "a"}) == 7


def test_a_collector_follows_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "first"))
    registry = forkmeter.CollectorRegistry()
    collector = MultiProcessCollector(registry)
    counter = Counter("followed_total", "help", registry=None)
    counter.inc()
    assert registry.get_sample_value("followed_total") == 1
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "second"))
    counter.inc(2)
    assert (registry.get_sample_value("followed_total"), collector._path) == (2, str(tmp_path / "second"))
    # One that was named stays; and the last one stays once there is none.
    assert merged(tmp_path / "first", "followed_total") == 1
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    assert registry.get_sample_value("followed_total") == 2
    with pytest.raises(ValueError, match="not set or not a directory"):
        MultiProcessCollector(None)
    with pytest.raises(ValueError, match="not set or not a directory"):
        MultiProcessCollector(None, path=tmp_path / "none")
