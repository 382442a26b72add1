"""The three traps that the unit tests of a multi-process service fell into, each as a project that its own pytest runs.

A project knows nothing of forkmeter. It is run with the official client, where it has to fail, and with forkmeter in
two ways: with the imports renamed, and as it is, `prometheus_client` meaning forkmeter.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.skipping import skip

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
PROJECTS = sorted(path.name for path in (HERE / "projects").iterdir())
REPETITIONS = int(os.environ.get("TRAPS_REPETITIONS", "20"))
TIMEOUT_SECONDS = 60 + REPETITIONS * 3
ALIAS = "import forkmeter, pytest, sys; forkmeter.install_as_prometheus_client(); sys.exit(pytest.main())"

pytestmark = pytest.mark.timeout(TIMEOUT_SECONDS + 10)


@pytest.fixture(scope="session", autouse=True)
def forkmeter() -> None:
    """Skips where the package is not installed."""
    if subprocess.run([sys.executable, "-c", "import forkmeter"], check=False, capture_output=True).returncode:
        skip(f"forkmeter is not installed for {sys.executable}")


def copy_project(name: str, to: Path, *, client: str) -> None:
    """Makes a project that stands alone."""
    shutil.copytree(HERE / "projects" / name, to)
    for shared in ("service.py", "checks.py", "repeat.py"):
        shutil.copy(HERE / shared, to)
    for file in to.glob("*.py"):
        file.write_text(file.read_text().replace("prometheus_client", client))


def run(project: Path, *command: str, repetitions: int) -> tuple[str, Mapping[str, int]]:
    """Runs a project's tests; returns what pytest printed, and how many tests had which outcome."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("PROMETHEUS", "PYTEST", "PYTHON"))
    }
    options = ["-p", "repeat", "-p", "no:cacheprovider", "-W", "error", "-q", "--tb=short", "--show-capture=no"]
    done = subprocess.run(
        command,
        cwd=project,
        env={
            **environment,
            "PYTEST_ADDOPTS": " ".join(options),
            "PYTHONPATH": str(project),
            "TRAPS_REPETITIONS": str(repetitions),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    summary = done.stdout.rstrip().rpartition("\n")[2]
    return done.stdout, {kind: int(count) for count, kind in re.findall(r"(\d+) (\w+)", summary)}


def check_passes(project: Path, *command: str) -> None:
    output, outcomes = run(project, *command, repetitions=REPETITIONS)
    assert set(outcomes) == {"passed"}, output[-20_000:]
    assert outcomes["passed"] >= 2 * REPETITIONS


PYTEST = (sys.executable, "-m", "pytest")
PARALLEL = pytest.mark.parametrize("parallel", [(), ("-n", "4")], ids=["alone", "xdist"])


@pytest.mark.parametrize("name", PROJECTS)
@PARALLEL
def test_imports_renamed(name: str, parallel: tuple[str, ...], tmp_path: Path) -> None:
    project = tmp_path / "project"
    copy_project(name, project, client="forkmeter")
    check_passes(project, *PYTEST, *parallel)


@pytest.mark.parametrize("name", PROJECTS)
def test_as_they_are_under_forkmeter_run(name: str, tmp_path: Path) -> None:
    project = tmp_path / "project"
    copy_project(name, project, client="prometheus_client")
    check_passes(project, str(Path(sys.executable).with_name("forkmeter")), "run", "--", *PYTEST)


def test_as_it_is_with_the_alias_and_no_variable(tmp_path: Path) -> None:
    project = tmp_path / "project"
    copy_project("late_variable", project, client="prometheus_client")
    check_passes(project, sys.executable, "-c", ALIAS)


def test_as_it_is_under_forkmeter_run_in_parallel(tmp_path: Path) -> None:
    project = tmp_path / "project"
    copy_project("deleted_after", project, client="prometheus_client")
    check_passes(project, str(Path(sys.executable).with_name("forkmeter")), "run", "--", *PYTEST, "-n", "4")


@pytest.mark.parametrize("name", PROJECTS)
def test_the_official_client_falls_into_the_trap(name: str, tmp_path: Path) -> None:
    project = tmp_path / "project"
    copy_project(name, project, client="prometheus_client")
    output, outcomes = run(project, *PYTEST, repetitions=3)
    assert outcomes.get("failed", 0) >= 3, output
    assert set(outcomes) <= {"failed", "passed", "error", "errors"}, output
    # It is the numbers that are wrong.
    assert "E   AssertionError" in output
