"""Registries: which collectors are asked at a scrape, and which names they may use."""

from __future__ import annotations

import os
from threading import RLock
from typing import TYPE_CHECKING, Protocol

from . import _bounds, _directory, _keeper, _published
from ._forkmeter import NativeFamily
from ._weak import WeakList
from .metrics_core import Metric

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, Callable, Union

    Family = Union[Metric, NativeFamily]
    FamiliesOf = Callable[["Collector"], Iterable[Family]]

# What each type adds to the names that it takes.
_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("_sum", "_count", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "gaugehistogram": ("_bucket", "_gsum", "_gcount"),
    "info": ("_info",),
}


class Collector(Protocol):
    """Is anything that yields metric families when it is asked."""

    def collect(self) -> Iterable[Metric]:
        """Returns the families as they are now."""
        ...  # says to type checkers that nothing is to be returned here


class _TargetInfo:
    """Holds the name `target_info` in a registry; the registry itself writes the family."""

    def collect(self) -> Iterable[Metric]:
        return []


class DuplicateTimeseries(ValueError):  # noqa: N818 -- the official client's name
    """Reports names that are registered already.

    Attributes:
        duplicates: The names.
    """

    def __init__(self, duplicates: set[str]) -> None:
        super().__init__(f"Duplicated timeseries in CollectorRegistry: {duplicates}")
        self.duplicates: set[str] = duplicates


class _Lock:
    """A lock that its holder may take again, as a finalizer or a signal handler does that registers something."""

    def __init__(self) -> None:
        self._lock = RLock()
        self.acquire = self._lock.acquire
        self.release = self._lock.release

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *exception: object) -> None:
        self.release()

    def locked(self) -> bool:
        """Tells whether anybody holds it."""
        if self._lock._is_owned():  # type: ignore[attr-defined]
            return True
        if not self.acquire(blocking=False):
            return True
        self.release()
        return False


class CollectorRegistry:
    """Knows collectors, and makes sure that no two of them use the same names.

    No lock is held while a collector runs.

    Args:
        auto_describe: Collect once at registration to learn the names of collectors that have no `describe`.
        target_info: Labels of a `target_info` metric, if any.
        support_collectors_without_names: Ask collectors that named nothing also when only some names are wanted.

    Note: differs
        Where values are shared in a directory, the default registry yields what all workers counted.
    """

    def __init__(
        self,
        auto_describe: bool = False,
        target_info: dict[str, str] | None = None,
        support_collectors_without_names: bool = False,
    ) -> None:
        self._collector_to_names: dict[Any, list[str]] = {}
        self._names_to_collectors: dict[str, Any] = {}
        self._auto_describe = auto_describe
        self._lock = _Lock()
        self._target_info: dict[str, str] | None = {}
        self._support_collectors_without_names = support_collectors_without_names
        self._collectors_without_names: list[Any] = []
        _registries.add(self)
        self.set_target_info(target_info)

    def register(self, collector: Collector) -> None:
        """Adds a collector.

        Args:
            collector: Anything with `collect`, and best also `describe`.

        Raises:
            DuplicateTimeseries: Another collector has one of its names.
        """
        names = self._get_names(collector)
        with self._lock:
            duplicates = self._names_to_collectors.keys() & names
            if duplicates:
                raise DuplicateTimeseries(duplicates)
            self._names_to_collectors.update(dict.fromkeys(names, collector))
            self._collector_to_names[collector] = names
            if self._support_collectors_without_names and not names:
                self._collectors_without_names.append(collector)

    def unregister(self, collector: Collector) -> None:
        """Takes a collector out.

        Raises:
            KeyError: It is not registered.
        """
        with self._lock:
            for name in self._collector_to_names[collector]:
                del self._names_to_collectors[name]
            del self._collector_to_names[collector]
            if collector in self._collectors_without_names:
                self._collectors_without_names.remove(collector)

    def _get_names(self, collector: Any) -> list[str]:
        """Returns the names that a collector uses, with all suffixes of their types."""
        describe = getattr(collector, "describe", None)
        if not describe and self._auto_describe:
            describe = collector.collect
        if not describe:
            return []
        names = []
        for family in describe():
            names.append(family.name)
            names.extend(family.name + suffix for suffix in _SUFFIXES.get(family.type, ()))
        return names

    def collect(self) -> Iterable[Metric]:
        """Yields the families of all collectors, in the order in which they were registered."""
        return map(_directory.to_metric, self._families(_collect))

    def _families(self, of: FamiliesOf) -> Iterator[Family]:
        """Yields the families of all collectors.

        Args:
            of: Asks a collector.
        """
        with self._lock:
            collectors = list(self._collector_to_names)
            target_info = self._target_info_metric() if self._target_info else None
        if target_info is not None:
            yield target_info
        if self is REGISTRY and _directory.is_shared():
            yield from _shared_families(collectors, of)
            return
        yield from _each_once(collectors, of)

    def restricted_registry(self, names: Iterable[str]) -> RestrictedRegistry:
        """Returns a view that collects only some samples.

        Args:
            names: The samples' names, with suffixes.

        Returns:
            An object with `collect`, for `generate_latest` and its like.
        """
        return RestrictedRegistry(names, self)

    def set_target_info(self, labels: dict[str, str] | None) -> None:
        """Replaces the labels of the `target_info` metric.

        Args:
            labels: The labels; none takes the metric out.

        Raises:
            ValueError: A collector uses the name.
        """
        with self._lock:
            if labels:
                if not self._target_info and "target_info" in self._names_to_collectors:
                    raise ValueError("CollectorRegistry already contains a target_info metric")
                self._names_to_collectors["target_info"] = _TargetInfo()
            elif self._target_info:
                self._names_to_collectors.pop("target_info", None)
            self._target_info = labels

    def get_target_info(self) -> dict[str, str] | None:
        """Returns the labels of the `target_info` metric, if there is one."""
        with self._lock:
            return self._target_info

    def _target_info_metric(self) -> Metric:
        family = Metric("target", "Target metadata", "info")
        family.add_sample("target_info", self._target_info or {}, 1)
        return family

    def get_sample_value(self, name: str, labels: dict[str, str] | None = None) -> float | None:
        """Looks one value up, by collecting everything; meant for tests.

        Args:
            name: The sample's name, with suffix.
            labels: All its labels.

        Returns:
            The value, or `None` where there is no such sample.
        """
        wanted = labels or {}
        for family in self.collect():
            for sample in family.samples:
                if sample.name == name and sample.labels == wanted:
                    return sample.value
        return None


class RestrictedRegistry:
    """Collects only some samples of a registry.

    Args:
        names: The samples' names, with suffixes.
        registry: The registry.
    """

    def __init__(self, names: Iterable[str], registry: CollectorRegistry) -> None:
        self._name_set = set(names)
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        """Yields the families that have such samples, with those only."""
        return map(_directory.to_metric, self._families(_collect))

    def _families(self, of: FamiliesOf) -> Iterator[Family]:
        """Yields the families that have such samples, with those only.

        Args:
            of: Asks a collector.
        """
        registry = self._registry
        names = self._name_set
        target_info = None
        with registry._lock:
            collectors = dict.fromkeys(registry._collectors_without_names)
            # What is in a directory has names that change.
            collectors.update((known, None) for known in registry._collector_to_names if _directory.is_reader(known))
            if "target_info" in names and registry._target_info:
                target_info = registry._target_info_metric()
            known = registry._names_to_collectors
            collectors.update((known[name], None) for name in names if name != "target_info" and name in known)
        if target_info is not None:
            yield target_info
        families: Iterator[Family]
        if registry is REGISTRY and _directory.is_shared():
            families = _shared_families(list(collectors), of, names)
        else:
            families = _each_once(collectors, lambda collector: _named_families(collector, names, of))
        for family in families:
            restricted: Family | None
            if isinstance(family, NativeFamily):
                restricted = family.restricted(names)
            else:
                restricted = family._restricted_metric(names)
            if restricted is not None:
                yield restricted


def families_to_write(registry: Collector) -> Iterable[Family]:
    """Returns what a registry collects, each family in the form in which it is written fastest.

    Args:
        registry: A registry, or whatever else has `collect`.
    """
    if type(registry) in _COLLECTS and type(registry).collect is _COLLECTS[type(registry)]:
        return registry._families(_collect_to_write)  # type: ignore[attr-defined, no-any-return]
    return registry.collect()


def _collect(collector: Collector) -> Iterable[Metric]:
    return collector.collect()


def _collect_to_write(collector: Any) -> Iterable[Family]:
    # On the type: what makes up attributes, such as a mock, has this one too.
    native_families = getattr(type(collector), "_native_families", None)
    families: Iterable[Family] | None = None if native_families is None else native_families(collector)
    return collector.collect() if families is None else families


def _named_families(collector: Any, names: set[str], of: FamiliesOf) -> Iterable[Family]:
    """Returns the families of a collector; one that reads a directory reads what some samples need.

    Args:
        collector: The collector.
        names: The samples' names.
        of: Asks a collector.
    """
    families: Iterable[Family] | None = None
    if _directory.is_reader(collector):
        families = collector._native_families(names)
    return of(collector) if families is None else families


def _shared_families(collectors: Iterable[Any], of: FamiliesOf, names: set[str] | None = None) -> Iterator[Family]:
    """Yields what all workers counted, in place of what this one did, and the families of other collectors.

    Args:
        collectors: Collectors of the default registry.
        of: Asks a collector.
        names: The names of the samples that are wanted; without it these are all collectors.
    """
    collectors = [collector for collector in collectors if not _directory.is_collector_of_own(collector)]
    _keeper.start()
    _published.set_gauges(names)
    own = _published.ask(collectors, of, is_all=names is None)
    merged = {family.name: family for family in _directory.collect_own(names)}
    published = {family.name: family for family in _published.collect(names)}
    for collector in collectors:
        if collector in own:
            for name in own[collector]:
                pair = merged.pop(name, None), published.pop(name, None)
                # What other value classes keep in the directory is merged there; a metric of ours with samples of
                # its own has none there that count.
                found = pair[1] or pair[0] if getattr(collector, "_is_declared", False) else pair[0] or pair[1]
                if found is not None:
                    yield found
            continue
        family = merged.pop(collector._name, None) if _directory.stands_in_directory(collector) else None
        if family is not None:
            # Another version's workers may have a collector of their own for it.
            published.pop(collector._name, None)
            yield _bounds.forget_idle(collector, family) or family
        else:
            yield from of(collector) if names is None else _named_families(collector, names, of)
    elsewhere = _names_of_other_registries()
    for name, family in {**published, **merged}.items():
        if name not in elsewhere:
            yield family


def _each_once(collectors: Iterable[Any], of: FamiliesOf) -> Iterator[Family]:
    """Yields the families of collectors, without those of this worker that one among them yields of all workers.

    Args:
        collectors: The collectors of a registry.
        of: Asks a collector.
    """
    collectors = list(collectors)
    readers = [collector for collector in collectors if _directory.is_reader(collector)]
    has_own = any(_directory.is_collector_of_own(reader) for reader in readers)
    paths = set()
    for collector in collectors:
        if collector in readers:
            path = os.path.realpath(collector._path)
            if path in paths:
                continue
            paths.add(path)
        elif has_own and _directory.stands_in_directory(collector):
            continue
        _bounds.forget_idle(collector)
        yield from of(collector)


def _names_of_other_registries() -> set[str]:
    """Returns the names that are registered, but not in the default registry."""
    names: set[str] = set()
    for registry in _registries.items():
        if registry is not REGISTRY:
            names.update(registry._names_to_collectors.copy())
    return names.difference(REGISTRY._names_to_collectors.copy())


def _renew_locks() -> None:
    """Replaces the locks in a new child, where another thread may have held them."""
    for registry in _registries.items():
        registry._lock = _Lock()


# Whose families can be had in another form, as long as nobody replaces `collect`.
_COLLECTS: dict[type, object] = {cls: cls.collect for cls in (CollectorRegistry, RestrictedRegistry)}

_registries: WeakList[CollectorRegistry] = WeakList()
os.register_at_fork(after_in_child=_renew_locks)

REGISTRY = CollectorRegistry(auto_describe=True)
