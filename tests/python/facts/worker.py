"""A worker that does what it is told, line by line, and answers each line with one of JSON.

`collector SOURCE` and `run SOURCE` run Python with `forkmeter` and `worker` at hand; `scrape` exposes the default
registry; `scrape NAMES` only some samples of it; `fork` makes a worker of the same program, whose lines are passed on
by no one: it waits until it is killed.
"""

from __future__ import annotations

import json
import os
import sys
import time

import forkmeter
from forkmeter import exposition, registry

JOBS = forkmeter.Counter("worker_jobs_total", "Jobs.")


def scrape(names: list[str]) -> str:
    """Exposes the default registry, or some samples of it.

    Args:
        names: Names of samples; none for all.
    """
    collected = forkmeter.REGISTRY.restricted_registry(names) if names else registry.REGISTRY
    return exposition.generate_latest(collected).decode()


def main() -> None:
    """Reads lines until there are no more."""
    state = {"forkmeter": forkmeter, "os": os, "time": time}
    JOBS.inc()
    for line in sys.stdin:
        verb, _, rest = line.strip().partition(" ")
        answer: object = None
        if verb == "run":
            exec(json.loads(rest), state)  # noqa: S102 -- it is the test's
            answer = state.pop("answer", None)
        elif verb == "scrape":
            began = time.monotonic()
            answer = [scrape(rest.split()), time.monotonic() - began]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
