"""Workers that count as they are told: the official client's, and forkmeter's."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.skipping import skip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Self

ANSWER_TIMEOUT_SECONDS = 30
OFFICIAL = [sys.executable, str(Path(__file__).with_name("official_worker.py"))]
Operation = dict[str, Any]


def forkmeter_driver() -> list[str]:
    """Returns the command of forkmeter's worker; skips the test where it was not built."""
    path = os.environ.get("FORKMETER_DRIVER")
    if not path or not Path(path).exists():
        skip("FORKMETER_DRIVER names no program: run `make test-python`")
    return [path]


class Worker:
    """One process that takes operations, a JSON object a line, and counts in a directory."""

    def __init__(self, command: Sequence[str], directory: Path, **environment: str) -> None:
        """Starts the worker.

        Args:
            command: `OFFICIAL` or `forkmeter_driver()`.
            directory: its `PROMETHEUS_MULTIPROC_DIR`.
            environment: more variables.
        """
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory), **environment},
        )
        self.answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                self.answers.put(line)
        self.answers.put(b"")

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def do(self, *operations: Operation) -> Self:
        """Does operations and waits until they are done.

        Args:
            operations: each as a method of `OfficialWorker`, whose name stands under `op`.
        """
        self.send(operations)
        self.sync()
        return self

    def send(self, operations: Iterable[Operation]) -> None:
        """Hands operations over without waiting."""
        assert self.process.stdin is not None
        text = "".join(json.dumps(operation) + "\n" for operation in operations)
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def ask(self, operation: Operation) -> dict[str, Any]:
        """Does one operation that has an answer, and returns it."""
        self.send([operation])
        answer = self.answers.get(timeout=ANSWER_TIMEOUT_SECONDS)
        assert answer, f"the worker ended with {self.process.wait(ANSWER_TIMEOUT_SECONDS)}"
        decoded: dict[str, Any] = json.loads(answer)
        return decoded

    def sync(self) -> None:
        """Waits until all that was sent is done."""
        self.ask({"op": "sync"})

    def end(self) -> None:
        """Lets the worker come to its end, and checks that it ended well."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        code = self.process.wait(ANSWER_TIMEOUT_SECONDS)
        self.listener.join(ANSWER_TIMEOUT_SECONDS)
        assert code == 0, f"the worker ended with {code}"

    def kill(self) -> None:
        """Kills the worker in the middle of whatever it does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(ANSWER_TIMEOUT_SECONDS)
        self.listener.join(ANSWER_TIMEOUT_SECONDS)
        assert self.process.stdin is not None
        # What was not taken cannot be flushed any more.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def __enter__(self) -> Self:
        """Returns the worker itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Makes sure that nothing stays behind."""
        assert self.process.stdin is not None
        if not self.process.stdin.closed:
            self.kill()
