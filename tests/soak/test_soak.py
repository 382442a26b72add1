"""Workers that are killed and restarted at random for a minute, on a directory that is deleted under them.

Counters never go down in a scrape, and in the end every sum is what the workers counted. `make soak` takes half an
hour. `SOAK_SEED` repeats what is done; when it is done is up to the machine.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.folders import in_memory
from support.forkmeter import Exporter
from support.safety import TESTS, package_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SECONDS = float(os.environ.get("SOAK_SECONDS", "60"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or secrets.randbits(32)
# The last deletion and the last look of the workers may take a while.
LIMIT_SECONDS = SECONDS + 150
# The last values of 64 dead workers would be kept of a gauge in mode `all`; there is none.
MAX_FILES = 40

pytestmark = pytest.mark.timeout(LIMIT_SECONDS + 60)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is room for one."""
    with in_memory(tmp_path) as made:
        yield made


def start(stack: ExitStack, directory: Path, program: str, *arguments: str) -> subprocess.Popen[str]:
    """Starts a program of this folder; it is gone in the end."""
    words = ("multiproc", "pytest")
    environment = {name: value for name, value in os.environ.items() if not any(word in name.lower() for word in words)}
    environment["PYTHONPATH"] = os.pathsep.join([package_folder(), str(TESTS)])
    process = stack.enter_context(
        subprocess.Popen(
            [sys.executable, str(HERE / program), *arguments],
            env={**environment, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )
    stack.callback(process.kill)
    return process


def result(
    process: subprocess.Popen[str], *, timeout_seconds: float, meanwhile: str = ""
) -> tuple[str, dict[str, Any]]:
    """Waits for the end of a program.

    Args:
        process: the program.
        timeout_seconds: how long to wait.
        meanwhile: what others printed, for the report of a failure.

    Returns:
        What it printed, and the object in the last line of that.
    """
    output, _ = process.communicate(timeout=timeout_seconds)
    assert process.returncode == 0, f"seed {SEED}: {meanwhile}\n{output[-20_000:]}"
    return output, json.loads(output.splitlines()[-1])


def test_nothing_is_lost_and_no_counter_goes_down(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fleet compares sums, each scraper its scrapes."""
    with ExitStack() as stack:
        directory = folder / "metrics"
        directory.mkdir()
        exporter = stack.enter_context(Exporter(directory, log=folder / "log"))
        fleet = start(stack, directory, "fleet.py", str(folder), str(SECONDS), str(SEED))
        scrapers = {
            "exporter": start(stack, directory, "scraper.py", exporter.url + "/metrics"),
            "worker": start(stack, directory, "scraper.py"),
        }
        output, did = result(fleet, timeout_seconds=LIMIT_SECONDS)
        for name, scraper in scrapers.items():
            scraper.terminate()
            _, did[name] = result(scraper, timeout_seconds=60, meanwhile=output)
    with capsys.disabled():
        print(f"\nsoak: seed {SEED}, {did}")
    assert did["kill"] > 0
    assert did["counted"] > 0
    assert did["exporter"]["scrapes"] > SECONDS
    assert did["worker"]["scrapes"] > SECONDS
    assert did["files"] <= MAX_FILES
