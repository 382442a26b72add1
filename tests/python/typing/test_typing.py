"""The interface as type checkers see it: what they accept, what they refuse, and that it is what runs."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import warnings
from pathlib import Path

import forkmeter
import pytest

ROOT = Path(__file__).resolve().parents[3]
# The files stand apart from this one: pytest would take a test in `tests/typing` for a part of the module `typing`.
FILES = ROOT / "tests" / "typing"
TIMEOUT_SECONDS = 600
pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS)

# `LINE: error` as mypy and pyright say it.
ERROR = re.compile(r"^\s*(?P<path>[^:\s]+\.pyi?):(?P<line>\d+)(?::\d+)?(?: -|:) error:", re.MULTILINE)
# Modules that only run where their framework is there.
NEEDS_FRAMEWORK = {"forkmeter.aiohttp", "forkmeter.django", "forkmeter.twisted"}
# What is left of each symbol that pyright cannot know, and why.
NOT_KNOWN = {
    "forkmeter.django.exposition.PrometheusDjangoView": "Django has no annotations, so its base class has no type",
}


def run(*command: str, cwd: Path = ROOT) -> tuple[int, str]:
    """Runs a checker of this environment, and returns its exit code and what it says."""
    # Pyright asks the `python` that it finds first where packages are.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=cwd,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT / "python")},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    return done.returncode, done.stdout


def check(checker: str, *paths: Path) -> tuple[int, str]:
    """Checks files with `mypy --strict` or pyright."""
    options = {
        "mypy": ("--strict", "--config-file", str(ROOT / "mypy.ini")),
        "pyright": ("--pythonpath", sys.executable),
    }
    return run(checker, *options[checker], *map(str, paths))


CHECKERS = pytest.mark.parametrize("checker", ["mypy", "pyright"])


@CHECKERS
def test_checkers_accept_every_use(checker: str) -> None:
    code, output = check(checker, *sorted(FILES.glob("api*.py")))
    assert code == 0, output


@CHECKERS
def test_checkers_refuse_every_mistake(checker: str) -> None:
    mistakes = FILES / "rejected.py"
    lines = mistakes.read_text("utf-8").splitlines()
    expected = {number for number, line in enumerate(lines, 1) if line.endswith("# expect error")}
    _, output = check(checker, mistakes)
    found = {int(match["line"]) for match in ERROR.finditer(output) if Path(match["path"]).name == mistakes.name}
    accepted = [lines[number - 1].strip() for number in sorted(expected - found)]
    assert accepted == [], f"{checker} accepts these"
    assert sorted(found - expected) == [], output


def test_package_is_annotated_throughout() -> None:
    code, output = check("mypy", ROOT / "python" / "forkmeter")
    assert code == 0, output


def test_types_of_all_public_symbols_are_known() -> None:
    _, output = run("pyright", "--verifytypes", "forkmeter", "--ignoreexternal")
    score = re.search(r"Type completeness score: ([\d.]+)%", output)
    assert score, output
    unknown = re.findall(r"^(forkmeter\.\S+)$", output.partition("Symbols used in public interface:")[2], re.MULTILINE)
    assert sorted(unknown) == sorted(NOT_KNOWN), output
    assert float(score[1]) > 99, output


def test_stub_of_the_native_module_says_what_is_there() -> None:
    code, output = run(
        *("mypy.stubtest", "--mypy-config-file", str(ROOT / "mypy.ini")),
        *("--allowlist", str(FILES / "stubtest_allowlist.txt"), "forkmeter._forkmeter"),
    )
    assert code == 0, output


def test_every_exemption_has_a_reason() -> None:
    lines = (FILES / "stubtest_allowlist.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if line and not re.fullmatch(r"(\S+ +)?# .{10,}", line)] == []
    assert all(len(reason) > 10 for reason in NOT_KNOWN.values())


def public_modules() -> list[str]:
    found = [module.name for module in pkgutil.walk_packages(forkmeter.__path__, "forkmeter.")]
    return ["forkmeter", *(name for name in found if not re.search(r"\._", name))]


def declared_names(module: str) -> set[str]:
    """Returns what a module offers: what it lists, or else the public classes and functions that it defines."""
    try:
        # Values follow the environment when they are imported.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = importlib.import_module(module)
    except ImportError:
        assert module.startswith(tuple(NEEDS_FRAMEWORK)), module
        source = Path(forkmeter.__path__[0], *module.split(".")[1:])
        file = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
        listed = re.search(r"__all__ = (.*)", file.read_text("utf-8"))
        assert listed, f"{module} is not installed and has no __all__"
        return set(ast.literal_eval(listed[1]))
    if hasattr(loaded, "__all__"):
        return set(loaded.__all__)
    return {
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module and callable(value)
    }


def uses() -> tuple[set[str], set[str]]:
    """Returns the dotted names, and all attributes, that the accepted files use."""
    dotted: set[str] = set()
    attributes: set[str] = set()
    for path in FILES.glob("api*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                dotted.update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Attribute):
                dotted.add(ast.unparse(node))
                attributes.add(node.attr)
    return dotted, attributes


@pytest.mark.parametrize("module", public_modules())
def test_every_public_name_is_used(module: str) -> None:
    dotted, _ = uses()
    assert sorted(name for name in declared_names(module) if f"{module}.{name}" not in dotted) == []


def test_every_public_method_is_used() -> None:
    _, attributes = uses()
    missing = set()
    for module in public_modules():
        for name in declared_names(module):
            value = getattr(sys.modules.get(module), name, None)
            if inspect.isclass(value) and value.__module__.startswith("forkmeter"):
                own = (base for base in value.__mro__ if base.__module__.startswith("forkmeter"))
                members = {member for base in own for member in vars(base) if not member.startswith("_")}
                missing |= {f"{module}.{name}.{member}" for member in members - attributes}
    assert sorted(missing) == []
