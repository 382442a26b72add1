"""Reads OpenMetrics, strictly where the specification allows a reader no choice.

Lines as clients write them are taken apart by one regular expression each; every other line goes through functions that
know all that may stand in it. Both give the same result.
"""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING

from ..metrics_core import Metric as Metric  # noqa: TC001 -- for dependents
from ..parser import (  # noqa: F401 -- some are here for dependents only
    _METRIC_NAME,
    _PLAIN_LABELS,
    _PLAIN_NUMBER,
    ESCAPE_SEQUENCES,
    ESCAPING_RE,
    _is_character_escaped,
    _last_unquoted_char,
    _next_unquoted_char,
    _parse_plain_labels,
    _parse_value,
    _replace_escaping,
    _split_quoted,
    _take_name,
    _unquote_unescape,
    parse_labels,
)
from ..parser import (  # noqa: F401 -- as above
    replace_escape_sequence as _replace_escape_sequence,
)
from ..samples import BucketSpan as BucketSpan
from ..samples import Exemplar, Sample, Timestamp
from ..samples import NativeHistogram as NativeHistogram
from ..validation import _is_valid_legacy_metric_name
from ._family import (  # noqa: F401 -- as above
    TYPE_SUFFIXES,
    Family,
    _check_histogram,
    _group_for_sample,
    _isUncanonicalNumber,
    _unescape_help,
)
from ._native_histogram import (  # noqa: F401 -- as above
    _compose_deltas,
    _compose_spans,
    _parse_nh_sample,
    _parse_nh_struct,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Optional, TextIO, Union

    Time = Optional[Union[float, Timestamp]]
    Group = tuple[tuple[str, str], ...]

__all__ = ("text_fd_to_metric_families", "text_string_to_metric_families")

_PLAIN_SAMPLE = re.compile(rf"({_METRIC_NAME})(?:\{{({_PLAIN_LABELS})\}})? ({_PLAIN_NUMBER})(?: ({_PLAIN_NUMBER}))?")
_PLAIN_METADATA = re.compile(rf"# ([A-Z]+) ({_METRIC_NAME}) (.+)", re.DOTALL)

_MAX_EXEMPLAR_CHARACTERS = 128
_NANOSECOND_DIGITS = 9


def _parse_timestamp(timestamp: str | Iterable[str]) -> Time:
    """Reads a timestamp, to the nanosecond where it is written without an exponent.

    Returns:
        The timestamp, or None for an empty text.

    Raises:
        ValueError: It is not a finite number, or has underscores or whitespace, which Python would allow.
    """
    text = "".join(timestamp)
    if not text:
        return None
    if text != text.strip() or "_" in text:
        raise ValueError(f"Invalid timestamp: {text!r}")
    seconds, point, fraction = text.partition(".")
    try:
        if point:
            return Timestamp(int(seconds), int(fraction[:_NANOSECOND_DIGITS].ljust(_NANOSECOND_DIGITS, "0")))
        return Timestamp(int(seconds), 0)
    except ValueError:
        number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"Invalid timestamp: {text!r}")
    return number


def _parse_sample(text: str) -> Sample:
    """Reads the line of a sample.

    Raises:
        ValueError: It is not one.
    """
    return _parse_plain_sample(text) or _parse_any_sample(text)


def _parse_plain_sample(text: str) -> Sample | None:
    match = _PLAIN_SAMPLE.fullmatch(text)
    if match is None:
        return None
    name, labels_string, value, timestamp = match.groups()
    labels = _parse_plain_labels(labels_string)
    if labels is None:
        return None
    return Sample(name, labels, _parse_value(value), _parse_timestamp(timestamp) if timestamp else None)


def _parse_any_sample(text: str) -> Sample:
    label_start = _next_unquoted_char(text, "{")
    if label_start == -1 or " # " in text[:label_start]:
        # The brace, if any, is that of an exemplar.
        name_end = _next_unquoted_char(text, " ")
        name = text[:name_end]
        if name_end == -1 or not _is_valid_legacy_metric_name(name):
            raise ValueError("invalid metric name:" + text)
        return Sample(name, {}, *_parse_remaining_text(text[name_end + 1 :]))
    label_end = _next_unquoted_char(text, "}")
    if label_end < label_start:
        raise ValueError("missing close brace: " + text)
    labels = parse_labels(text[label_start + 1 : label_end], openmetrics=True)
    name = _take_name(text[:label_start], labels)
    # One character, whatever it is, separates labels and value.
    return Sample(name, labels, *_parse_remaining_text(text[label_end + 2 :]))


def _parse_remaining_text(text: str) -> tuple[float, Time, Exemplar | None]:
    """Reads what follows name and labels: a value, and possibly a timestamp and an exemplar.

    Raises:
        ValueError: It cannot be read.
    """
    value_text, separator, rest = text.partition(" ")
    value = _parse_value(value_text)
    if not separator:
        return value, None, None
    timestamp = ""
    if not rest.startswith("#"):
        timestamp, separator, rest = rest.partition(" ")
        # A timestamp may be missing even where a space follows it.
        if not rest.startswith("#") if separator else not timestamp:
            raise ValueError("Invalid line: " + text)
    exemplar = _parse_exemplar(rest, text) if rest else None
    return value, _parse_timestamp(timestamp), exemplar


def _parse_exemplar(exemplar: str, text: str) -> Exemplar:
    """Reads an exemplar, which begins with `#`.

    Raises:
        ValueError: It cannot be read.
    """
    label_end = _next_unquoted_char(exemplar, "}")
    if not exemplar.startswith("# {") or exemplar[label_end : label_end + 2] != "} ":
        raise ValueError("Invalid line: " + text)
    labels = parse_labels(exemplar[len("# {") : label_end], openmetrics=True)
    value, separator, timestamp = exemplar[label_end + 2 :].partition(" ")
    if not value or (separator and not timestamp):
        raise ValueError("Invalid line: " + text)
    if sum(len(name) + len(label_value) for name, label_value in labels.items()) > _MAX_EXEMPLAR_CHARACTERS:
        raise ValueError("Exemplar labels are too long: " + text)
    return Exemplar(labels, _parse_value(value), _parse_timestamp(timestamp))


def _parse_metadata(line: str) -> tuple[str, str, str]:
    """Reads a line that begins with `#`.

    Returns:
        The keyword, the name and the rest.

    Raises:
        ValueError: Something is missing, or the name is not allowed.
    """
    match = _PLAIN_METADATA.fullmatch(line)
    if match is not None and not match.group(3).startswith(" "):
        keyword, name, rest = match.groups()
        return keyword, name, rest
    parts = _split_quoted(line, " ", 3)
    if len(parts) < 4:
        raise ValueError("Invalid line: " + line)
    name, is_quoted = _unquote_unescape(parts[2])
    if not is_quoted and not _is_valid_legacy_metric_name(name):
        raise ValueError("invalid metric name: " + line)
    return parts[1], name, parts[3]


def text_string_to_metric_families(text: str) -> Iterator[Metric]:
    """Reads an exposition in OpenMetrics.

    Args:
        text: The exposition.

    Yields:
        Families, in their order.

    Raises:
        ValueError: The exposition is not valid; families before that have been yielded.
    """
    yield from text_fd_to_metric_families(io.StringIO(text))


def text_fd_to_metric_families(  # noqa: C901, PLR0912 -- one line after the other
    fd: TextIO | Iterable[str],
) -> Iterator[Metric]:
    """Reads an exposition in OpenMetrics.

    What it takes need not follow the specification in everything.

    Args:
        fd: Lines.

    Yields:
        Families, in their order.

    Raises:
        ValueError: The exposition is not valid; families before that have been yielded.
    """
    family: Family | None = None
    seen_names: set[str] = set()
    has_ended = False
    for terminated in fd:
        line = terminated.removesuffix("\n")
        if has_ended:
            raise ValueError("Received line after # EOF: " + line)
        if not line:
            raise ValueError("Received blank line")
        if line == "# EOF":
            has_ended = True
            continue
        if line[0] == "#":
            keyword, name, rest = _parse_metadata(line)
            if family is None or family.name != name:
                if family is not None:
                    yield family.build(seen_names)
                family = Family(name)
            family.add_metadata(keyword, rest, line)
            continue
        sample = _parse_plain_sample(line)
        if sample is None and family is not None and family.typ == "histogram":
            native = _parse_nh_sample(line, TYPE_SUFFIXES["histogram"])
            if native is not None:
                family.add_native(native, line)
                continue
        if sample is None:
            sample = _parse_any_sample(line)
        if family is None or sample.name not in family.allowed_names:
            if family is not None:
                yield family.build(seen_names)
            name, is_quoted = _unquote_unescape(sample.name)
            if not is_quoted and not _is_valid_legacy_metric_name(name):
                raise ValueError("invalid metric name: " + line)
            family = Family(name, "unknown")
        family.add(sample, line)
    if family is not None:
        yield family.build(seen_names)
    if not has_ended:
        raise ValueError("Missing # EOF at end")
