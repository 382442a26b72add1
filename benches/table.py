"""What a benchmark measured: rows of a table, each with both sides of one run and the ratio that is asked for.

A program of this folder prints its rows as JSON, a line each, with :func:`emit`; `benches/run.py` makes the table.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass

UNITS = {
    "ns": (1e-9, "ns"),
    "us": (1e-6, "us"),
    "ms": (1e-3, "ms"),
    "s": (1.0, "s"),
    "MiB": (1 << 20, "MiB"),
    "": (1.0, ""),
}


@dataclass(frozen=True)
class Row:
    """Is one comparison.

    Args:
        case: What was done.
        peer: Who else did it, with its version.
        theirs: What it took them in each round: seconds, bytes, or a count.
        ours: The same of forkmeter.
        unit: One of `UNITS`, to print in.
        asked: How many times less it is to take us.
        floor: What it takes to do nothing in the same way, in the same run.
        floor_case: What that nothing is.
    """

    case: str
    peer: str
    theirs: list[float]
    ours: list[float]
    unit: str
    asked: float
    floor: float | None = None
    floor_case: str = ""

    @property
    def ratio(self) -> float:
        """How many times less it took us, by the medians."""
        return statistics.median(self.theirs) / statistics.median(self.ours)

    @property
    def is_reached(self) -> bool:
        """Whether that is what was asked for."""
        return self.ratio >= self.asked

    def verdict(self) -> str:
        """Returns "reached", or what doing nothing takes: the floor, unless ours is below it already."""
        if self.is_reached:
            return "reached"
        if self.floor is None:
            return "not reached"
        most = statistics.median(self.theirs) / self.floor
        nothing = f"{self.floor_case} takes {figure([self.floor], self.unit)}"
        if self.floor > statistics.median(self.ours):
            return f"not reached; {nothing}, which would be {most:.1f}x"
        return f"not reached; floor: {nothing}, {most:.1f}x at most"


def emit(row: Row) -> None:
    """Prints a row for `benches/run.py`."""
    print(json.dumps(asdict(row)), flush=True)


def figure(values: list[float], unit: str) -> str:
    """Formats the median, and the spread of the middle half where there is one."""
    scale, name = UNITS[unit]
    numbers = [value / scale for value in values]
    median = f"{statistics.median(numbers):.3g} {name}".rstrip()
    if len(numbers) < 4:
        return median
    low, _, high = statistics.quantiles(numbers, n=4)
    return f"{median} ({low:.3g} to {high:.3g})"


def markdown(rows: list[Row]) -> str:
    """Returns the table."""
    lines = ["| case | peer | takes | forkmeter takes | ratio | asked | |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {row.case} | {row.peer} | {figure(row.theirs, row.unit)} | {figure(row.ours, row.unit)} "
        f"| {row.ratio:.3g}x | {row.asked:g}x | {row.verdict()} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"
