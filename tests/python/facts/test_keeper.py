"""The thread that publishes is in nobody's way: not in that of forks, nor of ends, nor of greenlets."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from python.facts.fleet import PATIENCE_SECONDS, Worker, by_pid, until
from support.folders import locked
from support.safety import package_folder
from support.skipping import skip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., Worker]

START_TIME = "process_start_time_seconds"
COUNT_THREADS = "answer = len(os.listdir('/proc/self/task'))"
STUCK = """
class Stuck:
    calls = 0
    def describe(self):
        return []
    def collect(self):
        Stuck.calls += 1
        {}
        return []
forkmeter.REGISTRY.register(Stuck())
"""
GREENLETS = """
from gevent import monkey
monkey.patch_all()
import os, sys, gevent, forkmeter
jobs = forkmeter.Counter("jobs", "Jobs.")
jobs.inc()

def is_published():
    for _ in range(600):
        if os.path.exists(os.environ["PROMETHEUS_MULTIPROC_DIR"] + f"/forkmeter.published.{os.getpid()}"):
            return len(os.listdir("/proc/self/task")) == 1
        gevent.sleep(0.1)
    return False

if not is_published():
    sys.exit("the parent does not publish, or has another thread")
child = os.fork()
if not child:
    os._exit(0 if is_published() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def wait_for_thread(worker: Worker, count: int = 2) -> None:
    """Waits until a worker has so many threads."""
    until(lambda: worker.run(COUNT_THREADS) == count, f"there are never {count} threads")


def test_forks_of_a_process_without_other_threads_do_not_warn_of_it(start: Start) -> None:
    worker = start()
    wait_for_thread(worker)
    # Warnings are errors in a worker; Python warns since 3.12.
    codes = worker.run(
        "codes = []\n"
        "for _ in range(300):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        worker_jobs = forkmeter.REGISTRY._names_to_collectors['worker_jobs_total']\n"
        "        worker_jobs.inc()\n"
        "        os._exit(0)\n"
        "    codes.append(os.waitpid(child, 0)[1])\n"
        "answer = codes"
    )
    assert codes == [0] * 300
    assert worker.scrape()["worker_jobs_total", ()] == 301
    assert worker.run(COUNT_THREADS) == 2
    assert worker.end() == ""


def test_no_thread_of_ours_is_there_at_a_fork_that_python_would_warn_of(start: Start) -> None:
    worker = start()
    wait_for_thread(worker)
    seen = worker.run(
        "seen = []\n"
        "forkmeter._forkmeter.keeper_before_fork()\n"
        "seen.append(len(os.listdir('/proc/self/task')))\n"
        "forkmeter._forkmeter.keeper_after_fork_in_parent()\n"
        "seen.append(len(os.listdir('/proc/self/task')))\n"
        "answer = seen"
    )
    # Older ones do not warn, and nobody waits for the thread then.
    assert seen == [1 if sys.version_info >= (3, 12) else 2, 2]


def test_it_goes_on_after_forks_beside_other_threads(start: Start) -> None:
    worker = start()
    wait_for_thread(worker)
    codes = worker.run(
        "import threading, warnings\n"
        # Rightly warned of: the program has threads of its own.
        "warnings.simplefilter('ignore')\n"
        "stop = False\n"
        "def spin():\n"
        "    while not stop:\n"
        "        pass\n"
        "threads = [threading.Thread(target=spin) for _ in range(2)]\n"
        "for thread in threads:\n"
        "    thread.start()\n"
        "codes = []\n"
        "for _ in range(50):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os._exit(0)\n"
        "    codes.append(os.waitpid(child, 0)[1])\n"
        "stop = True\n"
        "for thread in threads:\n"
        "    thread.join()\n"
        "answer = codes"
    )
    assert codes == [0] * 50
    worker.run(STUCK.format("pass"))
    until(lambda: worker.run("answer = Stuck.calls") >= 2, "nothing is published any more")
    wait_for_thread(worker)


def test_a_child_of_a_thread_ends_when_that_returns(start: Start) -> None:
    worker = start()
    wait_for_thread(worker)
    code = worker.run(
        "import threading, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "children = []\n"
        "def fork():\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        children.append(child)\n"
        "thread = threading.Thread(target=fork)\n"
        "thread.start()\n"
        "thread.join()\n"
        "answer = os.waitpid(children[0], 0)[1]"
    )
    assert code == 0


@pytest.mark.parametrize("waiting", ["time.sleep(3600)", "for _ in range(10 ** 6): time.sleep(0.001)"])
def test_a_worker_that_is_stuck_in_a_collector_ends(start: Start, waiting: str) -> None:
    worker = start()
    worker.run(STUCK.format(waiting))
    until(lambda: worker.run("answer = Stuck.calls") > 0, "the collector is never asked")
    assert worker.end() == ""
    assert worker.process.returncode == 0


def test_a_collector_may_fork(start: Start) -> None:
    worker = start()
    worker.run(
        "import warnings\n"
        "warnings.simplefilter('ignore')\n"
        "class Forking:\n"
        "    codes = []\n"
        "    def describe(self):\n"
        "        return []\n"
        "    def collect(self):\n"
        "        child = os.fork()\n"
        "        if not child:\n"
        "            os._exit(0)\n"
        "        self.codes.append(os.waitpid(child, 0)[1])\n"
        "        return []\n"
        "forkmeter.REGISTRY.register(Forking())"
    )
    until(lambda: len(worker.run("answer = Forking.codes")) >= 2, "the collector is not asked again")
    assert set(worker.run("answer = Forking.codes")) == {0}


def test_slow_collectors_are_asked_less_often(start: Start) -> None:
    worker = start()
    worker.run(STUCK.format("time.sleep(0.5)"))
    until(lambda: worker.run("answer = Stuck.calls") > 0, "the collector is never asked")
    # A twentieth of the time: not before 10 s.
    worker.run("time.sleep(4)")
    assert worker.run("answer = Stuck.calls") == 1


def test_a_directory_that_was_busy_is_tried_again_soon(start: Start, tmp_path: Path) -> None:
    """Waiting for it is nothing that collectors took."""
    worker, other = start(), start()
    with locked(tmp_path):
        worker.run("late = forkmeter.Counter('late_total', 'Late.')\nlate.inc()")
        worker.run("time.sleep(3)")
        assert worker.run("answer = forkmeter.status().kept_series") == 1
    freed = time.monotonic()
    until(lambda: ("late_total", ()) in other.scrape(), "what is kept never comes")
    # A twentieth of the time would be 20 s later.
    assert time.monotonic() - freed < 10


def test_signals_are_for_the_program_and_collectors_may_start_programs(start: Start) -> None:
    worker = start()
    worker.run(STUCK.format("import subprocess; Stuck.seen = subprocess.check_output(['cat', '/proc/self/status'])"))
    until(lambda: worker.run("answer = Stuck.calls") > 1, "the collector is never asked")
    assert "SigBlk:\t0000000000000000" in worker.run("answer = Stuck.seen.decode()")

    def are_blocked() -> bool:
        masks = worker.run(
            "answer = [open(f'/proc/self/task/{task}/status').read() for task in os.listdir('/proc/self/task')"
            " if int(task) != os.getpid()]"
        )
        (mask,) = [line.split()[1] for text in masks for line in text.splitlines() if line.startswith("SigBlk")]
        # All but faults, those that cannot be blocked, and those that the C library keeps for itself.
        return int(mask, 16) | 0x1_8004_05C8 == 2**64 - 1

    # While collectors are asked, they are not.
    until(are_blocked, "the thread takes the program's signals")


def test_greenlets_publish_where_threads_are_greenlets(tmp_path: Path) -> None:
    if importlib.util.find_spec("gevent") is None:
        skip("gevent is not installed")
    environment = {name: value for name, value in os.environ.items() if "multiproc" not in name.lower()}
    environment.update(PYTHONPATH=package_folder(), PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS],
        env=environment,
        timeout=2 * PATIENCE_SECONDS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()


def test_a_worker_that_forks_all_the_time_is_shown(start: Start) -> None:
    first, second = start(), start()
    second.run("import threading\nstop = threading.Event()")
    second.run(
        "import warnings\n"
        "warnings.simplefilter('ignore')\n"
        "def fork():\n"
        "    while not stop.is_set():\n"
        "        child = os.fork()\n"
        "        if not child:\n"
        "            os._exit(0)\n"
        "        os.waitpid(child, 0)\n"
        "threading.Thread(target=fork).start()"
    )
    until(lambda: second.pid in by_pid(first.scrape(), START_TIME), "it is never published")
    second.run("stop.set()")
    assert second.end() == ""
