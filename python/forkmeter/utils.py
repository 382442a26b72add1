"""How numbers are written in an exposition, and versions compared."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import SupportsFloat

__all__ = ("INF", "MINUS_INF", "NaN", "floatToGoString", "parse_version")

INF = float("inf")
MINUS_INF = float("-inf")
NaN: float = float("nan")

# Python writes sixteen digits before the point before it takes to an exponent; here one begins with the seventh.
_LONGEST_WHOLE_PART = 6


def floatToGoString(d: SupportsFloat | str) -> str:  # noqa: N802 -- the name that dependents import
    """Writes a number as Go writes it, so that `le` and `quantile` labels agree between clients.

    Args:
        d: Anything that `float` takes. None and containers are refused.

    Returns:
        `+Inf`, `-Inf`, `NaN`, or the shortest decimal text; positive numbers have an exponent from a
        million on.

    Raises:
        TypeError: `d` is not a number.
        ValueError: `d` is text that is not a number.
    """
    number = float(d)
    text = repr(number)
    point = text.find(".")
    if number > 0 and point > _LONGEST_WHOLE_PART:
        digits = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
        return f"{digits}e+{point - 1:02d}"
    if point >= 0:
        return text
    if number == INF:
        return "+Inf"
    if number == MINUS_INF:
        return "-Inf"
    return "NaN" if isnan(number) else text


def parse_version(version_str: str) -> tuple[int | str, ...]:
    """Splits a version at its points; what reads as a number becomes one.

    Args:
        version_str: For example `1.0.0`.

    Returns:
        Its parts, ready to be compared with a tuple of the same shape.
    """
    return tuple(_number_or_text(part) for part in version_str.split("."))


def _number_or_text(part: str) -> int | str:
    try:
        return int(part)
    except ValueError:
        return part
