"""The demo: it ends with 0 only where the numbers agree, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from demo import Merged, compare, compare_workers
from load import Answered, Outcome
from support.forkmeter import command

DEMO = Path(__file__).resolve().parents[2] / "demo" / "demo.py"
ITEMS = Answered("GET", "/items/{item}", "200")


def test_the_demo_agrees() -> None:
    """With `--once` the demo sends, compares, prints tables and ends with 0."""
    done = subprocess.run(
        [sys.executable, str(DEMO), "--forkmeter", command(), "--once", "--requests", "1000"],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The numbers agree." in done.stdout
    assert len(re.findall(r"GET +/items/\{item\} +200 +(\d+) +\1\n", done.stdout)) == 2
    assert len(re.findall(r"worker \d+ +says that 1000 requests", done.stdout)) == 4
    assert "all 4 expositions are equal" in done.stdout


@pytest.mark.parametrize(
    ("sent", "merged"),
    [
        (Outcome(Counter({ITEMS: 5}), []), Merged(Counter({ITEMS: 4}), Counter({ITEMS.route: 5}), 0)),
        (Outcome(Counter({ITEMS: 5}), []), Merged(Counter({ITEMS: 5}), Counter({ITEMS.route: 6}), 0)),
        (Outcome(Counter({ITEMS: 5}), []), Merged(Counter({ITEMS: 5}), Counter({ITEMS.route: 5}), 1)),
        (Outcome(Counter({ITEMS: 5}), ["reset"]), Merged(Counter({ITEMS: 5}), Counter({ITEMS.route: 5}), 0)),
        (Outcome(Counter(), []), Merged(Counter({ITEMS: 1}), Counter({ITEMS.route: 1}), 0)),
        (Outcome(Counter(), []), Merged(Counter(), Counter(), 0)),
    ],
)
def test_the_demo_notices_disagreement(sent: Outcome, merged: Merged) -> None:
    """A lost or doubled request, observation, a stuck gauge, a failure, or nothing at all: none is agreement."""
    assert compare(sent, merged)


def test_the_demo_notices_workers_that_differ() -> None:
    """A missing worker or a single other value is seen; what goes on between two scrapes is left out."""
    text = "# TYPE process_open_fds gauge\nprocess_open_fds {}\nx_total {}\n"
    assert not compare_workers({"7": text.format(1, 2), "8": text.format(3, 2)}, 2)
    assert compare_workers({"7": text.format(1, 2), "8": text.format(1, 3)}, 2)
    assert compare_workers({"7": text.format(1, 2)}, 2)
    assert compare_workers({}, 2)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_behind(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C, a termination or a kill of the demo ends the service with all its workers, and the exporter."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    demo = subprocess.Popen(
        [sys.executable, str(DEMO), "--forkmeter", command(), "--requests", "100"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert demo.stdout is not None
    with demo, demo.stdout as lines:
        for line in lines:
            if "Ctrl-C ends it." in line:
                break
        started = processes_of(tmp_path)
        assert len(started) >= 12, "two supervisors with four workers each, forkmeter run, and the exporter"
        demo.send_signal(how)
        code = demo.wait(60)
    deadline = time.monotonic() + 30
    while (left := processes_of(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
    assert code == (-signal.SIGKILL if how == signal.SIGKILL else 0)
    if how != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == [], "the demo left files behind"


def processes_of(folder: Path) -> list[int]:
    """Returns the processes other than the demo itself that name a folder in their arguments or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            arguments = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in text and DEMO.name.encode() not in arguments:
            found.append(int(process.name))
    return found
