"""Reads OpenMetrics, strictly where the specification allows a reader no choice.

Lines as clients write them are taken apart by one regular expression each; every other line goes through functions that
know all that may stand in it. Both give the same result.
"""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING

from ..metrics_core import Metric
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
from ..parser import (
    replace_escape_sequence as _replace_escape_sequence,
)
from ..samples import BucketSpan, Exemplar, NativeHistogram, Sample, Timestamp
from ..utils import floatToGoString
from ..validation import _is_valid_legacy_metric_name, _validate_metric_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Optional, TextIO, Union

    Time = Optional[Union[float, Timestamp]]
    Group = tuple[tuple[str, str], ...]

__all__ = ("text_fd_to_metric_families", "text_string_to_metric_families")

_PLAIN_SAMPLE = re.compile(rf"({_METRIC_NAME})(?:\{{({_PLAIN_LABELS})\}})? ({_PLAIN_NUMBER})(?: ({_PLAIN_NUMBER}))?")
_PLAIN_METADATA = re.compile(rf"# ([A-Z]+) ({_METRIC_NAME}) (.+)", re.DOTALL)
_HELP_ESCAPING = re.compile(r'\\([\\n"])')

_NATIVE_FIELD = re.compile(r"(\w+):\s*([^,}]+)")
_NATIVE_SPANS = re.compile(r"(positive_spans|negative_spans):\[(-?\d+:\d+(?:,-?\d+:\d+)*)\]")
_NATIVE_DELTAS = re.compile(r"(positive_deltas|negative_deltas):\[(-?\d+(?:,-?\d+)*)\]")

_CANONICAL_NUMBERS = {float("inf")}
_MAX_EXEMPLAR_CHARACTERS = 128
_NANOSECOND_DIGITS = 9

# Suffixes of the samples of a family, by its type; others have samples without one.
_TYPE_SUFFIXES = {
    "counter": ("_total", "_created"),
    "summary": ("", "_count", "_sum", "_created"),
    "histogram": ("_count", "_sum", "_bucket", "_created"),
    "gaugehistogram": ("_gcount", "_gsum", "_bucket"),
    "info": ("_info",),
}
_INTEGER_SUFFIXES = frozenset({"_count", "_gcount"})
_NOT_NAN_SUFFIXES = frozenset({"_total", "_sum", "_count", "_bucket", "_gcount", "_gsum"})
_NOT_NEGATIVE_SUFFIXES = frozenset({"_total", "_sum", "_count", "_bucket", "_gcount"})


def _isUncanonicalNumber(s: str) -> bool:  # noqa: N802 -- the name that it has in the official client
    """Tells whether a number has a canonical text, and this is another one."""
    number = float(s)
    return number in _CANONICAL_NUMBERS and s != floatToGoString(number)


def _unescape_help(text: str) -> str:
    """Unescapes help text; a backslash before anything else stays."""
    return _HELP_ESCAPING.sub(_replace_escape_sequence, text) if "\\" in text else text


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


def _group_for_sample(sample: Sample, name: str, typ: str | None) -> dict[str, str]:
    """Returns the labels that tell one histogram, summary or set of states of a family from the next."""
    if typ == "info":
        # Every label may be part of the value.
        return {}
    extra = None
    if typ == "summary" and sample.name == name:
        extra = "quantile"
    elif typ == "stateset":
        extra = name
    elif typ in {"histogram", "gaugehistogram"} and sample.name == name + "_bucket":
        extra = "le"
    if extra is None:
        return sample.labels
    return {label: value for label, value in sample.labels.items() if label != extra}


class _HistogramCheck:
    """Follows the samples of one histogram.

    Args:
        name: Name of the family.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._upper_bound: float | None = None
        self._last_count = 0.0
        self._count: float | None = None
        self._has_negative_buckets = False
        self._has_sum = False
        self._has_gsum = False
        self._has_negative_gsum = False

    def add(self, suffix: str, sample: Sample) -> None:
        """Takes the next sample.

        Raises:
            ValueError: It cannot come after those before.
        """
        if suffix == "_bucket":
            upper_bound = float(sample.labels["le"])
            if self._upper_bound is not None and upper_bound <= self._upper_bound:
                raise ValueError("Buckets out of order: " + self._name)
            if sample.value < self._last_count:
                raise ValueError("Bucket values out of order: " + self._name)
            self._has_negative_buckets |= upper_bound < 0
            self._upper_bound = upper_bound
            self._last_count = sample.value
        elif suffix in _INTEGER_SUFFIXES:
            self._count = sample.value
        elif suffix == "_sum":
            self._has_sum = True
        elif suffix == "_gsum":
            self._has_gsum = True
            self._has_negative_gsum |= sample.value < 0

    def finish(self) -> None:
        """Checks the histogram as a whole.

        Raises:
            ValueError: Something is missing, or does not go together.
        """
        if self._upper_bound != math.inf:
            raise ValueError("+Inf bucket missing: " + self._name)
        if self._count is not None and self._last_count != self._count:
            raise ValueError("Count does not match +Inf value: " + self._name)
        if self._has_sum and self._count is None:
            raise ValueError("_count must be present if _sum is present: " + self._name)
        if self._has_gsum and self._count is None:
            raise ValueError("_gcount must be present if _gsum is present: " + self._name)
        if self._count is not None and not (self._has_sum or self._has_gsum):
            raise ValueError("_sum/_gsum must be present if _count is present: " + self._name)
        if self._has_negative_buckets and self._has_sum:
            raise ValueError("Cannot have _sum with negative buckets: " + self._name)
        if self._has_negative_gsum and not self._has_negative_buckets:
            raise ValueError("Cannot have negative _gsum with non-negative buckets: " + self._name)


def _check_histogram(samples: Iterable[Sample], name: str) -> None:
    """Checks the histograms of a family.

    Raises:
        ValueError: One of them is incomplete or contradicts itself.
    """
    place = None
    check = None
    for sample in samples:
        suffix = sample.name[len(name) :]
        if not suffix or sample.labels is None:
            continue
        next_place = (_group_for_sample(sample, name, "histogram"), sample.timestamp)
        if check is None or next_place != place:
            if check is not None:
                check.finish()
            check = _HistogramCheck(name)
        place = next_place
        check.add(suffix, sample)
    if check is not None:
        check.finish()


class _Family:
    """Gathers what an exposition says about one family.

    Args:
        name: Its name.
        typ: Its type, where no line will say it.
    """

    def __init__(self, name: str, typ: str | None = None) -> None:
        self.name = name
        self.typ = typ
        self.allowed_names: set[str] = {name}
        self.samples: list[Sample] = []
        self._documentation: str | None = None
        self._unit: str | None = None
        self._group: Group | None = None
        self._seen_groups: set[Group] = set()
        self._timestamp: Time = None
        self._series_at_timestamp: set[tuple[str, Group]] = set()

    def add_metadata(self, keyword: str, rest: str, line: str) -> None:
        """Takes a line that begins with `#`.

        Raises:
            ValueError: The line is not known, comes twice, or after samples.
        """
        if self.samples:
            raise ValueError("Received metadata after samples: " + line)
        if keyword == "HELP":
            if self._documentation is not None:
                raise ValueError("More than one HELP for metric: " + line)
            self._documentation = _unescape_help(rest)
        elif keyword == "TYPE":
            if self.typ is not None:
                raise ValueError("More than one TYPE for metric: " + line)
            if rest == "untyped":
                raise ValueError("Invalid TYPE for metric: " + line)
            self.typ = rest
            self.allowed_names = {self.name + suffix for suffix in _TYPE_SUFFIXES.get(rest, ("",))}
        elif keyword == "UNIT":
            if self._unit is not None:
                raise ValueError("More than one UNIT for metric: " + line)
            self._unit = rest
        else:
            raise ValueError("Invalid line: " + line)

    def add_native(self, sample: Sample, line: str) -> None:
        """Takes a native histogram, whose name is not compared: it may have been escaped.

        Raises:
            ValueError: Its name is that of a sample of a classic histogram.
        """
        if sample.name[len(self.name) :] in _NOT_NAN_SUFFIXES:
            raise ValueError("the sample name of a native histogram should have no suffixes: " + line)
        self.samples.append(sample)

    def add(self, sample: Sample, line: str) -> None:
        """Takes a sample.

        Raises:
            ValueError: The sample cannot be in this family, or not in this place.
        """
        suffix = sample.name[len(self.name) :] if sample.name.startswith(self.name) else None
        self._check_labels(sample, suffix, line)
        self._check_order(sample, line)
        self._check_value(sample, suffix, line)

    def _check_labels(self, sample: Sample, suffix: str | None, line: str) -> None:
        labels = sample.labels
        if self.typ == "stateset" and self.name not in labels:
            raise ValueError("Stateset missing label: " + line)
        if suffix == "_bucket":
            if labels.get("le", "NaN") == "NaN" or _isUncanonicalNumber(labels["le"]):
                raise ValueError("Invalid le label: " + line)
            if not _is_integer(sample.value):
                raise ValueError("Bucket value must be an integer: " + line)
        elif suffix in _INTEGER_SUFFIXES and not _is_integer(sample.value):
            raise ValueError("Count value must be an integer: " + line)
        if self.typ == "summary" and not suffix:
            quantile = labels.get("quantile", "-1")
            if not 0 <= float(quantile) <= 1 or _isUncanonicalNumber(quantile):
                raise ValueError("Invalid quantile label: " + line)

    def _check_order(self, sample: Sample, line: str) -> None:
        """Keeps the sample, unless it differs from the one before only by what its timestamp has lost."""
        group = tuple(sorted(_group_for_sample(sample, self.name, self.typ).items()))
        timestamp = sample.timestamp
        if group != self._group:
            if group in self._seen_groups:
                raise ValueError("Invalid metric grouping: " + line)
            self._seen_groups.add(group)
            self._series_at_timestamp = set()
        else:
            if (timestamp is None) != (self._timestamp is None):
                raise ValueError("Mix of timestamp presence within a group: " + line)
            if self.typ != "info" and _is_later(self._timestamp, timestamp):
                raise ValueError("Timestamps went backwards within a group: " + line)
        series = (sample.name, tuple(sorted(sample.labels.items())))
        if timestamp != self._timestamp or series not in self._series_at_timestamp:
            self.samples.append(sample)
        self._series_at_timestamp.add(series)
        self._group = group
        self._timestamp = timestamp

    def _check_value(self, sample: Sample, suffix: str | None, line: str) -> None:
        value = sample.value
        if self.typ == "stateset" and value not in {0, 1}:
            raise ValueError("Stateset samples can only have values zero and one: " + line)
        if self.typ == "info" and value != 1:
            raise ValueError("Info samples can only have value one: " + line)
        if self.typ == "summary" and not suffix and value < 0:
            raise ValueError("Quantile values cannot be negative: " + line)
        if suffix in _NOT_NAN_SUFFIXES and math.isnan(value):
            raise ValueError("Counter-like samples cannot be NaN: " + line)
        if suffix in _NOT_NEGATIVE_SUFFIXES and value < 0:
            raise ValueError("Counter-like samples cannot be negative: " + line)
        if sample.exemplar:
            is_bucket = self.typ in {"histogram", "gaugehistogram"} and sample.name.endswith("_bucket")
            if not is_bucket and not (self.typ == "counter" and sample.name.endswith("_total")):
                raise ValueError(
                    "Invalid line only histogram/gaugehistogram buckets and counters can have exemplars: " + line
                )

    def build(self, seen_names: set[str]) -> Metric:
        """Makes the family.

        Args:
            seen_names: Names that other families use; those of this one are added.

        Raises:
            ValueError: A name is used twice, or the family contradicts itself.
        """
        name = self.name
        typ = self.typ or "unknown"
        unit = self._unit or ""
        for suffix in {"", *_TYPE_SUFFIXES.get(typ, ())}:
            if name + suffix in seen_names:
                raise ValueError("Clashing name: " + name + suffix)
            seen_names.add(name + suffix)
        if unit and not name.endswith("_" + unit):
            raise ValueError("Unit does not match metric name: " + name)
        if unit and typ in {"info", "stateset"}:
            raise ValueError("Units not allowed for this metric type: " + name)
        if typ in {"histogram", "gaugehistogram"}:
            _check_histogram(self.samples, name)
        _validate_metric_name(name)
        metric = Metric(name, self._documentation or "", typ, unit)
        metric.samples = self.samples
        return metric


def _is_integer(value: float) -> bool:
    return isinstance(value, int) or value.is_integer()


def _is_later(one: Time, other: Time) -> bool:
    """Tells whether a timestamp is later than another; without them nothing is."""
    if one is None or other is None:
        return False
    if isinstance(one, Timestamp) and isinstance(other, Timestamp):
        return one > other
    return float(one) > float(other)


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
    family: _Family | None = None
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
                family = _Family(name)
            family.add_metadata(keyword, rest, line)
            continue
        sample = _parse_plain_sample(line)
        if sample is None and family is not None and family.typ == "histogram":
            native = _parse_nh_sample(line, _TYPE_SUFFIXES["histogram"])
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
            family = _Family(name, "unknown")
        family.add(sample, line)
    if family is not None:
        yield family.build(seen_names)
    if not has_ended:
        raise ValueError("Missing # EOF at end")
