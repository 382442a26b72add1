"""Workers of a directory, each a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from python.facts.fleet import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers that share a directory; they are gone after the test."""
    workers: list[Worker] = []

    def start(*, alone: bool = False) -> Worker:
        worker = Worker(None if alone else tmp_path)
        workers.append(worker)
        worker.run("")
        return worker

    yield start
    for worker in workers:
        if worker.process.returncode is None:
            worker.kill()
