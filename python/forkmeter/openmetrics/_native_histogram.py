"""Reads the lines of native histograms in OpenMetrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..parser import _next_unquoted_char, _take_name, parse_labels
from ..samples import BucketSpan, NativeHistogram, Sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NATIVE_FIELD = re.compile(r"(\w+):\s*([^,}]+)")
_NATIVE_SPANS = re.compile(r"(positive_spans|negative_spans):\[(-?\d+:\d+(?:,-?\d+:\d+)*)\]")
_NATIVE_DELTAS = re.compile(r"(positive_deltas|negative_deltas):\[(-?\d+(?:,-?\d+)*)\]")


def _parse_nh_sample(text: str, suffixes: tuple[str, ...]) -> Sample | None:  # noqa: C901 -- one step after the other
    """Reads the line of a native histogram.

    Args:
        text: The line.
        suffixes: Endings that its name may not have.

    Returns:
        The sample, or None where the line is not that of a native histogram.

    Raises:
        ValueError: The line is that of a native histogram, and cannot be read.
    """
    name_end = end = _next_unquoted_char(text, " {")
    if end == -1:
        return None
    has_labels = text[end] == "{"
    if has_labels:
        end = _next_unquoted_char(text, "}", end)
        if end == -1:
            raise ValueError("missing close brace: " + text)
    start = _next_unquoted_char(text, "{", end + 1)
    if start == -1:
        return None
    exemplar = _next_unquoted_char(text, "#", end + 1)
    if -1 < exemplar < start:
        # The second brace is that of an exemplar.
        return None
    if _next_unquoted_char(text, "}", start) == -1:
        raise ValueError("missing close brace: " + text)
    labels: dict[str, str] | None = None
    if has_labels:
        name = text[:name_end]
        labels = parse_labels(text[name_end + 1 : end], openmetrics=True)
        if name.endswith(suffixes):
            raise ValueError("the sample name of a native histogram with labels should have no suffixes", name)
        if not name:
            # Between the braces there may be nothing but the name.
            name = _take_name(name, labels)
            labels = labels or None
    else:
        name = text[: start - 1]
        if name.endswith(suffixes):
            raise ValueError("the sample name of a native histogram should have no suffixes", name)
    histogram = _parse_nh_struct(text[start:])
    return Sample(name, labels, None, None, None, histogram)  # type: ignore[arg-type]


def _parse_nh_struct(text: str) -> NativeHistogram:
    """Reads the value of a native histogram.

    Raises:
        ValueError: A field is missing or not a number.
    """
    fields = dict(_NATIVE_FIELD.findall(text))
    spans = _NATIVE_SPANS.findall(text)
    deltas = dict(_NATIVE_DELTAS.findall(text))
    missing = {"count", "sum", "schema", "zero_threshold", "zero_count"} - fields.keys()
    if missing:
        raise ValueError(f"native histogram without {', '.join(sorted(missing))}: {text}")
    return NativeHistogram(
        count_value=int(fields["count"]),
        sum_value=float(fields["sum"]),
        schema=int(fields["schema"]),
        zero_threshold=float(fields["zero_threshold"]),
        zero_count=int(fields["zero_count"]),
        pos_spans=_compose_spans(spans, "positive_spans"),
        neg_spans=_compose_spans(spans, "negative_spans"),
        pos_deltas=_compose_deltas(deltas, "positive_deltas"),
        neg_deltas=_compose_deltas(deltas, "negative_deltas"),
    )


def _compose_spans(span_matches: Iterable[tuple[str, ...]], spans_name: str) -> tuple[BucketSpan, ...] | None:
    """Returns the spans of one side, or None where there are none."""
    written = {match[0]: match[1] for match in span_matches}.get(spans_name)
    if written is None:
        return None
    return tuple(BucketSpan(*map(int, pair.split(":"))) for pair in written.split(","))


def _compose_deltas(deltas: Mapping[str, str], deltas_name: str) -> tuple[int, ...] | None:
    """Returns the deltas of one side, or None where there are none."""
    written = deltas.get(deltas_name)
    return None if written is None else tuple(map(int, written.split(",")))
