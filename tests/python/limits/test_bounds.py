"""Limits on the series of a metric, and series that go when nobody counts in them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import forkmeter
import pytest
from forkmeter import CollectorRegistry, Counter, Enum, Gauge, Histogram, Summary, generate_latest
from forkmeter.registry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OVERFLOW = "__overflow__"


@pytest.fixture(params=["one process", "several"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[bool]:
    """Runs a test in a lone process, and in one that shares its values."""
    if request.param == "several":
        forkmeter.configure(tmp_path / "metrics")
    yield request.param == "several"
    forkmeter.configure(None)


@pytest.fixture
def registered() -> Iterator[list[Any]]:
    """Takes metrics out of the default registry after a test."""
    metrics: list[Any] = []
    yield metrics
    for metric in metrics:
        REGISTRY.unregister(metric)


def count_one(child: Any) -> None:
    """Counts something in a series of any kind."""
    (child.inc if hasattr(child, "inc") else child.observe)(1)


def test_what_has_no_room_is_counted_in_one_series_more(shared: bool) -> None:
    registry = CollectorRegistry()
    kinds: list[Any] = [Counter, Gauge, Histogram, Summary]
    for kind in kinds:
        # Values of a lone process would move into the directory.
        name = f"limited_{kind.__name__.lower()}_{'shared' if shared else 'lone'}"
        metric = kind(name, "Help.", ["page", "code"], registry=registry)
        assert metric.bound_series(max_series=2) is metric
        before = REGISTRY.get_sample_value("forkmeter_series_overflows_total", {"family": metric._name}) or 0
        count_one(metric.labels("/", 200))
        for number in range(50):
            count_one(metric.labels(f"/?id={number}", 200))
        assert metric.labels("/", 200) is metric.labels(page="/", code="200")
        keys = [(labels["page"], labels["code"]) for labels in metric.label_sets()]
        assert sorted(keys) == sorted([("/", "200"), ("/?id=0", "200"), (OVERFLOW, OVERFLOW)])
        assert sorted(metric._metrics) == sorted(keys)
        said = REGISTRY.get_sample_value("forkmeter_series_overflows_total", {"family": metric._name})
        assert said == before + 49
        metric.remove("/", 200)
        assert metric.labels("/new", 200) is not metric.labels(OVERFLOW, OVERFLOW)
        assert metric.labels("/newer", 200) is metric.labels(OVERFLOW, OVERFLOW)


def test_bounds_that_make_no_sense_are_errors() -> None:
    metric = Counter("c", "Help.", ["a"], registry=None)
    with pytest.raises(ValueError, match="max_series must not be negative, and is -1"):
        metric.bound_series(max_series=-1)
    with pytest.raises(ValueError, match="idle_seconds must not be negative"):
        metric.bound_series(idle_seconds=float("nan"))
    with pytest.raises(ValueError, match="No label names"):
        Counter("d", "Help.", registry=None).bound_series(max_series=1)
    assert metric.bound_series(max_series=0).labels("x") is metric.labels("y")
    assert metric.bound_series().labels("x") is not metric.labels("y")


WORKER = """
import sys
import forkmeter
visits = forkmeter.Counter("visits", "Help.", ["page"]).bound_series(max_series=20)
for number in range(100):
    visits.labels(f"{sys.argv[1]}/{number}").inc()
"""


def test_workers_together_keep_to_a_limit(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for worker in range(4):
        subprocess.run([sys.executable, "-c", WORKER, str(worker)], env=environment, check=True)
    registry = CollectorRegistry()
    forkmeter.multiprocess.MultiProcessCollector(registry, tmp_path)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
    pages = {name: value for name, value in found.items() if name[0] == "visits_total"}
    assert len(pages) == 21
    assert sum(pages.values()) == 400
    assert pages["visits_total", OVERFLOW] == 380
    assert found["forkmeter_series_overflows_total", "visits"] == 380


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Puts the process's bounds back; what the test is given sets the environment."""
    yield monkeypatch
    forkmeter.configure(max_series=None, idle_seconds=None)


def series_of(metric: Any, count: int = 10) -> int:
    """Counts in so many series more; returns how many there are then."""
    for _ in range(count):
        count_one(metric.labels(f"page {time.perf_counter_ns()}"))
    return len(metric.label_sets())


@pytest.mark.usefixtures("defaults")
def test_the_limit_of_a_process_holds_for_what_says_nothing(shared: bool) -> None:
    kinds: list[Any] = [Counter, Gauge, Histogram, Summary]
    mode = "shared" if shared else "lone"
    for kind in kinds:
        name = f"default_{mode}_{kind.__name__.lower()}"
        before, own, free, changed = [
            kind(f"{name}_{part}", "Help.", ["page"], registry=None) for part in ("before", "own", "free", "changed")
        ]
        assert series_of(before, 6) == 6
        own.bound_series(max_series=3)
        free.bound_series(max_series=None)
        forkmeter.configure(max_series=2)
        after = kind(f"{name}_after", "Help.", ["page"], registry=None)
        # What was there stays.
        assert [series_of(metric) for metric in (before, own, free, after)] == [7, 4, 10, 3]
        changed.bound_series(max_series=5)
        assert series_of(changed) == 6
        changed.bound_series()
        forkmeter.configure(idle_seconds=600)
        assert series_of(after) == 3
        forkmeter.configure(max_series=None)
        assert [series_of(metric) for metric in (before, own, after)] == [17, 4, 13]
        # Series of no labels, and of those that count overflows.
        forkmeter.configure(max_series=0)
        lone = kind(f"{name}_lone", "Help.", registry=None)
        count_one(lone)
        assert lone.label_sets() == [{}]
        assert series_of(after) == 13
        forkmeter.configure(max_series=None, idle_seconds=None)
    overflows = REGISTRY._names_to_collectors["forkmeter_series_overflows"]
    assert {"family": OVERFLOW} not in overflows.label_sets()


@pytest.mark.usefixtures("defaults")
def test_bounds_leave_the_directory_where_it_is(tmp_path: Path) -> None:
    forkmeter.configure(tmp_path)
    forkmeter.configure(max_series=5)
    assert forkmeter.status().why == "configure()"
    forkmeter.configure()
    assert forkmeter.status().mode == "single"
    with pytest.raises(ValueError, match="max_series must not be negative, and is -1"):
        forkmeter.configure(tmp_path, max_series=-1)
    with pytest.raises(ValueError, match="idle_seconds must not be negative"):
        forkmeter.configure(tmp_path, idle_seconds=-0.5)
    assert forkmeter.status().mode == "single"


def test_series_expire_by_default_unless_they_say_how_things_are(
    shared: bool, registered: list[Any], defaults: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    defaults.setattr(time, "time", lambda: now[0])
    mode = "shared" if shared else "lone"
    kinds: list[Any] = [Counter, Histogram, Summary, Gauge]
    metrics = [kind(f"expiring_{mode}_{kind.__name__.lower()}", "Help.", ["page"]) for kind in kinds]
    never = Counter(f"expiring_{mode}_never", "Help.", ["page"]).bound_series(idle_seconds=None)
    own = Gauge(f"expiring_{mode}_own", "Help.", ["page"]).bound_series(idle_seconds=20)
    states = Enum(f"expiring_{mode}_enum", "Help.", ["page"], states=["off", "on"])
    registered += [*metrics, never, own, states]
    for metric in (*metrics, never, own):
        count_one(metric.labels("/"))
    states.labels("/").state("on")

    def exposed() -> set[str]:
        lines = generate_latest(REGISTRY).decode().splitlines()
        found = {line.split("{")[0] for line in lines if line.startswith(f"expiring_{mode}_")}
        return {name.split("_")[2] for name in found if not name.endswith("_created")}

    everything = {"counter", "histogram", "summary", "gauge", "never", "own", "enum"}
    forkmeter.configure(idle_seconds=30)
    for _ in range(2):
        assert exposed() == everything
        now[0] += 10
    assert exposed() == everything - {"own"}
    now[0] += 10
    assert exposed() == {"gauge", "never", "enum"}
    # Counted in again.
    count_one(metrics[0].labels("/"))
    assert metrics[0].value("/") == 1
    forkmeter.configure(idle_seconds=None)
    for _ in range(4):
        now[0] += 100
        assert exposed() == {"counter", "gauge", "never", "enum"}


def test_a_gauge_with_a_function_does_not_expire(registered: list[Any]) -> None:
    gauge = Gauge("expiring_function", "Help.", ["page"]).bound_series(idle_seconds=0)
    registered.append(gauge)
    gauge.labels("/").set_function(lambda: 7)
    for _ in range(5):
        assert 'expiring_function{page="/"} 7.0' in generate_latest(REGISTRY).decode()


def test_the_environment_sets_bounds_also_later() -> None:
    program = """
import os
import forkmeter
from forkmeter import Counter

def series(name):
    metric = Counter(name, "Help.", ["page"])
    for number in range(10):
        metric.labels(number).inc()
    return len(metric.label_sets())

first = series("first")
os.environ["FORKMETER_MAX_SERIES"] = "2"
second = series("second")
forkmeter.configure(max_series=5)
third = series("third")
forkmeter.configure(max_series=None)
fourth = series("fourth")
print(first, second, third, fourth)
os.environ["FORKMETER_IDLE_SECONDS"] = "soon"
os.environ["FORKMETER_MAX_SERIES"] = "-1"
series("fifth")
"""
    environment = {**os.environ, "FORKMETER_MAX_SERIES": "3", "FORKMETER_IDLE_SECONDS": "0"}
    environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["4", "3", "6", "10"]
    said = done.stderr.splitlines()
    assert said == [
        'FORKMETER_MAX_SERIES is "-1", and not a number of series, such as 1000: it is as if it were not set',
        'FORKMETER_IDLE_SECONDS is "soon", and not a number of seconds, such as 3600: it is as if it were not set',
    ]


def test_a_child_that_is_fetched_while_its_series_goes_counts_on(shared: bool, registered: list[Any]) -> None:
    class Fetched(Counter):
        def _is_child_held(self, key: tuple[str, ...]) -> bool:
            return not key

    def lines() -> list[str]:
        text = generate_latest(REGISTRY).decode()
        return [line for line in text.splitlines() if line.startswith(f"{name}_total")]

    # As above.
    name = f"fetched_{'shared' if shared else 'lone'}"
    metric = Fetched(name, "Help.", ["page"]).bound_series(idle_seconds=0)
    registered.append(metric)
    child = metric.labels("/")
    for _ in range(3):
        child.inc()
        while lines():
            pass
        child.inc()
        metric.labels("/").inc()
        assert lines() == [f'{name}_total{{page="/"}} 2.0']
        assert child._value.get() == 2


UNSCRAPED = """
import sys
import forkmeter
visits = forkmeter.Counter("visits", "Help.", ["page"])
held = visits.labels("held")
for line in sys.stdin:
    for number in range(2000):
        visits.labels(f"{line.strip()}/{number}/{'x' * 100}").inc()
    print(len(visits._metrics), flush=True)
held.inc()
"""


def test_a_worker_that_nobody_scrapes_forgets_what_others_removed(tmp_path: Path, registered: list[Any]) -> None:
    forkmeter.configure(tmp_path / "metrics")
    try:
        visits = Counter("visits", "Help.", ["page"]).bound_series(idle_seconds=0)
        registered.append(visits)
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics")}
        with subprocess.Popen(
            [sys.executable, "-c", UNSCRAPED],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as worker:
            assert worker.stdin
            assert worker.stdout
            known = []
            for round_number in range(12):
                worker.stdin.write(f"{round_number}\n")
                known.append(int(worker.stdout.readline()))
                # Segments are left a second after they were sealed.
                time.sleep(0.3)
                for _ in range(4):
                    generate_latest(REGISTRY)
                assert visits.label_sets() == []
            worker.stdin.close()
            assert worker.wait() == 0
        assert max(known) <= 16_000, known
        assert known[-1] <= 16_000, known
        # A child that was held all the time counts on.
        assert visits.label_sets() == [{"page": "held"}]
        assert visits.value("held") == 1
    finally:
        forkmeter.configure(None)


def test_series_in_which_nobody_counts_go(shared: bool, registered: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    kinds: list[Any] = [Counter, Gauge, Histogram, Summary]
    # As above.
    mode = "shared" if shared else "lone"
    metrics = [kind(f"idle_{mode}_{kind.__name__.lower()}", "Help.", ["page"]) for kind in kinds]
    metrics.append(Enum(f"idle_{mode}_enum", "Help.", ["page"], states=["off", "on"]))
    other = Counter(f"idle_{mode}_never", "Help.", ["page"])
    registered += [*metrics, other]
    other.labels("/").inc()

    def count(page: str) -> None:
        for metric in metrics:
            child = metric.labels(page)
            if isinstance(metric, Enum):
                child.state("on" if now[0] % 20 else "off")
            else:
                count_one(child)

    def pages() -> list[str]:
        lines = generate_latest(REGISTRY).decode().splitlines()
        return sorted({line.split('page="')[1].split('"')[0] for line in lines if line.startswith(f"idle_{mode}_")})

    count("/idle")
    held = [metric.labels("/held") for metric in metrics]
    for _ in range(6):
        count("/busy")
        assert pages() == ["/", "/busy", "/held", "/idle"]
        now[0] += 10
    for metric in metrics:
        metric.bound_series(idle_seconds=30)
    for _ in range(3):
        count("/busy")
        assert "/idle" in pages()
        now[0] += 10
    count("/busy")
    # What has no bounds stays, and so does what the program holds.
    assert pages() == ["/", "/busy", "/held"]
    for metric, child in zip(metrics, held):
        assert metric.labels("/held") is child
        assert ("/idle",) not in metric._metrics
    metrics[0].labels("/idle").inc()
    assert metrics[0].value("/idle") == 1
