"""Files that somebody cuts off under the workers that count in them, which would end those by SIGBUS.

What stood in the part that is gone is lost, and counted as lost; what comes later is not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import forkmeter
import pytest

from support.exposition import samples
from support.faulty import answer_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.faulty import Host
    from support.forkmeter import Exporter

SERIES = 14
# By files: what is left of each. Of the page in which the first series stand that is all, a part or nothing.
CUTS = [
    (pattern, length)
    for pattern, lengths in {"*.db": [0, 100, 4096], "forkmeter.*": [0, 100], "*": [0, 100]}.items()
    for length in lengths
]
# Maps a file of its own and cuts it off, having counted with the package before.
FOREIGN = """
import faulthandler, mmap, os, sys
import forkmeter

if "faulthandler" in sys.argv:
    faulthandler.enable()
forkmeter.Counter("c", "Help.").inc()
with open(sys.argv[1], "w+b") as file:
    file.truncate(8192)
    mapped = mmap.mmap(file.fileno(), 8192)
    file.truncate(0)
    mapped[5000]
"""


def cut(directory: Path, pattern: str, length: int) -> list[Path]:
    """Cuts off files, as `truncate` and `> file` do; workers take such files away meanwhile."""
    files = []
    for path in directory.glob(pattern):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > length:
                os.truncate(path, length)
                files.append(path)
    return files


def lost(exporter: Exporter, directory: Path) -> float:
    """Returns how many lost series the exporter tells of."""
    found = samples(exporter.scrape(lint=False))
    return found["forkmeter_lost_series_total", frozenset({("directory", str(directory))})]


@pytest.mark.parametrize(("pattern", "length"), CUTS)
def test_files_that_are_cut_off(
    start: Callable[..., Host], exporter: Exporter, directory: Path, pattern: str, length: int
) -> None:
    """Both workers live, and what they count later is right for everybody."""
    hosts = [start(), start()]
    for host in hosts:
        host.call("count", first=0, end=SERIES)
    assert cut(directory, pattern, length)
    for host in hosts:
        host.call("count", first=0, end=SERIES)
    # What is left of the values is known now.
    base = hosts[0].call("sums")
    assert all(2 * SERIES <= value <= 4 * SERIES for value in base), base
    if length == 0 and pattern != "forkmeter.*":
        assert base == [2.0 * SERIES] * 3
    if pattern == "forkmeter.*":
        assert base == [4.0 * SERIES] * 3
    else:
        assert lost(exporter, directory) > 0
        assert all(host.call("sums") for host in hosts)
        said = [line for host in hosts for line in host.call("log") if "begin anew" in line]
        assert said, "nobody says it"
    for host in hosts:
        host.call("count_held", number=3, times=10)
        host.call("count", first=SERIES, end=2 * SERIES)
    total = [value + 2 * 10 + 2 * SERIES for value in base]
    outside = hosts[0].call("outside", directory=str(directory))
    assert hosts[0].call("sums") == hosts[1].call("sums") == outside == total
    assert [host.call("kept") for host in hosts] == [0, 0]
    for host in hosts:
        host.end()


def test_files_that_are_cut_off_while_threads_count(start: Callable[..., Host], directory: Path) -> None:
    """Nobody can tell what was lost, but the worker lives and goes on from what there is."""
    host = start()
    host.call("count", first=0, end=SERIES)
    host.send([{"op": "spin", "seconds": 1, "threads": 2}])
    while not host.answers.qsize():
        cut(directory, "*.db", 0)
        time.sleep(0.01)
    assert answer_of(host.read()) > 0
    before = host.call("sums")
    host.call("count_held", number=0, times=10)
    assert host.call("sums") == [value + 10 for value in before] == host.call("outside", directory=str(directory))
    host.end()


def test_a_child_that_is_forked_before_anybody_looks(start: Callable[..., Host], directory: Path) -> None:
    """What was counted after the cut and before the fork is published by one of the two."""
    host = start()
    host.call("count", first=0, end=SERIES)
    cut(directory, "counter_shared.db", 0)
    # The first count meets the hole; nothing looks before the fork.
    host.call("fork_after_one", number=3)
    sums = host.call("sums")
    assert sums == [2, SERIES, SERIES]
    assert host.call("outside", directory=str(directory)) == sums
    host.end()


@pytest.mark.parametrize("extra", [[], ["faulthandler"]])
def test_faults_in_the_files_of_others_end_the_process(directory: Path, tmp_path: Path, extra: list[str]) -> None:
    """A program that touches its own file beyond the end dies of it as ever, with the traceback that it asked for."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    environment["PYTHONPATH"] = str(Path(forkmeter.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", FOREIGN, str(tmp_path / "file"), *extra],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGBUS, done.stderr
    assert ("Bus error" in done.stderr) == bool(extra)
