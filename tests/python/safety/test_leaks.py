"""Memory stays where it is, however many series and metrics come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.safety import run_program

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)

# What an allocator may take for itself, and what segments that are being left take until they are folded: growth by
# 16 bytes in each round would be seen.
TOLERATED_BYTES = {"single": 256 * 1024, "multiprocess": 1280 * 1024}
MAX_DIRECTORY_BYTES = 4 << 20


@pytest.mark.parametrize("mode", ["single", "multiprocess"])
@pytest.mark.parametrize(("what", "rounds"), [("series", 100_000), ("metrics", 10_000)])
def test_memory_is_flat(tmp_path: Path, mode: str, what: str, rounds: int) -> None:
    """Compares the rounds after the first fifth, which warms up, with those."""
    output = run_program(tmp_path if mode == "multiprocess" else None, "leak", str(rounds), what)
    grown_bytes, directory_bytes = map(int, output.split()[-2:])
    assert grown_bytes < TOLERATED_BYTES[mode], output
    assert directory_bytes < MAX_DIRECTORY_BYTES, output
