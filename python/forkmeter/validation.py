"""Which names metrics, labels and exemplars may have.

Two schemes exist: the legacy one allows ASCII letters, digits, underscores and colons; the other one, in force unless
`PROMETHEUS_LEGACY_NAME_VALIDATION` or a call says otherwise, allows every UTF-8 text.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

METRIC_NAME_RE = re.compile(r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")
METRIC_LABEL_NAME_RE = re.compile(r"^[a-zA-Z_][a-zA-Z0-9_]*$")
RESERVED_METRIC_LABEL_NAME_RE = re.compile(r"^__.*$")

_MAX_EXEMPLAR_CHARACTERS = 128


def _init_legacy_validation() -> bool:
    """Reads the environment's choice."""
    return os.environ.get("PROMETHEUS_LEGACY_NAME_VALIDATION", "False").lower() in {"true", "1", "t"}


_legacy_validation = _init_legacy_validation()


def get_legacy_validation() -> bool:
    """Tells whether names are held to the legacy scheme now."""
    return _legacy_validation


def disable_legacy_validation() -> None:
    """Allows every UTF-8 name from now on, in the whole process."""
    global _legacy_validation  # noqa: PLW0603 -- one switch for the process is the interface
    _legacy_validation = False


def enable_legacy_validation() -> None:
    """Allows names of the legacy scheme only from now on, in the whole process."""
    global _legacy_validation  # noqa: PLW0603 -- one switch for the process is the interface
    _legacy_validation = True


def _is_utf8(text: str) -> bool:
    """Tells whether the text can be sent; lone surrogates cannot."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _is_valid_legacy_metric_name(name: str) -> bool:
    """Tells whether a metric name follows the legacy scheme, whatever the scheme in force."""
    return METRIC_NAME_RE.fullmatch(name) is not None and name[-1] != "\n"


def _is_valid_legacy_labelname(l: str) -> bool:  # noqa: E741 -- keyword of the official client
    """Tells whether a label name follows the legacy scheme and is not reserved, whatever the scheme in force."""
    return _matches_label_name(l) and not l.startswith("__")


def _matches_label_name(name: str) -> bool:
    return METRIC_LABEL_NAME_RE.fullmatch(name) is not None and name[-1] != "\n"


def _validate_metric_name(name: str) -> None:
    """Checks a metric name by the scheme in force.

    Raises:
        ValueError: The name is empty or not allowed.
    """
    if not name:
        raise ValueError("metric name cannot be empty")
    if not _is_utf8(name) or (_legacy_validation and not _is_valid_legacy_metric_name(name)):
        raise ValueError("invalid metric name " + name)


def _validate_metric_label_name_token(tok: str) -> None:
    """Checks a label name as it stands in an exposition, where names outside the legacy scheme are quoted.

    Raises:
        ValueError: The name is empty or not allowed.
    """
    is_quoted = tok.startswith('"') and tok.endswith('"')
    is_valid = _is_utf8(tok) if is_quoted and not _legacy_validation else _matches_label_name(tok)
    if not is_valid:
        raise ValueError("invalid label name token " + tok)


def _validate_labelname(l: str) -> None:  # noqa: E741 -- keyword of the official client
    """Checks a label name by the scheme in force.

    Raises:
        ValueError: The name is not allowed, or begins with two underscores.
    """
    if not (_matches_label_name(l) if get_legacy_validation() else _is_utf8(l)):
        raise ValueError("Invalid label metric name: " + l)
    if RESERVED_METRIC_LABEL_NAME_RE.match(l):
        raise ValueError("Reserved label metric name: " + l)


def _validate_labelnames(cls: Any, labelnames: Iterable[str]) -> tuple[str, ...]:
    """Checks the label names of a metric.

    Args:
        cls: The metric's class, whose `_reserved_labelnames` are refused.
        labelnames: The names, in the order in which values will be given.

    Returns:
        The names as a tuple.

    Raises:
        ValueError: A name is not allowed.
    """
    names = tuple(labelnames)
    for name in names:
        _validate_labelname(name)
        if name in cls._reserved_labelnames:
            # The odd words are the official client's, and programs may match on them.
            raise ValueError("Reserved label methe fric name: " + name)
    return names


def _validate_exemplar(exemplar: Mapping[str, str]) -> None:
    """Checks the labels of an exemplar.

    Raises:
        ValueError: A name is not allowed, or all of them and their values are too long together.
    """
    characters = 0
    for name, value in exemplar.items():
        _validate_labelname(name)
        characters += len(name) + len(value)
    if characters > _MAX_EXEMPLAR_CHARACTERS:
        raise ValueError(
            f"Exemplar labels have {characters} UTF-8 characters, exceeding the limit of {_MAX_EXEMPLAR_CHARACTERS}"
        )
