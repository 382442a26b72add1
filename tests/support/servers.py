"""Services of several workers that tests ask, scrape and kill: over HTTP, and celery's."""

from __future__ import annotations

import contextlib
import http.client
import importlib.metadata
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from children import Child, free_port
from support.celery_files import settings
from support.processes import is_running, kill
from support.skipping import skip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Self

TESTS = Path(__file__).parent.parent
APPS = TESTS / "python" / "servers" / "apps"
CLIENT_THREADS = 6
TIMEOUT_SECONDS = 30


class Answer(NamedTuple):
    """What a worker answered."""

    worker: int
    text: str


class Service:
    """A program of several workers, in a session of its own, which counts in a directory of its own."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        """Starts the program; skips the test where forkmeter is not installed.

        Args:
            folder: an empty folder for its metrics, journal and log.
            command: the program and its arguments.
        """
        try:
            importlib.metadata.distribution("forkmeter")
        except importlib.metadata.PackageNotFoundError:
            skip("the package forkmeter is not installed: run `make test-python`")
        self.metrics = folder / "metrics"
        self.metrics.mkdir()
        self.journal = folder / "journal"
        self.journal.touch()
        environment = {
            **os.environ,
            "PROMETHEUS_MULTIPROC_DIR": str(self.metrics),
            "APP_JOURNAL": str(self.journal),
            "APP_FOLDER": str(folder),
            "PYTHONPATH": os.pathsep.join([str(APPS), str(TESTS)]),
            "PYTHONUNBUFFERED": "1",
        }
        self.child = Child("service", command, folder / "service.log", environment=environment)

    def ask(self, paths: Iterable[str]) -> list[Answer]:
        """Asks for many paths, some at once, and waits for all answers.

        Args:
            paths: `/metrics`, or `/work?number=N`.
        """
        raise NotImplementedError

    def kill(self, workers: Iterable[int], number: int) -> int:
        """Kills a worker while no request waits for its answer, and returns its process id.

        Args:
            workers: the first of these that was not recycled meanwhile is killed.
            number: a request that the service may handle on this occasion.
        """
        del number
        for worker in workers:
            if is_running(worker):
                with contextlib.suppress(ProcessLookupError):
                    kill(worker)
                    return worker
        raise AssertionError(f"none of {workers} lives\n{self.child.tail()}")

    def noted(self) -> list[tuple[int, int]]:
        """Returns what was counted, as the workers wrote it down: numbers of requests, with the worker's process id."""
        lines = [line.split() for line in self.journal.read_text(encoding="utf-8").splitlines()]
        return [(int(number), int(worker)) for number, worker in lines]

    def scrape_workers(self, count: int) -> dict[int, str]:
        """Scrapes until so many workers have answered since the call, and returns what each said last.

        Args:
            count: how many workers there are.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        answers: dict[int, str] = {}
        while len(answers) < count:
            assert time.monotonic() < deadline, f"only {list(answers)} answer\n{self.child.tail()}"
            answers.update(self.ask(["/metrics"] * 2 * count))
        return answers

    def stop(self) -> None:
        """Ends the program, politely first, and then whatever is left of its process group."""
        process = self.child.process
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        # It is not reaped yet, so that its id, which is the group's, stays its own.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def __enter__(self) -> Self:
        """Returns the service itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stops the service."""
        self.stop()


class WebService(Service):
    """A web service."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        """Starts the service and waits until it answers.

        Args:
            folder: an empty folder.
            command: in which `{port}` stands for the port to listen on, at 127.0.0.1.
        """
        self.port = free_port()
        super().__init__(folder, [part.replace("{port}", str(self.port)) for part in command])
        try:
            self.child.wait_ready(self.port, "/metrics")
        except BaseException:
            self.stop()
            raise

    def ask(self, paths: Iterable[str]) -> list[Answer]:
        """Asks for each path on a connection of its own, so that every worker gets its part."""
        with ThreadPoolExecutor(CLIENT_THREADS) as threads:
            return list(threads.map(self._ask, paths))

    def _ask(self, path: str) -> Answer:
        """Asks until there is an answer: servers drop connections while they recycle workers."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
            try:
                connection.request("GET", path, headers={"Connection": "close"})
                response = connection.getresponse()
                text = response.read().decode()
            except (OSError, http.client.HTTPException) as error:
                self.child.check()
                if time.monotonic() > deadline:
                    raise AssertionError(f"no answer to {path}\n{self.child.tail()}") from error
                time.sleep(0.02)
            else:
                assert response.status == 200, f"{path}: {response.status} {text}\n{self.child.tail()}"
                return Answer(int(response.headers["X-Worker"]), text)
            finally:
                connection.close()


class CeleryService(Service):
    """A celery worker; paths are tasks."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        """Starts the worker and waits until it does a task."""
        # Not before it is needed: it takes a while.
        from celery import Celery  # noqa: PLC0415

        super().__init__(folder, command)
        self.client = Celery("client")
        self.client.conf.update(settings(str(folder)))
        try:
            self.ask(["/metrics"])
        except BaseException:
            self.stop()
            raise

    def ask(self, paths: Iterable[str]) -> list[Answer]:
        """Sends a task for each path, and waits for all results."""
        results = []
        for path in paths:
            name, _, number = path.lstrip("/").partition("?number=")
            results.append(self.client.send_task(name, [int(number)] if number else []))
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not all(result.ready() for result in results):
            self.child.check()
            assert time.monotonic() < deadline, f"tasks are not done\n{self.child.tail()}"
            time.sleep(0.02)
        return [Answer(*result.get(timeout=1)) for result in results]

    def kill(self, workers: Iterable[int], number: int) -> int:
        """Kills a worker that has just counted the task `number`, in the middle of it.

        An idle one may hold the lock with which celery's workers take tasks, and would take it into its grave.
        """
        del workers
        self.client.send_task("hang", [number])
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while number not in (noted := dict(self.noted())):
            assert time.monotonic() < deadline, f"task {number} is not done\n{self.child.tail()}"
            time.sleep(0.02)
        kill(noted[number])
        return noted[number]


def python(*arguments: str) -> list[str]:
    """Returns the command that runs this interpreter."""
    return [sys.executable, *arguments]
