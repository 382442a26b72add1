"""Counts in processes that multiprocessing starts in each of its ways, and prints the sum."""

from __future__ import annotations

import multiprocessing

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

JOBS = Counter("jobs", "Jobs done.", ["method"])


def work(method: str) -> None:
    """Does three jobs."""
    JOBS.labels(method).inc(3)


def main() -> None:
    """Starts two processes in each way."""
    for method in ("fork", "spawn", "forkserver"):
        multiprocessing.set_start_method(method, force=True)
        processes = [multiprocessing.Process(target=work, args=(method,)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    print(generate_latest(registry).decode())


if __name__ == "__main__":
    main()
