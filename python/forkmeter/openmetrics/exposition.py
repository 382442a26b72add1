"""Writes OpenMetrics, and escapes names for every format."""

from __future__ import annotations

from sys import maxunicode
from typing import TYPE_CHECKING

from .._writing import write
from ..utils import floatToGoString, parse_version
from ..validation import _is_valid_legacy_labelname, _is_valid_legacy_metric_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..metrics_core import Metric
    from ..registry import Collector
    from ..samples import Exemplar, NativeHistogram, Sample

CONTENT_TYPE_LATEST = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""Content type of OpenMetrics 1.0."""
CONTENT_TYPE_LATEST_2_0 = "application/openmetrics-text; version=2.0.0; charset=utf-8"
"""Content type of OpenMetrics 2.0."""
ESCAPING_HEADER_TAG = "escaping"

ALLOWUTF8 = "allow-utf-8"
"""Names stay as they are, in quotes where the legacy scheme does not allow them."""
UNDERSCORES = "underscores"
"""Every character that the legacy scheme does not allow becomes an underscore."""
DOTS = "dots"
"""Dots and underscores can be told apart afterwards; everything else becomes two underscores."""
VALUES = "values"
"""Every character can be read back, from its number."""

_SURROGATE_MIN = 0xD800
_SURROGATE_MAX = 0xDFFF


def generate_latest(registry: Collector, escaping: str = UNDERSCORES, version: str = "1.0.0") -> bytes:
    """Collects and writes an exposition in OpenMetrics.

    Args:
        registry: Where to collect.
        escaping: How to write names that the legacy scheme does not allow.
        version: Version of the format. Native histograms are left out before 2.0.0.

    Returns:
        The exposition in UTF-8.

    Raises:
        Exception: What a collector raises; or a sample cannot be written, then the last of the exception's arguments is
            its family.
    """
    names = _NameWriter(escaping)
    has_native_histograms = parse_version(version) >= (2, 0, 0)

    def write_metric(metric: Metric, lines: list[str]) -> None:
        name = names.metric(metric.name)
        lines.append(f"# HELP {name} {_escape_quoted(metric.documentation)}\n# TYPE {name} {metric.type}\n")
        if metric.unit:
            lines.append(f"# UNIT {name} {metric.unit}\n")
        for sample in metric.samples:
            if has_native_histograms or not sample.native_histogram:
                lines.append(_sample_line(metric, sample, names))

    return write(registry, escaping, write_metric, is_openmetrics=True)


class _NameWriter:
    """Escapes the names of one exposition, each of them once.

    Args:
        escaping: How to write names that the legacy scheme does not allow.
    """

    def __init__(self, escaping: str) -> None:
        self.escaping = escaping
        self._metrics: dict[str, str] = {}
        self._labels: dict[str, str] = {}
        self._openmetrics_samples: dict[str, str] = {}

    def metric(self, name: str) -> str:
        """Escapes the name of a family, or of a sample in the text format."""
        written = self._metrics.get(name)
        if written is None:
            written = self._metrics[name] = escape_metric_name(name, self.escaping)
        return written

    def label(self, name: str) -> str:
        """Escapes the name of a label."""
        written = self._labels.get(name)
        if written is None:
            written = self._labels[name] = escape_label_name(name, self.escaping)
        return written

    def openmetrics_sample(self, name: str) -> str:
        """Escapes the name of a sample as the official client does in OpenMetrics: colons are not allowed there."""
        written = self._openmetrics_samples.get(name)
        if written is None:
            written = self._openmetrics_samples[name] = _escape(name, self.escaping, _is_legacy_labelname_rune)
        return written

    def labels(self, labels: Mapping[str, str]) -> str:
        """Writes labels as they stand between braces, sorted by name."""
        return ",".join([f'{self.label(name)}="{_escape_quoted(value)}"' for name, value in sorted(labels.items())])

    def start(self, name: str, labels: Mapping[str, str], written_name: Callable[[str], str]) -> str:
        """Writes a sample up to the space before its value."""
        written_labels = self.labels(labels) if labels else ""
        if self.escaping == ALLOWUTF8 and not _is_valid_legacy_metric_name(name):
            # A quoted name stands inside the braces.
            separator = "," if written_labels else ""
            return f"{{{self.metric(name)}{separator}{written_labels}}}"
        return f"{written_name(name)}{{{written_labels}}}" if written_labels else written_name(name)


def _sample_line(metric: Metric, sample: Sample, names: _NameWriter) -> str:
    start = names.start(sample.name, sample.labels, names.openmetrics_sample)
    exemplar = _compose_exemplar_string(metric, sample, sample.exemplar) if sample.exemplar else ""
    timestamp = "" if sample.timestamp is None else f" {sample.timestamp}"
    histogram = sample.native_histogram
    if histogram:
        value = _compose_native_histogram(histogram)
        for native_exemplar in histogram.nh_exemplars or ():
            exemplar += _compose_exemplar_string(metric, sample, native_exemplar)
    else:
        value = "" if sample.value is None else floatToGoString(sample.value)
    return f"{start} {value}{timestamp}{exemplar}\n"


def _compose_native_histogram(histogram: NativeHistogram) -> str:
    fields = [
        f"count:{histogram.count_value}",
        f"sum:{histogram.sum_value}",
        f"schema:{histogram.schema}",
        f"zero_threshold:{histogram.zero_threshold}",
        f"zero_count:{histogram.zero_count}",
    ]
    for side, spans, deltas in (
        ("negative", histogram.neg_spans, histogram.neg_deltas),
        ("positive", histogram.pos_spans, histogram.pos_deltas),
    ):
        if spans:
            written_spans = ",".join([f"{span[0]}:{span[1]}" for span in spans])
            written_deltas = ",".join([str(delta) for delta in deltas])  # type: ignore[union-attr]
            fields.append(f"{side}_spans:[{written_spans}],{side}_deltas:[{written_deltas}]")
    return f"{{{','.join(fields)}}}"


def _is_valid_exemplar_metric(metric: Metric, sample: Sample) -> bool:
    """Tells whether a sample may have an exemplar."""
    if metric.type == "counter":
        return sample.name.endswith("_total")
    if metric.type == "gaugehistogram":
        return sample.name.endswith("_bucket")
    return metric.type == "histogram" and (sample.name.endswith("_bucket") or sample.name == metric.name)


def _compose_exemplar_string(metric: Metric, sample: Sample, exemplar: Exemplar) -> str:
    """Writes an exemplar, from the space before it.

    Raises:
        ValueError: The sample may not have one.
    """
    if not _is_valid_exemplar_metric(metric, sample):
        raise ValueError(f"Metric {metric.name} has exemplars, but is not a histogram bucket or counter")
    labels = ",".join([f'{name}="{_escape_quoted(value)}"' for name, value in sorted(exemplar.labels.items())])
    timestamp = "" if exemplar.timestamp is None else f" {exemplar.timestamp}"
    return f" # {{{labels}}} {floatToGoString(exemplar.value)}{timestamp}"


def escape_metric_name(s: str, escaping: str = UNDERSCORES) -> str:
    """Writes a metric name, in quotes where it is kept and the legacy scheme does not allow it.

    Args:
        s: The name.
        escaping: How to write names that the legacy scheme does not allow.
    """
    return _escape_name(s, escaping, _is_legacy_metric_rune, is_legacy=_is_valid_legacy_metric_name(s))


def escape_label_name(s: str, escaping: str = UNDERSCORES) -> str:
    """Writes a label name, in quotes where it is kept and the legacy scheme does not allow it.

    Args:
        s: The name.
        escaping: How to write names that the legacy scheme does not allow.
    """
    return _escape_name(s, escaping, _is_legacy_labelname_rune, is_legacy=_is_valid_legacy_labelname(s))


def _escape_name(name: str, escaping: str, is_legacy_rune: Callable[[str, int], bool], *, is_legacy: bool) -> str:
    if not name or (is_legacy and escaping != DOTS):
        return name
    escaped = _escape(name, escaping, is_legacy_rune)
    return f'"{escaped}"' if escaping == ALLOWUTF8 else escaped


def _escape_quoted(text: str) -> str:
    """Escapes what stands in quotes."""
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _escape(s: str, escaping: str, valid_rune_fn: Callable[[str, int], bool]) -> str:
    """Escapes text by a scheme.

    Args:
        s: The text.
        escaping: The scheme; under an unknown one the text stays as it is.
        valid_rune_fn: Tells of a character and its position whether it may stay.
    """
    if escaping == ALLOWUTF8:
        return _escape_quoted(s)
    if escaping == UNDERSCORES:
        return "".join([rune if valid_rune_fn(rune, index) else "_" for index, rune in enumerate(s)])
    if escaping == DOTS:
        replacements = {"_": "__", ".": "_dot_"}
        return "".join(
            [replacements.get(rune) or (rune if valid_rune_fn(rune, index) else "__") for index, rune in enumerate(s)]
        )
    if escaping == VALUES:
        return "U__" + "".join([_escape_value(rune, index, valid_rune_fn) for index, rune in enumerate(s)])
    return s


def _escape_value(rune: str, index: int, valid_rune_fn: Callable[[str, int], bool]) -> str:
    if rune == "_":
        return "__"
    if valid_rune_fn(rune, index):
        return rune
    return f"_{ord(rune):x}_" if _is_valid_utf8(rune) else "_FFFD_"


def _is_legacy_metric_rune(b: str, i: int) -> bool:
    """Tells whether the legacy scheme allows a character at a position of a metric name."""
    return _is_legacy_labelname_rune(b, i) or b == ":"


def _is_legacy_labelname_rune(b: str, i: int) -> bool:
    """Tells whether the legacy scheme allows a character at a position of a label name.

    Raises:
        ValueError: `b` is not one character.
    """
    if len(b) != 1:
        raise ValueError("Input 'b' must be a single character.")
    return b == "_" or (b.isascii() and (b.isalpha() or (b.isdigit() and i > 0)))


def _is_valid_utf8(s: str) -> bool:
    """Tells whether a character can be sent; surrogates cannot."""
    return 0 <= ord(s) < _SURROGATE_MIN or _SURROGATE_MAX < ord(s) <= maxunicode
