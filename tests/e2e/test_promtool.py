"""promtool reads what the encoders are tested with, not only what the exporter and the dumps of other tests give."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.exposition import promtool_check

TESTDATA = Path(__file__).resolve().parents[2] / "crates" / "forkmeter-core" / "testdata" / "encode"

# Names in quotes are newer than the promtool that Debian has: those files are left to Prometheus 3.
GOLDENS = sorted(path for path in TESTDATA.glob("*.text*.txt") if "allow-utf-8" not in path.name)


@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.stem)
def test_promtool_reads_the_goldens(golden: Path) -> None:
    """Each golden of the text format is parsed by promtool; it may dislike the names, which are there to be awkward."""
    promtool_check(golden.read_text(encoding="utf-8"), lint=False)


def test_there_are_goldens() -> None:
    """The list above is not empty, so the test above asserts something."""
    assert len(GOLDENS) >= 9
