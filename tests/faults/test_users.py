"""Directories that a worker may not write to, or cannot share: it counts in its own memory and says so once."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from support.faulty import Host, is_root
from support.skipping import skip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack

    from support.forkmeter import Exporter

NOBODY = 65534
SERIES = 14


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory on a path that every user may go along."""
    if not is_root():
        skip("only root may go on as another user")
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    try:
        (folder / "metrics").mkdir()
        yield folder / "metrics"
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def stranger(stack: ExitStack, directory: Path) -> Host:
    """A host that is another user's from before it begins."""
    host = stack.enter_context(Host(directory))
    host.call("become", user=NOBODY)
    return host


def allow(directory: Path) -> None:
    """Lets every user write."""
    directory.chmod(0o777)
    for path in directory.iterdir():
        path.chmod(0o666)


def check_kept(host: Host, words: str, total: float) -> None:
    """Checks that a host shows all numbers, its own among them, and says once where these are, and why."""
    assert host.call("kept") > 0
    assert host.call("sums") == [total] * 3
    host.call("count", first=SERIES, end=2 * SERIES)
    assert host.call("sums") == [total + SERIES] * 3
    assert words in host.call("problem")
    said = [line for line in host.call("log") if "kept in memory" in line]
    assert len(said) == 1, said
    assert words in said[0]
    assert str(host.directory) in said[0]
    assert "only this process shows them" in said[0]


def test_a_user_who_comes_after_root(
    start: Callable[..., Host], stranger: Host, exporter: Exporter, directory: Path
) -> None:
    """Root's files stay right, and the other user's values join them once it may write."""
    root = start()
    root.call("count", first=0, end=SERIES)
    stranger.call("begin")
    stranger.call("count", first=0, end=SERIES)
    check_kept(stranger, "let the user of this process write there", 2 * SERIES)
    assert "forkmeter.workers" in stranger.call("problem")
    assert root.call("sums") == [SERIES] * 3
    assert "requests_total" in exporter.scrape(lint=False)
    allow(directory)
    stranger.wait_published()
    stranger.call("count", first=0, end=SERIES)
    assert root.call("sums") == stranger.call("sums") == [4.0 * SERIES] * 3
    root.end()
    stranger.end()


def test_a_directory_that_only_root_may_write_to(stranger: Host, directory: Path) -> None:
    """Nothing can be made there."""
    stranger.call("begin")
    stranger.call("count", first=0, end=SERIES)
    check_kept(stranger, "let the user of this process write there", SERIES)
    assert list(directory.iterdir()) == []
    allow(directory)
    stranger.wait_published()
    assert stranger.call("outside", directory=str(directory)) == [2.0 * SERIES] * 3
    stranger.end()


@pytest.mark.parametrize("error", ["ENODEV", "EINVAL"])
def test_a_file_system_that_cannot_share_memory(
    start: Callable[..., Host], exporter: Exporter, directory: Path, library: Path, error: str
) -> None:
    """Some network and user-space file systems cannot; each worker then tells what it counted itself."""
    host = start(library)
    host.call("arm", call="mmap", number=1, fault=error, lasts=True)
    host.call("count", first=0, end=SERIES)
    check_kept(host, "its file system cannot share memory between processes", SERIES)
    assert exporter.scrape(lint=False)
    host.call("disarm")
    host.wait_published()
    assert host.call("outside", directory=str(directory)) == [2.0 * SERIES] * 3
    host.end()
