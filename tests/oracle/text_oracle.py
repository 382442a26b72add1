"""Answers requests about text formats with what the official client does.

``text_oracle.py numbers`` reads floats as eight little-endian bytes each from standard input and writes a
line ``<exposition text> <repr>`` for each. ``text_oracle.py families`` reads a JSON request a line:
``{"op": "encode", "format": "text"|"openmetrics", "escaping": ..., "families": [...]}`` is answered with
``{"text": ...}``, ``{"op": "parse", "format": ..., "text": ...}`` with ``{"families": [...]}``, and either
with ``{"error": ...}`` where the official client raises.
"""

from __future__ import annotations

import json
import struct
import sys

from prometheus_client import exposition, parser
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.utils import floatToGoString
from text_families import Families, Json, family_from_json, family_to_json


def _encode(request: Json) -> Json:
    families = Families([family_from_json(value) for value in request["families"]])
    if request["format"] == "openmetrics":
        text = openmetrics_exposition.generate_latest(families, escaping=request["escaping"])
    else:
        text = exposition.generate_latest(families, escaping=request["escaping"])
    return {"text": text.decode("utf-8")}


def _parse(request: Json) -> Json:
    if request["format"] == "openmetrics":
        families = openmetrics_parser.text_string_to_metric_families(request["text"])
    else:
        families = parser.text_string_to_metric_families(request["text"])
    return {"families": [family_to_json(family) for family in families]}


def _numbers() -> None:
    for (value,) in struct.iter_unpack("<d", sys.stdin.buffer.read()):
        print(floatToGoString(value), repr(value))


def _families() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = _encode(request) if request["op"] == "encode" else _parse(request)
        except Exception as error:  # noqa: BLE001  whatever it raises is the answer
            answer = {"error": f"{type(error).__name__}: {error.args[:1]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    {"numbers": _numbers, "families": _families}[sys.argv[1]]()
