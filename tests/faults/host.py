"""A program that counts with the package while things break around it, as the lines on its standard input say.

`support.worker` speaks the protocol: a JSON object a line, answered by one. Started with the library of
`support.faulty`, its system calls fail as told.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import logging
import mmap
import os
import resource
import select
import signal
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import forkmeter
from forkmeter.exposition import generate_latest
from forkmeter.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from collections.abc import Iterator

# The order is that of the library's enumeration.
CALLS = ["open", "fallocate", "mmap", "pread", "pwrite", "lock", "rename", "unlink", "stat", "mkdir", "readdir"]
FOR_EVER = 1 << 40
# A store leaves a directory alone for a second after it failed.
LATER_SECONDS = 2
# Their names are long: a file is sealed where 256 KiB and more than half of it are removed series.
CROWD = 400
# A look at the files holds for half of it.
LOOK_SECONDS = 0.0001
SAMPLES = ("requests_total", "latency_seconds_count", "level")


class Faults:
    """Arms the library, which is in this process."""

    def __init__(self) -> None:
        """Finds its functions."""
        self.library = ctypes.CDLL(None)
        self.library.faults_arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_int]
        self.library.faults_shift_clock.argtypes = [ctypes.c_int, ctypes.c_double]
        self.library.faults_hold_clock.argtypes = [ctypes.c_int]

    def watch(self, directory: str) -> None:
        """Counts calls that concern a directory or files in it; no others fail."""
        self.library.faults_watch(os.path.realpath(directory).encode())

    def arm(self, call: str, number: int, fault: str, *, lasts: bool = False) -> None:
        """Picks the call that fails with an errno, or in which the process gets a signal.

        Args:
            call: one of `CALLS`.
            number: which one, from 1 and from now.
            fault: the name of the errno or signal.
            lasts: whether those behind it fail as well.
        """
        what = -getattr(signal, fault) if fault.startswith("SIG") else getattr(errno, fault)
        self.library.faults_arm(CALLS.index(call), number, FOR_EVER if lasts else number, what)

    def disarm(self) -> None:
        """Lets all calls through."""
        self.library.faults_disarm()

    def hits(self) -> int:
        """Returns how many calls failed."""
        return int(self.library.faults_hits())

    def seen(self) -> dict[str, int]:
        """Returns how many calls there were by name."""
        return {call: int(self.library.faults_seen(number)) for number, call in enumerate(CALLS)}

    def shift(self, *, wall: float = 0, monotonic: float = 0) -> None:
        """Moves this process's clocks away from the true ones, by whole seconds."""
        self.library.faults_shift_clock(0, wall)
        self.library.faults_shift_clock(1, monotonic)

    @contextlib.contextmanager
    def no_time_passes(self) -> Iterator[None]:
        """Stops the monotonic clock, by which a store waits."""
        self.library.faults_hold_clock(1)
        try:
            yield
        finally:
            self.library.faults_hold_clock(0)


class Said(logging.Handler):
    """Keeps what the package logs."""

    def __init__(self) -> None:
        """Listens from now on."""
        super().__init__()
        self.lines: list[str] = []
        logging.getLogger("forkmeter").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a line."""
        self.lines.append(record.getMessage())


def numbers(text: str) -> list[float]:
    """Returns the sums of the samples that every count adds one to."""
    sums = dict.fromkeys(SAMPLES, 0.0)
    for line in text.splitlines():
        name = line.split("{")[0]
        if name in sums:
            sums[name] += float(line.rsplit(" ", 1)[1])
    return list(sums.values())


def from_outside(directory: str) -> list[float]:
    """Returns the same sums as somebody reads them who does not count."""
    registry = forkmeter.CollectorRegistry()
    MultiProcessCollector(registry, path=directory)
    return numbers(generate_latest(registry).decode())


class Host:
    """Counts; each operation is a method."""

    def __init__(self) -> None:
        """Starts with nothing declared."""
        self.said = Said()
        self.done: mmap.mmap | None = None
        self.faults = Faults() if "faulty" in os.environ.get("LD_PRELOAD", "") else None

    def begin(self) -> None:
        """Makes the metrics."""
        if self.faults:
            self.faults.watch(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        self.requests = forkmeter.Counter("requests", "Help.", ["path"])
        self.latency = forkmeter.Histogram("latency_seconds", "Help.", ["path"], buckets=[1, 2])
        self.level = forkmeter.Gauge("level", "Help.", ["path"], multiprocess_mode="sum")
        self.recent = forkmeter.Gauge("recent", "Help.", multiprocess_mode="mostrecent")
        self.mood = forkmeter.Enum("mood", "Help.", states=["good", "bad"])
        self.build = forkmeter.Info("build", "Help.")
        # What is imported when it is first used is here, whatever comes.
        forkmeter.status()

    def count(self, first: int, end: int) -> float:
        """Counts once on each of some series of each kind; returns the longest that one took."""
        longest = 0.0
        for number in range(first, end):
            path = f"/{number:0240}"
            start = time.monotonic()
            # So each new series looks at the files, and a life has as many calls on any machine. `sleep` would
            # wait by a clock that was moved.
            select.select([], [], [], LOOK_SECONDS)
            self.requests.labels(path).inc()
            select.select([], [], [], LOOK_SECONDS)
            self.latency.labels(path).observe(0.5)
            select.select([], [], [], LOOK_SECONDS)
            self.level.labels(path).inc()
            if self.done:
                done = int.from_bytes(self.done[:8], sys.byteorder) + 1
                self.done[:8] = done.to_bytes(8, sys.byteorder)
            longest = max(longest, time.monotonic() - start)
        return longest

    def count_held(self, number: int, times: int) -> None:
        """Counts on series by handles that were taken before."""
        path = f"/{number:0240}"
        counter, histogram, gauge = self.requests.labels(path), self.latency.labels(path), self.level.labels(path)
        for _ in range(times):
            counter.inc()
            histogram.observe(0.5)
            gauge.inc()

    def got(self, first: int, end: int) -> list[float]:
        """Returns what handles tell of the series."""
        paths = [f"/{number:0240}" for number in range(first, end)]
        return [
            sum(self.requests.labels(path)._value.get() for path in paths),  # noqa: SLF001 - no file is read for it
            sum(bucket.get() for path in paths for bucket in self.latency.labels(path)._buckets),  # noqa: SLF001
            sum(self.level.labels(path)._value.get() for path in paths),  # noqa: SLF001
        ]

    def text(self) -> str:
        """Scrapes this worker."""
        return generate_latest(forkmeter.REGISTRY).decode()

    def sums(self) -> list[float]:
        """Scrapes this worker and returns the sums."""
        return numbers(self.text())

    def outside(self, directory: str) -> list[float]:
        """Reads a directory as somebody who does not count."""
        return from_outside(directory)

    def kept(self) -> int:
        """Returns how many series are in memory only."""
        return forkmeter.status().kept_series

    def calls(self) -> dict[str, int]:
        """Returns how many calls there were by name."""
        assert self.faults
        return self.faults.seen()

    def disarm(self) -> None:
        """Lets all calls through, and time pass until the store tries again."""
        assert self.faults
        self.faults.disarm()
        self.faults.shift(monotonic=LATER_SECONDS)

    def shift(self, wall: float) -> None:
        """Moves the clock that tells the time of day."""
        assert self.faults
        self.faults.shift(wall=wall)

    def last(self, value: float) -> None:
        """Sets a gauge of which the most recent value counts."""
        self.recent.set(value)

    def let_size_signal_end_it(self) -> None:
        """Takes back what Python does for its programs and other languages do not: it ignores the signal."""
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)

    def fill_files(self) -> None:
        """Opens files until no more can be."""
        self.files: list[int] = []
        with contextlib.suppress(OSError):
            while True:
                self.files.append(os.open(os.devnull, os.O_RDONLY))

    def close_files(self) -> None:
        """Closes them."""
        for file in self.files:
            os.close(file)

    def size(self) -> int:
        """Returns how much address space the process takes."""
        pages = Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]
        return int(pages) * mmap.PAGESIZE

    def spin(self, seconds: float, threads: int) -> int:
        """Counts in threads for a while; returns how often."""
        ends = time.monotonic() + seconds

        def count() -> int:
            rounds = 0
            while time.monotonic() < ends:
                self.count_held(0, 100)
                rounds += 100
            return rounds

        with ThreadPoolExecutor(threads) as pool:
            return sum([future.result() for future in [pool.submit(count) for _ in range(threads)]])

    def fork_after_one(self, number: int) -> None:
        """Counts once on the counter of a series, and once in a child."""
        counter = self.requests.labels(f"/{number:0240}")
        counter.inc()
        answer = in_child(counter.inc)
        assert answer["status"] == 0, answer

    def problem(self) -> str | None:
        """Returns why series are in memory only."""
        return forkmeter.status().problem

    def log(self) -> list[str]:
        """Returns what was logged so far."""
        return self.said.lines

    def limit(self, name: str, value: int) -> None:
        """Sets a limit of the process."""
        number = getattr(resource, name)
        resource.setrlimit(number, (value, resource.getrlimit(number)[1]))

    def become(self, user: int) -> None:
        """Goes on as another user."""
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)

    def arm(self, **fault: Any) -> None:
        """Makes a call fail."""
        assert self.faults
        self.faults.arm(**fault)

    def life(self, directory: str, fault: dict[str, Any]) -> dict[str, Any]:
        """Counts through a worker's life while a call fails, and once more afterwards.

        Args:
            directory: where to count.
            fault: what `Faults.arm` takes.
        """
        assert self.faults
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        self.faults.watch(directory)
        if fault:
            self.faults.arm(**fault)
        self.begin()
        self.count(0, 3)
        self.mood.state("bad")
        self.build.info({"version": "1"})
        self.requests.labels("x").inc(0, exemplar={"trace": "1"})
        texts = [self.text()]
        self.count(0, 14)
        got = self.got(0, 14)
        texts.append(self.text())
        kept = self.kept()
        seen, hits = self.faults.seen(), self.faults.hits()
        self.faults.disarm()
        self.faults.shift(monotonic=LATER_SECONDS)
        self.sums()
        self.count(0, 14)
        return {
            "got": got,
            "kept": kept,
            "is kept said": "forkmeter_kept_series" in texts[-1],
            "seen": seen,
            "hits": hits,
            "after": self.sums(),
            "kept after": self.kept(),
            "log": self.said.lines,
            "outside": from_outside(directory),
        }

    def crowd(self) -> None:
        """Makes series and removes them, so many that the files of their kinds are sealed by the next series."""
        for number in range(CROWD):
            path = f"/{number:01000}"
            self.requests.labels(path).inc()
            self.requests.remove(path)
            # Each has five keys.
            if number % 4 == 0:
                self.latency.labels(path).observe(0.5)
                self.latency.remove(path)

    def seal_and_fold(self, fault: dict[str, Any]) -> list[float]:
        """Counts in files that are sealed then and goes on in others, folds what was sealed, and returns the sums.

        Args:
            fault: what `Faults.arm` takes, for the fold.
        """
        assert self.faults
        with self.faults.no_time_passes():
            self.count(0, 3)
            self.crowd()
            self.count(3, 6)
            self.sums()
            self.faults.watch(os.environ["PROMETHEUS_MULTIPROC_DIR"])
            if fault:
                self.faults.arm(**fault)
        return self.fold()

    def fold(self) -> list[float]:
        """Lets the while pass, folds what was sealed, and returns the sums."""
        assert self.faults
        self.faults.shift(monotonic=LATER_SECONDS)
        return self.sums()

    def folding_life(self, directory: str, fault: dict[str, Any]) -> dict[str, Any]:
        """Seals files, and folds them while a call fails; once more afterwards.

        Args:
            directory: where to count.
            fault: what `Faults.arm` takes.
        """
        assert self.faults
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        self.begin()
        self.seal_and_fold(fault)
        self.count(6, 9)
        kept = self.kept()
        seen, hits = self.faults.seen(), self.faults.hits()
        self.faults.disarm()
        self.faults.shift(monotonic=3 * LATER_SECONDS)
        self.sums()
        self.count(0, 9)
        return {
            "kept": kept,
            "seen": seen,
            "hits": hits,
            "after": self.sums(),
            "got": self.got(0, 9),
            "kept after": self.kept(),
            "log": self.said.lines,
            "outside": from_outside(directory),
            "files": sorted(path.name for path in Path(directory).iterdir()),
        }

    def leave(self, directory: str, series: int) -> None:
        """Counts and dies, with files left behind."""
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        self.begin()
        self.count(0, series)
        for mode in ("min", "max", "livesum", "all", "mostrecent"):
            forkmeter.Gauge(f"left_{mode}", "Help.", multiprocess_mode=mode).set(1)
        os.kill(os.getpid(), signal.SIGKILL)

    def die(self, directory: str, fault: dict[str, Any], life: str = "life") -> dict[str, Any]:
        """Lives in a forked child that is killed in the middle of a call, and then counts here.

        Args:
            directory: where to count.
            fault: what `Faults.arm` takes.
            life: which of the lives.
        """
        self.done = mmap.mmap(-1, mmap.PAGESIZE)
        live = getattr(self, life)
        killed = in_child(partial(live, directory, fault))
        counted = int.from_bytes(self.done[:8], sys.byteorder)
        return {"killed": killed, "counted": counted, "after": live(directory, {})}

    def cases(self, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Forks a child for each case and lets it do an operation; returns what came of it."""
        return [in_child(partial(getattr(self, case["op"]), **case["arguments"])) for case in cases]


def in_child(work: Callable[[], Any]) -> dict[str, Any]:
    """Runs something in a forked child and returns its answer, and how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        signal.alarm(60)
        answer = answer_of(work)
        with os.fdopen(writing, "w", encoding="utf-8") as answers:
            json.dump(answer, answers)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as answers:
        text = answers.read()
    status = os.waitpid(child, 0)[1]
    return {**(json.loads(text) if text else {}), "status": status}


def answer_of(work: Callable[[], Any]) -> dict[str, Any]:
    """Returns what something answers, or what it raised."""
    try:
        return {"answer": work()}
    except BaseException:  # noqa: BLE001 - it is the test that fails
        return {"raised": traceback.format_exc()}


def main() -> None:
    """Does what each line says and answers it."""
    host = Host()
    for line in sys.stdin:
        operation: dict[str, Any] = json.loads(line)
        act = getattr(host, operation.pop("op"))
        print(json.dumps(answer_of(partial(act, **operation))), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
