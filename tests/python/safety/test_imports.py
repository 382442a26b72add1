"""What the first import loads; `benches/import_time.py` says how long it takes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support.safety import package_folder

# Each costs more than one of our modules, and most programs that count need none of them.
LATE = [
    "asyncio",
    "forkmeter._configure",
    "forkmeter._push",
    "forkmeter._server",
    "forkmeter.asgi",
    "forkmeter.exposition",
    "forkmeter.mmap_dict",
    "forkmeter.multiprocess",
    "forkmeter.parser",
    "gzip",
    "http",
    "inspect",
    "json",
    "logging",
    "mmap",
    "pathlib",
    "platform",
    "socket",
    "ssl",
    "tempfile",
    "urllib",
    "wsgiref",
]


def test_import_leaves_for_later_what_few_programs_need() -> None:
    code = (
        "import sys; before = set(sys.modules); import forkmeter; loaded = sorted(set(sys.modules) - before); "
        "import json; print(json.dumps(loaded))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": package_folder()}, check=True, stdout=subprocess.PIPE
    )
    loaded = json.loads(done.stdout)
    assert "forkmeter.metrics" in loaded
    assert [name for name in LATE if name in loaded] == []


@pytest.mark.parametrize("name", ["asgi", "bridge.graphite", "exposition", "metrics", "multiprocess", "values"])
def test_each_module_can_be_the_first_import(name: str) -> None:
    code = f"import forkmeter.{name}"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": package_folder()}, check=True)


def test_what_is_imported_late_is_there() -> None:
    code = (
        "import forkmeter; names = set(dir(forkmeter)); "
        "assert {'configure', 'status', 'Status', 'Worker', 'generate_latest'} <= names; "
        "assert forkmeter.status().mode == 'single'; "
        "from forkmeter import configure, values; configure(None); "
        "from forkmeter.values import MmapedDict, mmap_key"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": package_folder()}, check=True)
