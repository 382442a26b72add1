"""Processes that count, and what each of them exposes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from support.processes import kill
from support.safety import package_folder

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(__file__).with_name("worker.py")
PATIENCE_SECONDS = 60.0
# Name and labels of a sample, and its value.
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(text: str) -> Samples:
    """Parses an exposition with the official client's parser, which refuses none of a name twice.

    Args:
        text: The exposition.
    """
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, tuple(sorted(sample.labels.items()))
            assert key not in found, f"twice: {key}"
            found[key] = sample.value
    return found


def by_pid(samples: Samples, name: str) -> dict[int, float]:
    """Returns the values of a sample by worker; those of the first label set of each.

    Args:
        samples: What was exposed.
        name: The name of the sample.
    """
    found: dict[int, float] = {}
    for (other, labels), value in samples.items():
        if other == name and "pid" in dict(labels):
            found.setdefault(int(dict(labels)["pid"]), value)
    return found


class Worker:
    """A process that counts, and collects for all."""

    def __init__(self, directory: Path | None) -> None:
        environment = {name: value for name, value in os.environ.items() if "multiproc" not in name.lower()}
        environment["PYTHONPATH"] = package_folder()
        if directory is not None:
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(PROGRAM)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid

    def ask(self, line: str) -> Any:
        """Sends a line and returns what is answered."""
        pipes: list[IO[str]] = [pipe for pipe in (self.process.stdin, self.process.stdout) if pipe]
        pipes[0].write(line + "\n")
        pipes[0].flush()
        answer = pipes[1].readline()
        assert answer, self.end()
        return json.loads(answer)

    def run(self, source: str) -> Any:
        """Runs a program in the worker, and returns what it leaves in `answer`."""
        return self.ask("run " + json.dumps(source))

    def scrape(self, *names: str) -> Samples:
        """Collects in the worker."""
        text, self.took_seconds = self.ask(" ".join(("scrape", *names)))
        return samples_of(text)

    def end(self) -> str:
        """Lets the worker end, and returns what it wrote to standard error."""
        return self.process.communicate(timeout=PATIENCE_SECONDS)[1]

    def kill(self) -> None:
        """Kills the worker and waits until it is gone."""
        kill(self.pid)
        self.process.communicate(timeout=PATIENCE_SECONDS)


def until(wanted: Callable[[], bool], what: str) -> None:
    """Waits until something is so.

    Args:
        wanted: Tells whether it is.
        what: What to say where it never is.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not wanted():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
