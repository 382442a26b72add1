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

# Label values that are easily written or read wrong.
AWKWARD = (
    "",
    " ",
    'quote " quote',
    "back \\ slash",
    "line\nbreak",
    "both \\n and \n",
    "tab\tand\rreturn",
    "Grüße, 世界 🦀",
    "\x00\x01\x7f\x80\xa0\u2028\ufeff\U0010ffff",
    "{a=\"b\"} 1 # comma, 'quote'",
    "x" * 3000,
)


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
