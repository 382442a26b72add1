"""Gathers the samples of a family in OpenMetrics, and checks that they go together."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ..metrics_core import Metric
from ..parser import replace_escape_sequence as _replace_escape_sequence
from ..samples import Timestamp
from ..utils import floatToGoString
from ..validation import _validate_metric_name

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Optional, Union

    from ..samples import Sample

    Time = Optional[Union[float, Timestamp]]
    Group = tuple[tuple[str, str], ...]

_HELP_ESCAPING = re.compile(r'\\([\\n"])')
_CANONICAL_NUMBERS = {float("inf")}

# Suffixes of the samples of a family, by its type; others have samples without one.
TYPE_SUFFIXES = {
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


class Family:
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
            self.allowed_names = {self.name + suffix for suffix in TYPE_SUFFIXES.get(rest, ("",))}
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
        for suffix in {"", *TYPE_SUFFIXES.get(typ, ())}:
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
