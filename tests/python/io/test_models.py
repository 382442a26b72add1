"""Samples, timestamps, families and names."""

from __future__ import annotations

from typing import Any

import prometheus_client.core as official
import prometheus_client.validation as official_validation
import pytest
from forkmeter import core, utils, validation
from forkmeter.core import Sample, Timestamp


def test_samples_are_tuples_of_six() -> None:
    sample = Sample("a", {"b": "c"}, 1)
    assert sample == ("a", {"b": "c"}, 1, None, None, None)
    assert repr(sample) == repr(official.Sample("a", {"b": "c"}, 1))
    assert Sample._fields == official.Sample._fields
    for name in ("BucketSpan", "Exemplar", "NativeHistogram"):
        assert getattr(core, name)._fields == getattr(official, name)._fields
        assert getattr(core, name)._field_defaults == getattr(official, name)._field_defaults


def test_timestamps() -> None:
    assert str(Timestamp(1, 5)) == "1.000000005"
    assert repr(Timestamp(1.9, 5)) == "Timestamp(1, 5)"
    assert float(Timestamp(1, 500_000_000)) == 1.5
    assert float(Timestamp(-1, 500_000_000)) == -1.5
    assert Timestamp(1, 2) == Timestamp(1, 2)
    assert Timestamp(1, 2) != Timestamp(1, 3)
    assert Timestamp(1, 2) != 1
    assert Timestamp(1, 2) < Timestamp(1, 3) < Timestamp(2, 0)
    assert Timestamp(2, 0) > Timestamp(1, 3) > Timestamp(1, 2)
    for nsec in (-1, 1_000_000_000):
        with pytest.raises(ValueError, match=f"Invalid value for nanoseconds in Timestamp: {nsec}"):
            Timestamp(1, nsec)


@pytest.mark.parametrize(
    "number",
    [
        0,
        1,
        -1,
        1.5,
        999999.0,
        1e6,
        1234567.5,
        12345678.0,
        1e15,
        1e16,
        1e21,
        1e-7,
        -1e7,
        "5",
        "nan",
        "inf",
        "-inf",
        True,
    ],
)
def test_numbers_as_go_writes_them(number: Any) -> None:
    import prometheus_client.utils as official_utils

    assert utils.floatToGoString(number) == official_utils.floatToGoString(number)


def test_versions() -> None:
    assert utils.parse_version("1.0.0") == (1, 0, 0)
    assert utils.parse_version("1.x") == (1, "x")


FAMILIES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("UnknownMetricFamily", ("a", "help", 3), {"unit": "s"}),
    ("UntypedMetricFamily", ("a", "help"), {"labels": ["x"]}),
    ("CounterMetricFamily", ("a_total", "help", 3), {"created": 5, "unit": "s"}),
    ("CounterMetricFamily", ("a", "help"), {"labels": ["x"]}),
    ("GaugeMetricFamily", ("a", "help", 3), {}),
    ("SummaryMetricFamily", ("a", "help", 3, 4.5), {}),
    ("HistogramMetricFamily", ("a", "help", [("0", 1), ("+Inf", 2)], 4.5), {}),
    ("HistogramMetricFamily", ("a", "help", [("-1", 1), ("+Inf", 2)], 4.5), {}),
    ("HistogramMetricFamily", ("a", "help", [("1", 1, "exemplar"), ("+Inf", 2)]), {}),
    ("GaugeHistogramMetricFamily", ("a", "help", [("0", 1), ("+Inf", 2)], 4.5), {}),
    ("InfoMetricFamily", ("a", "help", {"x": "y"}), {}),
    ("StateSetMetricFamily", ("a", "help", {"on": True, "off": False}), {}),
    ("GaugeMetricFamily", ("", "help"), {}),
    ("GaugeMetricFamily", ("a", "help", 1), {"labels": ["x"]}),
    ("SummaryMetricFamily", ("a", "help", 1), {}),
    ("SummaryMetricFamily", ("a", "help", 1, 2), {"labels": ["x"]}),
    ("HistogramMetricFamily", ("a", "help"), {"sum_value": 1}),
    ("HistogramMetricFamily", ("a", "help", [("+Inf", 2)], 1), {"labels": ["x"]}),
    ("GaugeHistogramMetricFamily", ("a", "help", [("+Inf", 2)], 1), {"labels": ["x"]}),
    ("InfoMetricFamily", ("a", "help", {"x": "y"}), {"labels": ["x"]}),
    ("StateSetMetricFamily", ("a", "help", {"x": True}), {"labels": ["x"]}),
    ("Metric", ("a", "help", "untyped", "unit"), {}),
    ("Metric", ("a_unit", "help", "gauge", "unit"), {}),
    ("Metric", ("a", "help", "nonsense"), {}),
]


@pytest.mark.parametrize(("name", "args", "kw"), FAMILIES)
def test_families_as_in_the_official_client(name: str, args: Any, kw: Any) -> None:
    def make(module: Any) -> Any:
        try:
            family = getattr(module, name)(*args, **kw)
        except ValueError as error:
            return str(error)
        return repr(family), [tuple(sample) for sample in family.samples]

    assert make(core) == make(official)


def test_added_metrics_as_in_the_official_client() -> None:
    def make(module: Any) -> Any:
        exemplar = module.Exemplar({"t": "u"}, 1)
        counter = module.CounterMetricFamily("c", "help", labels=["x"])
        counter.add_metric(["1"], 2, created=3, timestamp=4, exemplar=exemplar)
        histogram = module.HistogramMetricFamily("h", "help", labels=["x"])
        histogram.add_metric(["1"], [("1", 1, exemplar), ("+Inf", 2)], None, timestamp=4)
        gauge_histogram = module.GaugeHistogramMetricFamily("g", "help", labels=["x"])
        gauge_histogram.add_metric(["1"], [("1", 1), ("+Inf", 2)], None)
        info = module.InfoMetricFamily("i", "help", labels=["x"])
        info.add_metric(["1"], {"x": "2", "y": "3"})
        states = module.StateSetMetricFamily("s", "help", labels=["x"])
        states.add_metric(["1"], {"b": True, "a": False}, timestamp=4)
        return [
            tuple(sample) for family in (counter, histogram, gauge_histogram, info, states) for sample in family.samples
        ]

    assert make(core) == make(official)


def test_metrics_compare_by_content() -> None:
    one, other = core.Metric("a", "help", "gauge"), core.Metric("a", "help", "gauge")
    assert one == other
    other.add_sample("a", {}, 1)
    assert one != other
    assert one != "a"
    restricted = other._restricted_metric({"a"})
    assert restricted == other
    assert restricted is not other
    assert other._restricted_metric({"b"}) is None


@pytest.fixture(params=[False, True], ids=["utf-8", "legacy"])
def is_legacy(request: pytest.FixtureRequest) -> Any:
    for module in (validation, official_validation):
        (module.enable_legacy_validation if request.param else module.disable_legacy_validation)()
    yield request.param
    for module in (validation, official_validation):
        module.disable_legacy_validation()


@pytest.mark.parametrize("name", ["a", "a:b", "a.b", "1a", "__a", "ä", " ", '"a"', '"a.b"', "a b"])
@pytest.mark.parametrize("check", ["_validate_metric_name", "_validate_labelname", "_validate_metric_label_name_token"])
def test_names_as_in_the_official_client(is_legacy: bool, check: str, name: str) -> None:
    def result(module: Any) -> str | None:
        assert module.get_legacy_validation() == is_legacy
        try:
            getattr(module, check)(name)
        except ValueError as error:
            return str(error)
        return None

    assert result(validation) == result(official_validation)


@pytest.mark.parametrize("name", ["\ud800", "a\ud800"])
def test_names_that_cannot_be_sent_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="invalid metric name"):
        validation._validate_metric_name(name)
    with pytest.raises(ValueError, match="Invalid label metric name"):
        validation._validate_labelname(name)


def test_newline_is_not_part_of_a_legacy_name() -> None:
    """The official patterns end in `$`, which also matches before a newline at the end."""
    assert not validation._is_valid_legacy_metric_name("a\n")
    assert not validation._is_valid_legacy_labelname("a\n")
    assert not validation._is_valid_legacy_metric_name("")


def test_label_names_and_exemplars() -> None:
    class Metric:
        _reserved_labelnames = ("le",)

    assert validation._validate_labelnames(Metric, iter(["a", "b"])) == ("a", "b")
    with pytest.raises(ValueError, match="Reserved label methe fric name: le"):
        validation._validate_labelnames(Metric, ["le"])
    validation._validate_exemplar({"a": "b" * 127})
    with pytest.raises(ValueError, match="Exemplar labels have 129 UTF-8 characters, exceeding the limit of 128"):
        validation._validate_exemplar({"a": "b" * 128})
