"""Workers that are killed or stopped in the middle of a system call: the others count on, and nothing is wrong."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from support.faulty import Host, answer_of, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.forkmeter import Exporter

ALL = 31.0
# By call: in which of them a worker dies. There are as many in a life, or a few more.
KILLS = {
    "open": range(1, 40, 5),
    "fallocate": range(1, 9, 2),
    "mmap": range(1, 5),
    "pwrite": range(1, 26, 3),
    "rename": range(1, 5),
    "unlink": range(1, 4),
    "lock": range(1, 100, 13),
}
NEW_SERIES = 50


@pytest.mark.parametrize("call", KILLS)
def test_a_worker_that_is_killed_in_a_call(
    stack: object, directory: Path, library: Path, tmp_path: Path, call: str
) -> None:
    """What it had counted is there, what it was about to count once at most, and the next worker is as any other."""
    assert stack
    with Host(directory, library) as host:
        cases = [
            {
                "op": "die",
                "arguments": {
                    "directory": str(tmp_path / f"{number}"),
                    "fault": {"call": call, "number": number, "fault": "SIGKILL"},
                },
            }
            for number in KILLS[call]
        ]
        for case, reply in zip(cases, host.call("cases", cases=cases)):
            answer = answer_of(reply)
            assert answer["killed"] == {"status": signal.SIGKILL}, case
            for sums in (answer["after"]["after"], answer["after"]["outside"]):
                # The second life adds what a whole life counts.
                counted = [value - ALL for value in sums]
                assert all(value in {answer["counted"], answer["counted"] + 1} for value in counted), (case, sums)
            assert answer["after"]["log"] == [], case


@pytest.mark.parametrize("where", [("fallocate", 1), ("pwrite", 1), ("rename", 1)])
def test_a_worker_that_is_stopped_with_the_lock_in_its_hand(
    start: Callable[..., Host], library: Path, exporter: Exporter, directory: Path, where: tuple[str, int]
) -> None:
    """Others count on, make series in their memory after a bounded wait, and publish them once it goes on."""
    stopped, other = start(library), start(library)
    other.call("count", first=0, end=3)
    stopped.call("arm", call=where[0], number=where[1], fault="SIGSTOP")
    # Series of all kinds, more than the files have room for.
    stopped.send([{"op": "count", "first": 3, "end": 40}])
    wait_for(stopped.is_stopped, "it is not stopped where it should be")
    try:
        locks = other.call("calls")["lock"]
        other.call("count_held", number=0, times=10)
        start_seconds = time.monotonic()
        other.call("count", first=100, end=100 + NEW_SERIES)
        # Each of 150 series would wait for half a second, but for the rest that a failure gives.
        assert time.monotonic() - start_seconds < NEW_SERIES / 2
        assert other.call("calls")["lock"] > locks, "the lock was not asked for"
        assert other.call("kept") == 3 * NEW_SERIES
        assert min(other.call("sums")) >= 3 + 10 + NEW_SERIES
        assert "forkmeter_kept_series" in exporter.scrape(lint=False)
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    answer_of(stopped.read())
    other.wait_published()
    total = [3.0 + 10 + NEW_SERIES + 37] * 3
    assert other.call("sums") == stopped.call("sums") == other.call("outside", directory=str(directory)) == total
    said = [line for line in other.call("log") if "kept in memory" in line]
    assert len(said) == 1, said
    assert "lock" in said[0]
    stopped.end()
    other.end()
