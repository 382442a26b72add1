"""`forkmeter gc` on what the official client left: both clients see the same numbers, whenever it is killed."""

from __future__ import annotations

import random
import subprocess
import time
from typing import TYPE_CHECKING

from support.exposition import blocks, official_text
from support.forkmeter import command, dump
from support.operations import MODES, act, declare
from support.worker import OFFICIAL, Operation, Worker

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 30
PROCESSES = 8
TIMEOUT_SECONDS = 60


def left_overs(directory: Path, processes: int) -> None:
    """Lets workers count with every kind and mode, each as so many processes, and end.

    Their ids are greater than a process id can be, so none of them is alive.
    """
    modes = [mode for mode in MODES if mode != "all" and not mode.startswith("live")]
    families: list[Operation] = [
        declare("counter", "requests", "path"),
        declare("histogram", "latency_seconds", buckets=[0.1, 1]),
        declare("summary", "wait_seconds"),
        *[declare("gauge", f"level_{mode}_meters", mode=mode) for mode in modes],
    ]
    worker = Worker(OFFICIAL, directory)
    with worker:
        for number in range(processes):
            begin: Operation = {"op": "begin", "directory": str(directory), "identity": str(5_000_000 + number)}
            worker.do(
                begin,
                *families,
                act("inc", "requests", f"/{number % 3}", value=number / 8),
                act("touch", "requests", "/never"),
                act("observe", "latency_seconds", value=number / 4),
                act("observe", "wait_seconds", value=number),
                *[act("set", f"level_{mode}_meters", value=number - 3) for mode in modes],
            )
        worker.end()


def gc(directory: Path) -> subprocess.Popen[bytes]:
    """Starts `forkmeter gc`."""
    return subprocess.Popen(
        [command(), "gc", "--min-age=0", str(directory)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def gc_to_the_end(directory: Path) -> None:
    """Runs `forkmeter gc` and checks that it leaves one file for each kind and mode."""
    assert gc(directory).wait(TIMEOUT_SECONDS) == 0
    left = sorted(path.name for path in directory.glob("*.db*"))
    modes = ("max", "min", "mostrecent", "sum")
    kinds = ("counter_retired", *(f"gauge_{mode}_retired" for mode in modes), "histogram_retired", "summary_retired")
    # A retired file that is replaced gets the next of three names.
    assert [name.split(".")[0].split("-")[0] for name in left] == sorted(kinds)


def test_gc_that_is_killed_at_any_time_changes_nothing(tmp_path: Path) -> None:
    """Kills come at random moments of a run; some runs end before."""
    chance = random.Random(5)
    longest_seconds = 0.02
    for turn in range(KILLS):
        left_overs(tmp_path, PROCESSES) if turn % 3 == 0 else None
        if turn % 3 == 0:
            expected = blocks(dump(tmp_path))
            assert expected == blocks(official_text(tmp_path))
        started = time.monotonic()
        child = gc(tmp_path)
        time.sleep(chance.uniform(0, longest_seconds))
        assert blocks(dump(tmp_path)) == expected
        child.kill()
        child.wait(TIMEOUT_SECONDS)
        assert blocks(dump(tmp_path)) == expected
        if turn % 3 == 2:
            gc_to_the_end(tmp_path)
            assert blocks(dump(tmp_path)) == expected
            assert blocks(official_text(tmp_path)) == expected
            longest_seconds = max(longest_seconds, (time.monotonic() - started) / 4)


def test_workers_that_live_keep_their_files(tmp_path: Path) -> None:
    """A worker counts on while others' files are folded; its own stay, and nothing it counts is lost."""
    left_overs(tmp_path, 2)
    with Worker(OFFICIAL, tmp_path) as worker:
        worker.do(declare("counter", "requests", "path"), act("inc", "requests", "/0", value=1))
        before = set(tmp_path.glob("counter_*"))
        assert gc(tmp_path).wait(TIMEOUT_SECONDS) == 0
        assert len(before & set(tmp_path.glob("counter_*"))) == 1
        worker.do(act("inc", "requests", "/0", value=1))
        assert 'requests_total{path="/0"} 2.0' in dump(tmp_path)
        worker.end()
    assert gc(tmp_path).wait(TIMEOUT_SECONDS) == 0
    assert len(list(tmp_path.glob("counter_*"))) == 1
    assert 'requests_total{path="/0"} 2.0' in dump(tmp_path)
    assert blocks(dump(tmp_path)) == blocks(official_text(tmp_path))
