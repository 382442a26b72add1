"""One side of a pid namespace: the first process, which starts workers with the pid that it is told to.

Reads a line for each thing to do: `start PID`, `count`, `scrape`, `kill`. Answers each with a line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from forkmeter import REGISTRY, Counter, Gauge, generate_latest


class Families:
    """What a worker counts in."""

    def __init__(self) -> None:
        """Declares the families."""
        self.jobs = Counter("jobs", "Jobs.")
        self.total = Gauge("level_of_all", "Level.", ["x"], multiprocess_mode="sum")
        self.live = Gauge("level_of_living", "Level.", ["x"], multiprocess_mode="livesum")
        self.each = Gauge("level_of_each", "Level.", ["x"], multiprocess_mode="liveall")

    def count(self) -> None:
        """Counts once, and sets or raises each gauge."""
        self.jobs.inc()
        self.total.labels("x").inc(5)
        self.live.labels("x").inc(3)
        self.each.labels("x").set(1)


def work(commands: int, answers: int) -> None:
    """Does what it is told until it is killed."""
    families = Families()
    while command := os.read(commands, 1):
        if command == b"c":
            families.count()
            answer = b"done"
        else:
            answer = generate_latest(REGISTRY)
        os.write(answers, len(answer).to_bytes(4, "little") + answer)


class Member:
    """The worker, and how to reach it."""

    def __init__(self, pid: int) -> None:
        """Starts it with a pid that is free."""
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1), "ascii")
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            work(commands, answers)
            os._exit(0)
        assert self.pid == pid

    def ask(self, command: bytes) -> str:
        """Has it do something, and returns the answer."""
        os.write(self.commands, command)
        size = int.from_bytes(os.read(self.answers, 4), "little")
        answer = b""
        while len(answer) < size:
            answer += os.read(self.answers, size - len(answer))
        return answer.decode()

    def kill(self) -> str:
        """Kills it."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return "killed"


def main() -> None:
    """Answers line after line."""
    member = None
    for line in sys.stdin:
        command, *arguments = line.split()
        answer = "started"
        if command == "start":
            member = Member(int(arguments[0]))
        elif member is None:
            sys.exit("nobody was started")
        elif command == "kill":
            answer = member.kill()
        else:
            answer = member.ask(command[:1].encode())
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
