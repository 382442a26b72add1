"""Process ids that mean nothing: two pid namespaces on one directory, and an id that is used again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.exposition import samples
from support.forkmeter import dump
from support.safety import package_folder
from support.skipping import skip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

UNSHARE = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
PID = 7
JOBS = ("jobs_total", frozenset[tuple[str, str]]())
SUM = ("level_of_all", frozenset({("x", "x")}))
LIVE = ("level_of_living", frozenset({("x", "x")}))


class Namespace:
    """A pid namespace with one worker in it."""

    def __init__(self, directory: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if "multiproc" not in name.lower()}
        self.process = subprocess.Popen(
            [*UNSHARE, sys.executable, "-W", "error", str(Path(__file__).with_name("member.py"))],
            env={**environment, "PYTHONPATH": package_folder(), "PROMETHEUS_MULTIPROC_DIR": str(directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, command: str) -> str:
        """Has the first process do something, and returns its answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer: str = json.loads(self.process.stdout.readline())
        return answer

    def __enter__(self) -> Self:
        """Returns the namespace itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends all processes of the namespace with its first one."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(20)
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test started."""
    if os.geteuid() != 0:
        skip("only root may make the pid namespaces of the tests of process ids")
    done = subprocess.run([*UNSHARE, "true"], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        skip(f"making the pid namespaces of the tests of process ids failed: {done.stderr.strip()}")
    with ExitStack() as running:
        yield running


def each_pid(found: dict[tuple[str, frozenset[tuple[str, str]]], float]) -> list[str]:
    """Returns the `pid` labels of the gauge that shows every live worker."""
    return sorted(dict(labels)["pid"] for name, labels in found if name == "level_of_each")


def test_two_namespaces_with_the_same_pid(stack: ExitStack, tmp_path: Path) -> None:
    sides = [stack.enter_context(Namespace(tmp_path)) for _ in range(2)]
    for side in sides:
        side.tell(f"start {PID}")
    for count in range(1, 4):
        for side in sides:
            side.tell("count")
        for text in (sides[0].tell("scrape"), sides[1].tell("scrape"), dump(tmp_path)):
            found = samples(text)
            assert (found[JOBS], found[SUM], found[LIVE]) == (2 * count, 10 * count, 6 * count)
            assert each_pid(found) == ["7", "7-1"]
    sides[0].__exit__()
    for text in (sides[1].tell("scrape"), dump(tmp_path)):
        found = samples(text)
        assert (found[JOBS], found[SUM], found[LIVE]) == (6, 30, 9)
        assert len(each_pid(found)) == 1


def test_a_pid_that_is_used_again(stack: ExitStack, tmp_path: Path) -> None:
    side = stack.enter_context(Namespace(tmp_path))
    for lives in range(1, 4):
        side.tell(f"start {PID}")
        side.tell("count")
        for text in (side.tell("scrape"), dump(tmp_path)):
            found = samples(text)
            assert (found[JOBS], found[SUM], found[LIVE]) == (lives, 5 * lives, 3)
            assert len(each_pid(found)) == 1
        side.tell("kill")
        found = samples(dump(tmp_path))
        assert (found[JOBS], found[SUM], found.get(LIVE)) == (lives, 5 * lives, None)
        assert each_pid(found) == []
