"""The code of the guide to testing works as it stands there, and the traps that it tells of are real."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

pytest_plugins = "pytester"

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "testing.md"
ALIAS = "import forkmeter, pytest, sys; forkmeter.install_as_prometheus_client(); sys.exit(pytest.main(sys.argv[1:]))"


def files() -> Mapping[str, str]:
    """Returns the guide's files by name."""
    blocks = re.findall(
        r"^```python\n# (\w+\.py)\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    return dict(blocks)


def test_the_guide_in_chinese_has_the_same_code() -> None:
    translated = GUIDE.with_name("testing.zh-TW.md").read_text(encoding="utf-8")
    assert blocks_of(translated) == blocks_of(GUIDE.read_text(encoding="utf-8"))
    assert len(blocks_of(translated)) == 6
    # What it explains is explained there as well: the same headings, table rows and points.
    for mark in ("## ", "| `", "- "):
        counts = [
            sum(line.startswith(mark) for line in text.splitlines())
            for text in (translated, GUIDE.read_text(encoding="utf-8"))
        ]
        assert counts[0] == counts[1], mark


def blocks_of(text: str) -> list[str]:
    """Returns the blocks of code in a page."""
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


TESTS = sorted(name for name in files() if name.startswith("test_"))


@pytest.fixture(autouse=True)
def guide(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes the files of the guide down."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    for name, text in files().items():
        (pytester.path / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("name", TESTS)
def test_blocks_run(pytester: pytest.Pytester, name: str) -> None:
    result = pytester.run(sys.executable, "-c", ALIAS, "-W", "error", "-p", "no:cacheprovider", name)
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert len(TESTS) == 4


@pytest.mark.parametrize("name", [name for name in TESTS if name != "test_short.py"])
def test_the_official_client_falls_into_the_trap(pytester: pytest.Pytester, name: str) -> None:
    result = pytester.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", name)
    assert result.parseoutcomes().get("failed")
