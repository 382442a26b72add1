"""Builds what does nothing in the same way as a timer: the least that a `with` block which is timed can take."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("floor.c")


def empty_block(folder: Path) -> Any | None:
    """Returns a context manager of C that reads the clock at both ends; nothing where there is no compiler.

    Args:
        folder: Where the module that has it is built.
    """
    built = folder / f"floor_block{sysconfig.get_config_var('EXT_SUFFIX')}"
    compiler = shlex.split(os.environ.get("CC", "cc"))
    include = f"-I{sysconfig.get_path('include')}"
    try:
        command = [*compiler, "-O2", "-shared", "-fPIC", include, str(SOURCE), "-o", str(built)]
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    spec = spec_from_file_location("floor_block", built)
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Block()
