"""A directory that goes away under its workers: they count on, and later everybody's numbers are right."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Callable

import pytest

from support.faulty import is_root
from support.skipping import skip

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from support.faulty import Host
    from support.forkmeter import Exporter

SERIES = 14


def nothing(_: Path) -> None:
    """Leaves it as it is."""


def remove(directory: Path) -> None:
    """Removes it with all that is in it."""
    shutil.rmtree(directory)


def empty(directory: Path) -> None:
    """Removes all that is in it."""
    for path in directory.iterdir():
        path.unlink()


def rename(directory: Path) -> None:
    """Gives it another name."""
    directory.rename(directory.with_name("elsewhere"))


def rename_and_replace(directory: Path) -> None:
    """Puts an empty one in its place."""
    rename(directory)
    directory.mkdir()


def replace_by_file(directory: Path) -> None:
    """Puts a file in its place."""
    remove(directory)
    directory.write_text("in the way", encoding="utf-8")


def take_file_away(directory: Path) -> None:
    """Takes the file away."""
    directory.unlink()


def mount(directory: Path, *options: str) -> None:
    """Mounts an empty file system there, in the place of the directory."""
    if not is_root():
        skip("only root may mount the file systems of the tests of directories")
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        skip(f"mounting the file systems of the tests of directories failed: {done.stderr.strip()}")


def mount_read_only(directory: Path) -> None:
    """Mounts one that nobody can write to."""
    mount(directory, "-o", "ro,size=1m")


def unmount(directory: Path) -> None:
    """Takes away what was mounted, although files in it are open."""
    subprocess.run(["umount", "--lazy", str(directory)], check=True, timeout=30)


Step = Callable[["Path"], None]
# By fault: what happens, what undoes it, and whether values are in memory meanwhile.
FAULTS: dict[str, tuple[Step, Step, bool]] = {
    "removed": (remove, nothing, False),
    "emptied": (empty, nothing, False),
    "renamed": (rename, nothing, False),
    "replaced": (rename_and_replace, nothing, False),
    "a file": (replace_by_file, take_file_away, True),
    "hidden by a mount": (mount, unmount, False),
    "read only": (mount_read_only, unmount, True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_directory_that_goes_away(
    start: Callable[..., Host], exporter: Exporter, stack: ExitStack, directory: Path, fault: str
) -> None:
    """What was counted before, meanwhile and later adds up."""
    happen, undo, is_kept = FAULTS[fault]
    hosts = [start(), start()]
    for host in hosts:
        host.call("count", first=0, end=SERIES)
    # Whatever becomes of the test.
    stack.callback(lambda: unmount(directory) if directory.is_mount() else None)
    happen(directory)
    for host in hosts:
        host.call("count", first=0, end=SERIES)
        assert min(host.call("sums")) >= SERIES
        host.call("count", first=SERIES, end=2 * SERIES)
        assert bool(host.call("kept")) == is_kept
    if is_kept:
        # What both counted before they noticed each of them shows, and what it counted later itself.
        shares = [host.call("sums") for host in hosts]
        assert [share[:2] for share in shares] == [[5.0 * SERIES] * 2] * 2
        assert sum(share[2] for share in shares) == 6 * SERIES
    assert exporter.scrape(lint=False)
    undo(directory)
    for host in hosts:
        host.wait_published()
        host.call("count", first=0, end=2 * SERIES)
    total = [2.0 * 5 * SERIES] * 3
    assert hosts[0].call("sums") == hosts[1].call("sums") == total
    assert hosts[0].call("outside", directory=str(directory)) == total
    said = [line for host in hosts for line in host.call("log") if "kept in memory" in line]
    assert len(said) == 2 * is_kept, said
    for host in hosts:
        host.end()
