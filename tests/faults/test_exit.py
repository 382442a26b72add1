"""A process that ends while its values are in memory: they are published if they can be, and else it says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forkmeter
import pytest

from support.exposition import value
from support.forkmeter import dump

# It names the directory by the variable alone, as most programs do.
PROGRAM = """
import os, sys
import forkmeter

forkmeter.Counter("jobs", "Help.").inc(3)
if "free" in sys.argv:
    os.remove(os.environ["PROMETHEUS_MULTIPROC_DIR"])
"""


# Such a child ends without what `atexit` would have it do. It may import the package first, or its parent.
CHILD = f"""
import multiprocessing, sys
if "late" not in sys.argv:
    import forkmeter
child = multiprocessing.get_context(sys.argv[1]).Process(target=exec, args=({PROGRAM!r}, {{}}))
child.start()
child.join()
sys.exit(child.exitcode)
"""
HOW = [(), ("fork",), ("fork", "late"), ("forkserver",), ("forkserver", "late"), ("spawn",)]


@pytest.mark.parametrize("extra", [["free"], []])
@pytest.mark.parametrize("how", HOW, ids="-".join)
def test_a_process_that_ends(tmp_path: Path, how: tuple[str, ...], extra: list[str]) -> None:
    """A moment after the directory could not be made it may be possible, and there is no later."""
    directory = tmp_path / "metrics"
    directory.write_text("in the way", encoding="utf-8")
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory)}
    environment["PYTHONPATH"] = str(Path(forkmeter.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", CHILD if how else PROGRAM, *how, *extra],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if extra:
        assert done.stderr == ""
        assert value(dump(directory), "jobs_total") == 3
    else:
        assert "1 series are lost with process" in done.stderr
        assert str(directory) in done.stderr
