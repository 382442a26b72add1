"""What every application of these tests counts; the journal, written beside it, says what has to come out."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING or os.environ["APP_CLIENT"] == "forkmeter":
    from forkmeter import REGISTRY, Counter, Gauge, Histogram, Summary, generate_latest, make_asgi_app, make_wsgi_app
else:
    # As applications have it that nobody edits.
    from prometheus_client import (
        REGISTRY,
        Counter,
        Gauge,
        Histogram,
        Summary,
        generate_latest,
        make_asgi_app,
        make_wsgi_app,
    )

__all__ = [
    "HANG_SECONDS",
    "IN_PROGRESS",
    "begin",
    "finish",
    "hangs",
    "make_asgi_app",
    "make_wsgi_app",
    "scrape",
    "work",
]

REQUESTS = Counter("app_requests", "Requests that were begun.", ["route"])
UNITS = Histogram("app_units", "Units of work in a request.", buckets=(1, 2, 5))
SIZES = Summary("app_sizes", "Sizes of requests.")
DONE = Gauge("app_done", "Units that workers did, of which some are dead.", multiprocess_mode="sum")
IN_PROGRESS = Gauge("app_in_progress", "Requests that are being handled.", multiprocess_mode="livesum")

# Longer than any test: who hangs is killed.
HANG_SECONDS = 600


def work(number: int, victim: int) -> None:
    """Handles a request.

    Args:
        number: Which request it is; what is counted depends on it.
        victim: The process that does not come to the end of it.
    """
    with IN_PROGRESS.track_inprogress():
        begin(number)
        if hangs(number, victim):
            time.sleep(HANG_SECONDS)
        time.sleep(0.001)
        finish(number)


def begin(number: int) -> None:
    """Notes that a request comes, and counts its first part."""
    note("begun", number)
    REQUESTS.labels("odd" if number % 2 else "even").inc()


def hangs(number: int, victim: int) -> bool:
    """Tells whether this process is the one to hang, and notes that it does."""
    if victim != os.getpid():
        return False
    note("hangs", number)
    return True


def finish(number: int) -> None:
    """Counts the rest of a request, and notes that all of it was counted."""
    units = number % 7
    UNITS.observe(units)
    SIZES.observe(units)
    DONE.inc(units)
    note("done", number)


def note(event: str, number: int) -> None:
    """Adds a line to the journal; lines of several processes do not mix, as each is one short write."""
    journal = os.open(os.environ["APP_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(journal, f"{event} {number} {os.getpid()}\n".encode())
    finally:
        os.close(journal)


def scrape() -> str:
    """Returns what a scrape of this process gives."""
    return generate_latest(REGISTRY).decode()
