"""What every application of these tests counts, with forkmeter's names in the place of the official client's."""

from __future__ import annotations

import os
import time

from forkmeter import Counter, Gauge, Histogram, Summary

REQUESTS = Counter("app_requests", "Requests that were handled.", ["route"])
UNITS = Histogram("app_units", "Units of work in a request.", buckets=(1, 2, 5))
SIZES = Summary("app_sizes", "Sizes of requests.")
DONE = Gauge("app_done", "Units that workers did, of which some are dead.", multiprocess_mode="sum")
IN_PROGRESS = Gauge("app_in_progress", "Requests that are being handled.", multiprocess_mode="livesum")


def work(number: int) -> None:
    """Handles a request, and notes in the journal that it was counted.

    Args:
        number: Which request it is; what is counted depends on it.
    """
    with IN_PROGRESS.track_inprogress():
        time.sleep(0.001)
        count(number)
    note(number)


def count(number: int) -> None:
    """Counts a request in every kind of metric."""
    units = number % 7
    REQUESTS.labels("odd" if number % 2 else "even").inc()
    UNITS.observe(units)
    SIZES.observe(units)
    DONE.inc(units)


def note(number: int) -> None:
    """Adds a line to the journal; lines of several processes do not mix, as each is one short write."""
    journal = os.open(os.environ["APP_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(journal, f"{number} {os.getpid()}\n".encode())
    finally:
        os.close(journal)
