"""One worker of the soak: counts, makes and removes series, looks at the directory; until it is told or killed."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import forkmeter
from forkmeter import Counter, Enum, Gauge, Histogram, Info, Summary, generate_latest

from soak.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_PAUSE_SECONDS = 0.004
SESSIONS_AT_ONCE = 5


class Families:
    """What workers count in."""

    def __init__(self) -> None:
        """Declares the families."""
        self.counts = Counter("soak_counts", "Counts of a slot.", ["slot"])
        self.everybody = Counter("soak_everybody", "Counts of all workers in one series.")
        self.seconds = Histogram("soak_seconds", "Observations of a slot.", ["slot"], buckets=[0.25, 1])
        self.waits = Summary("soak_waits", "Observations of a slot.", ["slot"])
        self.sessions = Counter("soak_sessions", "Series that come and go.", ["session"])
        self.visits = Histogram("soak_visits", "Series that come and go.", ["session"], buckets=[1])
        self.alive = Gauge("soak_alive", "Workers.", multiprocess_mode="livesum")
        self.level = Gauge("soak_level", "Levels.", ["slot"], multiprocess_mode="max")
        self.state = Enum("soak_state", "State.", states=["on", "off"])
        self.build = Info("soak_build", "Facts.")

    def counting(self, slot: int) -> tuple[Callable[[], None], ...]:
        """Returns what counts once, in the order of `COUNTED`."""
        counts = self.counts.labels(str(slot))
        seconds = self.seconds.labels(str(slot))
        waits = self.waits.labels(str(slot))
        return counts.inc, lambda: seconds.observe(0.5), lambda: waits.observe(0.5), self.everybody.inc


class Worker:
    """Counts until it is told to end."""

    def __init__(self, families: Families, ledger: Ledger, slot: int, seed: int) -> None:
        """Looks everything up.

        Args:
            families: what it counts in.
            ledger: where it says so.
            slot: which of the workers it is.
            seed: what it does depends on this.
        """
        self.families = families
        self.ledger = ledger
        self.page = ledger[slot]
        self.slot = slot
        self.random = random.Random(seed)
        self.counting = families.counting(slot)
        self.sessions: list[str] = []

    def run(self) -> None:
        """Counts; a little pause between counts leaves the machine to others."""
        self.families.alive.set(1)
        self.look()
        number = 0
        while not self.page.is_asked_to_end:
            number += 1
            counted = self.random.randrange(len(self.counting))
            self.page.begin(counted)
            self.counting[counted]()
            self.page.end(counted)
            self.families.level.labels(str(self.slot)).set(number)
            if self.random.random() < 0.05:
                self.open_session(f"{os.getpid()}-{number}")
            if self.random.random() < 0.03:
                self.look()
            if self.random.random() < 0.02:
                self.families.state.state(self.random.choice(["on", "off"]))
                self.families.build.info({"slot": str(self.slot)})
            time.sleep(self.random.random() * LONGEST_PAUSE_SECONDS)

    def open_session(self, name: str) -> None:
        """Makes a series and removes an older one."""
        self.families.sessions.labels(name).inc()
        self.families.visits.labels(name).observe(2)
        self.sessions.append(name)
        if len(self.sessions) <= SESSIONS_AT_ONCE:
            return
        gone = self.sessions.pop(self.random.randrange(SESSIONS_AT_ONCE))
        self.families.sessions.remove(gone)
        if self.random.random() < 0.5:
            self.families.visits.remove(gone)
        else:
            self.families.visits.remove_by_labels({"session": gone})
        if self.random.random() < 0.01:
            self.families.visits.clear()

    def look(self) -> None:
        """Scrapes, which notices a deletion, and says that it did, and has nothing in memory alone any more."""
        asked = self.ledger.asked
        generate_latest(forkmeter.REGISTRY)
        if not forkmeter.status().kept_series:
            self.page.seen = asked


def end_at_a_signal() -> None:
    """Ends as a server does: not at once, but when Python comes to it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


def main() -> None:
    """Runs a worker that was started anew: `worker.py LEDGER SLOT SEED`."""
    path, slot, seed = sys.argv[1:]
    end_at_a_signal()
    Worker(Families(), Ledger(Path(path)), int(slot), int(seed)).run()


if __name__ == "__main__":
    main()
