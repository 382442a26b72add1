"""What a failed comparison says, and which series is nearest to one that is missing."""

from __future__ import annotations

import contextlib
import json
import math
from typing import TYPE_CHECKING, NamedTuple

from ..utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..samples import Sample

PID = "pid"


class Found(NamedTuple):
    """A sample and the family that it belongs to.

    Attributes:
        family: The family's name.
        type: The family's type.
        sample: The sample.
    """

    family: str
    type: str
    sample: Sample


def is_same(one: float, other: float) -> bool:
    """Tells whether two values are the same to a test: equal, or both not a number."""
    return one == other or (math.isnan(one) and math.isnan(other))


def number(value: float) -> str:
    """Writes a value as expositions do."""
    return floatToGoString(value)


def series(name: str, labels: Mapping[str, str]) -> str:
    """Writes a series as expositions do, with its labels in order."""
    pairs = ",".join(f"{label}={quoted(value)}" for label, value in sorted(labels.items()))
    return f"{name}{{{pairs}}}" if pairs else name


def quoted(text: str) -> str:
    """Writes a label value in quotes."""
    return json.dumps(text, ensure_ascii=False)


def find(samples: Iterable[Found], name: str, labels: Mapping[str, str]) -> Found | None:
    """Looks a sample up by all its labels, but `pid` where that is not asked for and tells nothing apart."""
    near = []
    for found in samples:
        sample = found.sample
        if sample.name != name:
            continue
        if sample.labels == labels:
            return found
        if found.type in {"gauge", "unknown"} and PID not in labels and without_pid(sample.labels) == labels:
            near.append(found)
    return near[0] if len(near) == 1 else None


def as_exposed(labels: Mapping[str, object]) -> dict[str, str]:
    """Returns labels as expositions write them: values as text, bounds and quantiles as numbers are written."""
    texts = {name: value if isinstance(value, str) else str(value) for name, value in labels.items()}
    for name in ("le", "quantile"):
        if name in texts:
            with contextlib.suppress(ValueError):
                texts[name] = floatToGoString(float(texts[name]))
    return texts


def without_pid(labels: Mapping[str, str]) -> dict[str, str]:
    """Returns labels without that of the process."""
    return {name: value for name, value in labels.items() if name != PID}


def nearest(name: str, labels: Mapping[str, str], samples: Iterable[Found], indent: str) -> str:
    """Describes the sample that is most like one that is missing.

    Args:
        name: The sample's name.
        labels: Its labels.
        samples: What there is.
        indent: What each line begins with.

    Returns:
        Lines, each after a line break.
    """

    def distance(sample: Sample) -> tuple[int, int, int]:
        of_values = sum(edits(value, sample.labels.get(label, "")) for label, value in labels.items())
        return edits(name, sample.name), len(differences(labels, sample.labels)), of_values

    found = min((found.sample for found in samples), key=distance, default=None)
    if found is None:
        return f"\n{indent}nothing is exposed"
    # Names that share next to nothing are no help.
    if edits(name, found.name) > len(name) // 2:
        return f"\n{indent}no series has a name like it"
    lines = [f"nearest is {series(found.name, found.labels)} {number(found.value)}"]
    if found.name != name:
        lines.append(f"  name: expected {name}, found {found.name}")
    lines.extend(f"  {difference}" for difference in differences(labels, found.labels))
    return "".join(f"\n{indent}{line}" for line in lines)


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Says how labels differ, one label a line."""
    lines = []
    for name, value in sorted(expected.items()):
        if name not in found:
            lines.append(f"{name}: expected {quoted(value)}, found no such label")
        elif found[name] != value:
            lines.append(f"{name}: expected {quoted(value)}, found {quoted(found[name])}")
    lines.extend(
        f"{name}: expected no such label, found {quoted(value)}"
        for name, value in sorted(found.items())
        if name not in expected
    )
    return lines


def edits(one: str, other: str) -> int:
    """Counts the characters to insert, remove or replace to make one text of the other."""
    row = list(range(len(other) + 1))
    for i, from_one in enumerate(one):
        diagonal, row[0] = row[0], i + 1
        for j, from_other in enumerate(other):
            replaced = diagonal + (from_one != from_other)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, diagonal + 1, row[j] + 1)
    return row[-1]
