"""Builds what does nothing, or the least, in the way of a metric: the floors of a timed block and of a new child."""

from __future__ import annotations

import mmap
import os
import shlex
import subprocess
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("floor.c")
# More than all rounds append.
FILE_BYTES = 64 << 20


def build(folder: Path) -> Any | None:
    """Returns the module of C; nothing where there is no compiler.

    Args:
        folder: Where it is built.
    """
    built = folder / f"floor_module{sysconfig.get_config_var('EXT_SUFFIX')}"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    include = f"-I{sysconfig.get_path('include')}"
    try:
        command = [*compiler, "-O2", "-shared", "-fPIC", include, str(SOURCE), "-o", str(built)]
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    spec = spec_from_file_location("floor_module", built)
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def least_family(module: Any, folder: Path) -> Any:
    """Returns what has children as a counter of two labels: it makes them, keeps them and writes their entries.

    Args:
        module: What `build` returned.
        folder: Where its file is made.
    """
    with (folder / "least.db").open("w+b") as file:
        file.truncate(FILE_BYTES)
        memory = mmap.mmap(file.fileno(), FILE_BYTES)
    # As the classes of metrics, it has a `__dict__` because it is of Python.
    return module.Family(type("Child", (module.Child,), {}), memory)
