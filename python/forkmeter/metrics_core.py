"""Metric families as data: what collectors yield and encoders read.

Custom collectors make these; parsers return them. Nothing here knows of the live metrics in `metrics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .samples import Sample
from .validation import _validate_metric_name

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from .samples import Exemplar, NativeHistogram, Timestamp

METRIC_TYPES = (
    "counter",
    "gauge",
    "summary",
    "histogram",
    "gaugehistogram",
    "unknown",
    "info",
    "stateset",
)


class Metric:
    """A metric family: its description, and samples in the order in which they will be written.

    Custom collectors use the class of their metric's type, which knows the suffixes; this one adds nothing.

    Args:
        name: Name without the suffixes of its type. The unit is appended where it does not end in it.
        documentation: Help text.
        typ: One of `METRIC_TYPES`, or `untyped`, which means `unknown`.
        unit: Unit, such as `seconds`.

    Raises:
        ValueError: The name or the type is not allowed.
    """

    def __init__(self, name: str, documentation: str, typ: str, unit: str = "") -> None:
        if unit and not name.endswith(f"_{unit}"):
            name = f"{name}_{unit}"
        _validate_metric_name(name)
        if typ == "untyped":
            typ = "unknown"
        if typ not in METRIC_TYPES:
            raise ValueError("Invalid metric type: " + typ)
        self.name: str = name
        self.documentation: str = documentation
        self.unit: str = unit
        self.type: str = typ
        self.samples: list[Sample] = []

    def add_sample(
        self,
        name: str,
        labels: dict[str, str],
        value: float,
        timestamp: Timestamp | float | None = None,
        exemplar: Exemplar | None = None,
        native_histogram: NativeHistogram | None = None,
    ) -> None:
        """Adds one sample under its full name, unchecked.

        Args:
            name: Name with its suffix.
            labels: Label names and values; the dictionary is kept.
            value: The value.
            timestamp: When it was taken; None leaves that to the scraper.
            exemplar: An example of what was counted.
            native_histogram: In place of the value.
        """
        self.samples.append(Sample(name, labels, value, timestamp, exemplar, native_histogram))

    def __eq__(self, other: object) -> bool:
        """Compares the description and every sample."""
        return isinstance(other, Metric) and self._contents() == other._contents()

    def __repr__(self) -> str:
        """Lists the description and every sample."""
        return f"Metric({self.name}, {self.documentation}, {self.type}, {self.unit}, {self.samples})"

    def _contents(self) -> tuple[str, str, str, str, list[Sample]]:
        return self.name, self.documentation, self.type, self.unit, self.samples

    def _restricted_metric(self, names: Container[str]) -> Metric | None:
        """Returns a copy with only the samples of the given names, or None where there are none."""
        samples = [sample for sample in self.samples if sample[0] in names]
        if not samples:
            return None
        restricted = Metric(self.name, self.documentation, self.type)
        restricted.samples = samples
        return restricted


class _LabelledFamily(Metric):
    """What the families below share: label names that each added metric gives values for."""

    _labelnames: tuple[str, ...]

    def _set_labelnames(self, labels: Iterable[str] | None, value: object, value_description: str = "value") -> None:
        """Keeps the label names.

        Raises:
            ValueError: A value was given as well, and it would have no labels.
        """
        if labels is not None and value is not None:
            raise ValueError(f"Can only specify at most one of {value_description} and labels.")
        self._labelnames = tuple(labels) if labels is not None else ()

    def _labelled(self, labelvalues: Iterable[str]) -> dict[str, str]:
        return dict(zip(self._labelnames, labelvalues))


class _NumberFamily(_LabelledFamily):
    """What the types with one sample for each label set share."""

    _type: str

    def __init__(
        self,
        name: str,
        documentation: str,
        value: float | None = None,
        labels: Sequence[str] | None = None,
        unit: str = "",
    ) -> None:
        Metric.__init__(self, name, documentation, self._type, unit)
        self._set_labelnames(labels, value)
        if value is not None:
            self.add_metric([], value)

    def add_metric(self, labels: Sequence[str], value: float, timestamp: Timestamp | float | None = None) -> None:
        """Adds the value of one label set.

        Args:
            labels: Label values, in the order of the names.
            value: The value.
            timestamp: When it was taken; None leaves that to the scraper.
        """
        self.samples.append(Sample(self.name, self._labelled(labels), value, timestamp))


class UnknownMetricFamily(_NumberFamily):
    """A family of numbers that nobody gave a type.

    Args:
        name: Name of the family.
        documentation: Help text.
        value: The only value, for a family without labels.
        labels: Label names, for one with labels; values follow through `add_metric`.
        unit: Unit.

    Raises:
        ValueError: Both a value and labels are given, or the name is not allowed.
    """

    _type = "unknown"


# The name from before OpenMetrics.
UntypedMetricFamily = UnknownMetricFamily


class CounterMetricFamily(_LabelledFamily):
    """A family of totals that only grow.

    Args:
        name: Name of the family; a `_total` at its end belongs to the samples and is cut off.
        documentation: Help text.
        value: The only total, for a family without labels.
        labels: Label names, for one with labels; values follow through `add_metric`.
        created: When counting began, in seconds since 1970.
        unit: Unit.
        exemplar: An example of what was counted.

    Raises:
        ValueError: Both a value and labels are given, or the name is not allowed.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        value: float | None = None,
        labels: Sequence[str] | None = None,
        created: float | None = None,
        unit: str = "",
        exemplar: Exemplar | None = None,
    ) -> None:
        name = name.removesuffix("_total")
        Metric.__init__(self, name, documentation, "counter", unit)
        self._set_labelnames(labels, value)
        if value is not None:
            self.add_metric([], value, created, exemplar=exemplar)

    def add_metric(
        self,
        labels: Sequence[str],
        value: float,
        created: float | None = None,
        timestamp: Timestamp | float | None = None,
        exemplar: Exemplar | None = None,
    ) -> None:
        """Adds the total of one label set.

        Args:
            labels: Label values, in the order of the names.
            value: The total.
            created: When counting began, in seconds since 1970; None adds no sample for it.
            timestamp: When it was taken; None leaves that to the scraper.
            exemplar: An example of what was counted.
        """
        self.samples.append(Sample(self.name + "_total", self._labelled(labels), value, timestamp, exemplar))
        if created is not None:
            self.samples.append(Sample(self.name + "_created", self._labelled(labels), created, timestamp))


class GaugeMetricFamily(_NumberFamily):
    """A family of values that go up and down.

    Args:
        name: Name of the family.
        documentation: Help text.
        value: The only value, for a family without labels.
        labels: Label names, for one with labels; values follow through `add_metric`.
        unit: Unit.

    Raises:
        ValueError: Both a value and labels are given, or the name is not allowed.
    """

    _type = "gauge"


class SummaryMetricFamily(_LabelledFamily):
    """A family of counts and sums of observations.

    Args:
        name: Name of the family.
        documentation: Help text.
        count_value: The only count, for a family without labels.
        sum_value: The sum that goes with it.
        labels: Label names, for one with labels; values follow through `add_metric`.
        unit: Unit.

    Raises:
        ValueError: A count comes without a sum or the other way round, both values and labels are given, or the
            name is not allowed.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        count_value: int | None = None,
        sum_value: float | None = None,
        labels: Sequence[str] | None = None,
        unit: str = "",
    ) -> None:
        Metric.__init__(self, name, documentation, "summary", unit)
        if (sum_value is None) != (count_value is None):
            raise ValueError("count_value and sum_value must be provided together.")
        self._set_labelnames(labels, count_value)
        if count_value is not None and sum_value is not None:
            self.add_metric([], count_value, sum_value)

    def add_metric(
        self,
        labels: Sequence[str],
        count_value: int,
        sum_value: float,
        timestamp: float | Timestamp | None = None,
    ) -> None:
        """Adds the count and the sum of one label set.

        Args:
            labels: Label values, in the order of the names.
            count_value: Number of observations.
            sum_value: Their sum.
            timestamp: When they were taken; None leaves that to the scraper.
        """
        self.samples.append(Sample(self.name + "_count", self._labelled(labels), count_value, timestamp))
        self.samples.append(Sample(self.name + "_sum", self._labelled(labels), sum_value, timestamp))


class HistogramMetricFamily(_LabelledFamily):
    """A family of classic histograms.

    Args:
        name: Name of the family.
        documentation: Help text.
        buckets: The only buckets, for a family without labels; see `add_metric`.
        sum_value: The sum that goes with them.
        labels: Label names, for a family with labels; values follow through `add_metric`.
        unit: Unit.

    Raises:
        ValueError: A sum comes without buckets, both buckets and labels are given, or the name is not allowed.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[tuple[str, float] | tuple[str, float, Exemplar]] | None = None,
        sum_value: float | None = None,
        labels: Sequence[str] | None = None,
        unit: str = "",
    ) -> None:
        Metric.__init__(self, name, documentation, "histogram", unit)
        if sum_value is not None and buckets is None:
            raise ValueError("sum value cannot be provided without buckets.")
        self._set_labelnames(labels, buckets, "buckets")
        if buckets is not None:
            self.add_metric([], buckets, sum_value)

    def add_metric(
        self,
        labels: Sequence[str],
        buckets: Sequence[tuple[str, float] | tuple[str, float, Exemplar]],
        sum_value: float | None,
        timestamp: Timestamp | float | None = None,
    ) -> None:
        """Adds the buckets, the count and the sum of one label set.

        Args:
            labels: Label values, in the order of the names.
            buckets: Upper bound as text, number of observations up to it, and optionally an exemplar; in rising
                order, `+Inf` last, which is the count as well.
            sum_value: Sum of the observations. It is left out together with the count where it is None, and where
                observations may be negative, as it need not grow then.
            timestamp: When they were taken; None leaves that to the scraper.
        """
        for bucket in buckets:
            bucket_labels = self._labelled(labels)
            bucket_labels["le"] = bucket[0]
            exemplar = bucket[2] if len(bucket) == 3 else None
            self.samples.append(Sample(self.name + "_bucket", bucket_labels, bucket[1], timestamp, exemplar))
        if float(buckets[0][0]) >= 0 and sum_value is not None:
            count = buckets[-1][1]
            self.samples.append(Sample(self.name + "_count", self._labelled(labels), count, timestamp))
            self.samples.append(Sample(self.name + "_sum", self._labelled(labels), sum_value, timestamp))


class GaugeHistogramMetricFamily(_LabelledFamily):
    """A family of histograms of what is there now, whose buckets go up and down.

    Args:
        name: Name of the family.
        documentation: Help text.
        buckets: The only buckets, for a family without labels; see `add_metric`.
        gsum_value: The sum that goes with them.
        labels: Label names, for a family with labels; values follow through `add_metric`.
        unit: Unit.

    Raises:
        ValueError: Both buckets and labels are given, or the name is not allowed.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[tuple[str, float]] | None = None,
        gsum_value: float | None = None,
        labels: Sequence[str] | None = None,
        unit: str = "",
    ) -> None:
        Metric.__init__(self, name, documentation, "gaugehistogram", unit)
        self._set_labelnames(labels, buckets, "buckets")
        if buckets is not None:
            self.add_metric([], buckets, gsum_value)

    def add_metric(
        self,
        labels: Sequence[str],
        buckets: Sequence[tuple[str, float]],
        gsum_value: float | None,
        timestamp: float | Timestamp | None = None,
    ) -> None:
        """Adds the buckets, the count and the sum of one label set.

        Args:
            labels: Label values, in the order of the names.
            buckets: Upper bound as text and number of things up to it, in rising order, `+Inf` last, which is the
                count as well.
            gsum_value: Sum over all things. None is taken here, and refused when it is written.
            timestamp: When they were taken; None leaves that to the scraper.
        """
        for upper_bound, value in buckets:
            bucket_labels = self._labelled(labels)
            bucket_labels["le"] = upper_bound
            self.samples.append(Sample(self.name + "_bucket", bucket_labels, value, timestamp))
        count = buckets[-1][1]
        self.samples.append(Sample(self.name + "_gcount", self._labelled(labels), count, timestamp))
        self.samples.append(Sample(self.name + "_gsum", self._labelled(labels), gsum_value, timestamp))  # type: ignore[arg-type]


class InfoMetricFamily(_LabelledFamily):
    """A family of texts that describe something, kept in labels.

    Args:
        name: Name of the family, without `_info`.
        documentation: Help text.
        value: The only texts by name, for a family without labels.
        labels: Label names, for one with labels; values follow through `add_metric`.

    Raises:
        ValueError: Both a value and labels are given, or the name is not allowed.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        value: dict[str, str] | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        Metric.__init__(self, name, documentation, "info")
        self._set_labelnames(labels, value)
        if value is not None:
            self.add_metric([], value)

    def add_metric(
        self,
        labels: Sequence[str],
        value: Mapping[str, str],
        timestamp: Timestamp | float | None = None,
    ) -> None:
        """Adds the texts of one label set.

        Args:
            labels: Label values, in the order of the names.
            value: Texts by name; they become labels too, and win over labels of the same name.
            timestamp: When they were taken; None leaves that to the scraper.
        """
        self.samples.append(Sample(self.name + "_info", {**self._labelled(labels), **value}, 1, timestamp))


class StateSetMetricFamily(_LabelledFamily):
    """A family of states that are each on or off.

    Args:
        name: Name of the family, and of the label that holds the state.
        documentation: Help text.
        value: The only states, for a family without labels: which are on.
        labels: Label names, for one with labels; values follow through `add_metric`.

    Raises:
        ValueError: Both a value and labels are given, or the name is not allowed.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        value: dict[str, bool] | None = None,
        labels: Sequence[str] | None = None,
    ) -> None:
        Metric.__init__(self, name, documentation, "stateset")
        self._set_labelnames(labels, value)
        if value is not None:
            self.add_metric([], value)

    def add_metric(
        self,
        labels: Sequence[str],
        value: Mapping[str, bool],
        timestamp: Timestamp | float | None = None,
    ) -> None:
        """Adds the states of one label set, sorted by name.

        Args:
            labels: Label values, in the order of the names.
            value: Which states are on.
            timestamp: When they were taken; None leaves that to the scraper.
        """
        names = (*self._labelnames, self.name)
        for state, is_on in sorted(value.items()):
            state_labels = dict(zip(names, (*labels, state)))
            self.samples.append(Sample(self.name, state_labels, 1 if is_on else 0, timestamp))
