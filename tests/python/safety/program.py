"""What the safety tests run in processes of their own: hostile moments to count in, over and over.

Usage: `program.py SCENARIO REPETITIONS [NAME...]`. It ends with 0 where everything went on and every number was right;
a process that hangs is killed by its own alarm. A directory in `PROMETHEUS_MULTIPROC_DIR` decides the mode.
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import forkmeter
from forkmeter import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary, generate_latest
from forkmeter.multiprocess import MultiProcessCollector
from forkmeter.openmetrics.exposition import generate_latest as generate_openmetrics
from forkmeter.registry import DuplicateTimeseries

if TYPE_CHECKING:
    from collections.abc import Callable

    Operation = Callable[[], object]

DIRECTORY = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
# Longer than anything takes on a busy machine; shorter than the limit of a test.
CHILD_ALARM_SECONDS = 30
# So that threads stop in the middle of things.
SWITCH_SECONDS = 1e-5
MAX_HEAD_START_SECONDS = 2e-4
LABEL_VALUES = 20
COLLECT_EVERY = 1000
# What stays is a handful of series.
MAX_EXPOSED_BYTES = 100_000


def in_turn(*operations: Operation) -> Operation:
    """Returns one call that makes the given ones, one after the other."""

    def run() -> None:
        for operation in operations:
            operation()

    return run


class Subjects:
    """One metric of each type, and each public method as a call without arguments."""

    def __init__(self) -> None:
        """Makes the metrics in the default registry."""
        self.counter = Counter("plain", "A counter.")
        self.counters = Counter("labelled", "Counters.", ["name"])
        self.gauge = Gauge("level", "A gauge.", multiprocess_mode="livesum")
        self.gauges = Gauge("levels", "Gauges.", ["name"], multiprocess_mode="max")
        self.recent = Gauge("recent", "A gauge.", multiprocess_mode="mostrecent")
        self.summary = Summary("sizes", "A summary.", ["name"])
        self.histogram = Histogram("waits", "A histogram.", ["name"], buckets=(0.1, 1, 10))
        self.info = Info("about", "An info.")
        self.state = Enum("light", "A state.", states=["red", "green"])
        self.registry = CollectorRegistry()
        self.forks = Counter("forks", "Counted by children only.")
        self._turn = 0

    def _name(self) -> str:
        self._turn += 1
        return str(self._turn % LABEL_VALUES)

    def _fail(self) -> None:
        try:
            with self.counter.count_exceptions():
                raise LookupError  # noqa: TRY301 -- it is counted
        except LookupError:
            pass

    def _time(self) -> None:
        with self.histogram.labels(self._name()).time():
            pass

    def _track(self) -> None:
        with self.gauge.track_inprogress():
            pass

    def _register(self) -> None:
        try:
            metric = Gauge("passing", "Comes and goes.", registry=self.registry)
        except DuplicateTimeseries:
            # Somebody else is in the middle of this.
            return
        metric.set(1)
        self.registry.unregister(metric)

    def _collect_workers(self) -> None:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        generate_latest(registry)

    def operations(self) -> dict[str, Operation]:
        """Returns the calls by name."""
        found: dict[str, Operation] = {
            "inc": self.counter.inc,
            "inc_with_exemplar": lambda: self.counter.inc(1, {"trace": "1"}),
            "dec": self.gauge.dec,
            "set": lambda: self.gauges.labels(self._name()).set(3),
            "set_most_recent": lambda: self.recent.set(3),
            "observe_summary": lambda: self.summary.labels(self._name()).observe(1),
            "observe_histogram": lambda: self.histogram.labels(self._name()).observe(1),
            "labels": lambda: self.counters.labels(name=self._name()).inc(),
            "remove": in_turn(lambda: self.counters.labels("x").inc(), lambda: self.counters.remove("x")),
            "remove_by_labels": in_turn(
                lambda: self.gauges.labels("x").inc(), lambda: self.gauges.remove_by_labels({"name": "x"})
            ),
            "clear": in_turn(lambda: self.gauges.labels(self._name()).inc(), self.gauges.clear),
            "info": lambda: self.info.info({"version": self._name()}),
            "state": lambda: self.state.state("green"),
            "time": self._time,
            "track_inprogress": self._track,
            "count_exceptions": self._fail,
            "collect": lambda: list(forkmeter.REGISTRY.collect()),
            "generate_latest": lambda: generate_latest(forkmeter.REGISTRY),
            "generate_openmetrics": lambda: generate_openmetrics(forkmeter.REGISTRY),
            "restricted_registry": lambda: list(forkmeter.REGISTRY.restricted_registry(["plain_total"]).collect()),
            "register": self._register,
            "set_target_info": lambda: self.registry.set_target_info({"name": self._name()}),
            "get_sample_value": lambda: forkmeter.REGISTRY.get_sample_value("plain_total"),
            "status": forkmeter.status,
        }
        if DIRECTORY:
            found["multiprocess_collector"] = self._collect_workers
        return found


class Thread(threading.Thread):
    """Calls an operation until it is told to stop; keeps the error that ended it."""

    def __init__(self, operation: Operation) -> None:
        """Starts the thread."""
        super().__init__(daemon=True)
        self.error: str | None = None
        self.rounds = 0
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._operation = operation
        self._stopping = False
        self.start()

    def run(self) -> None:
        try:
            while not self._stopping:
                self.may_go_on.wait()
                self._operation()
                self.rounds += 1
        except BaseException:  # noqa: BLE001 -- shown by `stop`
            self.error = traceback.format_exc()

    def stop(self) -> None:
        """Ends the thread; fails where it hangs or failed."""
        self._stopping = True
        self.may_go_on.set()
        self.join(CHILD_ALARM_SECONDS)
        check(not self.is_alive(), "a thread hangs")
        check(self.error is None, str(self.error))


def check(holds: bool, what: str) -> None:
    """Ends the program where something does not hold."""
    if not holds:
        raise SystemExit(f"FAILED: {what}")


def in_child(work: Callable[[], object]) -> int:
    """Forks; the child works under an alarm and leaves without any cleaning up. Returns its process identifier."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(CHILD_ALARM_SECONDS)
        work()
        status = 0
    except BaseException:  # noqa: BLE001 -- the child ends here
        traceback.print_exc()
    finally:
        os._exit(status)


def wait_for(pid: int, what: str) -> None:
    """Waits for a child; fails where it failed or was killed by its alarm."""
    _, status = os.waitpid(pid, 0)
    check(status == 0, f"{what}: wait status {status}" + (" (hung)" if os.WIFSIGNALED(status) else ""))


def fork(repetitions: int, names: list[str]) -> None:
    """Forks while another thread is inside a method; the child calls it as well, counts, and collects."""
    subjects = Subjects()
    operations = subjects.operations()
    for name in names or list(operations):
        operation = operations[name]

        def work(operation: Operation = operation) -> None:
            operation()
            subjects.forks.inc()
            subjects.counters.labels("child").inc()
            with forkmeter.REGISTRY._lock, subjects.registry._lock:
                pass

        before = subjects.forks._value.get()
        thread = Thread(operation)
        began = time.monotonic()
        for _ in range(repetitions):
            thread.may_go_on.set()
            time.sleep(random.uniform(0, MAX_HEAD_START_SECONDS))
            pid = in_child(work)
            # What is tested is the copy; beside a thread that never rests, children only wait for files.
            thread.may_go_on.clear()
            wait_for(pid, name)
        wait_for(in_child(lambda: generate_latest(forkmeter.REGISTRY)), name)
        thread.stop()
        check(thread.rounds > 0, f"{name}: the thread did nothing")
        counted = subjects.forks._value.get() - before
        check(counted == (repetitions if DIRECTORY else 0), f"{name}: {repetitions} children counted {counted}")
        print(f"{name}: {time.monotonic() - began:.1f} s, {thread.rounds} rounds beside it")


def signals(repetitions: int, names: list[str]) -> None:
    """Lets a signal handler count on the metrics that the main thread is using."""
    subjects = Subjects()
    operations = subjects.operations()
    handled = 0

    def handler(*_: object) -> None:
        nonlocal handled
        handled += 1
        subjects.counter.inc()
        subjects.counters.labels(str(handled % LABEL_VALUES)).inc()
        subjects.gauges.labels("x").set(1)
        subjects.histogram.labels("x").observe(1)
        if handled % 16 == 0:
            generate_latest(forkmeter.REGISTRY)
            subjects._register()
        signal.setitimer(signal.ITIMER_REAL, 5e-5 + handled % 7 * 1e-5)

    signal.signal(signal.SIGALRM, handler)
    # Counts nothing of its own on the counter that is checked.
    for name in names or list(operations):
        operation = operations[name]
        if name in {"inc_with_exemplar", "count_exceptions"}:
            continue
        before, handled_before, own = subjects.counter._value.get(), handled, 0
        limit = time.monotonic() + CHILD_ALARM_SECONDS
        signal.setitimer(signal.ITIMER_REAL, 5e-5)
        while handled - handled_before < repetitions:
            operation()
            own += name == "inc"
            check(time.monotonic() < limit, f"{name}: too few signals: {handled - handled_before}")
        signal.setitimer(signal.ITIMER_REAL, 0)
        counted = subjects.counter._value.get() - before
        check(
            counted == own + handled - handled_before, f"{name}: {counted} counted, {own} + {handled - handled_before}"
        )


class Dying:
    """Is in a cycle, and counts when the collector finds it."""

    def __init__(self, act: Operation) -> None:
        """Makes the cycle."""
        self._act = act
        self._self = self

    def __del__(self) -> None:
        """Counts."""
        self._act()


def finalizers(repetitions: int, names: list[str]) -> None:
    """Lets the garbage collector run counting finalizers inside the methods."""
    subjects = Subjects()
    operations = subjects.operations()
    inside, died_inside, died, made = False, 0, 0, 0

    def act() -> None:
        nonlocal died_inside, died
        died += 1
        died_inside += inside
        if inside and died % 64:
            # The next one dies a little later, until one has died at each allocation.
            Dying(act)
        subjects.counter.inc()
        subjects.counters.labels(f"died {died % LABEL_VALUES}").inc()
        subjects.histogram.labels("died").observe(1)
        subjects._register()
        if died % 32 == 0:
            generate_latest(forkmeter.REGISTRY)

    operations["labels_of_new_series"] = lambda: subjects.counters.labels(f"new {made % 64}")
    for name in names or list(operations):
        operation = operations[name]
        if name in {"inc_with_exemplar", "count_exceptions"}:
            continue
        before, died_before, died_inside, own = subjects.counter._value.get(), died, 0, 0
        needed = repetitions if name not in {"inc", "dec", "set_most_recent", "state"} else 1
        limit = time.monotonic() + CHILD_ALARM_SECONDS
        while own < 50 or (died_inside < needed and (needed > 1 or own < repetitions)):
            made += 1
            gc.disable()
            Dying(act)
            if made % 64 == 0:
                subjects.counters.clear()
            gc.set_threshold(1, 1, 1)
            gc.enable()
            inside = True
            operation()
            inside = False
            own += 1
            check(time.monotonic() < limit, f"{name}: too few finalizers inside: {died_inside}")
        gc.disable()
        gc.collect()
        counted = subjects.counter._value.get() - before
        expected = died - died_before + (own if name == "inc" else 0)
        check(counted == expected, f"{name}: {counted} counted, not {expected}")
        print(f"{name}: {own} calls, {died_inside} finalizers inside")


def leave(repetitions: int, _: list[str]) -> None:
    """Ends interpreters that threads and exit handlers still use; the children do what a whole process does."""
    import atexit

    subjects = Subjects()
    operations = list(subjects.operations().values())
    for turn in range(repetitions):
        pid = os.fork()
        if pid:
            wait_for(pid, f"child {turn}")
            continue
        signal.alarm(CHILD_ALARM_SECONDS)
        for index in range(3):
            Thread(operations[(turn * 3 + index) % len(operations)])
        atexit.register(subjects.forks.inc)
        atexit.register(operations[turn % len(operations)])
        # Dies with the module, when most of the interpreter is gone.
        globals()["last"] = Dying(subjects.forks.inc)
        return
    if DIRECTORY:
        counted = subjects.forks._value.get()
        check(counted >= repetitions, f"{repetitions} children counted {counted} at their ends")


def threads(repetitions: int, _: list[str]) -> None:
    """Calls everything from many threads at once."""
    subjects = Subjects()
    running = [Thread(operation) for operation in subjects.operations().values()]
    limit = time.monotonic() + CHILD_ALARM_SECONDS
    while time.monotonic() < limit and any(thread.rounds < repetitions and not thread.error for thread in running):
        time.sleep(0.01)
    for thread in running:
        thread.stop()
    check(all(thread.rounds > 0 for thread in running), "a thread did nothing")


def greenlets(repetitions: int, _: list[str]) -> None:
    """Calls everything from greenlets and real threads, with everything patched."""
    import gevent  # type: ignore[import-untyped,unused-ignore]

    subjects = Subjects()
    counted = 0

    def run(operation: Operation, is_checked: bool) -> None:
        nonlocal counted
        for _ in range(repetitions):
            operation()
            subjects.forks.inc()
            counted += 1
            if is_checked:
                gevent.sleep(0)

    jobs = [gevent.spawn(run, operation, True) for operation in subjects.operations().values()]  # noqa: FBT003
    jobs += [gevent.get_hub().threadpool.spawn(run, subjects.operations()["labels"], False)]  # noqa: FBT003
    gevent.joinall(jobs, timeout=CHILD_ALARM_SECONDS, raise_error=True)
    check(all(job.ready() for job in jobs), "a greenlet hangs")
    own = subjects.forks._value.get()
    check(own == len(jobs) * repetitions, f"{own} counted")


def resident_bytes() -> int:
    """Returns the memory of this process that is not a file's."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 -- no more imports than needed
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise SystemExit("no RssAnon")


def leak(repetitions: int, names: list[str]) -> None:
    """Makes, uses and removes series; says how much memory the second half of the rounds took, and the disk."""
    (what,) = names
    subjects = Subjects()

    def use_series(turn: int) -> None:
        # Never the same name twice.
        name = f"series {turn}"
        if turn % 3 == 0:
            subjects.counters.labels(name).inc()
            subjects.counters.remove(name)
        elif turn % 3 == 1:
            subjects.gauges.labels(name).set(turn)
            subjects.gauges.remove(name)
        else:
            subjects.histogram.labels(name).observe(turn)
            subjects.histogram.remove(name)

    def use_metric(turn: int) -> None:
        metric = Counter("passing", "Comes and goes.", ["name"], registry=subjects.registry)
        metric.labels(str(turn % LABEL_VALUES)).inc()
        plain = Histogram("passing_seconds", "Comes and goes.", registry=subjects.registry)
        plain.observe(1)
        subjects.registry.unregister(metric)
        subjects.registry.unregister(plain)

    use: Callable[[int], None] = {"series": use_series, "metrics": use_metric}[what]
    # As an exporter would, it reads the directory again and again.
    reader = MultiProcessCollector(CollectorRegistry()) if DIRECTORY else None
    subjects.counters.labels("kept").inc()
    sizes: list[int] = []
    on_disk: list[int] = []
    for turn in range(repetitions):
        use(turn)
        if turn % COLLECT_EVERY == COLLECT_EVERY - 1:
            text = generate_latest(forkmeter.REGISTRY)
            check(b'labelled_total{name="kept"} 1.0' in text, "a kept series lost its value")
            check(len(text) < MAX_EXPOSED_BYTES, f"{len(text)} bytes are exposed")
            generate_latest(subjects.registry)
            if reader:
                list(reader.collect())
        if turn % (repetitions // 10) == repetitions // 10 - 1:
            gc.collect()
            sizes.append(resident_bytes())
            on_disk.append(directory_bytes())
    print(f"{what}: resident {[size // 1024 for size in sizes]} KiB, on disk {[size // 1024 for size in on_disk]} KiB")
    # A segment that is being left, or folded, takes memory for a moment; what is left at the lowest stays for ever.
    print(min(sizes[5:]) - min(sizes[1:5]), max(on_disk))


def directory_bytes() -> int:
    """Returns what the files of the directory take, a segment that is in use included."""
    if not DIRECTORY:
        return 0
    return sum(entry.stat().st_blocks * 512 for entry in os.scandir(DIRECTORY))


def main() -> None:
    """Runs the scenario that the arguments name."""
    scenario, repetitions, *names = sys.argv[1:]
    sys.setswitchinterval(SWITCH_SECONDS)
    known: dict[str, Callable[[int, list[str]], Any]] = {
        "fork": fork,
        "signals": signals,
        "finalizers": finalizers,
        "leave": leave,
        "threads": threads,
        "greenlets": greenlets,
        "leak": leak,
    }
    known[scenario](int(repetitions), names)


if __name__ == "__main__":
    main()
