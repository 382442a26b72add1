"""What the kernel says about processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def is_running(pid: int) -> bool:
    """Tells whether any thread of a process lives; one that only waits to be reaped does not.

    What a process has open stays so until its last thread ends, and the first may be the first to go.

    Args:
        pid: the process.
    """
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return False
    for thread in threads:
        try:
            stat = (thread / "stat").read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if stat.rsplit(") ", 1)[1][0] not in "ZX":
            return True
    return False


def kill(pid: int, *, timeout_seconds: float = 20.0) -> None:
    """Kills a process and waits until all that it had open is closed.

    Args:
        pid: the process.
        timeout_seconds: how long to wait.
    """
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + timeout_seconds
    while is_running(pid):
        assert time.monotonic() < deadline, f"{pid} outlives its kill"
        time.sleep(0.001)
