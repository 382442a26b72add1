"""Times calls of some nanoseconds, several of them in turns."""

from __future__ import annotations

import gc
import time
from itertools import repeat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUNDS = 41
ROUND_SECONDS = 0.004
_TEMPLATE = """
def run(times):
    begin = perf_counter()
    for _ in repeat(None, times):
        {statement}
    return perf_counter() - begin
"""


def compile_loop(statement: str, names: Mapping[str, Any]) -> Any:
    """Returns a function that runs a statement so many times and returns the seconds that it took.

    Args:
        statement: One or more statements in one line.
        names: What it uses; they are local variables, as in a function that a user would write.
    """
    names = {**names, "perf_counter": time.perf_counter, "repeat": repeat}
    head = ", ".join(f"{name}={name}" for name in names)
    source = _TEMPLATE.replace("def run(times)", f"def run(times, {head})").format(statement=statement)
    scope = dict(names)
    exec(source, scope)  # noqa: S102 -- the statements are in this folder
    return scope["run"]


def seconds_per_call(statements: Mapping[str, tuple[str, Mapping[str, Any]]]) -> dict[str, list[float]]:
    """Returns for each statement the seconds that one takes in each round, without those of an empty loop.

    Args:
        statements: By name: a statement, and the names that it uses. They take turns.
    """
    loops = {name: compile_loop(statement, names) for name, (statement, names) in statements.items()}
    empty = compile_loop("pass", {})
    times = {}
    for name, loop in loops.items():
        count = 1
        while (taken := loop(count)) < ROUND_SECONDS / 10:
            count *= 10
        times[name] = max(1, int(count * ROUND_SECONDS / taken))
    taken_by: dict[str, list[float]] = {name: [] for name in loops}
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for name, loop in loops.items():
                nothing = empty(times[name])
                taken_by[name].append((loop(times[name]) - nothing) / times[name])
    finally:
        gc.enable()
    return taken_by
