"""Clocks that are set back and forward under a worker: later numbers are right, and it stays alive to others."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from support.exposition import value
from support.forkmeter import inspect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.faulty import Host
    from support.forkmeter import Exporter

DAY_SECONDS = 86400
# What machines without a clock of their own begin with.
SINCE_1970 = -int(time.time() / DAY_SECONDS)
SERIES = 3


@pytest.mark.parametrize("days", [-1, SINCE_1970, 1, 1000])
def test_a_clock_that_is_set(
    start: Callable[..., Host], library: Path, exporter: Exporter, directory: Path, days: int
) -> None:
    """Counts go on, and what it set last is what its gauge shows."""
    host, other = start(library), start()
    for one in (host, other):
        one.call("count", first=0, end=SERIES)
    host.call("last", value=1)
    host.call("shift", wall=days * DAY_SECONDS)
    host.call("last", value=2)
    # New series of all kinds, an info and an exemplar among them.
    host.call("count", first=0, end=2 * SERIES)
    assert value(exporter.scrape(lint=False), "recent") == 2
    host.call("shift", wall=0)
    host.call("last", value=3)
    host.call("count", first=0, end=2 * SERIES)
    other.call("count", first=0, end=2 * SERIES)
    total = [2.0 * SERIES + 3 * 2 * SERIES] * 3
    assert host.call("sums") == other.call("sums") == other.call("outside", directory=str(directory)) == total
    assert value(exporter.scrape(lint=False), "recent") == 3
    assert [worker["state"] for worker in inspect(directory)["workers"]] == ["live", "live"]
    host.end()
    other.end()
