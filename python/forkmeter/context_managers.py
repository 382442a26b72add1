"""What `time()`, `track_inprogress()` and `count_exceptions()` return: context managers that decorate as well.

As decorators they measure runs: of functions, coroutines, generators and asynchronous generators alike.
"""

from __future__ import annotations

from time import perf_counter as default_timer  # noqa: F401 -- see below

from ._forkmeter import ExceptionCounter, InprogressTracker, Timer, follow_clock

__all__ = ("ExceptionCounter", "InprogressTracker", "Timer")

# Timers read `default_timer`, which programs replace, from here.
follow_clock(globals())
