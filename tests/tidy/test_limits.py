"""`docs/multiprocess.md` names for each limit of the official client a test that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMITS = [f"M{number}" for number in range(1, 21)] + [f"U{number}" for number in range(1, 20)]
NAMED = re.compile(r"`([\w./-]+\.(?:py|rs))::(\w+)`")
RUST_TEST = re.compile(r"#\[test\](?:\s*#\[[^\]]*\])*\s*fn (\w+)\(")


def rows() -> list[list[str]]:
    """Returns the cells of all rows of tables that have a state."""
    text = (ROOT / "docs/multiprocess.md").read_text(encoding="utf-8")
    found = []
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines(keepends=True)]
        if "state" in lines[0]:
            found += lines[2:]
    return found


def names_of_tests(path: Path) -> set[str]:
    """Returns the names of the tests in a file of either language."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".rs":
        return set(RUST_TEST.findall(text))
    nodes = ast.walk(ast.parse(text))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_limit_has_a_row() -> None:
    """All of them stand there, once, in their order."""
    assert [row[0] for row in rows() if re.fullmatch(r"[MU]\d+", row[0])] == LIMITS


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_row_works_and_names_tests(row: list[str]) -> None:
    """Whatever stands in the last cell but names of tests is a mistake."""
    *_, state, tests = row
    assert state == "works"
    named = NAMED.findall(tests)
    assert ", ".join(f"`{path}::{name}`" for path, name in named) == tests
    assert named
    for path, name in named:
        assert (ROOT / path).is_file(), f"there is no {path}"
        assert name in names_of_tests(ROOT / path), f"there is no {name} in {path}"
