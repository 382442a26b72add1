"""The code of the guide runs, and the table of options has them all."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import forkmeter
import pytest
from forkmeter import starlette, wsgi

GUIDE = (Path(__file__).parents[3] / "docs" / "http.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)

TRY = """
import asyncio
from forkmeter import generate_latest
from python.http.driving import drive
if "shop" in globals():
    assert shop.test_client().get("/users/7").status_code == 404
    assert b'route="unmatched"' in shop.test_client().get("/metrics").data
else:
    asyncio.run(drive(app, "GET", "/users/7"))
assert b"requests_in_progress{" in generate_latest() or b'handler="/users/{user_id}"' in generate_latest() or (
    b'handler="none"' in generate_latest()
)
"""


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_code_runs(block: str) -> None:
    # In a program of its own: all register in the default registry.
    source = str(Path(forkmeter.__file__).parents[1])
    tests = str(Path(__file__).parents[2])
    program = f"import sys; sys.path[:0] = {[source, tests]!r}\n{block}\n{TRY}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", [starlette, wsgi])
def test_every_option_is_in_the_table(module: object) -> None:
    signature = inspect.signature(module.PrometheusMiddleware)  # type: ignore[attr-defined]
    options = re.findall(r"^\| `(\w+)` \|", GUIDE.partition("## Options")[2].partition("\n## ")[0], re.MULTILINE)
    assert options == [name for name in signature.parameters if name != "app"]


@pytest.mark.parametrize("module", ["asgi", "exposition", "fastapi", "http", "starlette", "wsgi"])
def test_modules_can_be_imported_first(module: str) -> None:
    source = str(Path(forkmeter.__file__).parents[1])
    program = f"import sys; sys.path.insert(0, {source!r}); import forkmeter.{module}; print('flask' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
