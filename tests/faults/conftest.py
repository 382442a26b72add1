"""Hosts, and the exporter beside them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Callable

import pytest

from support.faulty import Host, build
from support.forkmeter import Exporter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes calls fail."""
    return build(tmp_path_factory.mktemp("faulty"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where the hosts of a test count."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    return folder


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test started."""
    with ExitStack() as running:
        yield running


@pytest.fixture
def start(stack: ExitStack, directory: Path) -> Callable[..., Host]:
    """Starts a host, which begins to count in the directory."""

    def start_host(library: Path | None = None) -> Host:
        host = stack.enter_context(Host(directory, library))
        host.call("begin")
        return host

    return start_host


@pytest.fixture
def exporter(stack: ExitStack, directory: Path, tmp_path: Path) -> Exporter:
    """An exporter of the directory."""
    return stack.enter_context(Exporter(directory, log=tmp_path / "exporter.log"))
