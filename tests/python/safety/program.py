"""What the safety tests run in processes of their own: hostile moments to count in, over and over.

Usage: `program.py SCENARIO REPETITIONS [NAME...]`; the names are those of operations, or a part of them such as
`0/5`, or all where there is none. It ends with 0 where everything went on and every number was right. What hangs is
killed by an alarm, after all threads were shown. A directory in `PROMETHEUS_MULTIPROC_DIR` decides the mode.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import gc
import itertools
import json
import mmap
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import forkmeter
from forkmeter import CollectorRegistry, Counter, Histogram, generate_latest
from forkmeter.multiprocess import MultiProcessCollector

from support.subjects import DIRECTORY, EXEMPT, LABEL_VALUES, Subjects, surface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.subjects import Operation

# Longer than anything takes on a busy machine; shorter than the limit of a program.
ALARM_SECONDS = 60
# So that threads stop in the middle of things.
SWITCH_SECONDS = 1e-4
MAX_HEAD_START_SECONDS = 1e-4
# How many children live at once, and how many forks may be needed to find each thread inside often enough.
CHILDREN = 8
MAX_FORKS_PER_REPETITION = 10
COLLECT_EVERY = 1000
LEAVING_SECONDS = 2.4
# How long it is gone on until the directory is as small as it gets.
MAX_LOOKS = 100
FRESH_BYTES = 800 << 10
# What stays is a handful of series.
MAX_EXPOSED_BYTES = 100_000


class Thread(threading.Thread):
    """Calls an operation until it is told to stop; keeps the error that ended it."""

    # Two, as asking an event takes longer than some operations do.
    are_paused = False
    may_go_on = threading.Event()

    def __init__(self, operation: Operation, rounds: int | None = None) -> None:
        """Starts the thread; it ends after so many rounds."""
        super().__init__(daemon=True)
        self.error: str | None = None
        self.entered = 0
        self.left = 0
        self._operation = operation
        self._rounds = rounds
        self._stopping = False
        self.start()

    def run(self) -> None:
        try:
            while not self._stopping and self.left != self._rounds:
                if Thread.are_paused:
                    Thread.may_go_on.wait()
                self.entered += 1
                self._operation()
                self.left += 1
        except BaseException:  # noqa: BLE001 -- shown by `stop`
            self.error = traceback.format_exc()

    def is_inside(self) -> bool:
        """Tells whether the operation was called and has not returned; in a child, at the moment of the fork."""
        return self.entered != self.left

    @staticmethod
    def pause_all(*, are_paused: bool) -> None:
        """Lets all threads rest once they have left what they are in, or go on."""
        Thread.are_paused = are_paused
        if are_paused:
            Thread.may_go_on.clear()
        else:
            Thread.may_go_on.set()

    def stop(self) -> None:
        """Ends the thread; fails where it hangs or failed."""
        self._stopping = True
        self.join(ALARM_SECONDS)
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
        signal.alarm(ALARM_SECONDS)
        work()
        status = 0
    except BaseException:  # noqa: BLE001 -- the child ends here
        traceback.print_exc()
    finally:
        os._exit(status)


def wait_for(pid: int, what: Callable[[], str]) -> None:
    """Waits for a child; fails where it failed or was killed by its alarm."""
    _, status = os.waitpid(pid, 0)
    if status:
        check(False, f"{what()}: wait status {status}" + (" (hung)" if os.WIFSIGNALED(status) else ""))  # noqa: FBT003


class Board:
    """What children say of themselves: the operation they are at, and which ones they called.

    Args:
        names: The operations.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self._width = len(names) + 1
        self._bytes = mmap.mmap(-1, CHILDREN * self._width)

    def is_at(self, row: int, index: int | None) -> None:
        """Notes in a child which operation is called next, if any."""
        self._bytes[row * self._width] = len(self._names) if index is None else index

    def was_inside(self, row: int, index: int) -> None:
        """Notes in a child that a thread was inside an operation, and that the child could call it."""
        self._bytes[row * self._width + 1 + index] = 1

    def place(self, row: int) -> str:
        """Says where a child is."""
        return [*self._names, "counting and collecting"][self._bytes[row * self._width]]

    def take(self) -> list[int]:
        """Returns for each operation how many children noted it, and forgets them."""
        rows = [self._bytes[row * self._width + 1 : (row + 1) * self._width] for row in range(CHILDREN)]
        self._bytes[:] = bytes(len(self._bytes))
        return [sum(noted) for noted in zip(*rows)]


def chosen(operations: dict[str, Operation], names: list[str]) -> list[str]:
    """Returns the operations that arguments name."""
    if len(names) == 1 and "/" in names[0]:
        part, parts = names[0].split("/")
        size = -(-len(operations) // int(parts))
        return list(operations)[int(part) * size : (int(part) + 1) * size]
    return names or list(operations)


def fork_children(work: Callable[[int], None], board: Board) -> None:
    """Forks some children while the threads run, and waits for them."""
    Thread.pause_all(are_paused=False)
    children = []
    for row in range(CHILDREN):
        time.sleep(random.uniform(0, MAX_HEAD_START_SECONDS))
        children.append(in_child(partial(work, row)))
    # What is tested is the copy; beside threads that never rest, children only wait.
    Thread.pause_all(are_paused=True)
    for row, pid in enumerate(children):
        wait_for(pid, lambda row=row: f"a child forked while others were inside fails at {board.place(row)}")  # type: ignore[misc]


def bring_kept_series() -> None:
    """Waits for the directory where it was busy for so long that this process keeps its counts in memory."""
    while DIRECTORY and forkmeter.status().kept_series:
        time.sleep(SWITCH_SECONDS)
        forkmeter.REGISTRY.collect()


def fork(repetitions: int, names: list[str]) -> None:
    """Forks while other threads are inside methods, until each of them was that often.

    A child looks which operations its parent's threads were inside, calls those, counts, and collects.
    """
    subjects = Subjects()
    operations = subjects.operations()
    names = chosen(operations, names)
    for name in names:
        operations[name]()
    is_exact = "configure" not in names
    proven = dict.fromkeys(names, 0)
    board = Board(names)
    crew = [Thread(operations[name]) for name in names]
    before = subjects.forks._value.get()

    def work(row: int) -> None:
        inside = [thread.is_inside() for thread in crew]
        for index, name in enumerate(names):
            if inside[index] and proven[name] < repetitions:
                board.is_at(row, index)
                operations[name]()
                board.was_inside(row, index)
        board.is_at(row, None)
        subjects.forks.inc()
        subjects.counters.labels("child").inc()
        with forkmeter.REGISTRY._lock, subjects.registry._lock:
            collected = {family.name for family in forkmeter.REGISTRY.collect()}
        check({"forks", "labelled"} <= collected, f"collected only {collected}")
        bring_kept_series()

    forks = 0
    while min(proven.values()) < repetitions:
        check(forks < repetitions * MAX_FORKS_PER_REPETITION, f"after {forks} forks: {proven}")
        fork_children(work, board)
        for name, noted in zip(names, board.take()):
            proven[name] += noted
        forks += CHILDREN
    Thread.pause_all(are_paused=False)
    for thread in crew:
        thread.stop()
    if is_exact:
        counted = subjects.forks._value.get() - before
        check(counted == (forks if DIRECTORY else 0), f"{forks} children counted {counted}")
    print(f"{forks} forks; inside and called by the child:")
    for name in names:
        print(f"{name}: {proven[name]}")


def signals(repetitions: int, names: list[str]) -> None:
    """Lets a signal handler count while the main thread is inside a method."""
    subjects = Subjects()
    operations = subjects.operations()
    handled = handled_inside = 0
    inside = goes_on = False

    def handler(*_: object) -> None:
        nonlocal handled, handled_inside
        handled += 1
        handled_inside += inside
        subjects.forks.inc()
        subjects.counters.labels(str(handled % LABEL_VALUES)).inc()
        subjects.gauges.labels("x").set(1)
        subjects.histogram.labels("x").observe(1)
        if handled % 64 == 0:
            generate_latest(forkmeter.REGISTRY)
            subjects.register()
        if goes_on:
            signal.setitimer(signal.ITIMER_REAL, 5e-5 + handled % 7 * 1e-5)

    signal.signal(signal.SIGALRM, handler)
    for name in chosen(operations, names):
        operation = operations[name]
        operation()
        handled_inside = 0
        before, handled_before = subjects.forks._value.get(), handled
        limit = time.monotonic() + ALARM_SECONDS
        goes_on = True
        signal.setitimer(signal.ITIMER_REAL, 5e-5)
        while handled_inside < repetitions:
            inside = True
            operation()
            inside = False
            check(time.monotonic() < limit, f"{name}: too few signals: {handled_inside}")
        goes_on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        # One that came before the end is handled now, and sets no other.
        time.sleep(0)
        counted = subjects.forks._value.get() - before
        check(counted == handled - handled_before, f"{name}: {counted} counted, {handled - handled_before} handled")
        print(f"{name}: {handled_inside}")


class Dying:
    """Is in a cycle, and counts when the collector finds it."""

    # Those that have not counted yet.
    alive: ClassVar[set[int]] = set()

    def __init__(self, act: Operation) -> None:
        """Makes the cycle."""
        self._act = act
        self._self = self
        self.alive.add(id(self))

    def __del__(self) -> None:
        """Counts."""
        self._act()
        self.alive.discard(id(self))


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
        subjects.forks.inc()
        subjects.counters.labels(f"died {died % LABEL_VALUES}").inc()
        subjects.histogram.labels("died").observe(1)
        subjects.register()
        if died % 64 == 0:
            generate_latest(forkmeter.REGISTRY)

    operations["MetricWrapperBase.labels of new series"] = lambda: subjects.counters.labels(f"new {made % 64}")
    for name in chosen(operations, names):
        operation = operations[name]
        operation()
        before, died_before, died_inside, calls = subjects.forks._value.get(), died, 0, 0
        limit = time.monotonic() + ALARM_SECONDS
        # A call that allocates nothing that the collector counts has no finalizers inside.
        while died_inside < repetitions and calls < repetitions:
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
            calls += 1
            check(time.monotonic() < limit, f"{name}: too few finalizers inside: {died_inside}")
        gc.disable()
        # Another thread, such as the one that publishes, may be in a collection: then this one's do nothing.
        while Dying.alive:
            gc.collect()
            time.sleep(SWITCH_SECONDS)
            check(time.monotonic() < limit, f"{name}: {len(Dying.alive)} objects do not die")
        counted = subjects.forks._value.get() - before
        check(counted == died - died_before, f"{name}: {counted} counted, not {died - died_before}")
        print(f"{name}: {max(died_inside, calls)}")
        print(f"{name}, finalizers: {died_inside}")


def leave(repetitions: int, _: list[str]) -> None:
    """Ends interpreters that threads and exit handlers still use; the children do what a whole process does."""
    subjects = Subjects()
    operations = subjects.operations()
    # Threads that start threads cannot go on once the interpreter ends.
    calls = [operation for name, operation in operations.items() if name != "make_asgi_app"]
    for operation in calls:
        operation()
    running: list[int] = []
    for turn in range(repetitions):
        if len(running) == CHILDREN:
            wait_for(running.pop(0), lambda: f"one of the {CHILDREN} children before {turn}")  # noqa: B023 -- called now
        pid = os.fork()
        if pid:
            running.append(pid)
            continue
        signal.alarm(ALARM_SECONDS)
        for index in range(3):
            Thread(calls[(turn * 3 + index) % len(calls)])
        atexit.register(subjects.forks.inc)
        atexit.register(calls[turn % len(calls)])
        # Dies with the module, when most of the interpreter is gone.
        globals()["last"] = Dying(subjects.forks.inc)
        return
    for pid in running:
        wait_for(pid, lambda: "one of the last children")
    if DIRECTORY:
        counted = subjects.forks._value.get()
        check(counted >= repetitions, f"{repetitions} children counted {counted} at their ends")


def threads(repetitions: int, _: list[str]) -> None:
    """Calls everything from many threads at once."""
    subjects = Subjects()
    running = [Thread(operation, repetitions) for operation in subjects.operations().values()]
    for thread in running:
        thread.join(4 * ALARM_SECONDS)
        thread.stop()
    check(all(thread.left == repetitions for thread in running), "a thread ended early")


def greenlets(repetitions: int, _: list[str]) -> None:
    """Calls everything from greenlets and real threads."""
    import gevent  # type: ignore[import-untyped,unused-ignore]

    subjects = Subjects()
    counted = 0

    def run(operation: Operation, is_greenlet: bool) -> None:
        nonlocal counted
        for _ in range(repetitions):
            operation()
            subjects.forks.inc()
            counted += 1
            if is_greenlet:
                gevent.sleep(0)

    jobs = [gevent.spawn(run, operation, True) for operation in subjects.operations().values()]  # noqa: FBT003
    labels = subjects.operations()["MetricWrapperBase.labels"]
    jobs += [gevent.get_hub().threadpool.spawn(run, labels, False)]  # noqa: FBT003
    gevent.joinall(jobs, timeout=ALARM_SECONDS, raise_error=True)
    check(all(job.ready() for job in jobs), "a greenlet hangs")
    own = subjects.forks._value.get()
    check(own == len(jobs) * repetitions, f"{own} counted")
    print(f"{len(jobs)} greenlets and threads")


def resident_bytes() -> int:
    """Returns the memory of this process that is not a file's."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 -- no more imports than needed
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise SystemExit("no RssAnon")


def uses(subjects: Subjects) -> dict[str, Callable[[int], None]]:
    """Returns what `leak` does in each round, by name."""

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

    return {"series": use_series, "metrics": use_metric}


def come_to_the_same(use: Callable[[int], None], turns: Iterator[int]) -> None:
    """Goes on until a segment was left lately: what removed series leave behind comes and goes with it."""
    for _ in range(MAX_LOOKS):
        if directory_bytes() < FRESH_BYTES:
            return
        for turn in itertools.islice(turns, 300):
            use(turn)
        time.sleep(0.1)
        forkmeter.generate_latest()


def leak(repetitions: int, names: list[str]) -> None:
    """Makes, uses and removes series; says how much memory the second half of the rounds took, and the disk."""
    (what,) = names
    subjects = Subjects()
    use = uses(subjects)[what]
    # As an exporter would, it reads the directory again and again.
    reader = MultiProcessCollector(CollectorRegistry()) if DIRECTORY else None
    subjects.counters.labels("kept").inc()
    sizes: list[int] = []
    on_disk: list[int] = []
    more = itertools.count(repetitions)

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
            if DIRECTORY:
                # A segment that is being left takes memory until nobody can count in it any more.
                time.sleep(LEAVING_SECONDS)
                forkmeter.generate_latest()
                on_disk.append(directory_bytes())
                come_to_the_same(use, more)
            gc.collect()
            # What is free goes back to the system, where it was not kept from it by its neighbours.
            ctypes.CDLL(None).malloc_trim(0)
            sizes.append(resident_bytes())
            on_disk.append(directory_bytes())
    print(f"{what}: resident {[size // 1024 for size in sizes]} KiB, on disk {[size // 1024 for size in on_disk]} KiB")
    # What is left at the lowest stays for ever.
    print(min(sizes[5:]) - min(sizes[1:5]), max(on_disk))


def directory_bytes() -> int:
    """Returns what the files of the directory take, a segment that is in use included."""
    if not DIRECTORY:
        return 0
    return sum(entry.stat().st_blocks * 512 for entry in os.scandir(DIRECTORY))


def show_names(_: int, __: list[str]) -> None:
    """Prints which operations there are, and which there ought to be."""
    print(json.dumps({"operations": list(Subjects().operations()), "surface": sorted(surface()), "exempt": EXEMPT}))


@contextlib.contextmanager
def another_directory() -> Iterator[None]:
    """Gives `configure` a second directory to move to."""
    with tempfile.TemporaryDirectory() as path:
        Subjects.other_directory = path
        yield


def main() -> None:
    """Runs the scenario that the arguments name."""
    scenario, repetitions, *names = sys.argv[1:]
    sys.setswitchinterval(SWITCH_SECONDS)
    faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
    known: dict[str, Callable[[int, list[str]], Any]] = {
        "fork": fork,
        "signals": signals,
        "finalizers": finalizers,
        "leave": leave,
        "threads": threads,
        "greenlets": greenlets,
        "leak": leak,
        "names": show_names,
    }
    with another_directory() if "configure" in names else contextlib.nullcontext():
        known[scenario](int(repetitions), names)


if __name__ == "__main__":
    main()
