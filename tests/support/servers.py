"""Services of several workers that tests ask, scrape and kill: over HTTP, and celery's."""

from __future__ import annotations

import http.client
import importlib.metadata
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from children import Child, free_port
from support.celery_files import settings
from support.skipping import skip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery.result import AsyncResult
    from typing_extensions import Self

TESTS = Path(__file__).parent.parent
APPS = TESTS / "python" / "servers" / "apps"
CLIENT_THREADS = 6
TIMEOUT_SECONDS = 30
PAUSE_SECONDS = 0.01


class Answer(NamedTuple):
    """What a worker answered."""

    worker: int
    text: str


class Note(NamedTuple):
    """A line of the journal, in which workers write down what they count."""

    event: str
    number: int
    worker: int


class Service:
    """A program of several workers, in a session of its own, which counts in a directory of its own."""

    def __init__(self, folder: Path, command: Sequence[str], *, unedited: bool) -> None:
        """Starts the program; skips the test where forkmeter is not installed.

        Args:
            folder: an empty folder for its metrics, journal and log.
            command: the program and its arguments.
            unedited: whether the program has the official client's name, and runs under `forkmeter run`.
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
            "APP_CLIENT": "forkmeter",
            "APP_JOURNAL": str(self.journal),
            "APP_FOLDER": str(folder),
            "PYTHONPATH": os.pathsep.join([str(APPS), str(TESTS)]),
            "PYTHONUNBUFFERED": "1",
        }
        if unedited:
            environment["APP_CLIENT"] = "prometheus_client"
            command = python("-m", "forkmeter", "run", "--dir", str(self.metrics), "--", *command)
        else:
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(self.metrics)
        self.child = Child("service", command, folder / "service.log", environment=environment)

    def ask(self, path: str) -> Answer | None:
        """Asks once, and waits for the answer; there is none where the worker ended before it gave it.

        Any number of threads may ask at once.

        Args:
            path: `/metrics`, or `/work?number=N&victim=PID`.
        """
        raise NotImplementedError

    def notes(self) -> list[Note]:
        """Returns what workers wrote down until now."""
        lines = [line.split() for line in self.journal.read_text(encoding="utf-8").splitlines()]
        return [Note(event, int(number), int(worker)) for event, number, worker in lines]

    def scrape_workers(self, count: int) -> dict[int, str]:
        """Scrapes until so many workers have answered since the call, and returns what each said last.

        Args:
            count: how many workers there are.
        """
        deadline = time.monotonic() + TIMEOUT_SECONDS
        answers: dict[int, str] = {}
        with ThreadPoolExecutor(CLIENT_THREADS) as threads:
            while len(answers) < count:
                assert time.monotonic() < deadline, f"only {list(answers)} answer\n{self.child.tail()}"
                for answer in threads.map(self.ask, ["/metrics"] * 2 * count):
                    if answer is not None:
                        answers[answer.worker] = answer.text
        return answers

    def stop(self) -> None:
        """Ends the program, politely first, and then whatever is left of its process group."""
        process = self.child.process
        if process.poll() is not None:
            # Nothing is known any more of who its id stands for.
            return
        os.kill(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        # It is not reaped yet, so that its id, which is the group's, stays its own.
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > deadline:
                break
            time.sleep(PAUSE_SECONDS)
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

    def __init__(self, folder: Path, command: Sequence[str], *, unedited: bool) -> None:
        """Starts the service and waits until it answers.

        Args:
            folder: an empty folder.
            command: in which `{port}` stands for the port to listen on, at 127.0.0.1.
            unedited: whether it has the official client's name.
        """
        self.port = free_port()
        filled = [part.replace("{port}", str(self.port)) for part in command]
        super().__init__(folder, filled, unedited=unedited)
        try:
            self.child.wait_ready(self.port, "/metrics")
        except BaseException:
            self.stop()
            raise

    def ask(self, path: str) -> Answer | None:
        """Asks on a connection of its own, so that every worker gets its part."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            text = response.read().decode()
        except TimeoutError as error:
            raise AssertionError(f"no answer to {path}\n{self.child.tail()}") from error
        except (OSError, http.client.HTTPException):
            # Its worker was killed, or the server dropped the connection when it recycled the worker.
            self.child.check()
            time.sleep(PAUSE_SECONDS)
            return None
        finally:
            connection.close()
        assert response.status == 200, f"{path}: {response.status} {text}\n{self.child.tail()}"
        return Answer(int(response.headers["X-Worker"]), text)


class CeleryService(Service):
    """A celery worker; paths are tasks."""

    def __init__(self, folder: Path, command: Sequence[str], *, unedited: bool) -> None:
        """Starts the worker and waits until it does a task."""
        # Not before it is needed: it takes a while.
        from celery import Celery  # noqa: PLC0415

        super().__init__(folder, command, unedited=unedited)
        self.folder = folder
        self.sending = threading.Lock()
        self.client = Celery("client")
        self.client.conf.update(settings(str(folder), sends_to="outbox"))
        try:
            self.ask("/metrics")
        except BaseException:
            self.stop()
            raise

    def ask(self, path: str) -> Answer | None:
        """Sends a task and waits for its result."""
        from billiard.exceptions import WorkerLostError  # noqa: PLC0415

        result = self._send(path)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not _is_there(result):
            self.child.check()
            assert time.monotonic() < deadline, f"{path} is not done\n{self.child.tail()}"
            time.sleep(PAUSE_SECONDS)
        try:
            return Answer(*result.get(timeout=1))
        except WorkerLostError:
            return None

    def _send(self, path: str) -> AsyncResult:
        """Sends a task; its message comes to the queue when it is whole, for celery reads what it finds."""
        name, _, query = path.lstrip("/").partition("?")
        arguments = [int(part.partition("=")[2]) for part in query.split("&") if part]
        with self.sending:
            result = self.client.send_task(name, arguments)
            for message in (self.folder / "outbox").iterdir():
                message.rename(self.folder / "queue" / message.name)
        return result


def _is_there(result: AsyncResult) -> bool:
    from kombu.exceptions import DecodeError  # noqa: PLC0415

    try:
        return bool(result.ready())
    except DecodeError:
        # It is being written.
        return False


def python(*arguments: str) -> list[str]:
    """Returns the command that runs this interpreter."""
    return [sys.executable, *arguments]
