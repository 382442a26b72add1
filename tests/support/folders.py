"""Folders for tests."""

from __future__ import annotations

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
