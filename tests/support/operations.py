"""What workers are told: families, and operations on them, as plain data."""

from __future__ import annotations

from typing import Any

MODES = (
    "all",
    "liveall",
    "min",
    "livemin",
    "max",
    "livemax",
    "sum",
    "livesum",
    "mostrecent",
    "livemostrecent",
)

Operation = dict[str, Any]


def declare(kind: str, name: str, *labels: str, **options: Any) -> Operation:
    """Makes a family known to a worker.

    Args:
        kind: `counter`, `gauge`, `histogram` or `summary`.
        name: its name without suffix.
        labels: its label names.
        options: `help`, `mode`, `buckets`.
    """
    defaults = {"help": f"Something that the test counts as {name}."}
    return {
        "op": "declare",
        "type": kind,
        "name": name,
        "labels": list(labels),
        **defaults,
        **options,
    }


def act(op: str, name: str, *labels: str, value: float | str | None = None) -> Operation:
    """Does something with one series.

    Args:
        op: `touch`, `inc`, `set` or `observe`.
        name: the family.
        labels: the label values.
        value: what to count; `"NaN"`, `"+Inf"` and `"-Inf"` are strings, for JSON has none of them.
    """
    operation: Operation = {"op": op, "name": name, "labels": list(labels)}
    if value is not None:
        operation["value"] = value
    return operation
