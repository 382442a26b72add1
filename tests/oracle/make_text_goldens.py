"""Writes the golden files of the text encoders and parsers with the official client.

Usage: ``python tests/oracle/make_text_goldens.py crates/forkmeter-core/testdata``. In that folder

- ``numbers.txt`` gets a line ``<bits in hexadecimal> <exposition text> <repr>`` per float;
- each ``encode/*.json`` (families) gets one text per format and escaping beside it;
- each ``parse/*.good.txt`` (cases that start with a line ``=== title``) gets a ``.json`` with its families.
"""

from __future__ import annotations

import json
import random
import struct
import sys
from pathlib import Path

from prometheus_client import exposition, parser
from prometheus_client.openmetrics import exposition as openmetrics_exposition
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.utils import floatToGoString
from text_families import Families, family_from_json, family_to_json

ESCAPINGS = ("allow-utf-8", "underscores", "dots", "values")
EDGES = """
    0 0.1 0.5 1 9 10 99999 100000 999999 999999.9 1e6 1000001 1200000 1234567 1234567.5 1e15 1000000000000001
    9007199254740991 9007199254740992 9007199254740994 9999999999999998 1e16 10000000000000002 1.2e17 1e17
    1e21 1e22 1e23 1e99 1e100 1e-1 1e-3 1e-4 9.999e-5 1e-5 1.5e-5 1e-7 1e-10 1e-99 1e-100 5e-324 1e-323
    2.2250738585072014e-308 2.225073858507201e-308 1.7976931348623157e308 5.684341886080802e-14 5e-5
    0.30000000000000004 inf nan 1.7e9 1700000000.123 123456789012345680 4.35 0.285 100000.1
"""


def _numbers() -> list[float]:
    generator = random.Random(20240607)
    values = [sign * float(value) for value in EDGES.split() for sign in (1.0, -1.0)]
    values += [2.0**exponent for exponent in range(-1074, 1024, 7)]
    values += [float(f"1e{exponent}") for exponent in range(-323, 309)]
    for _ in range(800):
        values.append(float(f"{generator.randrange(1, 10**9)}e{generator.randrange(-15, 12)}"))
    for _ in range(400):
        values.append(float(generator.randrange(10 ** generator.randrange(1, 20))))
    for _ in range(1200):
        values.append(struct.unpack("<d", generator.getrandbits(64).to_bytes(8, "little"))[0])
    return values


def _write_numbers(target: Path) -> None:
    with target.open("w", encoding="ascii", newline="\n") as file:
        for value in _numbers():
            bits = struct.unpack("<Q", struct.pack("<d", value))[0]
            print(f"{bits:016x}", floatToGoString(value), repr(value), file=file)


def _write_expositions(source: Path) -> None:
    data = json.loads(source.read_text(encoding="utf-8"))
    families = Families([family_from_json(value) for value in data])
    for escaping in ESCAPINGS:
        text = exposition.generate_latest(families, escaping=escaping)
        source.with_suffix(f".text.{escaping}.txt").write_bytes(text)
        text = openmetrics_exposition.generate_latest(families, escaping=escaping)
        source.with_suffix(f".openmetrics.{escaping}.txt").write_bytes(text)


def _write_parsed(source: Path) -> None:
    is_openmetrics = source.name.startswith("openmetrics")
    parse = (openmetrics_parser if is_openmetrics else parser).text_string_to_metric_families
    cases = []
    for case in ("\n" + source.read_text(encoding="utf-8")).split("\n=== ")[1:]:
        title, _, text = case.partition("\n")
        families = [family_to_json(family) for family in parse(text.rstrip("\n") + "\n")]
        cases.append({"title": title, "families": families})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    source.with_suffix(".json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _main(folder: Path) -> None:
    _write_numbers(folder / "numbers.txt")
    for source in sorted((folder / "encode").glob("*.json")):
        _write_expositions(source)
    for source in sorted((folder / "parse").glob("*.good.txt")):
        _write_parsed(source)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
