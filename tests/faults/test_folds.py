"""Sealed files that are folded while system calls fail, and by a worker that is killed or stopped in the middle.

Series that were removed crowd a file, a worker that makes another one seals it, and who leaves it last folds it.
"""

from __future__ import annotations

import os
import signal
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from support.faulty import (
    LIVES,
    Host,
    answer_of,
    calls_of_every,
    chosen,
    combinations,
    until_each_failed,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.forkmeter import Exporter

# What `Host.folding_life` counts of each kind, and what of it before the fold.
ALL, SEALED = 18.0, 6.0
FAULTS = {
    "open": ["ENOSPC", "EACCES", "EMFILE", "EIO"],
    "fallocate": ["ENOSPC", "EIO"],
    "mmap": ["ENOMEM", "EACCES"],
    "pread": ["EIO", "EINTR"],
    "pwrite": ["ENOSPC", "EIO"],
    "lock": ["ENOLCK"],
    "rename": ["ENOSPC", "EACCES", "EIO"],
    "unlink": ["EACCES", "EIO"],
    "stat": ["EIO", "EACCES"],
    "readdir": ["EMFILE", "EACCES"],
}
COMBINATIONS = combinations(FAULTS)
STEPS = ["open", "fallocate", "mmap", "pread", "pwrite", "rename", "unlink", "stat"]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[Host]:
    """A host that forks a child for each life."""
    with Host(tmp_path_factory.mktemp("unused"), library) as running:
        yield running


@pytest.fixture(scope="module")
def seen(host: Host, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many calls of each name every fold makes in which none fails, and right behind it; some make a few more."""
    folder = tmp_path_factory.mktemp("none")
    lives = [answer_of(reply) for reply in host.call("cases", cases=cases("folding_life", folder, [{}] * LIVES))]
    for life in lives:
        assert (life["after"], life["outside"], life["log"]) == ([ALL] * 3, [ALL] * 3, [])
        for kind in ("counter", "histogram"):
            assert any(name.startswith(f"{kind}_retired") for name in life["files"]), life["files"]
    return calls_of_every(lives)


def cases(op: str, folder: Path, faults: list[dict[str, Any]], **arguments: str) -> list[dict[str, Any]]:
    """Returns what a host is told, for each fault in a directory of its own."""
    return [
        {"op": op, "arguments": {"directory": str(folder / str(number)), "fault": fault, **arguments}}
        for number, fault in enumerate(faults)
    ]


def test_a_fold_makes_every_call(seen: dict[str, int]) -> None:
    """There is something to fail."""
    assert all(seen[call] for call in FAULTS), seen


@pytest.mark.parametrize(("call", "fault", "lasts"), COMBINATIONS)
def test_a_call_that_fails_in_a_fold(
    host: Host, seen: dict[str, int], tmp_path: Path, call: str, fault: str, *, lasts: bool
) -> None:
    """Nothing is raised, and a moment later everybody reads the right numbers."""
    # Other combinations begin elsewhere, so that together they see each call.
    numbers = chosen(seen[call], first=COMBINATIONS.index((call, fault, lasts)))
    faults = [{"call": call, "number": number, "fault": fault, "lasts": lasts} for number in numbers]
    attempts = count()

    def live(faults: list[dict[str, Any]]) -> list[bool]:
        folder = tmp_path / str(next(attempts))
        folder.mkdir()
        replies = host.call("cases", cases=cases("folding_life", folder, faults))
        return [check_life(where, reply) for where, reply in zip(faults, replies)]

    until_each_failed(faults, live)


def check_life(where: dict[str, Any], reply: dict[str, Any]) -> bool:
    """Checks what came of a life in which a call was to fail, and tells whether it did."""
    assert reply["status"] == 0, (where, reply)
    life = answer_of(reply)
    for numbers in (life["after"], life["outside"], life["got"]):
        assert numbers == [ALL] * 3, (where, life)
    assert life["kept after"] == 0, where
    assert len([line for line in life["log"] if "kept in memory" in line]) <= 1, (where, life["log"])
    return bool(life["hits"])


@pytest.mark.parametrize("call", STEPS)
def test_a_worker_that_is_killed_in_a_fold(host: Host, seen: dict[str, int], tmp_path: Path, call: str) -> None:
    """The next worker finishes it or begins anew; what was counted is there once."""
    faults = [{"call": call, "number": number, "fault": "SIGKILL"} for number in chosen(seen[call])]
    told = cases("die", tmp_path, faults, life="folding_life")
    for where, reply in zip(faults, host.call("cases", cases=told)):
        answer = answer_of(reply)
        assert answer["killed"] == {"status": signal.SIGKILL}, where
        for numbers in (answer["after"]["after"], answer["after"]["outside"]):
            counted = [value - ALL for value in numbers]
            assert all(value in {answer["counted"], answer["counted"] + 1} for value in counted), (where, answer)


@pytest.mark.parametrize("call", STEPS)
def test_a_worker_that_is_stopped_in_a_fold(
    start: Callable[..., Host], seen: dict[str, int], library: Path, exporter: Exporter, directory: Path, *, call: str
) -> None:
    """No scrape shows less meanwhile, others count on, and all of it is there once it goes on."""
    stopped, other = start(library), start(library)
    fault = {"call": call, "number": max(1, seen[call] // 3), "fault": "SIGSTOP"}
    stopped.send([{"op": "seal_and_fold", "fault": fault}])
    wait_for(stopped.is_stopped, "it is not stopped where it should be")
    before = [SEALED] * 3
    try:
        assert other.call("outside", directory=str(directory)) == before
        other.call("count", first=0, end=6)
        assert min(other.call("sums")) >= 6
        assert "requests_total" in exporter.scrape(lint=False)
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
    assert answer_of(stopped.read())
    other.wait_published()
    total = [SEALED + 6] * 3
    assert other.call("sums") == stopped.call("sums") == other.call("outside", directory=str(directory)) == total
    stopped.end()
    other.end()
