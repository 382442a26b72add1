"""The Python interpreter as a metric."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .metrics_core import GaugeMetricFamily, Metric
from .registry import REGISTRY, Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class _CPython:
    """Answers what `platform` would answer about CPython, without the time that it takes to import."""

    @staticmethod
    def python_version() -> str:
        """Returns the version, with what may stand after the numbers."""
        return sys.version.split()[0]

    @classmethod
    def python_version_tuple(cls) -> tuple[str, ...]:
        """Returns the three parts of the version."""
        return tuple(cls.python_version().split("."))

    @staticmethod
    def python_implementation() -> str:
        """Returns the name of the implementation."""
        return "CPython"

    @staticmethod
    def system() -> str:
        """Returns the system; CPython does not run on Java, and nothing else matters here."""
        return sys.platform


class PlatformCollector(Collector):
    """Collects the version of the interpreter. It registers itself.

    Args:
        registry: Where to register; None leaves that out.
        platform: What to ask in place of the module `platform`.
    """

    def __init__(self, registry: CollectorRegistry | None = REGISTRY, platform: Any = None) -> None:
        self._platform = _default_platform() if platform is None else platform
        info = self._info()
        if self._platform.system() == "Java":
            info.update(self._java())
        self._metrics = [self._add_metric("python_info", "Python platform information", info)]
        if registry:
            registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Returns one gauge that is always 1; its labels say what is known."""
        return self._metrics

    @staticmethod
    def _add_metric(name: str, documentation: str, data: Mapping[str, str]) -> Metric:
        family = GaugeMetricFamily(name, documentation, labels=list(data))
        family.add_metric(list(data.values()), 1)
        return family

    def _info(self) -> dict[str, str]:
        major, minor, patchlevel = self._platform.python_version_tuple()
        return {
            "version": self._platform.python_version(),
            "implementation": self._platform.python_implementation(),
            "major": major,
            "minor": minor,
            "patchlevel": patchlevel,
        }

    def _java(self) -> dict[str, str]:
        java_version, _, (vm_name, vm_release, vm_vendor), _ = self._platform.java_ver()
        return {
            "jvm_version": java_version,
            "jvm_release": vm_release,
            "jvm_vendor": vm_vendor,
            "jvm_name": vm_name,
        }


def _default_platform() -> Any:
    # `platform` has more to say about other implementations, and about versions that are not three numbers.
    if sys.implementation.name == "cpython" and len(_CPython.python_version_tuple()) == 3:
        return _CPython
    import platform

    return platform


PLATFORM_COLLECTOR = PlatformCollector()
"""The collector in the default registry."""
