"""Child processes that never outlive the demo: not after Ctrl-C, an error, or a kill."""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ChildFailedError(RuntimeError):
    """A child process ended, or did not become ready."""


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stop_with_parent() -> None:
    """Asks the kernel to terminate this new child when its parent dies, even by SIGKILL."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """One child process with a session of its own: Ctrl-C reaches only the demo, which stops it in order."""

    def __init__(self, name: str, command: Sequence[str], log: Path, *, environment: dict[str, str]) -> None:
        """Starts the child.

        Args:
            name: what to call it in messages.
            command: the program and its arguments.
            log: the file that takes what it prints.
            environment: all its environment variables.
        """
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
                preexec_fn=stop_with_parent,  # noqa: PLW1509 - the demo has no thread yet when it starts children
            )

    def wait_ready(self, port: int, path: str | None, *, timeout_seconds: float = 30.0) -> None:
        """Waits until the child listens and answers with a status below 400.

        Args:
            port: where it listens on 127.0.0.1.
            path: what to ask for; None asks nothing, it is enough that a connection is accepted.
            timeout_seconds: how long to go on trying.

        Raises:
            ChildFailedError: it ended, or it was not ready in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            self.check()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=2).close()
                if path is not None:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise ChildFailedError(f"{self.name} is not ready on port {port}\n{self.tail()}")

    def check(self) -> None:
        """Raises ChildFailedError where the child has ended."""
        code = self.process.poll()
        if code is not None:
            raise ChildFailedError(f"{self.name} ended with {code}\n{self.tail()}")

    def tail(self) -> str:
        """Returns the last lines that it printed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"  {self.name}: {line}" for line in lines[-15:])

    def stop(self, *, timeout_seconds: float = 10.0) -> None:
        """Ends the child: politely first, by force after `timeout_seconds`."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
