"""Reads values without underscores, as programs do; see `api.py`."""

from __future__ import annotations

from typing import Optional, Union

from forkmeter import Counter, Enum, Gauge, Histogram, Info, Summary
from typing_extensions import assert_type


def reading(counter: Counter, gauge: Gauge, info: Info, enum: Enum) -> None:
    assert_type((counter.value(), gauge.value(), enum.value()), tuple[float, float, str])
    assert_type(info.value(), dict[str, str])
    assert_type((gauge.value("a"), enum.value(l="a")), tuple[Optional[float], Optional[str]])
    assert_type(info.value("a"), Optional[dict[str, str]])


def reading_observations(summary: Summary, histogram: Histogram) -> None:
    assert_type((summary.value().count, summary.value().sum), tuple[float, float])
    assert_type((histogram.value().count, histogram.value().sum), tuple[float, Union[float, None]])
    assert_type(histogram.value().buckets, dict[float, float])
    for found in (summary.value("a"), histogram.value("a")):
        if found is not None:
            assert_type(found.count, float)
