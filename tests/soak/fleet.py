"""Starts workers on one directory, kills and restarts them at random, deletes the directory under them, and counts.

    fleet.py FOLDER SECONDS SEED

Ends with an error where a value is not exactly what the workers say that they counted, and otherwise prints a summary
as a JSON object. `PROMETHEUS_MULTIPROC_DIR` is the directory, FOLDER is for what else is needed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter as Tally
from pathlib import Path
from typing import NoReturn

from forkmeter import CollectorRegistry
from forkmeter.multiprocess import MultiProcessCollector

from soak import worker
from soak.ledger import COUNTED, SLOTS, Ledger

# What the names in `COUNTED` are in an exposition; the series of each slot can be told apart.
OF_SLOTS = ("soak_counts_total", "soak_seconds_count", "soak_waits_count")
OF_ALL = "soak_everybody_total"
PATIENCE_SECONDS = 60
LONGEST_PAUSE_SECONDS = 0.08
DELETION_SHARE = 0.04


class Fleet:
    """The workers, and what is done to them."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Starts all workers."""
        self.folder = folder
        self.directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        self.ledger_path = folder / "ledger"
        self.ledger = Ledger(self.ledger_path)
        self.ledger.asked = 1
        self.random = random.Random(seed)
        self.pids = [0] * SLOTS
        self.did: Tally[str] = Tally()
        for slot in range(SLOTS):
            self.start(slot)

    def start(self, slot: int) -> None:
        """Starts a worker, as a copy of this process or from nothing."""
        seed = self.random.getrandbits(32)
        page = self.ledger[slot]
        page.seen = 0
        page.is_asked_to_end = False
        if self.random.random() < 0.2:
            self.did["spawned"] += 1
            command = [sys.executable, worker.__file__, str(self.ledger_path), str(slot), str(seed)]
            self.pids[slot] = os.posix_spawn(sys.executable, command, os.environ)
            return
        self.did["forked"] += 1
        self.pids[slot] = os.fork()
        if not self.pids[slot]:
            worker.end_at_a_signal()
            worker.Worker(worker.Families(), self.ledger, slot, seed).run()
            if seed % 2:
                os._exit(0)
            sys.exit(0)

    def have_all_look(self) -> None:
        """Waits until every worker has looked at the directory."""
        self.ledger.asked += 1
        deadline = time.monotonic() + PATIENCE_SECONDS
        for slot in range(SLOTS):
            while self.ledger[slot].seen < self.ledger.asked:
                if time.monotonic() > deadline:
                    self.fail(f"worker {slot}, process {self.pids[slot]}, does not look at the directory")
                ended, status = os.waitpid(self.pids[slot], os.WNOHANG)
                if ended:
                    self.pids[slot] = 0
                    self.fail(f"worker {slot} ended by itself with {status}")
                time.sleep(0.005)

    def end_worker(self, slot: int) -> None:
        """Ends a worker in one of several ways, and checks what it counted."""
        how = self.random.choice(["kill", "kill", "kill", "terminate", "ask"])
        self.did[how] += 1
        if how == "ask":
            self.ledger[slot].is_asked_to_end = True
        else:
            os.kill(self.pids[slot], signal.SIGKILL if how == "kill" else signal.SIGTERM)
        status = os.waitpid(self.pids[slot], 0)[1]
        self.pids[slot] = 0
        # One that begins may not be ready for signals yet.
        if how != "kill" and status not in {0, signal.SIGTERM}:
            self.fail(f"worker {slot} was told to {how} and ended with {status}")
        self.check([slot])

    def check(self, slots: list[int]) -> None:
        """Compares what dead workers say that they counted with what is in the directory."""
        values = self.values()
        for slot in slots:
            page = self.ledger[slot]
            for counted, name in enumerate(OF_SLOTS):
                done, begun = page.bounds(counted)
                value = int(values.get((name, str(slot)), 0))
                if not done <= value <= begun:
                    self.fail(f"{name} of worker {slot} is {value}, and it counted {done} to {begun}")
                self.did["open"] += begun - done
                page.settle(counted, value)

    def values(self) -> dict[tuple[str, str], float]:
        """Returns what is in the directory, by name and slot."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self.directory)
        return {
            (sample.name, sample.labels.get("slot", "")): sample.value
            for family in registry.collect()
            for sample in family.samples
        }

    def delete(self) -> None:
        """Deletes what is in the directory, or the directory, whenever it is; and waits for the next looks."""
        how = self.random.choice(["files deleted", "folder deleted", "folder moved"])
        self.did[how] += 1
        if how == "files deleted":
            for path in list(self.directory.iterdir()):
                path.unlink(missing_ok=True)
        elif how == "folder deleted":
            # Workers may make files in it meanwhile.
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            elsewhere = self.directory.with_name("elsewhere")
            self.directory.rename(elsewhere)
            shutil.rmtree(elsewhere)
        print(f"{how} at {time.time()}", flush=True)
        self.have_all_look()

    def act(self) -> None:
        """Does something at random."""
        time.sleep(self.random.random() * LONGEST_PAUSE_SECONDS)
        if self.random.random() < DELETION_SHARE:
            self.delete()
        else:
            slot = self.random.randrange(SLOTS)
            self.end_worker(slot)
            self.start(slot)

    def finish(self) -> None:
        """Lets all workers come to their end and checks all sums."""
        self.have_all_look()
        for slot in range(SLOTS):
            self.ledger[slot].is_asked_to_end = True
        for slot in range(SLOTS):
            os.waitpid(self.pids[slot], 0)
            self.pids[slot] = 0
        self.check(list(range(SLOTS)))
        values = self.values()
        bounds = [self.ledger[slot].bounds(len(OF_SLOTS)) for slot in range(SLOTS)]
        done, begun = (sum(bound) for bound in zip(*bounds))
        everybody = values[OF_ALL, ""]
        if not done <= everybody <= begun or begun - done > self.did["kill"] + self.did["terminate"]:
            self.fail(f"{OF_ALL} is {everybody}, and the workers counted {done} to {begun}")
        # One of the scrapers is a worker, and does not count itself.
        if values.get(("soak_alive", ""), 0):
            self.fail(f"all workers are dead, and {values['soak_alive', '']} are alive")
        of_slots = [values[name, str(slot)] for name in OF_SLOTS for slot in range(SLOTS)]
        self.did["counted"] = int(everybody + sum(of_slots))

    def fail(self, message: str) -> NoReturn:
        """Ends with an error."""
        files = sorted(path.name for path in self.directory.glob("*"))
        # It says how many series dead workers had in memory alone.
        exporter = (self.folder / "log").read_text(encoding="utf-8")[-2000:]
        sys.exit(f"{message}\n{dict(self.did)}\n{files}\n{exporter}")

    def end(self) -> None:
        """Kills whoever is left."""
        for pid in filter(None, self.pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Keeps workers busy for a while."""
    folder, seconds, seed = sys.argv[1:]
    deadline = time.monotonic() + float(seconds)
    own = os.getpid()
    fleet = Fleet(Path(folder), int(seed))
    try:
        while time.monotonic() < deadline:
            fleet.act()
        fleet.finish()
        print(json.dumps({**fleet.did, "files": len(list(fleet.directory.iterdir()))}))
    finally:
        # Children of `fork` pass here as well.
        if os.getpid() == own:
            fleet.end()


if __name__ == "__main__":
    assert len(OF_SLOTS) + 1 == len(COUNTED)
    main()
