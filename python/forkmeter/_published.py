"""What only its own process can compute: custom collectors and functions of gauges, where values are shared.

A process computes its own at every scrape that it answers, and about once a second for the scrapes that others
answer. No lock is held meanwhile.
"""

from __future__ import annotations

import time
from itertools import chain
from typing import TYPE_CHECKING

from . import _directory, _forkmeter, registry
from ._forkmeter import NativeFamily
from ._weak import WeakList
from .samples import Timestamp

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from typing import Any

    from .metrics import Gauge
    from .metrics_core import Metric
    from .registry import FamiliesOf

    # A family, and the mode by which those of several workers become one.
    Own = tuple[NativeFamily, str]

# Collectors say another one with an attribute `multiprocess_mode`.
_MODE = "liveall"
# How often collectors are asked where other threads publish at the same time.
_MAX_ROUNDS = 3

gauges: WeakList[Gauge] = WeakList()
"""The gauges that have a function."""

_reported: set[tuple[str, str]] = set()


class Effort:
    """Is how long functions and collectors took, without what waiting for the directory took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self.seconds -= time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter()


def publish() -> float:
    """Publishes what this process can compute, as it is now.

    Returns:
        The seconds that computing it took.
    """
    effort = Effort()
    set_gauges(effort=effort)
    ask(registry.REGISTRY._collector_to_names, registry._collect_to_write, is_all=True, effort=effort)
    return effort.seconds


def has_others() -> bool:
    """Tells whether publishing calls anything that is not forkmeter's."""
    from .gc_collector import GC_COLLECTOR
    from .platform_collector import PLATFORM_COLLECTOR
    from .process_collector import PROCESS_COLLECTOR

    known = (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR)
    collectors = list(registry.REGISTRY._collector_to_names)
    return bool(gauges.items()) or any(
        is_own(collector) and not any(collector is own for own in known) for collector in collectors
    )


def ask(
    collectors: Iterable[Any], of: FamiliesOf, *, is_all: bool, effort: Effort | None = None
) -> dict[Any, list[str]]:
    """Asks the collectors that only this process can ask, and publishes their families.

    What is published is what is shown, also here, so that a counter of one process never falls back, whoever answers.

    Args:
        collectors: Collectors of the default registry.
        of: Asks one.
        is_all: Whether these are all of the registry; otherwise what others published stays.
        effort: Where to add what asking takes.

    Returns:
        The names of their families, by collector.
    """
    effort = effort or Effort()
    asked = [collector for collector in list(collectors) if is_own(collector)]
    for _ in range(_MAX_ROUNDS):
        ticket = _forkmeter.begin_publishing()
        with effort:
            own = {collector: _families_of(collector, of) for collector in asked}
        is_fresh, problem = _forkmeter.publish(ticket, list(chain.from_iterable(own.values())), is_all)
        if problem is not None:
            _report("what only this process can compute, where others answer", problem)
        if is_fresh:
            break
    return {collector: [family.name for family, _ in families] for collector, families in own.items()}


def set_gauges(names: Container[str] | None = None, effort: Effort | None = None) -> None:
    """Calls the functions of gauges, and sets the gauges to what they return.

    Args:
        names: The gauges that are wanted; all without it.
        effort: Where to add what the functions take.
    """
    effort = effort or Effort()
    for gauge in gauges.items():
        function = gauge._function
        origin = gauge._origin
        if names is not None and gauge._name not in names:
            continue
        # A series that was removed stays so, whoever holds it still.
        if function is None or (origin is not None and origin[0]._metrics.get(origin[1]) is not gauge):
            continue
        try:
            with effort:
                value = float(function())
        except Exception as error:  # noqa: BLE001 -- it is somebody else's
            _report(repr(gauge), error)
            continue
        gauge._native_value(0).set(value)


def is_own(collector: Any) -> bool:
    """Tells whether only this process can ask a collector."""
    if _directory.is_reader(collector) or _directory.describes_directory(collector):
        return False
    return not _directory.stands_in_directory(collector)


def _families_of(collector: Any, of: FamiliesOf) -> list[Own]:
    # One that fails is reported once for each cause, and has no families.
    try:
        mode = str(getattr(collector, "multiprocess_mode", _MODE))
        return [(_to_native(family), mode) for family in of(collector)]
    except Exception as error:  # noqa: BLE001 -- it is somebody else's
        _report(repr(collector), error)
        return []


def collect(names: Iterable[str] | None = None) -> list[NativeFamily]:
    """Merges what the live workers published, this one included.

    Args:
        names: Samples' names: what has none of them may be left out.
    """
    families, errors = _forkmeter.collect_published(_directory.writable_names(names))
    _directory.report(errors)
    return families


def _to_native(family: Metric | NativeFamily) -> NativeFamily:
    if isinstance(family, NativeFamily):
        return family
    samples = []
    for sample in family.samples:
        labels = [(str(name), str(value)) for name, value in sample.labels.items()]
        samples.append((sample.name, labels, float(sample.value), _time(sample.timestamp), sample.exemplar))
    return _forkmeter.make_family(family.name, family.documentation, family.type, family.unit or "", samples)


def _time(timestamp: Any) -> float | tuple[int, int] | None:
    if timestamp is None:
        return None
    return (timestamp.sec, timestamp.nsec) if isinstance(timestamp, Timestamp) else float(timestamp)


def _report(what: str, error: object) -> None:
    key = (what, f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error))
    # By its type as well, as a message may differ every time.
    if key in _reported or (what, type(error).__name__) in _reported:
        return
    if _directory.warn("left out of scrapes: {}: {}".format(*key)):
        _reported.update((key, (what, type(error).__name__)))
