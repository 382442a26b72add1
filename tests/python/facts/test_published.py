"""What only a worker itself can compute, in the expositions of all others."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from python.facts.fleet import Samples, Worker, by_pid, samples_of, until
from support.forkmeter import Exporter, dump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., Worker]

PROCESS = ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds")
COLLECTOR = """
from forkmeter.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

class Queue:
    def collect(self):
        family = GaugeMetricFamily("queue_length", "Length.", labels=["queue"])
        family.add_metric(["mail"], os.getpid())
        yield family
        yield InfoMetricFamily("build", "Build.", {"version": "7"})
        yield CounterMetricFamily("subprocess_runs", "Runs.", labels=["pid"])

class Total(Queue):
    multiprocess_mode = "livesum"

    def collect(self):
        yield GaugeMetricFamily("open_connections", "Connections.", value=3)

forkmeter.REGISTRY.register(Queue())
forkmeter.REGISTRY.register(Total())
"""


def wait_for(scrape: Callable[[], Samples], name: str, pids: set[int]) -> Samples:
    """Scrapes until a sample is there for exactly these workers."""
    found: list[Samples] = []

    def is_there() -> bool:
        found.append(scrape())
        return set(by_pid(found[-1], name)) == pids

    until(is_there, f"{name} is not there for {pids}")
    return found[-1]


def test_every_worker_shows_all_of_them(start: Start) -> None:
    workers = [start() for _ in range(3)]
    pids = {worker.pid for worker in workers}
    for worker in workers:
        samples = wait_for(worker.scrape, PROCESS[0], pids)
        for name in PROCESS:
            assert set(by_pid(samples, name)) == pids
        collections = [(labels, value) for (name, labels), value in samples.items() if "gc_collections" in name]
        assert len(collections) == 3 * len(workers)
        assert [dict(labels).get("pid") for name, labels in samples if name == "python_info"] == [None]
        # Nothing is there without a worker's name, which would be the one that answers.
        assert (PROCESS[0], ()) not in samples
        # Whoever answers is as it is now, and the others say the same of themselves.
        assert by_pid(samples, PROCESS[2])[worker.pid] > 0


def test_values_are_at_most_a_second_old(start: Start) -> None:
    first, second = start(), start()
    second.run(
        "class Clock:\n"
        "    def collect(self):\n"
        "        from forkmeter.metrics_core import GaugeMetricFamily\n"
        "        return [GaugeMetricFamily('now_seconds', 'Now.', value=time.time())]\n"
        "forkmeter.REGISTRY.register(Clock())"
    )
    wait_for(first.scrape, "now_seconds", {second.pid})
    ages: dict[float, float] = {}

    def was_seen_four_times() -> bool:
        now = by_pid(first.scrape(), "now_seconds")[second.pid]
        ages[now] = time.time() - now
        return len(ages) >= 4

    until(was_seen_four_times, "it is not published again")
    # A busy machine may run nothing for a while; but not always.
    assert min(list(ages.values())[1:]) < 1


def test_custom_collectors_are_shown_by_worker_or_as_they_ask(start: Start) -> None:
    workers = [start(), start()]
    for worker in workers:
        worker.run(COLLECTOR)
    pids = {worker.pid for worker in workers}
    for worker in workers:
        samples = wait_for(worker.scrape, "queue_length", pids)
        assert by_pid(samples, "queue_length") == {pid: pid for pid in pids}
        assert samples["build_info", (("version", "7"),)] == 1
        assert samples["open_connections", ()] == 6
        # Only what was asked for, and that of all workers.
        restricted = worker.scrape("queue_length", "open_connections")
        assert {name for name, _ in restricted} == {"queue_length", "open_connections"}
        assert set(by_pid(restricted, "queue_length")) == pids


def test_a_label_of_the_collectors_own_is_kept(start: Start) -> None:
    worker = start()
    worker.run(COLLECTOR.replace('labels=["queue"]', 'labels=["pid"]'))
    samples = worker.scrape()
    assert samples["queue_length", (("pid", "mail"), ("worker_pid", str(worker.pid)))] == worker.pid


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("livesum", 30), ("sum", 30), ("livemax", 20), ("min", 10), ("livemostrecent", None)],
)
def test_functions_of_gauges_merge_by_mode(start: Start, mode: str, expected: float | None) -> None:
    workers = [start(), start()]
    for value, worker in zip((10, 20), workers):
        worker.run(
            f"plain = forkmeter.Gauge('plain', 'h', multiprocess_mode={mode!r})\n"
            f"plain.set_function(lambda: {value})\n"
            f"labelled = forkmeter.Gauge('labelled', 'h', ['x'], multiprocess_mode={mode!r})\n"
            f"labelled.labels('a').set_function(lambda: {value})"
        )
    wanted = {expected} if expected is not None else {10, 20}

    def are_right() -> bool:
        found = [worker.scrape() for worker in workers]
        keys = (("plain", ()), ("labelled", (("x", "a"),)))
        return all(samples.get(key) in wanted for samples in found for key in keys)

    until(are_right, "the functions are not called, or not merged")


def test_functions_of_gauges_are_shown_by_worker(start: Start) -> None:
    workers = [start(), start()]
    for worker in workers:
        worker.run("gauge = forkmeter.Gauge('own', 'h')\ngauge.set_function(lambda: os.getpid())")
    pids = {worker.pid for worker in workers}

    def is_right() -> bool:
        return by_pid(workers[0].scrape(), "own") == {pid: pid for pid in pids}

    until(is_right, "the functions are not called")


def test_a_removed_series_with_a_function_stays_removed(start: Start) -> None:
    worker = start()
    worker.run(
        "gauge = forkmeter.Gauge('gone', 'h', ['x'], multiprocess_mode='livesum')\n"
        "child = gauge.labels('a')\n"
        "child.set_function(lambda: 5)"
    )
    assert worker.scrape()["gone", (("x", "a"),)] == 5
    worker.run("gauge.remove('a')")
    assert not any(name == "gone" for name, _ in worker.scrape())


def test_dead_workers_are_not_shown_and_leave_nothing(start: Start, tmp_path: Path) -> None:
    first, second = start(), start()
    wait_for(first.scrape, PROCESS[0], {first.pid, second.pid})
    second.kill()
    assert set(by_pid(first.scrape(), PROCESS[0])) == {first.pid}
    assert [file.name for file in tmp_path.glob("forkmeter.published.*")] == [f"forkmeter.published.{first.pid}"]
    # Without any scrape, whoever comes next clears away.
    first.kill()
    start()
    until(lambda: len(list(tmp_path.glob("forkmeter.published.*[0-9]"))) == 1, "files of dead workers stay")


def test_a_stopped_worker_is_shown_and_holds_nobody_up(start: Start) -> None:
    first, second = start(), start()
    pids = {first.pid, second.pid}
    wait_for(first.scrape, PROCESS[0], pids)
    os.kill(second.pid, signal.SIGSTOP)
    try:
        for _ in range(3):
            assert set(by_pid(first.scrape(), PROCESS[0])) == pids
    finally:
        os.kill(second.pid, signal.SIGCONT)


def test_a_worker_that_is_stuck_holds_nobody_up(start: Start) -> None:
    first, second = start(), start()
    second.run(COLLECTOR)
    wait_for(first.scrape, "queue_length", {second.pid})
    second.run(
        "class Stuck:\n"
        "    def describe(self):\n"
        "        return []\n"
        "    def collect(self):\n"
        "        time.sleep(3600)\n"
        "forkmeter.REGISTRY.register(Stuck())"
    )
    time.sleep(1.5)
    assert set(by_pid(first.scrape(), "queue_length")) == {second.pid}


def test_a_collector_that_raises_is_left_out_and_named_once(start: Start) -> None:
    first, second = start(), start()
    second.run(COLLECTOR)
    second.run(
        "class Broken:\n"
        "    calls = 0\n"
        "    def describe(self):\n"
        "        return []\n"
        "    def collect(self):\n"
        "        Broken.calls += 1\n"
        "        raise LookupError('no sensor %d' % self.calls)\n"
        "forkmeter.REGISTRY.register(Broken())\n"
        "failing = forkmeter.Gauge('failing', 'h')\n"
        "failing.set_function(lambda: 1 / 0)"
    )
    wait_for(first.scrape, "queue_length", {second.pid})
    for _ in range(3):
        assert by_pid(second.scrape(), "queue_length") == {second.pid: second.pid}
    assert second.run("answer = Broken.calls") >= 3
    said = second.end()
    assert said.count("no sensor") == 1
    assert said.count("division by zero") == 1


def test_a_forked_child_publishes_for_itself(start: Start) -> None:
    worker = start()
    worker.run("gauge = forkmeter.Gauge('own', 'h')\ngauge.set_function(lambda: os.getpid())")
    wait_for(worker.scrape, "own", {worker.pid})
    # It never counts anything itself.
    child = worker.run(
        "import warnings\n"
        "warnings.simplefilter('error')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    time.sleep(3600)\n"
        "answer = child"
    )
    pids = {worker.pid, child}
    try:
        samples = wait_for(worker.scrape, PROCESS[0], pids)
        assert by_pid(wait_for(worker.scrape, "own", pids), "own") == {pid: pid for pid in pids}
        assert len(set(by_pid(samples, PROCESS[2]).values())) == 2
    finally:
        os.kill(child, signal.SIGKILL)
    worker.run("os.waitpid(child, 0)")
    # The parent's own goes on.
    cpu = by_pid(worker.scrape(), PROCESS[0])
    assert set(cpu) == {worker.pid}


def test_a_fork_waits_neither_for_ever_nor_in_the_middle_of_a_collector(start: Start) -> None:
    worker = start()
    worker.run(
        "import threading\n"
        "from forkmeter import _keeper\n"
        # It is in the collector nearly all the time.
        "_keeper._INTERVAL_SECONDS, _keeper._MAX_SHARE = 0.001, 1.0\n"
        "lock = threading.Lock()\n"
        "class Locking:\n"
        "    def collect(self):\n"
        "        with lock:\n"
        "            time.sleep(0.02)\n"
        "        return []\n"
        "forkmeter.REGISTRY.register(Locking())\n"
        "time.sleep(1)"
    )
    codes = worker.run(
        "import sys\n"
        "codes = []\n"
        "for _ in range(60):\n"
        "    time.sleep(0.03)\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os._exit(0 if lock.acquire(timeout=5) else 1)\n"
        "    codes.append(os.waitpid(child, 0)[1])\n"
        "    if codes[-1]:\n"
        "        break\n"
        "answer = codes"
    )
    assert codes == [0] * 60
    # While the lock that the collector wants is held, a fork goes on after a moment.
    assert worker.run(
        "import subprocess\n"
        "with lock:\n"
        "    time.sleep(1.5)\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os._exit(0)\n"
        "    answer = os.waitpid(child, 0)[1] == 0"
    )
    before = worker.scrape()
    assert set(by_pid(before, PROCESS[0])) == {worker.pid}


def test_a_lone_process_has_no_thread_and_is_as_it_was(start: Start) -> None:
    worker = start(alone=True)
    worker.run("gauge = forkmeter.Gauge('own', 'h')\ngauge.set_function(lambda: 7)\n" + COLLECTOR)
    samples = worker.scrape()
    assert samples["own", ()] == 7
    assert (PROCESS[0], ()) in samples
    assert worker.run("answer = len(os.listdir('/proc/self/task'))") == 1


def test_the_thread_ends_when_values_are_no_longer_shared(start: Start) -> None:
    worker = start()
    until(lambda: worker.run("answer = len(os.listdir('/proc/self/task'))") == 2, "no thread was started")
    worker.run("del os.environ['PROMETHEUS_MULTIPROC_DIR']")
    until(lambda: worker.run("answer = len(os.listdir('/proc/self/task'))") == 1, "the thread stays")


def test_a_worker_ends_at_once_and_quietly(start: Start) -> None:
    workers = [start() for _ in range(5)]
    for worker in workers:
        assert worker.end() == ""
        assert worker.process.returncode == 0


def test_hostile_files_are_left_out(start: Start, tmp_path: Path) -> None:
    first, second = start(), start()
    wait_for(first.scrape, PROCESS[0], {first.pid, second.pid})
    os.kill(second.pid, signal.SIGSTOP)
    file = tmp_path / f"forkmeter.published.{second.pid}"
    good = file.read_bytes()
    try:
        for content in (b"", b"\xff" * 100, good[:-1], good[:64] + b"x" * (len(good) - 64), os.urandom(5000)):
            file.write_bytes(content)
            assert set(by_pid(first.scrape(), PROCESS[0])) == {first.pid}
        file.write_bytes(good)
        assert set(by_pid(first.scrape(), PROCESS[0])) == {first.pid, second.pid}
    finally:
        os.kill(second.pid, signal.SIGCONT)
    assert f"{file}: Corrupt" in first.end()


def test_the_exporter_shows_them(start: Start, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics"
    workers = [start(), start()]
    for worker in workers:
        worker.run(f"os.environ['PROMETHEUS_MULTIPROC_DIR'] = {str(metrics)!r}")
        worker.run(COLLECTOR)
        worker.scrape()
    pids = {worker.pid for worker in workers}
    with Exporter(metrics, log=tmp_path / "log") as exporter:
        for scrape in (lambda: dump(metrics), exporter.scrape):
            samples = wait_for(lambda text=scrape: samples_of(text()), "queue_length", pids)  # type: ignore[misc]
            assert set(by_pid(samples, PROCESS[0])) == pids
            assert samples["open_connections", ()] == 6
    families = json.loads(dump(metrics, form="json"))["families"]
    names = [family["name"] for family in families]
    assert len(names) == len(set(names))


def test_a_separate_registry_with_a_collector_of_the_directory_has_none(start: Start) -> None:
    worker = start()
    text = worker.run(
        "from forkmeter import exposition, multiprocess\n"
        "registry = forkmeter.CollectorRegistry()\n"
        "multiprocess.MultiProcessCollector(registry)\n"
        "answer = exposition.generate_latest(registry).decode()"
    )
    assert {name for name, _ in samples_of(text)} == {"worker_jobs_total"}


def test_a_directory_that_was_deleted_is_not_made_again(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "metrics"
    worker = start()
    worker.run(f"os.environ['PROMETHEUS_MULTIPROC_DIR'] = {str(directory)!r}")
    worker.scrape()
    until(lambda: any(directory.glob("forkmeter.published.*")), "nothing is published")
    worker.run(f"import shutil\nshutil.rmtree({str(directory)!r}, ignore_errors=True)\ntime.sleep(2)")
    assert not directory.exists()


def test_no_counter_of_a_worker_falls_back_whoever_answers(start: Start) -> None:
    workers = [start() for _ in range(3)]
    for worker in workers:
        worker.run(
            "import itertools, random, threading\n"
            "class Rising:\n"
            "    count = itertools.count()\n"
            "    def collect(self):\n"
            "        from forkmeter.metrics_core import CounterMetricFamily\n"
            "        value = next(self.count)\n"
            "        time.sleep(random.random() / 100)\n"
            "        return [CounterMetricFamily('rising', 'Rises.', value=value)]\n"
            "forkmeter.REGISTRY.register(Rising())\n"
            # Other threads collect all the time, so that collections overlap.
            "def collect():\n"
            "    while True:\n"
            "        forkmeter.generate_latest(forkmeter.REGISTRY)\n"
            "        time.sleep(0.001)\n"
            "for _ in range(2):\n"
            "    threading.Thread(target=collect, daemon=True).start()"
        )
    wait_for(workers[0].scrape, "rising_total", {worker.pid for worker in workers})
    before: dict[int, float] = {}
    for number in range(120):
        names = ("rising_total",) if number % 2 else ()
        now = by_pid(workers[number % 3].scrape(*names), "rising_total")
        fallen = {pid: (value, now.get(pid)) for pid, value in before.items() if now.get(pid, -1.0) < value}
        assert not fallen, fallen
        before = now
