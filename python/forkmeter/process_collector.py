"""What the kernel knows about a process as metrics: memory, processor time, open files."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from .metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from .registry import REGISTRY, Collector, CollectorRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def _system_value(name: str, fallback: float) -> float:
    """Asks the system for a constant; not every system knows every one, or can be asked."""
    with suppress(ValueError, TypeError, AttributeError, OSError):
        return os.sysconf(name)
    return fallback


_PAGESIZE = int(_system_value("SC_PAGESIZE", 4096))
_DEFAULT_TICKS_PER_SECOND = 100.0

# Fields of /proc/PID/stat, counted from the one after the name of the program (proc(5) counts it as the second).
_UTIME = 11
_STIME = 12
_STARTTIME = 19
_VSIZE = 20
_RSS = 21

_MAX_FDS_LIMIT = 3


class ProcessCollector(Collector):
    """Collects what /proc says about a process. It registers itself; without /proc it collects nothing.

    Args:
        namespace: Comes before the names, with an underscore between.
        pid: Returns the process to look at, at every scrape.
        proc: Where /proc is mounted.
        registry: Where to register; None leaves that out.
    """

    def __init__(
        self,
        namespace: str = "",
        pid: Callable[[], int | str] = lambda: "self",
        proc: str = "/proc",
        registry: CollectorRegistry | None = REGISTRY,
    ) -> None:
        self._namespace = namespace
        self._pid = pid
        self._proc = proc
        self._prefix = f"{namespace}_process_" if namespace else "process_"
        self._ticks = _system_value("SC_CLK_TCK", _DEFAULT_TICKS_PER_SECOND)
        self._pagesize = _PAGESIZE
        self._btime: float | None = 0
        with suppress(OSError):
            self._btime = self._boot_time()
        if registry:
            registry.register(self)

    def _boot_time(self) -> float | None:
        """Returns when the machine started, in seconds since 1970.

        Raises:
            OSError: There is no /proc.
        """
        with open(os.path.join(self._proc, "stat"), "rb") as lines:
            for line in lines:
                if line.startswith(b"btime "):
                    return float(line.split()[1])
        return None

    def collect(self) -> Iterable[Metric]:
        """Returns the process's metrics, as far as they may be read."""
        if not self._btime:
            return []
        directory = os.path.join(self._proc, str(self._pid()).strip())
        families: list[Metric] = []
        with suppress(OSError):
            families.extend(self._times_and_memory(directory, self._btime))
        with suppress(OSError):
            families.extend(self._files(directory))
        return families

    def _times_and_memory(self, directory: str, boot_time: float) -> list[Metric]:
        with open(os.path.join(directory, "stat"), "rb") as file:
            # The name of a program may have spaces and parentheses of its own.
            fields = file.read().rpartition(b")")[2].split()
        return [
            self._gauge("virtual_memory_bytes", "Virtual memory size in bytes.", float(fields[_VSIZE])),
            self._gauge(
                "resident_memory_bytes", "Resident memory size in bytes.", float(fields[_RSS]) * self._pagesize
            ),
            self._gauge(
                "start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                float(fields[_STARTTIME]) / self._ticks + boot_time,
            ),
            CounterMetricFamily(
                self._prefix + "cpu_seconds_total",
                "Total user and system CPU time spent in seconds.",
                value=float(fields[_UTIME]) / self._ticks + float(fields[_STIME]) / self._ticks,
            ),
        ]

    def _files(self, directory: str) -> list[Metric]:
        families: list[Metric] = []
        with open(os.path.join(directory, "limits"), "rb") as lines:
            for line in lines:
                if line.startswith(b"Max open file"):
                    limit = float(line.split()[_MAX_FDS_LIMIT])
                    families.append(self._gauge("max_fds", "Maximum number of open file descriptors.", limit))
                    break
        open_files = len(os.listdir(os.path.join(directory, "fd")))
        families.insert(0, self._gauge("open_fds", "Number of open file descriptors.", open_files))
        return families

    def _gauge(self, name: str, documentation: str, value: float) -> Metric:
        return GaugeMetricFamily(self._prefix + name, documentation, value=value)


PROCESS_COLLECTOR = ProcessCollector()
"""The collector in the default registry."""
