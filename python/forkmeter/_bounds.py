"""Bounds of metrics: how many series one may have, and how long a series stays when nobody counts in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from . import _directory, _forkmeter

if TYPE_CHECKING:
    from ._forkmeter import NativeFamily

# The metric that counts overflows, once there was one.
_overflows: list[Any] = []
# Stands for what was not said.
KEEP: Any = object()
# The types whose series expire by default. What gauges and enums say holds for as long as nobody says otherwise.
_COUNTING = frozenset({"counter", "histogram", "summary"})


class Bounds:
    """What a program said of a metric's series.

    Args:
        max_series: How many it may have, if there is a limit; `KEEP` where the process's default holds.
        idle_seconds: How long one stays in which nobody counts, if not for ever; `KEEP` as above.

    Raises:
        ValueError: One of them is negative.
    """

    def __init__(self, max_series: int | None = KEEP, idle_seconds: float | None = KEEP) -> None:
        check(max_series, idle_seconds)
        self.max_series = max_series
        self.idle_seconds = idle_seconds
        self._watch: tuple[float, _forkmeter.NativeIdleWatch] | None = None

    def limit(self) -> int | None:
        """Returns how many series the metric may have now."""
        return _forkmeter.process_bounds()[0] if self.max_series is KEEP else self.max_series

    def watch(self, kind: str | None) -> _forkmeter.NativeIdleWatch | None:
        """Returns what watches for idle series, if they are to go.

        Args:
            kind: The metric's type.
        """
        seconds = self.idle_seconds
        if seconds is KEEP:
            seconds = _forkmeter.process_bounds()[1] if kind in _COUNTING else None
        if seconds is None:
            return None
        if self._watch is None or self._watch[0] != seconds:
            self._watch = (seconds, _forkmeter.NativeIdleWatch(seconds))
        return self._watch[1]


def check(max_series: int | None, idle_seconds: float | None) -> None:
    """Raises `ValueError` for bounds that make no sense."""
    if max_series is not None and max_series is not KEEP and max_series < 0:
        raise ValueError(f"max_series must not be negative, and is {max_series}")
    if idle_seconds is not None and idle_seconds is not KEEP and not idle_seconds >= 0:
        raise ValueError(f"idle_seconds must not be negative, and is {idle_seconds}")


def set_defaults(max_series: int | None = KEEP, idle_seconds: float | None = KEEP) -> None:
    """Sets the bounds of metrics that say nothing of their own; what is `KEEP` stays as it is."""
    check(max_series, idle_seconds)
    if max_series is not KEEP:
        _forkmeter.set_max_series(max_series)
    if idle_seconds is not KEEP:
        _forkmeter.set_idle_seconds(idle_seconds)


def report_problems() -> None:
    """Logs once which variables with bounds cannot be used."""
    problems = _forkmeter.problems_of_bounds()
    if problems:
        _directory.report(problems)


def key_with_room(metric: Any, key: tuple[str, ...], limit: int) -> tuple[str, ...]:
    """Returns where a new series is counted: in one of its own, or in that for what has no room.

    Args:
        metric: A metric with a limit, which does not have the series itself.
        key: The label values.
        limit: How many series it may have.
    """
    overflow = (_forkmeter.OVERFLOW_LABEL_VALUE,) * len(key)
    if key == overflow:
        return key
    children = metric._metrics
    has_room = _forkmeter.has_room(metric, key, limit)
    if has_room is None:
        has_room = len(children) - (overflow in children) < limit
    if has_room:
        return key
    _count_overflow(metric._name)
    return overflow


def _count_overflow(name: str) -> None:
    if not _overflows:
        # Not made before it is needed: it would stand in every exposition.
        from .metrics import Counter
        from .registry import REGISTRY

        about = (_forkmeter.OVERFLOWS_NAME, _forkmeter.OVERFLOWS_HELP, ["family"])
        try:
            # It has one series for each metric, and is no metric of the program.
            counter = Counter(*about, registry=REGISTRY).bound_series(max_series=None, idle_seconds=None)
            _overflows.append(counter)
        except ValueError:
            # Another thread was faster, and will have appended its own in a moment.
            other = Counter(*about, registry=None).bound_series(max_series=None, idle_seconds=None)
            other.labels(name).inc()
            return
    _overflows[0].labels(name).inc()


def forget_idle(metric: Any, family: NativeFamily | None = None) -> NativeFamily | None:
    """Removes the series of a metric in which nobody counts.

    Args:
        metric: A collector of any kind.
        family: What all workers counted; in a lone process the metric itself is asked.

    Returns:
        The family without them, where there is one.
    """
    watch = _watch(metric)
    if watch is None:
        return family
    seen = family
    if seen is None:
        native = metric._native_families()
        if not native:
            return None
        seen = native[0]
    gone = []
    now = time.time()
    for values in watch.look(metric, seen, now):
        key = tuple(values)
        # What has no room is counted there for as long as the metric lives.
        if key[0] != _forkmeter.OVERFLOW_LABEL_VALUE and not metric._is_child_held(key):
            metric._expire_child(key, now)
            if metric._is_declared:
                _forkmeter.expire_series(metric, key)
            gone.append(values)
    return family if family is None or not gone else _forkmeter.without_series(metric, family, gone)


def _watch(metric: Any) -> _forkmeter.NativeIdleWatch | None:
    """Returns what watches for the idle series of a collector of any kind, if they are to go."""
    # On the type: what makes up attributes, such as a mock, has this one too.
    if not isinstance(getattr(type(metric), "_bounds", None), Bounds) or not metric._is_parent():
        return None
    bounds = vars(metric).get("_bounds")
    if bounds is None:
        if _forkmeter.process_bounds()[1] is None:
            return None
        bounds = metric._bounds = Bounds()
    watch: _forkmeter.NativeIdleWatch | None = bounds.watch(metric._type)
    return watch
