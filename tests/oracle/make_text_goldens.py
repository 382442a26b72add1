"""Writes the golden files of the text encoders with the official client.

Usage: ``python tests/oracle/make_text_goldens.py crates/forkmeter-core/testdata``. The families come from
``encode/*.json`` in that folder; each gets one text per format and escaping beside it. ``numbers.txt`` gets a line
``<bits in hexadecimal> <exposition text> <repr>`` per float.
"""

import json
import random
import struct
import sys
from pathlib import Path

from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.utils import floatToGoString

from text_families import Families, family_from_json

ESCAPINGS = ("allow-utf-8", "underscores", "dots", "values")
EDGES = (
    0.0, 0.1, 0.5, 1.0, 9.0, 10.0, 99999.0, 100000.0, 999999.0, 999999.9, 1e6, 1000001.0, 1200000.0, 1234567.0,
    1234567.5, 1e15, 1e15 + 1, 2.0**53 - 1, 2.0**53, 2.0**53 + 2, 1e16 - 2, 1e16, 1e16 + 2, 1.2e17, 1e17, 1e21,
    1e22, 1e23, 1e99, 1e100, 1e-1, 1e-3, 1e-4, 9.999e-5, 1e-5, 1.5e-5, 1e-7, 1e-10, 1e-99, 1e-100, 5e-324, 1e-323,
    2.2250738585072014e-308, 2.225073858507201e-308, 1.7976931348623157e308, 2.0**-44, 5e-5, 0.30000000000000004,
    float("inf"), float("nan"), 1.7e9, 1700000000.123, 123456789012345680.0, 4.35, 0.285, 1e5 + 0.1,
)  # fmt: skip


def numbers():
    """Returns the floats of the golden file: edges, powers, decimals and random bits."""
    generator = random.Random(20240607)
    values = [sign * value for value in EDGES for sign in (1.0, -1.0)]
    values += [2.0**exponent for exponent in range(-1074, 1024, 7)]
    values += [10.0**exponent for exponent in range(-323, 309)]
    values += [float(f"{generator.randrange(1, 10**9)}e{generator.randrange(-15, 12)}") for _ in range(800)]
    values += [float(generator.randrange(10 ** generator.randrange(1, 20))) for _ in range(400)]
    values += [struct.unpack("<d", generator.randbytes(8))[0] for _ in range(1200)]
    return values


def main(folder):
    with (folder / "numbers.txt").open("w", encoding="ascii", newline="\n") as file:
        for value in numbers():
            bits = struct.unpack("<Q", struct.pack("<d", value))[0]
            print(f"{bits:016x}", floatToGoString(value), repr(value), file=file)
    for source in sorted((folder / "encode").glob("*.json")):
        data = json.loads(source.read_text(encoding="utf-8"))
        families = Families([family_from_json(value) for value in data])
        for escaping in ESCAPINGS:
            for name, encoder in (("text", exposition), ("openmetrics", openmetrics_exposition)):
                target = source.with_suffix(f".{name}.{escaping}.txt")
                target.write_bytes(encoder.generate_latest(families, escaping=escaping))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
