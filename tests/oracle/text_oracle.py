"""Answers requests about text formats with what the official client does.

``text_oracle.py numbers`` reads floats as eight little-endian bytes each from standard input and writes a line
``<exposition text> <repr>`` for each. ``text_oracle.py families`` reads a JSON request a line:
``{"op": "encode", "format": "text"|"openmetrics", "escaping": ..., "families": [...]}`` is answered with
``{"text": ...}``, ``{"op": "parse", "format": ..., "text": ...}`` with ``{"families": [...]}``, and either with
``{"error": ...}`` where the official client raises.
"""

import json
import struct
import sys

from prometheus_client import exposition, parser
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.utils import floatToGoString

from text_families import Families, family_from_json, family_to_json


def _answer(request):
    is_openmetrics = request["format"] == "openmetrics"
    if request["op"] == "encode":
        encoder = openmetrics_exposition if is_openmetrics else exposition
        families = Families([family_from_json(value) for value in request["families"]])
        text = encoder.generate_latest(families, escaping=request["escaping"])
        return {"text": text.decode("utf-8")}
    chosen = openmetrics_parser if is_openmetrics else parser
    families = chosen.text_string_to_metric_families(request["text"])
    return {"families": [family_to_json(family) for family in families]}


def _numbers():
    for (value,) in struct.iter_unpack("<d", sys.stdin.buffer.read()):
        print(floatToGoString(value), repr(value))


def _families():
    for line in sys.stdin:
        try:
            answer = _answer(json.loads(line))
        except Exception as error:  # Whatever it raises is the answer.
            answer = {"error": f"{type(error).__name__}: {error.args[:1]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    {"numbers": _numbers, "families": _families}[sys.argv[1]]()
