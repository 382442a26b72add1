"""Runs the program of the safety tests, in either mode."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forkmeter

PROGRAM = Path(__file__).parent.parent / "python" / "safety" / "program.py"
# Far more than any scenario needs; what hangs is ended by an alarm of its own. Shorter than the limit of the tests, so
# that the output is shown.
LIMIT_SECONDS = 500
MAX_FILES = 100


def package_folder() -> str:
    """Returns where the package that is tested stands."""
    assert forkmeter.__file__
    return str(Path(forkmeter.__file__).parent.parent)


def run_program(directory: Path | None, *arguments: str) -> str:
    """Runs a scenario to its end.

    Args:
        directory: where values are shared; nothing for a lone process.
        arguments: of the program.

    Returns:
        What it printed.
    """
    environment = {name: value for name, value in os.environ.items() if "multiproc" not in name.lower()}
    environment["PYTHONPATH"] = package_folder()
    if directory:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(PROGRAM), *arguments]
    done = subprocess.run(
        command, env=environment, timeout=LIMIT_SECONDS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output[-4000:]
    if directory:
        # Children that died by the thousand leave a bounded number of files.
        assert len(list(directory.iterdir())) < MAX_FILES
    return output
