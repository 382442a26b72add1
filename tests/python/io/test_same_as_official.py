"""The same families, written by both clients, are the same bytes; the same text, read by both, is the same families."""

from __future__ import annotations

import math
import random
from typing import Any

import forkmeter.openmetrics.parser as openmetrics_parser
import prometheus_client.exposition as official_text
import prometheus_client.openmetrics.exposition as official_openmetrics
import prometheus_client.openmetrics.parser as official_openmetrics_parser
import prometheus_client.parser as official_parser
import pytest
from forkmeter import exposition, metrics_core, parser, samples
from forkmeter.openmetrics import exposition as openmetrics
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import metrics_core as official_families
from prometheus_client import samples as official_samples

ESCAPINGS = (openmetrics.UNDERSCORES, openmetrics.ALLOWUTF8, openmetrics.DOTS, openmetrics.VALUES)

NAMES = st.sampled_from(["a", "a_total", "a:b", "dotted.name", "ä", "with space", '"quoted"', "_x", "9"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(["\\", "\n", '"', "\\n"])
LABELS = st.dictionaries(NAMES, TEXTS, max_size=3)
VALUES = st.floats() | st.integers(-(10**18), 10**18)
TIMES = st.none() | st.floats(0, 1e10) | st.tuples(st.integers(0, 10**10), st.integers(0, 999_999_999))
EXEMPLARS = st.none() | st.tuples(LABELS, VALUES, TIMES)
SUFFIXES = st.sampled_from(["", "_total", "_created", "_bucket", "_gcount", "_gsum", "_sum", "_info"])
SAMPLES = st.lists(st.tuples(SUFFIXES, LABELS, VALUES, TIMES), max_size=4)
FAMILIES = st.lists(
    st.tuples(NAMES, TEXTS, st.sampled_from(metrics_core.METRIC_TYPES), st.sampled_from(["", "seconds"]), SAMPLES),
    max_size=3,
)


class Collector:
    """Collects what it is given."""

    def __init__(self, families: list[Any]) -> None:
        self._families = families

    def collect(self) -> list[Any]:
        return self._families


def build(families: Any, families_module: Any, samples_module: Any) -> Collector:
    def time(written: Any) -> Any:
        return samples_module.Timestamp(*written) if isinstance(written, tuple) else written

    built = []
    for name, documentation, typ, unit, family_samples in families:
        metric = families_module.Metric(name, documentation, typ, unit)
        for suffix, labels, value, timestamp in family_samples:
            metric.add_sample(metric.name + suffix, labels, value, time(timestamp))
        built.append(metric)
    return Collector(built)


@settings(max_examples=300, deadline=None)
@given(FAMILIES)
def test_expositions(families: Any) -> None:
    ours = build(families, metrics_core, samples)
    theirs = build(families, official_families, official_samples)
    for escaping in ESCAPINGS:
        assert exposition.generate_latest(ours, escaping) == official_text.generate_latest(theirs, escaping)
        for version in ("1.0.0", "2.0.0"):
            expected = official_openmetrics.generate_latest(theirs, escaping, version)
            assert openmetrics.generate_latest(ours, escaping, version) == expected


@settings(max_examples=100, deadline=None)
@given(LABELS, VALUES, TIMES, st.sampled_from(["counter", "histogram", "gaugehistogram", "gauge"]), SUFFIXES)
def test_exemplars(labels: Any, value: Any, timestamp: Any, typ: str, suffix: str) -> None:
    def write(families_module: Any, samples_module: Any, encoder: Any) -> Any:
        time = samples_module.Timestamp(*timestamp) if isinstance(timestamp, tuple) else timestamp
        metric = families_module.Metric("m", "Help.", typ)
        metric.add_sample("m" + suffix, {}, 1, exemplar=samples_module.Exemplar(labels, value, time))
        try:
            return encoder.generate_latest(Collector([metric]))
        except ValueError as error:
            assert error.args[-1] is metric
            return error.args[0]

    ours = write(metrics_core, samples, openmetrics)
    assert ours == write(official_families, official_samples, official_openmetrics)


TEXT = r"""# HELP a help
# TYPE a counter
a_total{foo="bar",baz="q"} 1
a_total{foo="x y"} 2 1234
# TYPE b summary
b{quantile="0.5"} 1.5
b_count 3
b_sum 4e5
# TYPE h histogram
h_bucket{le="1"} 3
h_bucket{le="+Inf"} 4
h_count 4
h_sum 2
plain 3
plain{a="\\\n\"x"} NaN
{"q.name",x="y"} 3
# TYPE "u.name" gauge
{"u.name"} 7
# HELP c a \\ text\n line
# TYPE c counter
c 7
weird{a="b", c = "d" , } +Inf
"""
OPENMETRICS = r"""# HELP a help \" x
# TYPE a counter
a_total{foo="bar",baz="q"} 1
a_total{foo="x y"} 2 1234.5 # {trace="abc",x="y z"} 0.5 123.456
a_total{foo="z"} 2 # {trace="abc"} 0.5
# TYPE b summary
b{quantile="0.5"} 1.5
b_count 3
b_sum 4e5
b_created 123
# UNIT h_seconds seconds
# TYPE h_seconds histogram
h_seconds_bucket{le="1.0"} 3 # {} 3
h_seconds_bucket{le="+Inf"} 4
h_seconds_count 4
h_seconds_sum 2
# TYPE n histogram
n {count:24,sum:100,schema:0,zero_threshold:0.001,zero_count:4,positive_spans:[0:2,1:2],positive_deltas:[2,1,-3,3]}
n{a="b"} {count:2,sum:1,schema:0,zero_threshold:0.1,zero_count:4,negative_spans:[0:2],negative_deltas:[2,1]}
# TYPE s stateset
s{s="a"} 1
s{s="b"} 0
# TYPE i info
i_info{a="b"} 1
# TYPE g gauge
g 1 1.5
g 2 2
# TYPE "u.n" gauge
{"u.n",a="b"} 7
# TYPE gh gaugehistogram
gh_bucket{le="-1.0"} 1
gh_bucket{le="+Inf"} 3
gh_gcount 3
gh_gsum -2
unknown{x="\\y\n"} 5
# EOF
"""
PIECES = ["{", "}", '"', " ", "  ", "\t", ",", "=", "#", "_", "0", "-1", "NaN", "+Inf", "le", "_total", "_sum", "\n"]


def damage(text: str, rng: random.Random) -> str:
    """Changes a line or two."""
    lines = text.split("\n")
    for _ in range(rng.choice([1, 1, 1, 2])):
        index = rng.randrange(len(lines))
        line = lines[index]
        position = rng.randrange(len(line) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            lines[index] = line[:position] + line[position + rng.choice([1, 1, 5]) :]
        elif kind == 1:
            lines[index] = line[:position] + rng.choice(PIECES) + line[position:]
        elif kind == 2:
            del lines[index]
        else:
            lines.insert(rng.randrange(len(lines)), line)
    return "\n".join(lines)


def read(module: Any, text: str) -> list[Any]:
    """Returns the families, ending in `ValueError` where there is one; the official client raises others too."""
    families: list[Any] = []
    try:
        for metric in module.text_string_to_metric_families(text):
            families.append(
                (metric.name, metric.documentation, metric.type, metric.unit, [plain(tuple(s)) for s in metric.samples])
            )
    except (ValueError, AttributeError, IndexError, KeyError, TypeError) as error:
        if module in {parser, openmetrics_parser}:
            assert isinstance(error, ValueError)
        families.append("ValueError")
    return families


def plain(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if hasattr(value, "nsec"):
        return (value.sec, value.nsec)
    if isinstance(value, tuple):
        return tuple(plain(part) for part in value)
    return (type(value).__name__, value)


# What the official client gets wrong: an escaped quote in an exemplar, a name with a newline at its end, timestamps
# with and without an exponent, a name cut short at the end of a line without a value.
WRONG_THERE = ['\\"', "\\n", "1e3", "nan", "inf"]


@pytest.mark.parametrize(
    ("ours", "theirs", "text"),
    [(parser, official_parser, TEXT), (openmetrics_parser, official_openmetrics_parser, OPENMETRICS)],
    ids=["text", "openmetrics"],
)
def test_parsers(ours: Any, theirs: Any, text: str) -> None:
    assert "ValueError" not in read(ours, text)
    assert read(ours, text) == read(theirs, text)
    rng = random.Random(20261122)
    good = 0
    for _ in range(1500):
        damaged = damage(text, rng)
        expected = read(theirs, damaged)
        actual = read(ours, damaged)
        if actual != expected:
            difference = {line.lower() for line in damaged.split("\n")} - {line.lower() for line in text.split("\n")}
            assert any(wrong in line for line in difference for wrong in WRONG_THERE), difference
        good += "ValueError" not in expected
    assert good > 200
