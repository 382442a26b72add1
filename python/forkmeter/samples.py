"""What a scrape is made of: samples, and the timestamps, exemplars and native histograms that they carry.

Everything that collects makes these, everything that writes an exposition reads them. No module of the package is
imported from here.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 -- type hints of the tuples can be evaluated
from typing import NamedTuple

__all__ = ("BucketSpan", "Exemplar", "NativeHistogram", "Sample", "Timestamp")

_NANOSECONDS_PER_SECOND = 1_000_000_000


class Timestamp:
    """A Unix time kept to the nanosecond, which a float cannot do for times of this century.

    Args:
        sec: Whole seconds since 1970; a fraction is cut off.
        nsec: Nanoseconds on top, from 0 up to but not including a thousand million. They count away from zero, so
            `Timestamp(-1, 5)` lies before -1.

    Raises:
        ValueError: `nsec` is out of its range.
    """

    def __init__(self, sec: float, nsec: float) -> None:
        if not 0 <= nsec < _NANOSECONDS_PER_SECOND:
            raise ValueError(f"Invalid value for nanoseconds in Timestamp: {nsec}")
        self.sec: int = int(sec)
        self.nsec: int = int(-nsec if sec < 0 else nsec)

    def __str__(self) -> str:
        """Writes it as an exposition does."""
        return f"{self.sec}.{self.nsec:09d}"

    def __repr__(self) -> str:
        """Writes it as the call that makes it."""
        return f"Timestamp({self.sec}, {self.nsec})"

    def __float__(self) -> float:
        """Returns seconds, to the precision of a float."""
        return float(self.sec) + float(self.nsec) / _NANOSECONDS_PER_SECOND

    def __eq__(self, other: object) -> bool:
        """Compares to the nanosecond."""
        return isinstance(other, Timestamp) and (self.sec, self.nsec) == (other.sec, other.nsec)

    def __ne__(self, other: object) -> bool:
        """Compares to the nanosecond."""
        return not self == other

    def __gt__(self, other: Timestamp) -> bool:
        """Tells whether it is later."""
        return (self.sec, self.nsec) > (other.sec, other.nsec)

    def __lt__(self, other: Timestamp) -> bool:
        """Tells whether it is earlier."""
        return (self.sec, self.nsec) < (other.sec, other.nsec)


class BucketSpan(NamedTuple):
    """A run of neighbouring buckets of a native histogram.

    Attributes:
        offset: Gap to the span before; for the first one, the index of its first bucket.
        length: How many buckets follow one another.
    """

    offset: int
    length: int


class Exemplar(NamedTuple):
    """One observation that stands for many, with labels that lead to its trace.

    Attributes:
        labels: Usually a trace id and a span id.
        value: What was observed.
        timestamp: When, in seconds since 1970.
    """

    labels: dict[str, str]
    value: float
    timestamp: float | Timestamp | None = None


class NativeHistogram(NamedTuple):
    """A histogram whose buckets follow from a schema.

    Attributes:
        count_value: Number of observations.
        sum_value: Sum of the observations.
        schema: Resolution: each bucket is `2 ** (2 ** -schema)` times as wide as the one before.
        zero_threshold: Observations up to this distance from zero are in the zero bucket.
        zero_count: Number of observations in the zero bucket.
        pos_spans: Where the buckets above zero are.
        neg_spans: Where the buckets below zero are.
        pos_deltas: Counts of the buckets above zero, each as the difference to the bucket before.
        neg_deltas: Counts of the buckets below zero, likewise.
        nh_exemplars: Exemplars, in any bucket.
    """

    count_value: float
    sum_value: float
    schema: int
    zero_threshold: float
    zero_count: float
    pos_spans: Sequence[BucketSpan] | None = None
    neg_spans: Sequence[BucketSpan] | None = None
    pos_deltas: Sequence[int] | None = None
    neg_deltas: Sequence[int] | None = None
    nh_exemplars: Sequence[Exemplar] | None = None


class Sample(NamedTuple):
    """One exposed value.

    Attributes:
        name: Name of the family, with the suffix that the sample's role asks for.
        labels: Label names and values.
        value: An integer or a float.
        timestamp: When it was taken, in seconds since 1970; usually left to the scraper.
        exemplar: An example of what was counted.
        native_histogram: In place of `value` where the sample is one.
    """

    name: str
    labels: dict[str, str]
    value: float
    timestamp: float | Timestamp | None = None
    exemplar: Exemplar | None = None
    native_histogram: NativeHistogram | None = None
