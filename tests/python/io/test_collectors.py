"""The collectors in the default registry, beside those of the official client."""

from __future__ import annotations

import gc
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

import forkmeter
import prometheus_client
import pytest
from forkmeter import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from forkmeter.platform_collector import _CPython

if TYPE_CHECKING:
    from pathlib import Path


def shape(collector: Any) -> list[Any]:
    """Everything but the values."""
    return [
        (metric.name, metric.documentation, metric.type, metric.unit, [(s.name, s.labels) for s in metric.samples])
        for metric in collector.collect()
    ]


@pytest.mark.parametrize("name", ["GC_COLLECTOR", "PLATFORM_COLLECTOR", "PROCESS_COLLECTOR"])
def test_same_families_as_the_official_client(name: str) -> None:
    assert shape(getattr(forkmeter, name)) == shape(getattr(prometheus_client, name))
    assert getattr(forkmeter, name) in forkmeter.REGISTRY._collector_to_names


def test_they_register_themselves() -> None:
    for collector_class in (GCCollector, PlatformCollector, ProcessCollector):
        registry = CollectorRegistry(auto_describe=True)
        collector: Any = collector_class(registry=registry)
        assert collector in registry._collector_to_names
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            collector_class(registry=registry)
    assert PlatformCollector(registry=None).collect()
    assert ProcessCollector(registry=None).collect()


def test_gc_values() -> None:
    registry = CollectorRegistry()
    GCCollector(registry)
    before = registry.get_sample_value("python_gc_collections_total", {"generation": "2"})
    assert before is not None
    gc.collect()
    after = registry.get_sample_value("python_gc_collections_total", {"generation": "2"})
    assert after is not None
    assert after > before


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="about CPython")
def test_platform_is_what_the_module_says() -> None:
    for name in ("python_version", "python_version_tuple", "python_implementation"):
        assert getattr(_CPython, name)() == getattr(platform, name)()


def test_platform_of_somebody_else() -> None:
    class Jython:
        @staticmethod
        def system() -> str:
            return "Java"

        @staticmethod
        def python_version_tuple() -> tuple[str, str, str]:
            return ("2", "7", "1")

        @staticmethod
        def python_version() -> str:
            return "2.7.1"

        @staticmethod
        def python_implementation() -> str:
            return "Jython"

        @staticmethod
        def java_ver() -> tuple[Any, ...]:
            return ("8", "vendor", ("vm", "release", "vm vendor"), ("os", "1", "x86"))

    (metric,) = PlatformCollector(registry=None, platform=Jython).collect()
    assert metric.samples[0].labels == {
        "version": "2.7.1",
        "implementation": "Jython",
        "major": "2",
        "minor": "7",
        "patchlevel": "1",
        "jvm_version": "8",
        "jvm_release": "release",
        "jvm_vendor": "vm vendor",
        "jvm_name": "vm",
    }


def test_process_of_another_pid_under_a_namespace(tmp_path: Path) -> None:
    """A name may hold spaces and parentheses, and files may be missing."""
    process = tmp_path / "42"
    process.mkdir()
    (tmp_path / "stat").write_text("cpu 1 2\nbtime 1000\n")
    fields = "S 1 1 1 0 -1 0 0 0 0 0 200 300 0 0 20 0 1 0 500 4096 3"
    (process / "stat").write_text(f"42 (a (b) c) {fields}\n")
    asked: list[int] = []

    def pid() -> str:
        asked.append(1)
        return " 42\n"

    registry = CollectorRegistry()
    ProcessCollector(namespace="n", pid=pid, proc=str(tmp_path), registry=registry)
    ticks = os.sysconf("SC_CLK_TCK")
    values = {sample.name: sample.value for metric in registry.collect() for sample in metric.samples}
    assert values == {
        "n_process_virtual_memory_bytes": 4096.0,
        "n_process_resident_memory_bytes": 3.0 * os.sysconf("SC_PAGESIZE"),
        "n_process_start_time_seconds": 500 / ticks + 1000,
        "n_process_cpu_seconds_total": 200 / ticks + 300 / ticks,
    }
    (process / "fd").mkdir()
    (process / "fd" / "0").touch()
    (process / "limits").write_text("Limit  Soft  Hard\nMax open files            1024   4096   files\n")
    assert registry.get_sample_value("n_process_open_fds") == 1
    assert registry.get_sample_value("n_process_max_fds") == 1024
    assert len(asked) == 3


def test_process_without_proc(tmp_path: Path) -> None:
    assert ProcessCollector(proc=str(tmp_path), registry=None).collect() == []
    (tmp_path / "stat").write_text("btime 1000\n")
    assert ProcessCollector(proc=str(tmp_path), pid=lambda: 1, registry=None).collect() == []
