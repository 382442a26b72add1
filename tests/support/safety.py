"""Runs the program of the safety tests, in either mode, as many at once as there are processors."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import forkmeter

if TYPE_CHECKING:
    from collections.abc import Iterable

PROGRAM = Path(__file__).parent.parent / "python" / "safety" / "program.py"
# Far more than any scenario needs; what hangs is ended by an alarm of its own. Shorter than the limit of the tests, so
# that the output is shown.
LIMIT_SECONDS = 500
# The last values of 64 dead workers are kept (`all`), and some have died since anybody tidied up.
MAX_FILES = 200


TESTS = Path(__file__).parent.parent


class Job(NamedTuple):
    """Is one run of the program.

    Attributes:
        scenario: what it does.
        is_shared: whether values are shared in a directory.
        repetitions: how often.
        names: the operations, or a part of them such as `0/5`; all where there is none.
    """

    scenario: str
    is_shared: bool
    repetitions: int
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Names the test."""
        words = [self.scenario, "multiprocess" if self.is_shared else "single", *self.names[:1]]
        return "-".join(words)


def start(jobs: Iterable[Job], folder: Path) -> tuple[ThreadPoolExecutor, dict[Job, Future[str]]]:
    """Runs jobs beside each other, on all processors.

    Args:
        jobs: what to run.
        folder: where their directories are made.

    Returns:
        What runs them, and what each printed.
    """
    processors = os.cpu_count() or 1
    pool = ThreadPoolExecutor(processors)

    def run(number: int, job: Job) -> str:
        directory = folder / str(number)
        directory.mkdir()
        return run_program(directory if job.is_shared else None, job.scenario, str(job.repetitions), *job.names)

    return pool, {job: pool.submit(run, number, job) for number, job in enumerate(jobs)}


def package_folder() -> str:
    """Returns where the package that is tested stands."""
    assert forkmeter.__file__
    return str(Path(forkmeter.__file__).parent.parent)


def run_program(directory: Path | None, *arguments: str) -> str:
    """Runs a scenario to its end.

    Args:
        directory: where values are shared; nothing for a lone process.
        arguments: of the program.

    Returns:
        What it printed.
    """
    environment = {name: value for name, value in os.environ.items() if "multiproc" not in name.lower()}
    environment["PYTHONPATH"] = os.pathsep.join([package_folder(), str(TESTS)])
    if directory:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(PROGRAM), *arguments]
    done = subprocess.run(
        command, env=environment, timeout=LIMIT_SECONDS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    output = done.stdout.decode()
    # What failed stands above the complaints of whatever dies after it.
    assert done.returncode == 0, f"exit status {done.returncode}\n{output[:10_000]}\n[...]\n{output[-4000:]}"
    if directory:
        # Children that died by the thousand leave a bounded number of files.
        assert len(list(directory.iterdir())) < MAX_FILES
    return output
