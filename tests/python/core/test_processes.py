"""Forks, signals and finalizers: nothing is lost, doubled or stuck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# A program that hangs is a deadlock: `run_python` ends it.
FORK_DURING = """
    import os, threading
    import forkmeter
    from forkmeter import _forkmeter
    from forkmeter.exposition import generate_latest

    counter = forkmeter.Counter("c_total", "help", ["x"])
    gauge = forkmeter.Gauge("g", "help", ["x"], multiprocess_mode="sum")
    histogram = forkmeter.Histogram("h", "help", ["x"])
    state = forkmeter.Enum("e", "help", states=["a", "b"])
    info = forkmeter.Info("i", "help")
    stop = threading.Event()

    def use(number):
        rounds = 0
        while not stop.is_set():
            rounds += 1
            label = str(rounds % 50)
            counter.labels(label).inc()
            gauge.labels(label).set(rounds)
            histogram.labels(label).observe(0.2)
            state.state("b")
            info.info({"round": label})
            if rounds % 20 == 0:
                counter.remove(label)
            if rounds % 40 == 0:
                generate_latest(forkmeter.REGISTRY)
            forkmeter.Counter("t%d_total" % number, "help", registry=forkmeter.CollectorRegistry()).inc()

    threads = [threading.Thread(target=use, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(ROUNDS):
        child = os.fork()
        if not child:
            counter.labels("child").inc()
            gauge.labels("child").set(1)
            histogram.labels("child").observe(1)
            state.state("a")
            info.info({"round": "child"})
            forkmeter.Counter("child_total", "help", registry=forkmeter.CollectorRegistry()).inc()
            # A machine so busy that the directory's lock is not free for long keeps values in memory.
            while forkmeter.status().kept_series:
                _forkmeter.refresh()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
    print(forkmeter.REGISTRY.get_sample_value("c_total", {"x": "child"}))
"""
ROUNDS = 100


@pytest.mark.timeout(240)
def test_a_fork_while_other_threads_use_every_method(run_python: Callable[..., str], tmp_path: Path) -> None:
    program = FORK_DURING.replace("ROUNDS", str(ROUNDS))
    assert run_python(program, PROMETHEUS_MULTIPROC_DIR=str(tmp_path)).split() == [str(float(ROUNDS))]
    # In a lone process, what a child counts is the child's own.
    assert run_python(program).split() == ["None"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_start_method_shares_the_directory(run_python: Callable[..., str], tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import multiprocessing, sys
import forkmeter

counter = forkmeter.Counter("started_total", "help")

def work(amount):
    counter.inc(amount)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    counter.inc()
    workers = [context.Process(target=work, args=(amount,)) for amount in (10, 100)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    print(forkmeter.REGISTRY.get_sample_value("started_total"))
""",
        "utf-8",
    )
    printed = run_python(
        f"import runpy, sys; sys.argv = ['x', {method!r}]; runpy.run_path({str(program)!r}, run_name='__main__')"
        if method == "fork"
        else f"import subprocess, sys; subprocess.run([sys.executable, {str(program)!r}, {method!r}], check=True)",
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
    )
    assert printed.split() == ["111.0"]


def test_a_worker_that_is_killed_loses_nothing(run_python: Callable[..., str], tmp_path: Path) -> None:
    printed = run_python(
        """
        import os, signal
        import forkmeter

        counter = forkmeter.Counter("killed_total", "help")
        for _ in range(50):
            child = os.fork()
            if not child:
                counter.inc()
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)
        print(forkmeter.REGISTRY.get_sample_value("killed_total"))
        print(len([name for name in os.listdir(os.environ["PROMETHEUS_MULTIPROC_DIR"]) if "counter" in name]))
        """,
        PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
    )
    assert printed.split() == ["50.0", "1"]


@pytest.mark.parametrize("mode", ["single", "multiprocess"])
def test_a_signal_handler_counts_at_any_moment(run_python: Callable[..., str], tmp_path: Path, mode: str) -> None:
    variables = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if mode == "multiprocess" else {}
    printed = run_python(
        """
        import signal
        import time
        import forkmeter
        from forkmeter.exposition import generate_latest

        counter = forkmeter.Counter("signals_total", "help", ["x"])
        handled = depth = 0
        goes_on = True

        def handle(number, frame):
            global depth, handled
            handled += 1
            depth += 1
            # One handler may interrupt another, but no more of them than come to an end, however slow the machine is.
            if goes_on:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 * 2**depth)
            counter.labels(str(handled % 7)).inc()
            forkmeter.CollectorRegistry().register(forkmeter.Gauge("g%d" % handled, "help", registry=None))
            depth -= 1

        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.0005)
        rounds = 0
        while handled < 1000:
            rounds += 1
            counter.labels("r%d" % (rounds % 100)).inc()
            if rounds % 500 == 0:
                generate_latest(forkmeter.REGISTRY)
        goes_on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(0)
        family = next(family for family in forkmeter.REGISTRY.collect() if family.name == "signals")
        total = sum(sample.value for sample in family.samples if sample.name == "signals_total")
        assert total == handled + rounds, (total, handled, rounds)
        print("done")
        """,
        **variables,
    )
    assert printed.split() == ["done"]


@pytest.mark.parametrize("mode", ["single", "multiprocess"])
def test_finalizers_that_count_while_labels_allocates(
    run_python: Callable[..., str], tmp_path: Path, mode: str
) -> None:
    variables = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if mode == "multiprocess" else {}
    printed = run_python(
        """
        import gc
        import forkmeter

        counter = forkmeter.Counter("finalized_total", "help", ["x"])
        finalized = 0

        class Cycle:
            def __init__(self):
                self.me = self

            def __del__(self):
                global finalized
                finalized += 1
                counter.labels("final%d" % (finalized % 10)).inc()
                forkmeter.Counter("f%d_total" % finalized, "help", registry=registry).inc()

        registry = forkmeter.CollectorRegistry()
        gc.set_threshold(20, 5, 5)
        made = 0
        while finalized < 1500:
            Cycle()
            made += 1
            counter.labels("x%d" % made).inc()
            if made % 100 == 0:
                counter.clear()
        gc.disable()
        print("done")
        """,
        **variables,
    )
    assert printed.split() == ["done"]


def test_making_using_removing_and_collecting_leaks_nothing(run_python: Callable[..., str]) -> None:
    printed = run_python(
        """
        import gc
        import forkmeter

        def resident():
            gc.collect()
            return int(open("/proc/self/statm").read().split()[1]) * 4096

        def rounds(count):
            for number in range(count):
                registry = forkmeter.CollectorRegistry()
                counter = forkmeter.Counter("leak_total", "help", ["x"], registry=registry)
                counter.labels(str(number)).inc(exemplar={"trace": "1"})
                histogram = forkmeter.Histogram("leak", "help", registry=None)
                histogram.observe(1)
                list(registry.collect())
                counter.remove(str(number))
                registry.unregister(counter)

        rounds(4_000)
        before = resident()
        rounds(20_000)
        grown = resident() - before
        assert grown < 2_000_000, grown
        print("flat")
        """
    )
    assert printed.split() == ["flat"]
