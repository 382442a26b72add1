"""Reads the headers by which a client says what it takes."""

from __future__ import annotations

import re

# A comma that does not stand in quotes.
_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')


def media_ranges(accept_header: str) -> list[tuple[str, dict[str, str], float]]:
    """Splits an `Accept` header.

    Args:
        accept_header: The header, or an empty text.

    Returns:
        Type in lower case, parameters with names in lower case, and q-value of every media range, in their order.
    """
    items = _COMMA.split(accept_header) if '"' in accept_header else accept_header.split(",")
    return [(name.lower(), parameters, _quality(parameters)) for name, parameters in map(_split_item, items) if name]


def gzip_accepted(accept_encoding_header: str | None) -> bool:
    """Tells whether a response may be compressed with gzip.

    Note: differs
        `q=0` refuses, and `*` accepts; the official client sees neither.

    Args:
        accept_encoding_header: The `Accept-Encoding` header, None or empty where there is none.
    """
    return coding_accepted(accept_encoding_header, {"gzip", "x-gzip"})


def coding_accepted(accept_encoding_header: str | None, names: set[str]) -> bool:
    """Tells whether a response may be in a coding.

    Args:
        accept_encoding_header: The `Accept-Encoding` header, None or empty where there is none.
        names: The coding's names, in lower case.
    """
    by_name = by_wildcard = None
    for item in (accept_encoding_header or "").split(","):
        coding, parameters = _split_item(item)
        if coding.lower() in names:
            by_name = _quality(parameters) > 0
        elif coding == "*":
            by_wildcard = _quality(parameters) > 0
    return bool(by_wildcard if by_name is None else by_name)


def _split_item(item: str) -> tuple[str, dict[str, str]]:
    name, *rest = item.split(";")
    parameters: dict[str, str] = {}
    for parameter in rest:
        key, separator, value = parameter.partition("=")
        if separator:
            parameters.setdefault(key.strip().lower(), value.strip().strip('"'))
    return name.strip(), parameters


def _quality(parameters: dict[str, str]) -> float:
    """Returns the q-value; one that cannot be read counts as absent, which is 1."""
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        return 1.0
    return min(max(quality, 0.0), 1.0) if quality == quality else 1.0  # noqa: PLR0124 -- not a number
