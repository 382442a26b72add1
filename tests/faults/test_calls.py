"""System calls that fail, one at a time or from one on, at every point of a worker's life.

Nothing is raised, a handle tells the right number all the while, what is in memory only is counted and said once, and a
moment later everybody reads the right numbers.
"""

from __future__ import annotations

import shutil
import signal
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from support.faulty import LIVES, Host, answer_of, calls_of_every, chosen, combinations, until_each_failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# What `Host.life` counts of each kind before the calls succeed again, and altogether, and what a worker that died left.
BEFORE, ALL, LEFT = 17, 31, 3
# By call: what it fails with. All but EINTR also for the rest of the life.
FAULTS = {
    "open": ["ENOSPC", "EACCES", "EMFILE", "ENFILE", "EIO", "EINTR"],
    "fallocate": ["ENOSPC", "EIO", "EFBIG", "EOPNOTSUPP", "EINTR"],
    "mmap": ["ENODEV", "EINVAL", "ENOMEM", "EACCES"],
    "pread": ["EIO", "EINTR"],
    "pwrite": ["ENOSPC", "EIO", "EINTR"],
    "lock": ["ENOLCK", "EINTR"],
    "rename": ["ENOSPC", "EIO", "EACCES"],
    "unlink": ["EACCES", "EIO"],
    "stat": ["EIO", "EACCES"],
    "mkdir": ["EACCES", "ENOSPC"],
    "readdir": ["EMFILE", "EACCES"],
}
COMBINATIONS = combinations(FAULTS)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, library: Path) -> Iterator[Host]:
    """A host that forks a child for each life."""
    with Host(tmp_path_factory.mktemp("unused"), library) as running:
        yield running


@pytest.fixture(scope="module")
def lives(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[dict[str, Any]]]:
    """Lets children live, each in a directory of its own, and returns what came of them.

    A worker that died has left files there; where directories are not to be made, the directory is not there yet.
    """
    numbers = count()
    left = tmp_path_factory.mktemp("left") / "metrics"
    (died,) = host.call("cases", cases=[{"op": "leave", "arguments": {"directory": str(left), "series": LEFT}}])
    assert died["status"] == signal.SIGKILL

    def run(faults: list[dict[str, Any]]) -> list[dict[str, Any]]:
        folder = tmp_path_factory.mktemp("lives")
        cases = []
        for fault in faults:
            directory = folder / str(next(numbers))
            if fault.get("call") != "mkdir":
                shutil.copytree(left, directory)
            cases.append({"op": "life", "arguments": {"directory": str(directory), "fault": fault}})
        answers: list[dict[str, Any]] = host.call("cases", cases=cases)
        for answer in answers:
            assert answer["status"] == 0, answer
        return [answer_of(answer) for answer in answers]

    return run


@pytest.fixture(scope="module")
def seen(lives: Callable[..., list[dict[str, Any]]]) -> dict[str, int]:
    """How many calls of each name every life makes in which none fails."""
    whole = lives([{}] * LIVES)
    for life in whole:
        assert (life["after"], life["outside"], life["log"]) == ([ALL + LEFT] * 3, [ALL + LEFT] * 3, [])
    return {**calls_of_every(whole), "mkdir": 1}


def test_the_library_sees_every_call(seen: dict[str, int]) -> None:
    """The calls that are made to fail are those that the package makes."""
    assert set(FAULTS) == set(seen)
    assert all(seen.values()), seen


@pytest.mark.parametrize(("call", "fault", "lasts"), COMBINATIONS)
def test_a_call_that_fails(
    lives: Callable[..., list[dict[str, Any]]], seen: dict[str, int], call: str, fault: str, *, lasts: bool
) -> None:
    """Whichever call it is, the worker counts on and later numbers are right."""
    # Other combinations begin elsewhere, so that together they see each call.
    numbers = chosen(seen[call], first=COMBINATIONS.index((call, fault, lasts)))
    faults = [{"call": call, "number": number, "fault": fault, "lasts": lasts} for number in numbers]
    until_each_failed(faults, lambda faults: check_lives(faults, lives(faults)))


def check_lives(faults: list[dict[str, Any]], lives: list[dict[str, Any]]) -> Iterator[bool]:
    """Checks what came of lives in which a call was to fail, and tells of each whether it did."""
    for where, life in zip(faults, lives):
        left = 0 if where["call"] == "mkdir" else LEFT
        # What others counted may be out of reach meanwhile.
        assert all(BEFORE <= value <= BEFORE + left for value in life["got"]), (where, life["got"])
        assert (life["after"], life["outside"]) == ([ALL + left] * 3, [ALL + left] * 3), where
        assert life["kept after"] == 0, where
        said = [line for line in life["log"] if "kept in memory" in line]
        # A store that keeps series says so in a scrape, and once in the log.
        assert life["is kept said"] == bool(life["kept"]), where
        assert len(said) == bool(said or life["kept"]), (where, said)
        yield life["hits"] > 0
