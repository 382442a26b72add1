"""The files are deleted after every test, in one way or another."""

from __future__ import annotations

import glob
import itertools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp())


def delete(how: str) -> None:
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    if how == "path":
        for path in Path(folder).glob("*.db"):
            path.unlink()
    elif how == "bytes":
        for name in glob.glob(os.fsencode(os.path.join(folder, "*.db"))):
            os.unlink(name)
    elif how == "entry":
        for entry in os.scandir(folder):
            if entry.name.endswith(".db"):
                os.remove(entry)
    else:
        descriptor = os.open(folder, os.O_RDONLY)
        for file in os.listdir(descriptor):
            if file.endswith(".db"):
                os.remove(file, dir_fd=descriptor)
        os.close(descriptor)


WAYS = itertools.cycle(["path", "bytes", "entry", "descriptor"])


@pytest.fixture(autouse=True)
def no_files() -> Iterator[None]:
    yield
    delete(next(WAYS))
