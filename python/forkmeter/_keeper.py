"""What runs in the thread that publishes what only this process can compute, so that others can show it.

The native half has the thread: it starts it at the first use of a metric where values are shared, and takes care of
forks. Under gevent and its like there is a greenlet instead, which is here.
"""

from __future__ import annotations

import _thread
import atexit
import os
from contextlib import suppress

from . import _forkmeter

# A bit less than what is promised: values are at most a second old.
_INTERVAL_SECONDS = 0.9
# A child that ends sooner than this never touches the directory for it.
_FIRST_SECONDS = 0.25
# Collectors that take long are asked less often: what they cost stays below this part of the time.
_MAX_SHARE = 0.05
# How soon to look again while another thread forks.
_FORK_SECONDS = 0.005

# The greenlet of this process, if it has one.
_current: object | None = None
_is_over = False


def publish() -> float:
    """Publishes what this process can compute, as it is now.

    Returns:
        The seconds to wait until the next time.
    """
    with suppress(Exception):
        took = _publish_between_forks()
        return _FORK_SECONDS if took is None else max(_INTERVAL_SECONDS, took / _MAX_SHARE)
    return _INTERVAL_SECONDS


def _publish_between_forks() -> float | None:
    # A child that is made meanwhile could wait for ever for locks that collectors of others hold, and for what is
    # being imported the first time.
    global _is_loaded  # noqa: PLW0603 -- once
    is_guarded = not _is_loaded or _has_others()
    if is_guarded and not _forkmeter.enter_collectors():
        return None
    try:
        from . import _published

        took = _published.publish()
        _is_loaded = True
    finally:
        if is_guarded:
            _forkmeter.leave_collectors()
    return took


_is_loaded = False


def _has_others() -> bool:
    from . import _published

    return _published.has_others()


def _work() -> None:
    """Is what a greenlet runs: publishes again and again, until values are no longer shared."""
    global _current  # noqa: PLW0603 -- the one of this process
    this = _current = object()
    never = _thread.allocate_lock()
    never.acquire()
    pause = _FIRST_SECONDS
    while not never.acquire(timeout=pause) and _current is this and _forkmeter.directory() is not None:
        pause = publish()
    if _current is this:
        _current = None
        if not _is_over:
            # Values may be shared again later.
            _forkmeter.want_keeper()


def start() -> None:
    """Starts the thread where values are shared and there is none yet, as the use of a metric does."""
    _forkmeter.start_keeper()


def _end_at_exit() -> None:
    """Ends it for good, before the interpreter takes itself apart."""
    global _current, _is_over
    _current, _is_over = None, True
    _forkmeter.end_keeper()


_forkmeter.set_keeper(publish, _work)
atexit.register(_end_at_exit)
os.register_at_fork(
    before=_forkmeter.keeper_before_fork,
    after_in_parent=_forkmeter.keeper_after_fork_in_parent,
    after_in_child=_forkmeter.keeper_after_fork_in_child,
)
