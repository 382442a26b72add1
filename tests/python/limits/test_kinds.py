"""What metrics cannot do in the official client's multi-process mode: each program here has workers on a directory."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import forkmeter
from forkmeter import REGISTRY, Counter, Enum, Gauge, Histogram, Info, Summary, generate_latest
from forkmeter.openmetrics.exposition import generate_latest as generate_openmetrics
from forkmeter.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from forkmeter.parser import text_string_to_metric_families as parse_text

from support.alone import Staying, alone, in_worker

if TYPE_CHECKING:
    from forkmeter.samples import Sample

value = REGISTRY.get_sample_value


def text() -> str:
    """Returns the exposition, which must be valid."""
    written = generate_latest(REGISTRY).decode()
    assert list(parse_text(written))
    names = [line.split(" ")[2] for line in written.splitlines() if line.startswith("# TYPE ")]
    assert len(names) == len(set(names)), f"a family stands there twice: {names}"
    return written


def openmetrics() -> dict[str, list[Sample]]:
    """Returns the samples of an OpenMetrics exposition by family, which must be valid."""
    return {family.name: family.samples for family in parse_openmetrics(generate_openmetrics(REGISTRY).decode())}


def samples(name: str) -> dict[frozenset[tuple[str, str]], float]:
    """Returns the values of a name by their labels; none may stand there twice."""
    found: dict[frozenset[tuple[str, str]], float] = {}
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name == name:
                labels = frozenset(sample.labels.items())
                assert labels not in found
                found[labels] = sample.value
    return found


def one(**labels: str) -> frozenset[tuple[str, str]]:
    """Returns labels as `samples` has them."""
    return frozenset(labels.items())


@alone
def test_info_and_enum() -> None:
    build = Info("build", "Build.")
    state = Enum("phase", "Phase.", ["job"], states=["starting", "running"])
    build.info({"version": "1"})
    state.labels("a").state("starting")
    in_worker(lambda: build.info({"version": "2"}), lambda: state.labels("a").state("running"))
    assert samples("build_info") == {one(version="2"): 1}
    assert samples("phase") == {one(job="a", phase="starting"): 0, one(job="a", phase="running"): 1}
    assert "# TYPE build_info gauge\n" in text()
    assert [sample.name for sample in openmetrics()["build"]] == ["build_info"]


@alone
def test_exemplars() -> None:
    requests = Counter("requests", "Requests.")
    latency = Histogram("latency", "Latency.", buckets=[1, 2])
    requests.inc()
    in_worker(
        lambda: requests.inc(2, exemplar={"trace": "a"}),
        lambda: latency.observe(1.5, exemplar={"trace": "b"}),
    )
    found = openmetrics()
    exemplars = [sample.exemplar for name in ("requests", "latency") for sample in found[name] if sample.exemplar]
    assert [(exemplar.labels, exemplar.value) for exemplar in exemplars] == [({"trace": "a"}, 2), ({"trace": "b"}, 1.5)]


@alone
def test_created_times_and_units() -> None:
    before = time.time()
    in_worker(lambda: Counter("work", "Work.", unit="seconds").inc())
    in_worker(lambda: Summary("wait", "Wait.", unit="seconds").observe(1))
    after = time.time()
    written = generate_openmetrics(REGISTRY).decode()
    assert "# UNIT work_seconds seconds\n" in written
    assert "# UNIT wait_seconds seconds\n" in written
    for name in ("work_seconds_created", "wait_seconds_created"):
        created = value(name)
        assert created is not None
        assert before <= created <= after


@alone
def test_removed_series_are_gone_for_all_and_start_from_zero() -> None:
    requests = Counter("requests", "Requests.", ["path", "code"])
    latency = Histogram("latency", "Latency.", ["path"])
    level = Gauge("level", "Level.", ["path"], multiprocess_mode="sum")

    def count() -> None:
        requests.labels("/a", "200").inc(6)
        requests.labels("/b", "200").inc()
        latency.labels("/a").observe(1)
        level.labels("/a").set(3)

    def remove() -> None:
        requests.remove_by_labels({"path": "/a"})
        latency.remove("/a")
        level.clear()

    for _ in range(2):
        count()
        with Staying(count):
            assert value("requests_total", {"path": "/a", "code": "200"}) == 12
            in_worker(remove)
            assert list(samples("requests_total")) == [one(path="/b", code="200")]
            assert samples("latency_count") == {}
            assert samples("level") == {}
        requests.clear()
        level.clear()
        assert samples("requests_total") == {}
    requests.labels("/a", "200").inc()
    assert samples("requests_total") == {one(path="/a", code="200"): 1}


@alone
def test_a_pid_label_of_the_applications_own() -> None:
    summed = Gauge("summed", "Level.", ["pid"], multiprocess_mode="sum")
    each = Gauge("each", "Level.", ["pid"], multiprocess_mode="liveall")

    def work() -> None:
        summed.labels("mine").set(1)
        each.labels("mine").set(2)

    work()
    with Staying(work):
        assert samples("summed") == {one(pid="mine"): 2}
        found = [dict(labels) for labels in samples("each")]
        assert [labels["pid"] for labels in found] == ["mine", "mine"]
        assert len({labels["worker_pid"] for labels in found}) == 2
        text()


@alone
def test_mostrecent_gauges_count() -> None:
    level = Gauge("level", "Level.", multiprocess_mode="mostrecent")
    # Nobody has set it: the family is there, and has no value yet.
    assert "# TYPE level gauge\n" in text()
    assert value("level") is None
    level.set(10)
    in_worker(lambda: level.inc(3), level.dec)
    assert value("level") == 2
    level.inc()
    assert value("level") == 11


@alone
def test_nan_wins_neither_in_min_nor_in_max() -> None:
    least = Gauge("least", "Level.", multiprocess_mode="min")
    greatest = Gauge("greatest", "Level.", multiprocess_mode="max")
    for first, second in ((math.nan, 4.0), (4.0, math.nan)):
        for gauge in (least, greatest):
            gauge.set(first)
            with Staying(lambda gauge=gauge, number=second: gauge.set(number)):  # type: ignore[misc]
                merged = value(gauge._name)
                assert merged in {4.0, 0.0}
                assert not math.isnan(merged)


@alone
def test_histograms_with_negative_bounds() -> None:
    change = Histogram("change", "Change.", buckets=[-1, 0, 1])
    change.observe(-2)
    in_worker(lambda: change.observe(0.5))
    assert value("change_count") == 2
    assert value("change_sum") == -1.5
    assert samples("change_bucket") == {one(le=bound): count for bound, count in zip(BOUNDS, (1, 1, 2, 2))}
    text()


@alone
def test_versions_that_differ_count_on_in_a_valid_exposition() -> None:
    def first() -> dict[str, Any]:
        return {
            "jobs": Counter("jobs", "Old help.", ["queue"], registry=None),
            "latency": Histogram("latency", "Latency.", buckets=[1, 2], registry=None),
            "level": Gauge("level", "Level.", multiprocess_mode="sum", registry=None),
        }

    def second() -> dict[str, Any]:
        return {
            "jobs": Counter("jobs", "New help.", ["queue", "host"], registry=None),
            "latency": Histogram("latency", "Latency.", buckets=[1, 4], registry=None),
            "level": Gauge("level", "Level.", multiprocess_mode="max", registry=None),
        }

    def use(families: dict[str, Any], *labels: str) -> None:
        families["jobs"].labels(*labels).inc()
        families["latency"].observe(1.5)
        families["level"].set(3)

    old = first()
    use(old, "a")
    with Staying(lambda: use(second(), "a", "b")):
        use(old, "a")
        assert samples("jobs_total") == {one(queue="a"): 2, one(queue="a", host="b"): 1}
        assert samples("latency_bucket") == {one(le=bound): count for bound, count in BUCKETS.items()}
        assert samples("latency_count") == {one(): 3}
        assert samples("level") == {one(): 3}
        text()
        openmetrics()
    use(old, "a")
    assert samples("jobs_total")[one(queue="a")] == 3


BOUNDS = ("-1.0", "0.0", "1.0", "+Inf")
# Two observations of 1.5 in the old buckets, one in the new ones.
BUCKETS = {"1.0": 0, "2.0": 2, "4.0": 3, "+Inf": 3}


@alone
def test_help_that_changed_makes_no_second_series() -> None:
    Counter("jobs", "Old help.", registry=None).inc()
    in_worker(lambda: Counter("jobs", "New help.", registry=None).inc())
    assert samples("jobs_total") == {one(): 2}
    assert text().count("# HELP jobs_total ") == 1


@alone
def test_counters_go_on_after_a_restart_of_everything() -> None:
    def application() -> None:
        Counter("jobs", "Jobs.").inc()
        Gauge("busy", "Busy.", multiprocess_mode="livesum").set(1)
        assert value("busy") == 1

    for starts in range(1, 4):
        in_worker(application)
        registry = forkmeter.CollectorRegistry()
        forkmeter.multiprocess.MultiProcessCollector(registry)
        assert registry.get_sample_value("jobs_total") == starts
        assert registry.get_sample_value("busy") is None
