"""Runs the thread that publishes what only this process can compute, so that others can show it.

Nothing of it runs in a lone process. Where values are shared, the native half starts the thread at the first use of a
metric. Before a fork it is ended, so that no child is made of a process in the middle of somebody's collector, and
started again on both sides.
"""

from __future__ import annotations

import _thread
import atexit
import os
import time
from contextlib import suppress
from types import BuiltinFunctionType

from . import _forkmeter

# A bit less than what is promised: values are at most a second old.
_INTERVAL_SECONDS = 0.9
# A child that ends sooner than this never touches the directory for it.
_FIRST_SECONDS = 0.25
# Collectors that take long are asked less often: what they cost stays below this part of the time.
_MAX_SHARE = 0.05
# How long a fork waits for somebody's collector.
_FORK_PATIENCE_SECONDS = 0.1
_EXIT_PATIENCE_SECONDS = 1.0
_MAX_LOOKS = 2000
_LOOK_SECONDS = 0.00005


class _Keeper:
    """One run of the thread."""

    def __init__(self) -> None:
        self._has_to_end = _thread.allocate_lock()
        self._has_to_end.acquire()
        self.ended = _thread.allocate_lock()
        self.ended.acquire()
        self.identity = _thread.get_ident()
        self.native_identity = _thread.get_native_id()
        # Something like gevent's: no thread of the system, and the signals of the one it runs in are not its own.
        self.is_thread = isinstance(_thread.start_new_thread, BuiltinFunctionType)
        self.is_wanted_again = False

    def work(self) -> None:
        """Publishes again and again, until it is told to end or values are no longer shared."""
        from . import _published

        pause = _FIRST_SECONDS
        while not self._wait(pause) and _current is self and _forkmeter.directory() is not None:
            start = time.perf_counter()
            with suppress(Exception):
                _published.publish()
            pause = max(_INTERVAL_SECONDS, (time.perf_counter() - start) / _MAX_SHARE)

    def _wait(self, seconds: float) -> bool:
        if not self.is_thread:
            return self._has_to_end.acquire(timeout=seconds)
        import signal

        # What the program wants to be told, it wants to be told in a thread of its own. Collectors run with the mask
        # that the program had, as they may start processes, which inherit it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            return self._has_to_end.acquire(timeout=seconds)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def end(self, patience_seconds: float) -> bool:
        """Tells it to end; returns whether it did.

        Args:
            patience_seconds: How long to wait for that.
        """
        if not self.is_thread or self.identity == _thread.get_ident():
            return False
        with suppress(RuntimeError):
            self._has_to_end.release()
        if not self.ended.acquire(timeout=patience_seconds):
            return False
        # It has run its last line; the kernel is still to forget it, or a fork would warn of a thread.
        for _ in range(_MAX_LOOKS):
            if not os.path.exists(f"/proc/self/task/{self.native_identity}"):
                break
            time.sleep(_LOOK_SECONDS)
        return True


_current: _Keeper | None = None
# What was ended for a fork, or would not end.
_before_fork: tuple[_Keeper, bool] | None = None


def _run() -> None:
    """Is what the thread runs."""
    global _current  # noqa: PLW0603 -- the one of this process
    keeper = _current = _Keeper()
    _forkmeter.keeper_runs()
    try:
        keeper.work()
    finally:
        if _current is keeper:
            _current = None
            # Values may be shared again later.
            _forkmeter.want_keeper()
        keeper.ended.release()
        if keeper.is_wanted_again:
            _forkmeter.start_keeper()


def _end_before_fork() -> None:
    global _before_fork  # noqa: PLW0603 -- for the two functions below
    _before_fork = None
    if isinstance(_thread.start_new_thread, BuiltinFunctionType):
        for _ in range(_MAX_LOOKS):
            if not _forkmeter.is_keeper_starting():
                break
            time.sleep(_LOOK_SECONDS)
    keeper = _current
    if keeper is not None:
        _before_fork = keeper, keeper.end(_FORK_PATIENCE_SECONDS)


def _go_on_in_parent() -> None:
    if _before_fork is None:
        return
    keeper, has_ended = _before_fork
    if not has_ended and keeper.is_thread and keeper.identity != _thread.get_ident():
        # It ends when the collector that it waits for is done, and another one takes its place then.
        keeper.is_wanted_again = True
        has_ended = keeper.ended.acquire(blocking=False)
    if has_ended:
        _forkmeter.start_keeper()


def _go_on_in_child() -> None:
    global _current  # noqa: PLW0603 -- the one of this process
    had_one = _current is not None or _before_fork is not None or _forkmeter.is_keeper_starting()
    _current = None
    _forkmeter.want_keeper()
    if had_one:
        _forkmeter.start_keeper()


def start() -> None:
    """Starts the thread where values are shared and there is none yet, as the use of a metric does."""
    _forkmeter.start_keeper()


def _end_at_exit() -> None:
    """Ends the thread for good, before the interpreter takes itself apart."""
    global _current
    keeper, _current = _current, None
    if keeper is not None:
        keeper.end(_EXIT_PATIENCE_SECONDS)


_forkmeter.set_keeper(_run)
atexit.register(_end_at_exit)
os.register_at_fork(before=_end_before_fork, after_in_parent=_go_on_in_parent, after_in_child=_go_on_in_child)
