"""Collects what the workers of a directory counted."""

from __future__ import annotations

import contextlib
import glob
import json
import os
from typing import TYPE_CHECKING, Any

from . import _directory, _forkmeter, values
from .metrics import Gauge
from .metrics_core import Metric
from .mmap_dict import MmapedDict
from .samples import Sample
from .utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._forkmeter import NativeFamily
    from .registry import CollectorRegistry

    Labels = tuple[tuple[str, str], ...]

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_LIVE_GAUGE_MULTIPROCESS_MODES = {mode for mode in Gauge._MULTIPROC_MODES if mode.startswith("live")}


class MultiProcessCollector:
    """Yields what all workers of a directory counted.

    Args:
        registry: Where to register it; `None` for nowhere.
        path: The directory; without it, the one in which this process shares its values, now and whenever that
            changes.

    Raises:
        ValueError: No directory is named, there is no such `path`, or what the process itself names cannot be made.

    Note: differs
        The default registry needs no such collector: it yields the same families by itself, and never twice. So
        registering one there does not fail, whatever is in the directory.

    Note: differs
        Without `path` the collector follows the process to another directory, and a missing one is made.

    Note: differs
        Metrics that are registered beside it are not shown twice, and restricted registries ask it as well.
    """

    _is_reader = True

    def __init__(self, registry: CollectorRegistry | None, path: str | os.PathLike[str] | None = None) -> None:
        if path is None:
            values._adopt_deprecated_variable()
            own = _forkmeter.directory()
            if own:
                with contextlib.suppress(OSError):
                    os.makedirs(own[0], exist_ok=True)
            self._last_path: str | os.PathLike[str] = own[0] if own else ""
        self._explicit_path = path
        if not self._path or not os.path.isdir(self._path):
            raise ValueError(f"env {_VARIABLE} is not set or not a directory")
        if registry:
            registry.register(self)

    @property
    def _path(self) -> str | os.PathLike[str]:
        """The directory, at the moment: that of the process, where none was given; the last one once it has none."""
        if self._explicit_path is not None:
            return self._explicit_path
        own = _forkmeter.directory()
        if own:
            self._last_path = own[0]
        return self._last_path

    @_path.setter
    def _path(self, path: str | os.PathLike[str]) -> None:
        self._explicit_path = path

    @staticmethod
    def merge(files: Iterable[str], accumulate: bool = True) -> Iterable[Metric]:
        """Merges files of the official client's kind.

        Args:
            files: Their paths. A file's name says what is in it.
            accumulate: Make histogram buckets cumulative, as in an exposition. What is written back to files must
                not be.

        Returns:
            The families.
        """
        metrics = MultiProcessCollector._read_metrics(files)
        return MultiProcessCollector._accumulate_metrics(metrics, accumulate)

    @staticmethod
    def _read_metrics(files: Iterable[str]) -> dict[str, Metric]:
        """Reads every value of every file, with labels as sorted pairs, and the process of gauges among them."""
        metrics: dict[str, Metric] = {}
        keys: dict[str, tuple[str, str, Labels, str]] = {}
        for path in files:
            # A process identifier may hold an underscore itself.
            kind, *rest = os.path.basename(path).split("_", 2)
            mode = rest[0] if kind == "gauge" else ""
            try:
                entries = MmapedDict.read_all_values_from_file(path)
            except FileNotFoundError:
                # Of a process that was marked as dead a moment ago.
                if mode.startswith("live"):
                    continue
                raise
            for key, value, timestamp, _ in entries:
                if key not in keys:
                    family, name, labels, documentation = json.loads(key)
                    keys[key] = (family, name, tuple(sorted(labels.items())), documentation)
                family, name, pairs, documentation = keys[key]
                metric = metrics.get(family)
                if metric is None:
                    metric = metrics[family] = Metric(family, documentation, kind)
                if kind == "gauge":
                    metric._multiprocess_mode = mode  # type: ignore[attr-defined]
                    pid = rest[1][: -len(".db")]
                    metric.add_sample(name, (*pairs, ("pid", pid)), value, timestamp)  # type: ignore[arg-type]
                else:
                    metric.add_sample(name, pairs, value)  # type: ignore[arg-type]
        return metrics

    @staticmethod
    def _accumulate_metrics(metrics: dict[str, Metric], accumulate: bool) -> Iterable[Metric]:
        """Merges the values of each family that have the same labels."""
        for metric in metrics.values():
            if metric.type == "gauge":
                merged = _merge_gauges(metric)
            elif metric.type == "histogram":
                merged = _merge_histograms(metric, accumulate=accumulate)
            else:
                merged = _add_up((sample.name, _pairs(sample), sample.value) for sample in metric.samples)
            metric.samples = [
                Sample(name, dict(labels), value)
                for by_key in merged.values()
                for (name, labels), value in by_key.items()
            ]
        return metrics.values()

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: what is in the directory changes."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Returns the merged families of the directory."""
        if type(self).merge is not _MERGE or MultiProcessCollector._read_metrics is not _READ:
            files = glob.glob(os.path.join(self._path, "*.db"))
            return self.merge(files, accumulate=True)
        return [_directory.to_metric(family) for family in self._read()]

    def _native_families(self, names: Iterable[str] | None = None) -> list[NativeFamily] | None:
        """Returns the merged families in their native form, unless somebody decides how they are merged.

        Args:
            names: Samples' names: nothing is read that only others need.
        """
        cls = MultiProcessCollector
        if type(self) is not cls or (cls.collect, cls.merge, cls._read_metrics) != (_COLLECT, _MERGE, _READ):
            return None
        return self._read(names)

    def _read(self, names: Iterable[str] | None = None) -> list[NativeFamily]:
        # Who keeps values in the official client's way has them in files, and nowhere else.
        is_foreign = values.ValueClass is not values.NativeValueClass
        read = _forkmeter.read_directory if is_foreign else _forkmeter.collect_directory
        return read(os.fspath(self._path), _directory.writable_names(names))


_COLLECT = MultiProcessCollector.collect
_MERGE = MultiProcessCollector.merge
_READ = MultiProcessCollector._read_metrics

# Values by sample, grouped by series so that those of one series stay together.
Merged = "dict[Labels, dict[tuple[str, Labels], float]]"


def _pairs(sample: Sample) -> Any:
    """Returns the labels of a sample that is not merged yet, which are pairs."""
    return sample.labels


def _add_up(samples: Iterable[tuple[str, Any, float]]) -> dict[Any, dict[Any, float]]:
    merged: dict[Any, dict[Any, float]] = {}
    for name, labels, value in samples:
        series = merged.setdefault(labels, {})
        series[name, labels] = series.get((name, labels), 0.0) + value
    return merged


def _merge_gauges(metric: Metric) -> dict[Any, dict[Any, float]]:
    """Merges by the mode of the family."""
    mode = metric._multiprocess_mode.replace("live", "", 1)  # type: ignore[attr-defined]
    if mode == "sum":
        without_pid = ((sample.name, _without(_pairs(sample), "pid"), sample.value) for sample in metric.samples)
        return _add_up(without_pid)
    merged: dict[Any, dict[Any, float]] = {}
    times: dict[Any, float] = {}
    for sample in metric.samples:
        labels = _pairs(sample)
        if mode in {"min", "max", "mostrecent"}:
            labels = _without(labels, "pid")
        series = merged.setdefault(labels, {})
        key = (sample.name, labels)
        if mode == "mostrecent":
            time = float(sample.timestamp or 0)
            if times.get(key, 0.0) < time:
                times[key] = time
                series[key] = sample.value
        elif key in series and mode == "min":
            # Not `min`, which treats NaN in another way.
            series[key] = sample.value if sample.value < series[key] else series[key]  # noqa: FURB136
        elif key in series and mode == "max":
            series[key] = sample.value if sample.value > series[key] else series[key]  # noqa: FURB136
        else:
            series[key] = sample.value
    return merged


def _merge_histograms(metric: Metric, *, accumulate: bool) -> dict[Any, dict[Any, float]]:
    """Adds sums up, and buckets by their bounds."""
    merged: dict[Any, dict[Any, float]] = {}
    buckets: dict[Any, dict[float, float]] = {}
    for sample in metric.samples:
        labels = _pairs(sample)
        bound = next((value for name, value in labels if name == "le"), None)
        if bound is None:
            series = merged.setdefault(labels, {})
            key = (sample.name, labels)
            series[key] = series.get(key, 0.0) + sample.value
        else:
            counts = buckets.setdefault(_without(labels, "le"), {})
            counts[float(bound)] = counts.get(float(bound), 0.0) + sample.value
    for labels, counts in buckets.items():
        series = merged.setdefault(labels, {})
        total = 0.0
        for bound, count in sorted(counts.items()):
            total += count
            key = (metric.name + "_bucket", (*labels, ("le", floatToGoString(bound))))
            series[key] = total if accumulate else count
        if accumulate:
            series[metric.name + "_count", labels] = total
    return merged


def _without(labels: Any, name: str) -> Any:
    return tuple(pair for pair in labels if pair[0] != name)


def is_same_directory(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Tells whether two paths name the same directory."""
    return os.path.realpath(one) == os.path.realpath(other)


def mark_process_dead(pid: int | str, path: str | os.PathLike[str] | None = None) -> None:
    """Takes the gauges of a dead process that are shown for living ones only out of the directory.

    Args:
        pid: The process's identifier.
        path: The directory; without it, the one in which this process shares its values.

    Note: differs
        Calling it is not needed: a worker that died, however it did, is noticed. In a lone process it does nothing.
    """
    where: Any = path
    if path is None:
        own = _forkmeter.directory()
        if own is None:
            return
        where = own[0]
    for mode in _LIVE_GAUGE_MULTIPROCESS_MODES:
        for file in glob.glob(os.path.join(where, f"gauge_{mode}_{pid}.db")):
            os.remove(file)
