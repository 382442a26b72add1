"""Limits of the process: file sizes, open files, address space. Values are in memory until there is room."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Callable

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support.faulty import Host
    from support.forkmeter import Exporter

SERIES = 60


def limit_file_size(host: Host) -> None:
    """Lets no file grow; beyond the limit the kernel sends a signal that ends the process."""
    host.call("let_size_signal_end_it")
    host.call("limit", name="RLIMIT_FSIZE", value=3 * 4096)


def limit_open_files(host: Host) -> None:
    """Leaves no descriptor, so that the scrape tells this process's own numbers alone."""
    host.call("limit", name="RLIMIT_NOFILE", value=64)
    host.call("fill_files")


def limit_address_space(host: Host) -> None:
    """Leaves less than one file takes."""
    host.call("limit", name="RLIMIT_AS", value=host.call("size") + (24 << 20))


# By limit: what sets it, the words in the log, what the process counts before, and what of that and the other's
# count its scrape tells meanwhile.
LIMITS: dict[str, tuple[Callable[[Host], None], str, int, int]] = {
    "RLIMIT_FSIZE": (limit_file_size, "limit on file sizes", 2, 4),
    "RLIMIT_NOFILE": (limit_open_files, "Too many open files", 0, 0),
    "RLIMIT_AS": (limit_address_space, "Cannot allocate memory", 0, 2),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_that_is_reached(start: Callable[..., Host], exporter: Exporter, directory: Path, limit: str) -> None:
    """The process lives, its scrape tells all that it counted, and later everybody's does."""
    set_limit, words, before, told = LIMITS[limit]
    other, host = start(), start()
    host.call("count", first=0, end=before)
    other.call("count", first=0, end=2)
    set_limit(host)
    host.call("count", first=0, end=SERIES)
    assert host.call("kept") > 0
    assert host.call("sums") == [told + SERIES] * 3
    host.call("count", first=0, end=SERIES)
    assert host.call("sums") == [told + 2 * SERIES] * 3
    said = [line for line in host.call("log") if "kept in memory" in line]
    assert len(said) == 1, said
    assert words in said[0]
    assert "requests_total" in exporter.scrape(lint=False)
    if limit == "RLIMIT_NOFILE":
        host.call("close_files")
    host.call("limit", name=limit, value=resource.getrlimit(getattr(resource, limit))[0])
    host.wait_published()
    host.call("count", first=0, end=SERIES)
    total = [2.0 + before + 3 * SERIES] * 3
    assert host.call("sums") == other.call("sums") == other.call("outside", directory=str(directory)) == total
    host.end()
    other.end()
