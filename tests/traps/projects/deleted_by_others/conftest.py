"""Another process deletes the files before every test: `rm`, or a forked child."""

from __future__ import annotations

import glob
import itertools
import os
import subprocess
import tempfile

import pytest

os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp())


def delete(how: str) -> None:
    files = glob.glob(os.path.join(os.environ["PROMETHEUS_MULTIPROC_DIR"], "*.db"))
    if how == "rm":
        subprocess.run(["rm", "-f", *files], check=True)
        return
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for file in files:
                os.remove(file)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


WAYS = itertools.cycle(["rm", "fork"])


@pytest.fixture(autouse=True)
def no_files() -> None:
    delete(next(WAYS))
