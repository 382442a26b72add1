"""Thousands of short-lived workers on one directory cost what one worker costs, and nothing that they counted is lost.

`make soak` starts 10,000 of them, and `make bench ROW=worker_churn` compares the times of scrapes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from churn import generations
from support.alone import FORKS
from support.exposition import samples
from support.folders import in_memory
from support.safety import TESTS, package_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKERS = int(os.environ.get("CHURN_WORKERS", "2000"))
WITHIN = 1.1
# Of mode `all`, dead workers whose last values are kept.
KEPT = 64
LIMIT_SECONDS = 60 + WORKERS // 10

pytestmark = pytest.mark.timeout(LIMIT_SECONDS + 30)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, where there is room for one."""
    with in_memory(tmp_path) as folder:
        yield folder


def run(program: str, directory: Path, *arguments: str) -> str:
    """Runs a program of this folder on a directory, and returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if "multiproc" not in name.lower()}
    path = os.pathsep.join([package_folder(), str(TESTS)])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", FORKS, str(Path(__file__).with_name(program)), *arguments],
        env={**environment, "PYTHONPATH": path, "PROMETHEUS_MULTIPROC_DIR": str(directory)},
        timeout=LIMIT_SECONDS,
        check=True,
        stdout=subprocess.PIPE,
    )
    return done.stdout.decode()


def scrape(directory: Path) -> dict[str, Any]:
    """Returns files, what a scrape reads, and its samples."""
    answer: dict[str, Any] = json.loads(run("scraping.py", directory))
    answer["samples"] = samples(answer["text"])
    return answer


def test_sums_files_and_reads(directory: Path) -> None:
    """Compares what many workers leave with what a single one leaves that counted in the same series."""
    (directory / "one").mkdir()
    (directory / "many").mkdir()
    run("generations.py", directory / "one", "--one", str(generations.ROUND))
    run("generations.py", directory / "many", str(WORKERS))
    one, many = scrape(directory / "one"), scrape(directory / "many")

    for found, count, is_one in ((one, generations.ROUND, True), (many, WORKERS, False)):
        expected = generations.expected(generations.jobs(count, is_one=is_one))
        assert {key: found["samples"].get(key) for key in expected} == expected
        assert not [name for name, _ in found["samples"] if name.startswith("level_live")]
    # Several live at the same time, so which one was the last to set it is open.
    last = range(WORKERS - 2 * generations.ROUND, WORKERS)
    recent = [value for (name, _), value in many["samples"].items() if name == "level_mostrecent"]
    assert len(recent) == generations.ROUTES
    assert set(recent) <= set(last)

    assert set(many["samples"]) == set(one["samples"])
    assert list(many["files"]) == list(one["files"])
    assert sum(many["files"].values()) <= WITHIN * sum(one["files"].values())
    for which in ("first", "again"):
        for after, before in zip(many["reads"][which], one["reads"][which]):
            assert after <= WITHIN * before, f"{which}: {many['reads']}, not {one['reads']}"


def test_last_values_of_dead_workers_are_bounded(directory: Path) -> None:
    """A gauge of mode `all` keeps those of the newest 64 dead workers."""
    workers = 3 * KEPT
    run("generations.py", directory, "--all", str(workers))
    found = scrape(directory)
    kept = {value for (name, _), value in found["samples"].items() if name == "level_all"}
    assert len(kept) <= KEPT
    # In the order in which they began to share values, which for those that live at the same time is open.
    assert kept >= set(range(workers - KEPT + generations.AT_ONCE, workers))
    assert len([name for name in found["files"] if name.startswith("gauge_all_")]) <= KEPT
