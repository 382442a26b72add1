"""What the package says to interpreters that it does not support."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import forkmeter

from support.skipping import skip

# The module's name until Python 3.12, and since.
NAMES = ("_xxsubinterpreters", "_interpreters")

PROGRAM = """
import sys
import {module} as interpreters

sys.path.insert(0, {folder!r})
import forkmeter

code = '''
import sys
sys.path.insert(0, {folder!r})
try:
    import forkmeter
except ImportError as error:
    print("refused:", error, flush=True)
'''
interpreters.run_string(interpreters.create(), code)
forkmeter.Counter("jobs", "Jobs.").inc()
print(forkmeter.REGISTRY.get_sample_value("jobs_total"))
"""


def test_a_second_interpreter_is_refused_and_the_first_goes_on() -> None:
    module = next((name for name in NAMES if name in sys.builtin_module_names or _exists(name)), None)
    if module is None:
        skip("this interpreter cannot make others")
    assert forkmeter.__file__
    folder = str(Path(forkmeter.__file__).parent.parent)
    code = PROGRAM.format(module=module, folder=folder)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    refused, value = done.stdout.decode().splitlines()
    assert refused.startswith("refused: ")
    assert "interpreter" in refused
    assert value == "1.0"


def _exists(name: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(name) is not None
