"""Programs that count with the package while things break around them: `tests/faults/host.py`, told what to do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.skipping import skip
from support.worker import ANSWER_TIMEOUT_SECONDS, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PROGRAM = Path(__file__).parent.parent / "faults" / "host.py"
SOURCE = Path(__file__).with_name("faulty.c")
PATIENCE_SECONDS = 20
# So many lives without a fault tell how many calls there are.
LIVES = 5
MOST_CASES = 4
MOST_ATTEMPTS = 5


def build(folder: Path) -> Path:
    """Compiles the library that makes calls fail; skips the test where there is no C compiler.

    Args:
        folder: where to put it.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        skip("there is no C compiler, cc, for the library that makes system calls fail")
    library = folder / "faulty.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library


class Host(Worker):
    """A running host; what it does are the methods of the class of the same name in its program."""

    def __init__(self, directory: Path, library: Path | None = None) -> None:
        """Starts it; it counts in the directory once it is told to begin.

        Args:
            directory: where to count.
            library: what makes its calls fail.
        """
        preload = {"LD_PRELOAD": str(library)} if library else {}
        super().__init__([sys.executable, "-W", "ignore::DeprecationWarning", str(PROGRAM)], directory, **preload)
        self.directory = directory

    def call(self, op: str, **arguments: Any) -> Any:
        """Does something and returns what it answers; nothing may be raised.

        Args:
            op: the method.
            arguments: of the method.
        """
        return answer_of(self.ask({"op": op, **arguments}))

    def read(self) -> dict[str, Any]:
        """Returns the answer to what was sent before."""
        answer = self.answers.get(timeout=ANSWER_TIMEOUT_SECONDS)
        assert answer, f"the host ended with {self.process.wait(ANSWER_TIMEOUT_SECONDS)}"
        decoded: dict[str, Any] = json.loads(answer)
        return decoded

    def sync(self) -> None:
        """Waits until all that was sent is done."""
        self.call("kept")

    def wait_published(self) -> None:
        """Waits until nothing is in its memory only; after a failure a store waits for a second."""
        wait_for(lambda: self.call("sums") and self.call("kept") == 0, "series are still kept")

    def is_stopped(self) -> bool:
        """Tells whether a signal stopped it."""
        stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8")
        return stat.rsplit(") ", 1)[1][0] == "T"


def combinations(faults: dict[str, list[str]]) -> list[tuple[str, str, bool]]:
    """Returns each call with each of its errors, once and, but for EINTR, also for the rest of a life."""
    return [
        (call, fault, lasts)
        for call, of_call in faults.items()
        for fault in of_call
        for lasts in ([False] if fault == "EINTR" else [False, True])
    ]


def calls_of_every(lives: list[dict[str, Any]]) -> dict[str, int]:
    """Returns how many calls of each name each of some lives made; when others run, one makes a few more."""
    return {call: min(life["seen"][call] for life in lives) for call in lives[0]["seen"]}


def chosen(calls: int, first: int = 0) -> range:
    """Returns which of so many calls are to fail; a life makes a few more or less."""
    most = calls - calls // 10
    step = -(-most // MOST_CASES)
    return range(first % step + 1, most + 1, step)


def until_each_failed(faults: list[dict[str, Any]], live: Callable[[list[dict[str, Any]]], Iterable[bool]]) -> None:
    """Lets children live until each of the faults was met: a life that ended before its own is lived again.

    Args:
        faults: Which calls are to fail, and how.
        live: Lives with each of some faults, and tells of each whether it was met.
    """
    for _ in range(MOST_ATTEMPTS):
        faults = [fault for fault, was_met in zip(faults, live(faults)) if not was_met]
    assert not faults, "the calls are not made"


def answer_of(reply: dict[str, Any]) -> Any:
    """Returns the answer in a reply, in which nothing may have been raised."""
    assert "raised" not in reply, reply["raised"]
    return reply["answer"]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Waits until something holds.

    Args:
        condition: what is asked again and again.
        what: what is wrong while it does not hold.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def is_root() -> bool:
    """Tells whether this is root, whom permissions do not bind."""
    return os.geteuid() == 0
