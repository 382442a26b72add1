"""Converts between JSON and the official client's families.

JSON has no NaN and no infinities, so floats travel as the text that ``repr`` gives. A timestamp is
``{"seconds": "1.5"}`` or ``{"exact": [seconds, nanoseconds]}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample, Timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]


def _timestamp_from_json(value: Json | None) -> Timestamp | float | None:
    if value is None:
        return None
    if "exact" in value:
        return Timestamp(*value["exact"])
    return float(value["seconds"])


def _timestamp_to_json(value: Timestamp | float | None) -> Json | None:
    if value is None:
        return None
    if isinstance(value, Timestamp):
        return {"exact": [value.sec, value.nsec]}
    return {"seconds": repr(float(value))}


def _exemplar_from_json(value: Json | None) -> Exemplar | None:
    if value is None:
        return None
    timestamp = _timestamp_from_json(value.get("timestamp"))
    return Exemplar(value["labels"], float(value["value"]), timestamp)


def _exemplar_to_json(value: Exemplar | None) -> Json | None:
    if value is None:
        return None
    return {
        "labels": value.labels,
        "value": repr(float(value.value)),
        "timestamp": _timestamp_to_json(value.timestamp),
    }


def family_from_json(value: Json) -> Metric:
    """Makes a family; its samples are taken as they are."""
    family = Metric(value["name"], value["help"], value["kind"], value.get("unit", ""))
    for sample in value["samples"]:
        family.samples.append(
            Sample(
                sample["name"],
                sample.get("labels", {}),
                float(sample["value"]),
                _timestamp_from_json(sample.get("timestamp")),
                _exemplar_from_json(sample.get("exemplar")),
            )
        )
    return family


def family_to_json(family: Metric) -> Json:
    """Returns a family as data that JSON can hold."""
    return {
        "name": family.name,
        "help": family.documentation,
        "kind": family.type,
        "unit": family.unit,
        "samples": [
            {
                "name": sample.name,
                "labels": sample.labels,
                "value": repr(float(sample.value)),
                "timestamp": _timestamp_to_json(sample.timestamp),
                "exemplar": _exemplar_to_json(sample.exemplar),
            }
            for sample in family.samples
        ],
    }


class Families(Collector):
    """Stands in for a registry."""

    def __init__(self, families: list[Metric]) -> None:
        """Keeps the families that ``collect`` yields."""
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Yields the families in their order."""
        return iter(self._families)
