"""Memory stays where it is, however many series and metrics come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.safety import run_program

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)

# What an allocator may take for itself; a name that is kept for each of the rounds takes more.
TOLERATED_BYTES = 2 << 20
MAX_DIRECTORY_BYTES = 4 << 20


@pytest.mark.parametrize("mode", ["single", "multiprocess"])
@pytest.mark.parametrize(("what", "rounds"), [("series", 100_000), ("metrics", 10_000)])
def test_memory_is_flat(tmp_path: Path, mode: str, what: str, rounds: int) -> None:
    """Compares the second half of the rounds with the first, which warms up."""
    output = run_program(tmp_path if mode == "multiprocess" else None, "leak", str(rounds), what)
    grown_bytes, directory_bytes = map(int, output.split()[-2:])
    assert grown_bytes < TOLERATED_BYTES, output
    assert directory_bytes < MAX_DIRECTORY_BYTES, output
