"""The parsers: what they read, what they refuse, and the names that dependents use."""

from __future__ import annotations

import io

import pytest
from forkmeter import parser
from forkmeter.core import BucketSpan, Exemplar, NativeHistogram, Sample, Timestamp
from forkmeter.openmetrics import parser as openmetrics_parser


def test_names_that_the_datadog_agent_uses() -> None:
    assert parser._replace_help_escaping(r"a\\b\nc\"d") == 'a\\b\nc\\"d'
    assert parser._parse_sample('a{b="c",d="e\\n"} 1.5 2000') == Sample("a", {"b": "c", "d": "e\n"}, 1.5, 2.0)
    assert parser._parse_sample("a 1") == ("a", {}, 1, None, None, None)


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        ("a\t1\t2", Sample("a", {}, 1, 0.002)),
        ("a   1   2000", Sample("a", {}, 1, 2.0)),
        ("a { b = 'x' } 1", None),
        ('a { b = "x" , } 1', Sample("a", {"b": "x"}, 1)),
        ('a{b="}"} 1', Sample("a", {"b": "}"}, 1)),
        ('a{b="{,=#"} 1', Sample("a", {"b": "{,=#"}, 1)),
        (r'a{b="\\"} 1', Sample("a", {"b": "\\"}, 1)),
        (r'a{b="\""} 1', Sample("a", {"b": '"'}, 1)),
        (r'a{b="\x"} 1', Sample("a", {"b": r"\x"}, 1)),
        ("a{} 1", Sample("a", {}, 1)),
        ('{"a.b"} 1', Sample("a.b", {}, 1)),
        ('{"a.b",c="d"} 1', Sample("a.b", {"c": "d"}, 1)),
        ('a{"c.d"="e"} 1', Sample("a", {"c.d": "e"}, 1)),
        ("a +Inf", Sample("a", {}, float("inf"))),
        ("a 1e3", Sample("a", {}, 1000.0)),
        ("a 1_000", None),
        ("a", None),
        ("inf", None),
        ("a b", None),
        ('a{b="c"', None),
        ('a{b="c" 1', None),
        ('a{b=c"} 1', None),
        ('a{b="c""} 1', None),
        ('a{b="c"d="e"} 1', None),
        ('a{b="c",b="d"} 1', None),
        ('a{,,b="c"} 1', None),
        ('a{__b="c"} 1', None),
        ('a{"b"} 1', None),
        ('{b="c"} 1', None),
        ("a.b 1", None),
        ('a{c.d="e"} 1', None),
    ],
)
def test_lines_of_the_text_format(line: str, sample: Sample | None) -> None:
    if sample is None:
        with pytest.raises(ValueError, match=r".*"):
            parser._parse_sample(line)
    else:
        parsed = parser._parse_sample(line)
        assert parsed == sample
        assert isinstance(parsed.value, type(sample.value))


def test_labels_with_a_brace_at_their_end_are_refused_and_not_read_for_ever() -> None:
    for openmetrics in (False, True):
        with pytest.raises(ValueError, match="Invalid labels"):
            parser.parse_labels('a="b"}', openmetrics)


def test_files_and_strings_read_alike() -> None:
    text = "# TYPE a counter\na_total 1\n# just a comment\n\nb 2\n"
    families = list(parser.text_string_to_metric_families(text))
    assert [(family.name, family.type, len(family.samples)) for family in families] == [
        ("a", "counter", 0),
        ("a_total", "unknown", 1),
        ("b", "unknown", 1),
    ]
    assert list(parser.text_fd_to_metric_families(io.StringIO(text))) == families
    assert list(parser.text_fd_to_metric_families(text.splitlines())) == families


def openmetrics_sample(line: str, metadata: str = "# TYPE a counter\n") -> Sample:
    (family,) = openmetrics_parser.text_string_to_metric_families(f"{metadata}{line}\n# EOF\n")
    (sample,) = family.samples
    return sample


@pytest.mark.parametrize(
    ("rest", "timestamp", "exemplar"),
    [
        ("", None, None),
        (" 12", Timestamp(12, 0), None),
        (" 12.5", Timestamp(12, 500000000), None),
        (" 1520879607.7890012345", Timestamp(1520879607, 789001234), None),
        (" 1.5e3", 1500.0, None),
        (' # {b="c"} 0.5', None, Exemplar({"b": "c"}, 0.5)),
        (' 12 # {b="c"} 0.5 7', Timestamp(12, 0), Exemplar({"b": "c"}, 0.5, Timestamp(7, 0))),
        (" # {} 1", None, Exemplar({}, 1)),
        (r' # {b="x}\"y",c=" # "} 1', None, Exemplar({"b": 'x}"y', "c": " # "}, 1)),
    ],
)
def test_timestamps_and_exemplars(rest: str, timestamp: object, exemplar: Exemplar | None) -> None:
    for labels in ({}, {"x": "y"}, {"x": "\\"}):
        written = "".join(f'{{{name}="{value}"}}' for name, value in labels.items()).replace("\\", "\\\\")
        assert openmetrics_sample(f"a_total{written} 5{rest}") == Sample("a_total", labels, 5, timestamp, exemplar)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "rest",
    [
        " ",
        "  12",
        " 12 ",
        " NaN",
        " +Inf",
        " 1_0",
        " # ",
        " #{} 1",
        " # {} ",
        " # {}",
        " # {}1",
        " # {} 1 ",
        " # {} 1 x",
        " # {b} 1",
        ' # {b="c",} 1',
        " # {} 1_0",
        f' # {{b="{"c" * 128}"}} 1',
    ],
)
def test_bad_timestamps_and_exemplars(rest: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        openmetrics_sample("a_total 5" + rest)


def test_native_histograms() -> None:
    value = (
        "{count:24,sum:100,schema:0,zero_threshold:0.001,zero_count:4,"
        "negative_spans:[0:2],negative_deltas:[2,-1],positive_spans:[-3:2,1:2],positive_deltas:[2,1,-3,3]}"
    )
    expected = NativeHistogram(
        24, 100.0, 0, 0.001, 4, (BucketSpan(-3, 2), BucketSpan(1, 2)), (BucketSpan(0, 2),), (2, 1, -3, 3), (2, -1)
    )
    metadata = '# TYPE "a" histogram\n'
    assert tuple(openmetrics_sample("a " + value, metadata)) == ("a", None, None, None, None, expected)
    assert tuple(openmetrics_sample(f'a{{b="c}}"}} {value}', metadata)) == (
        "a",
        {"b": "c}"},
        None,
        None,
        None,
        expected,
    )
    assert not openmetrics_sample(f'{{"a"}} {value}', metadata).labels
    for line in (f"a_sum {value}", f'a_bucket{{b="c"}} {value}', "a {count:1}", "a {count:1", 'a{b="c" {count:1}'):
        with pytest.raises(ValueError, match=r".*"):
            openmetrics_sample(line, metadata)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1\n", "Missing # EOF at end"),
        ("# EOF\na 1\n", "Received line after # EOF: a 1"),
        ("\n# EOF\n", "Received blank line"),
        ("# TYPE a counter\n# TYPE a counter\n# EOF\n", "More than one TYPE for metric"),
        ("# HELP a b\n# HELP a b\n# EOF\n", "More than one HELP for metric"),
        ("# UNIT a_s s\n# UNIT a_s s\n# EOF\n", "More than one UNIT for metric"),
        ("# UNIT a s\n# EOF\n", "Unit does not match metric name: a"),
        ("# TYPE a untyped\n# EOF\n", "Invalid TYPE for metric"),
        ("# WHAT a b\n# EOF\n", "Invalid line: # WHAT a b"),
        ("# TYPE a\n# EOF\n", "Invalid line: # TYPE a"),
        ("# TYPE a gauge\na 1\n# HELP a b\n# EOF\n", "Received metadata after samples"),
        ("# TYPE a gauge\na 1\nb 1\na 2\n# EOF\n", "Clashing name: a"),
        ("# TYPE a counter\na_total -1\n# EOF\n", "Counter-like samples cannot be negative"),
        ("# TYPE a counter\na_total NaN\n# EOF\n", "Counter-like samples cannot be NaN"),
        ("# TYPE a info\na_info 2\n# EOF\n", "Info samples can only have value one"),
        ("# TYPE a stateset\na 1\n# EOF\n", "Stateset missing label"),
        ('# TYPE a stateset\na{a="b"} 2\n# EOF\n', "Stateset samples can only have values zero and one"),
        ('# TYPE a summary\na{quantile="2"} 1\n# EOF\n', "Invalid quantile label"),
        ('# TYPE a summary\na{quantile="0.5"} -1\n# EOF\n', "Quantile values cannot be negative"),
        ('# TYPE a histogram\na_bucket{le="+INF"} 1\n# EOF\n', "Invalid le label"),
        ('# TYPE a histogram\na_bucket{le="+Inf"} 1.5\n# EOF\n', "Bucket value must be an integer"),
        ('# TYPE a histogram\na_bucket{le="1"} 1\n# EOF\n', r"\+Inf bucket missing: a"),
        ('# TYPE a histogram\na_bucket{le="+Inf"} 1\na_count 2\na_sum 1\n# EOF\n', "Count does not match"),
        ('# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\n# EOF\n', "Bucket values out of order"),
        ('# TYPE a histogram\na_bucket{le="2"} 1\na_bucket{le="1"} 1\n# EOF\n', "Buckets out of order"),
        ('# TYPE a histogram\na_bucket{le="+Inf"} 1\na_count 1\n# EOF\n', "must be present if _count is present"),
        (
            "# TYPE a gauge\na 1 # {} 1\n# EOF\n",
            "only histogram/gaugehistogram buckets and counters can have exemplars",
        ),
        ("# TYPE a gauge\na 1 2\na 1 1\n# EOF\n", "Timestamps went backwards within a group"),
        ("# TYPE a gauge\na 1 2\na 1 1.5e0\n# EOF\n", "Timestamps went backwards within a group"),
        ("# TYPE a gauge\na 1 2\na 1\n# EOF\n", "Mix of timestamp presence within a group"),
        ('# TYPE a gauge\na{b="1"} 1\na{b="2"} 1\na{b="1"} 1\n# EOF\n', "Invalid metric grouping"),
        ('{"a.b"} 1\n# EOF\n', "invalid metric name"),
    ],
)
def test_invalid_openmetrics(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(openmetrics_parser.text_string_to_metric_families(text))


def test_utf8_names_need_a_line_that_says_their_type() -> None:
    text = '# TYPE "a.b" gauge\n# HELP "a.b" Some \\"help\\"\\\\ \\x\\n.\n{"a.b",c="d"} 1\n# EOF\n'
    (family,) = openmetrics_parser.text_string_to_metric_families(text)
    assert (family.name, family.documentation) == ("a.b", 'Some "help"\\ \\x\n.')
    assert family.samples == [Sample("a.b", {"c": "d"}, 1)]
