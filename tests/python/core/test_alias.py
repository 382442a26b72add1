"""forkmeter under the name `prometheus_client`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUBMODULES = [
    *("core", "registry", "metrics", "metrics_core", "samples", "exposition", "openmetrics", "openmetrics.exposition"),
    *("openmetrics.parser", "parser", "multiprocess", "values", "mmap_dict", "utils", "validation", "decorator"),
    *("context_managers", "gc_collector", "platform_collector", "process_collector", "bridge", "asgi"),
    "bridge.graphite",
]


def test_every_submodule_is_the_same_object(run_python: Callable[..., str]) -> None:
    run_python(
        f"""
        import importlib
        import forkmeter
        forkmeter.install_as_prometheus_client()
        forkmeter.install_as_prometheus_client()
        for name in {SUBMODULES!r}:
            alias = importlib.import_module("prometheus_client." + name)
            own = importlib.import_module("forkmeter." + name)
            assert alias is own, name
            assert own.__name__ == "forkmeter." + name == own.__spec__.name, own.__spec__
        import prometheus_client
        assert prometheus_client is forkmeter
        assert prometheus_client.multiprocess.__name__ == "forkmeter.multiprocess"
        counter = prometheus_client.Counter("c", "help")
        assert repr(counter) == "prometheus_client.metrics.Counter(c)"
        """
    )


def test_a_module_that_does_not_exist_is_not_found(run_python: Callable[..., str]) -> None:
    run_python(
        """
        import forkmeter
        forkmeter.install_as_prometheus_client()
        try:
            import prometheus_client.nowhere
        except ModuleNotFoundError as error:
            assert error.name == "prometheus_client.nowhere"
        else:
            raise AssertionError
        """
    )


def test_the_real_one_that_is_loaded_already_is_refused(run_python: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text("", "utf-8")
    run_python(
        f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import prometheus_client
        import forkmeter
        try:
            forkmeter.install_as_prometheus_client()
        except RuntimeError as error:
            assert "prometheus_client is loaded already, from {tmp_path}" in str(error), error
        else:
            raise AssertionError
        """
    )
