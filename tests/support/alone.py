"""Tests that run in an interpreter of their own, whose workers share the test's directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import forkmeter

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_SECONDS = 90
# From Python 3.12 on, where any thread runs; that forks are safe all the same is what is tested.
FORKS = "ignore:This process:DeprecationWarning"
RUN = "import runpy, sys; runpy.run_path(sys.argv[1])[sys.argv[2]].program()"
TESTS = Path(__file__).parent.parent


def alone(program: Callable[[], None]) -> Callable[[Path], None]:
    """Makes a test of a function: it runs in a program of its own, in which no directory was in use before.

    Args:
        program: fails by an exception. `PROMETHEUS_MULTIPROC_DIR` names an empty directory.
    """
    path, name = program.__code__.co_filename, program.__name__

    def test(tmp_path: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.lower().startswith("prometheus")}
        environment["PYTHONPATH"] = os.pathsep.join([str(Path(forkmeter.__file__).parents[1]), str(TESTS)])
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(tmp_path)
        done = subprocess.run(
            [sys.executable, "-W", "error", "-W", FORKS, "-c", RUN, path, name],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    test.__name__ = test.__qualname__ = name
    test.__doc__ = program.__doc__
    test.program = program  # type: ignore[attr-defined]
    return test


def do_and_end(work: Callable[[], object]) -> NoReturn:
    """Does something in a child, and ends it without the parent's exit handlers.

    Args:
        work: what the child does; it ends with 1 where this raises.
    """
    code = 1
    try:
        work()
        code = 0
    finally:
        if code:
            sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
        os._exit(code)


def in_worker(*works: Callable[[], object]) -> None:
    """Does something in a worker that ends then.

    Args:
        works: what the worker does, one after the other; an exception fails the test.
    """
    child = os.fork()
    if not child:
        do_and_end(lambda: [work() for work in works])
    assert os.waitpid(child, 0)[1] == 0


class Staying:
    """A worker that does something and then lives on until the block ends."""

    def __init__(self, work: Callable[[], object]) -> None:
        """Starts it and waits until it has done that."""
        done, has_done = os.pipe()
        is_over, self.over = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self.over)
            do_and_end(lambda: (work(), os.write(has_done, b"x"), os.read(is_over, 1)))
        os.close(has_done)
        os.close(is_over)
        assert os.read(done, 1) == b"x"
        os.close(done)

    def __enter__(self) -> None:
        """Does nothing: it runs already."""

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        os.close(self.over)
        assert os.waitpid(self.pid, 0)[1] == 0
