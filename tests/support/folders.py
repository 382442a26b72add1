"""Folders for tests."""

from __future__ import annotations

import fcntl
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def in_memory(otherwise: Path) -> Iterator[Path]:
    """Makes a folder in memory, and removes it in the end.

    Args:
        otherwise: where to make it on machines that have no such place.
    """
    memory = Path("/dev/shm")  # noqa: S108 -- what operators are told to use
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else otherwise) as name:
        yield Path(name)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the lock of a directory that workers share, as a worker that is stopped in the middle of its work does.

    Args:
        directory: one that has a worker, and that this process does not use.
    """
    # The header is what workers lock.
    with (directory / "forkmeter.workers").open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 64)
        yield
