"""Bounds of metrics: how many series one may have, and how long a series stays when nobody counts in it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import _forkmeter

if TYPE_CHECKING:
    from typing import Any

    from .._forkmeter import NativeFamily

# The metric that counts overflows, once there was one.
_overflows: list[Any] = []


class Bounds:
    """What a program said of a metric's series.

    Args:
        max_series: How many it may have, if there is a limit.
        idle_seconds: How long one stays in which nobody counts, if not for ever.

    Raises:
        ValueError: One of them is negative.
    """

    def __init__(self, max_series: int | None, idle_seconds: float | None) -> None:
        if max_series is not None and max_series < 0:
            raise ValueError(f"max_series must not be negative, and is {max_series}")
        if idle_seconds is not None and not idle_seconds >= 0:
            raise ValueError(f"idle_seconds must not be negative, and is {idle_seconds}")
        self.max_series = max_series
        self.watch = None if idle_seconds is None else _forkmeter.NativeIdleWatch(idle_seconds)


NONE = Bounds(None, None)


def key_with_room(metric: Any, key: tuple[str, ...]) -> tuple[str, ...]:
    """Returns where a new series is counted: in one of its own, or in that for what has no room.

    Args:
        metric: A metric with a limit, which does not have the series itself.
        key: The label values.
    """
    overflow = (_forkmeter.OVERFLOW_LABEL_VALUE,) * len(key)
    if key == overflow:
        return key
    children = metric._metrics
    limit = metric._bounds.max_series
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
        from ..registry import REGISTRY
        from ._counter import Counter

        about = (_forkmeter.OVERFLOWS_NAME, _forkmeter.OVERFLOWS_HELP, ["family"])
        try:
            _overflows.append(Counter(*about, registry=REGISTRY))
        except ValueError:
            # Another thread was faster, and will have appended its own in a moment.
            Counter(*about, registry=None).labels(name).inc()
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
    watch = getattr(getattr(type(metric), "_bounds", None) and metric._bounds, "watch", None)
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
