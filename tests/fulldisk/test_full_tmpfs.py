"""A directory on a full file system of 64 KiB: nothing breaks, nothing is wrong, and it says so.

In a container `/dev/shm` is 64 MiB, and a worker that touched a page with no room behind it would end by SIGBUS.
"""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from support.exposition import official_text, samples
from support.forkmeter import Exporter, dump
from support.operations import act, declare
from support.skipping import skip
from support.worker import Operation, Worker, forkmeter_driver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERIES = 1500
FAMILIES = [
    declare("counter", "requests", "path"),
    declare("histogram", "latency_seconds", "path", buckets=[1, 2]),
    declare("gauge", "level_meters", "path", mode="sum"),
]


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB in memory; only root may mount one."""
    folder = tmp_path / "tmpfs"
    folder.mkdir()
    if os.geteuid() != 0:
        skip("only root may mount the small file system of the full disk tests")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if done.returncode != 0:
        skip(f"mounting the small file system of the full disk tests failed: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=30)


@pytest.fixture
def stack(full: Path) -> Iterator[ExitStack]:
    """Ends what a test started, before its file system goes away."""
    assert full.exists()
    with ExitStack() as running:
        yield running


def grow(folder: Path) -> None:
    """Gives the file system room."""
    subprocess.run(["mount", "-o", "remount,size=16m", str(folder)], check=True, timeout=30)


def path_of(number: int) -> str:
    """Returns a label value of which 1,500 do not fit into 64 KiB."""
    return f"/items/{number:060}"


def counting(value: float = 1) -> list[Operation]:
    """Returns operations on a great many series of each kind."""
    return [
        operation
        for number in range(SERIES)
        for operation in (
            act("inc", "requests", path_of(number), value=value),
            act("observe", "latency_seconds", path_of(number), value=value),
            act("set", "level_meters", path_of(number), value=number),
        )
    ]


def own(directory: Path, name: str, text: str) -> float:
    """Returns one of the exporter's own numbers."""
    return samples(text)[name, frozenset({("directory", str(directory))})]


def total(text: str, name: str) -> float:
    """Returns the sum of all samples of a name."""
    return sum(value for (sample, _), value in samples(text).items() if sample == name)


def kept(worker: Worker) -> int:
    """Returns how many series a worker keeps in memory."""
    worker.do({"op": "refresh"})
    answer: dict[str, Any] = worker.ask({"op": "kept"})
    return int(answer["series"])


def wait_published(worker: Worker) -> None:
    """Waits until a worker keeps nothing any more; a worker that found no room tries again only after a second."""
    deadline = time.monotonic() + 20
    while left := kept(worker):
        assert time.monotonic() < deadline, f"{left} series are still kept"
        time.sleep(0.05)


def values(worker: Worker, number: int) -> list[float]:
    """Returns what a worker itself sees of the series of one path."""
    return [
        worker.ask({"op": "get", "name": name, "labels": [path_of(number)]})["value"]
        for name in ("requests", "latency_seconds", "level_meters")
    ]


def test_more_series_than_fit(stack: ExitStack, full: Path, tmp_path: Path) -> None:
    """Values stay right inside the process, the exporter says how many are kept, and publishing makes up for it."""
    worker = stack.enter_context(Worker(forkmeter_driver(), full))
    exporter = stack.enter_context(Exporter(full, log=tmp_path / "log"))
    worker.do(*FAMILIES, *counting())
    for number in (0, SERIES // 2, SERIES - 1):
        assert values(worker, number) == [1, 1, number]
    in_memory = kept(worker)
    assert 0 < in_memory < 3 * SERIES, "either everything fits or nothing does"

    text = exporter.scrape()
    assert own(full, "forkmeter_kept_series", text) == in_memory
    published = total(text, "requests_total")
    assert 0 < published < SERIES
    said = [line for line in exporter.log_lines() if line.get("series") == str(in_memory)]
    assert len(said) == 1, "the exporter's log says it once"
    inside = worker.ask({"op": "text"})["text"]
    assert total(inside, "requests_total") == SERIES
    assert total(inside, "latency_seconds_count") == SERIES
    assert total(inside, "level_meters") == sum(range(SERIES))

    worker.do(*counting())
    assert total(exporter.scrape(), "requests_total") == 2 * published, "published series go on counting"
    assert values(worker, SERIES - 1) == [2, 2, SERIES - 1]

    grow(full)
    wait_published(worker)
    text = exporter.scrape()
    assert own(full, "forkmeter_kept_series", text) == 0
    assert own(full, "forkmeter_lost_series_total", text) == 0
    assert total(text, "requests_total") == 2 * SERIES
    assert total(text, "latency_seconds_count") == 2 * SERIES
    assert total(text, "level_meters") == sum(range(SERIES))
    worker.do(*counting())
    assert total(exporter.scrape(), "requests_total") == 3 * SERIES, "handles count on where they were published"
    worker.end()
    assert total(dump(full), "requests_total") == 3 * SERIES


def test_no_room_at_all(stack: ExitStack, full: Path) -> None:
    """Where not even the first file can be made, all is kept in memory and published once there is room."""
    with (full / "filler").open("wb") as filler:
        filler.write(bytes(64 * 1024))
    worker = stack.enter_context(Worker(forkmeter_driver(), full))
    worker.do(*FAMILIES, *counting())
    assert kept(worker) == 3 * SERIES
    assert values(worker, 7) == [1, 1, 7]
    (full / "filler").unlink()
    grow(full)
    wait_published(worker)
    text = dump(full)
    assert total(text, "requests_total") == SERIES
    assert total(text, "latency_seconds_count") == SERIES
    worker.end()


def test_workers_that_keep_the_same_series(stack: ExitStack, full: Path) -> None:
    """What several workers kept of the same series is added up when each publishes its part."""
    workers = [stack.enter_context(Worker(forkmeter_driver(), full)) for _ in range(3)]
    for number, worker in enumerate(workers):
        worker.do(*FAMILIES, *counting(number + 1))
    assert all(kept(worker) > 0 for worker in workers)
    grow(full)
    for worker in workers:
        wait_published(worker)
    text = dump(full)
    assert total(text, "requests_total") == 6 * SERIES
    assert total(text, "latency_seconds_count") == 3 * SERIES
    assert total(text, "level_meters") == 3 * sum(range(SERIES))


def test_what_a_killed_worker_kept_is_lost_and_said_so(stack: ExitStack, full: Path, tmp_path: Path) -> None:
    """A worker that dies with values in its memory loses them; the exporter counts the series, and the rest stays."""
    worker = stack.enter_context(Worker(forkmeter_driver(), full))
    exporter = stack.enter_context(Exporter(full, log=tmp_path / "log"))
    worker.do(*FAMILIES, *counting())
    in_memory = kept(worker)
    published = total(exporter.scrape(), "requests_total")
    worker.kill()
    grow(full)
    stack.enter_context(Worker(forkmeter_driver(), full)).do(*FAMILIES, act("inc", "requests", path_of(0), value=0))
    text = exporter.scrape()
    assert own(full, "forkmeter_lost_series_total", text) == in_memory
    assert own(full, "forkmeter_kept_series", text) == 0
    assert total(text, "requests_total") == published


def test_the_official_client_reads_a_full_directory(stack: ExitStack, full: Path) -> None:
    """Files that could not grow are valid for the official client as well."""
    worker = stack.enter_context(Worker(forkmeter_driver(), full))
    worker.do(*FAMILIES, *counting())
    assert kept(worker) > 0
    theirs, ours = samples(official_text(full)), samples(dump(full))
    assert theirs == {name: ours[name] for name in theirs}
    assert theirs
