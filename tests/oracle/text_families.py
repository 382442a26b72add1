"""Converts between JSON and the official client's families.

JSON has no NaN and no infinities, so floats travel as the text that ``repr`` gives. A timestamp is
``{"seconds": "1.5"}`` or ``{"exact": [seconds, nanoseconds]}``.
"""

from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample, Timestamp


def _timestamp_from_json(value):
    if value is None:
        return None
    if "exact" in value:
        return Timestamp(*value["exact"])
    return float(value["seconds"])


def _timestamp_to_json(value):
    if value is None:
        return None
    if isinstance(value, Timestamp):
        return {"exact": [value.sec, value.nsec]}
    return {"seconds": repr(float(value))}


def _exemplar_from_json(value):
    if value is None:
        return None
    timestamp = _timestamp_from_json(value.get("timestamp"))
    return Exemplar(value["labels"], float(value["value"]), timestamp)


def _exemplar_to_json(value):
    if value is None:
        return None
    return {
        "labels": value.labels,
        "value": repr(float(value.value)),
        "timestamp": _timestamp_to_json(value.timestamp),
    }


def family_from_json(value):
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


def family_to_json(family):
    """Returns a family as JSON-ready data."""
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


class Families:
    """Stands in for a registry."""

    def __init__(self, families):
        self._families = families

    def collect(self):
        return iter(self._families)
