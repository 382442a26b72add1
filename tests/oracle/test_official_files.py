"""Directories that the official client wrote: `forkmeter dump` gives what the official collector gives."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.multiprocess import mark_process_dead

from support.exposition import blocks, official_openmetrics, official_text, samples
from support.forkmeter import dump
from support.operations import AWKWARD, MODES, act, declare
from support.worker import OFFICIAL, Operation, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Bounds and increments that floats hold exactly: sums are the same in any order, so texts are equal byte for byte.
EXACT = st.integers(-(2**20), 2**20).map(lambda number: number / 8)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    """Starts workers of the official client in `tmp_path`; none of them is left behind."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Worker(OFFICIAL, tmp_path))


def assert_same(directory: Path, *, lint: bool = True) -> None:
    """Checks that both collectors give the same families and the same lines, in both formats."""
    expected = blocks(official_text(directory))
    assert blocks(dump(directory, lint=lint)) == expected
    assert expected, "the official collector found nothing, so nothing was compared"
    assert blocks(dump(directory, form="openmetrics")) == blocks(official_openmetrics(directory))


def test_every_kind(workers: Callable[[], Worker], tmp_path: Path) -> None:
    """Counters, histograms and summaries are added up over workers, with and without labels."""
    families = [
        declare("counter", "requests", "method", "path"),
        declare("counter", "starts"),
        declare("histogram", "latency_seconds", "method", buckets=[0.005, 0.1, 1, 2.5, 1e6]),
        declare("histogram", "size_bytes", buckets=[10, 100]),
        declare("summary", "wait_seconds", "queue"),
        declare("summary", "idle_seconds"),
    ]
    for number in range(1, 4):
        worker = workers().do(
            *families,
            act("inc", "requests", "GET", "/", value=number),
            act("inc", "requests", "POST", f"/{number}", value=0.125),
            act("inc", "starts", value=1),
            *[act("observe", "latency_seconds", "GET", value=value) for value in (0, 0.005, 0.5, 2.5, 1e7)],
            act("observe", "size_bytes", value=number * 8),
            act("observe", "wait_seconds", "mail", value=number / 4),
            act("observe", "idle_seconds", value=-1),
        )
        worker.end()
    assert_same(tmp_path)


def test_series_that_nobody_counted_on(workers: Callable[[], Worker], tmp_path: Path) -> None:
    """Series at zero are exposed as the official collector exposes them; families without series are absent."""
    worker = workers()
    worker.do(
        declare("counter", "requests", "method"),
        declare("counter", "never", "method"),
        declare("histogram", "latency_seconds", "method"),
        declare("summary", "wait_seconds"),
        act("touch", "requests", "GET"),
        act("touch", "latency_seconds", "GET"),
        *[declare("gauge", f"level_{mode}_meters", mode=mode) for mode in MODES],
    )
    assert_same(tmp_path)


# What three workers set the same series to, one after the other.
SET_IN_TURN: dict[str, tuple[float | str, ...]] = {
    "low-second": (3, 1, 2),
    "rising": (1, 2, 3),
    "falling": (3, 2, 1),
    "equal": (-1, -1, -1),
    "infinite": ("+Inf", "-Inf", 0),
}
NAN_IN_TURN: dict[str, tuple[float | str, ...]] = {
    "outside": ("NaN", 1, "NaN"),
    "inside": (1, "NaN", 2),
    "first": ("NaN", 2, 1),
    "everywhere": ("NaN", "NaN", "NaN"),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_gauge_mode(workers: Callable[[], Worker], tmp_path: Path, mode: str) -> None:
    """Each of the ten modes merges live workers, ended ones, and those that `mark_process_dead` was told of."""
    family = declare("gauge", "level_meters", "case", mode=mode)
    fleet = []
    for number in range(3):
        operations = [
            family,
            act("touch", "level_meters", "untouched"),
            act("set", "level_meters", f"own-{number}", value=number),
            *[act("set", "level_meters", case, value=values[number]) for case, values in SET_IN_TURN.items()],
        ]
        if "mostrecent" not in mode:
            operations.append(act("inc", "level_meters", "counted", value=number + 1))
        fleet.append(workers().do(*operations))
    assert_same(tmp_path)
    fleet[0].end()
    assert_same(tmp_path)
    mark_process_dead(fleet[0].pid, str(tmp_path))
    assert_same(tmp_path)
    fleet[1].kill()
    mark_process_dead(fleet[1].pid, str(tmp_path))
    assert_same(tmp_path)


@pytest.mark.parametrize("mode", [mode for mode in MODES if not mode.endswith(("min", "max"))])
def test_nan_in_gauges(workers: Callable[[], Worker], tmp_path: Path, mode: str) -> None:
    """NaN is added up, kept, or the most recent value, as in the official collector."""
    family = declare("gauge", "level_meters", "case", mode=mode)
    for number in range(3):
        operations = [act("set", "level_meters", case, value=values[number]) for case, values in NAN_IN_TURN.items()]
        workers().do(family, *operations)
    assert_same(tmp_path)


@pytest.mark.parametrize("mode", ["min", "livemin", "max", "livemax"])
def test_nan_in_the_least_and_the_greatest(workers: Callable[[], Worker], tmp_path: Path, mode: str) -> None:
    """NaN is the least or greatest value only where there is no other.

    The official collector keeps a NaN that comes first and passes over any other, so its answer depends on the order
    in which the operating system lists the files. A merge that does not depend on it has to choose: the answer is one
    of those that the official collector may give, and a number wherever that can be.
    """
    family = declare("gauge", "level_meters", "case", mode=mode)
    for number in range(3):
        operations = [act("set", "level_meters", case, value=values[number]) for case, values in NAN_IN_TURN.items()]
        workers().do(family, *operations)
    files = sorted(tmp_path.glob("*.db"))
    ours = samples(dump(tmp_path))
    possible = [samples(official_text(tmp_path, files=order)) for order in permutations(files)]
    for key, found in ours.items():
        answers = {str(answer[key]) for answer in possible}
        assert str(found) in answers
        assert str(found) != "nan" or answers == {"nan"}
    assert ours.keys() == possible[0].keys()


def test_awkward_texts(workers: Callable[[], Worker], tmp_path: Path) -> None:
    """Label values and helps with escapes, control characters and all of UTF-8 come out byte for byte."""
    operations: list[Operation] = [declare("counter", "requests", "first", "second")]
    for number, text in enumerate(AWKWARD):
        other = AWKWARD[-1 - number]
        operations += [
            act("inc", "requests", text, other, value=number),
            declare("gauge", f"level_{number}", "name", help=text or "empty", mode="livesum"),
            act("set", f"level_{number}", text, value=number),
            declare("histogram", f"latency_{number}_seconds", "name", help=text + "!", buckets=[1]),
            act("observe", f"latency_{number}_seconds", text, value=number),
        ]
    for _ in range(2):
        workers().do(*operations).end()
    assert_same(tmp_path, lint=False)


def test_names_beyond_the_legacy_set(workers: Callable[[], Worker], tmp_path: Path) -> None:
    """Metric and label names in UTF-8 come out as the official client writes them in either format."""
    operations = [
        declare("counter", "http.requests", "méthode"),
        act("inc", "http.requests", "GET", value=1),
        declare("gauge", "température", "lieu", "room", mode="max"),
        act("set", "température", "là", "1", value=20.5),
        declare("histogram", "durée.seconds", "http.route", buckets=[1, 2]),
        act("observe", "durée.seconds", "/", value=1.5),
    ]
    workers().do(*operations).end()
    expected = blocks(official_text(tmp_path))
    assert blocks(dump(tmp_path, lint=False)) == expected
    assert any("1.0" in line for block in expected.values() for line in block.samples)


def test_numbers_at_the_edge(workers: Callable[[], Worker], tmp_path: Path) -> None:
    """NaN, infinities, the smallest and the largest floats are summed and printed alike."""
    numbers: list[float | str] = ["NaN", "+Inf", 1e308, 5e-324, 0.1, 1e16, 123456789.125, 1e-7]
    operations: list[Operation] = [
        declare("counter", "work", "case"),
        declare("gauge", "level", "case", mode="sum"),
        declare("histogram", "latency_seconds", "case", buckets=[-1, 0, 1e-300, 1e300]),
        declare("summary", "wait_seconds", "case"),
    ]
    for number in numbers:
        operations += [
            act("inc", "work", str(number), value=number),
            act("set", "level", str(number), value=number),
            act("observe", "latency_seconds", str(number), value=number),
            act("observe", "wait_seconds", str(number), value=number),
        ]
    operations += [act("set", "level", "low", value="-Inf"), act("observe", "latency_seconds", "low", value="-Inf")]
    for _ in range(2):
        workers().do(*operations).end()
    assert_same(tmp_path)


def test_many_series(workers: Callable[[], Worker], tmp_path: Path) -> None:
    """Hundreds of label sets, enough for the files to grow, stay apart and add up."""
    families = [
        declare("counter", "requests", "method", "path", "status"),
        declare("histogram", "latency_seconds", "path"),
        declare("gauge", "level", "path", mode="all"),
    ]
    for number in range(2):
        operations = [
            operation
            for index in range(number * 50, number * 50 + 300)
            for operation in (
                act("inc", "requests", "GET", f"/{index}/{'p' * (index % 40)}", str(index % 7), value=index),
                act("observe", "latency_seconds", f"/{index}", value=index / 256),
                act("set", "level", f"/{index}", value=index),
            )
        ]
        workers().do(*families, *operations).end()
    assert_same(tmp_path)


def test_workers_that_disagree(workers: Callable[[], Worker], tmp_path: Path) -> None:
    """Two releases side by side: another help, more labels, other buckets. The first file's help stands."""
    workers().do(
        declare("counter", "requests", "method", help="Requests."),
        act("inc", "requests", "GET", value=1),
        declare("histogram", "latency_seconds", help="Latency.", buckets=[0.5, 1, 2]),
        act("observe", "latency_seconds", value=0.75),
        declare("gauge", "level", help="Level.", mode="max"),
        act("set", "level", value=2),
    ).end()
    workers().do(
        declare("counter", "requests", "method", "path", help="Requests of the new release."),
        act("inc", "requests", "GET", "/", value=1),
        declare("histogram", "latency_seconds", help="Latency, finer.", buckets=[0.5, 0.75, 1]),
        act("observe", "latency_seconds", value=0.75),
        declare("gauge", "level", help="Level of the new release.", mode="max"),
        act("set", "level", value=1),
    ).end()
    assert_same(tmp_path)


TEXTS = st.one_of(
    st.sampled_from(["", "a", "b", *AWKWARD]), st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
NUMBERS = st.one_of(EXACT, st.sampled_from(["NaN", "+Inf", "-Inf"]))
FAMILIES = {
    "counter": [declare("counter", "requests", "name")],
    "histogram": [declare("histogram", "latency_seconds", "name", buckets=[-8, 0.5, 1, 64])],
    "summary": [declare("summary", "wait_seconds", "name")],
    "gauge": [declare("gauge", f"level_{mode}_meters", "name", mode=mode) for mode in MODES],
}


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    """Draws one operation on one of a few series, so that workers often meet."""
    kind = draw(st.sampled_from(sorted(FAMILIES)))
    family = draw(st.sampled_from(FAMILIES[kind]))["name"]
    text = draw(TEXTS)
    if kind == "counter":
        return act("inc", family, text, value=draw(st.one_of(EXACT.map(abs), st.sampled_from(["NaN", "+Inf"]))))
    if kind == "gauge":
        # The official client refuses to add to the most recent value.
        ops = ["set"] if "mostrecent" in family else ["set", "inc"]
        # What NaN does to the least and greatest has its own test above; infinities of both signs add up to NaN.
        numbers = EXACT if "min" in family or "max" in family else NUMBERS
        return act(draw(st.sampled_from(ops)), family, text, value=draw(numbers))
    return act("observe", family, text, value=draw(NUMBERS))


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Worker]]:
    """Three workers that begin anew in another directory for each example."""
    directory = tmp_path_factory.mktemp("unused")
    with ExitStack() as stack:
        yield [stack.enter_context(Worker(OFFICIAL, directory)) for _ in range(3)]


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    scripts=st.lists(st.lists(operations(), max_size=25), min_size=3, max_size=3),
    dead=st.sets(st.integers(0, 2), max_size=2),
)
def test_any_operations(fleet: list[Worker], scripts: list[list[Operation]], dead: set[int]) -> None:
    """Whatever three workers did, and whichever of them is dead, both collectors give the same lines."""
    declarations: list[dict[str, Any]] = [family for families in FAMILIES.values() for family in families]
    with tempfile.TemporaryDirectory() as folder:
        # One after the other, so that the order of `mostrecent` is beyond doubt.
        for number, (worker, script) in enumerate(zip(fleet, scripts)):
            worker.do({"op": "begin", "directory": folder, "identity": str(9 + number)}, *declarations, *script)
        for number in dead:
            mark_process_dead(9 + number, folder)
        expected = blocks(official_text(Path(folder)))
        assert blocks(dump(Path(folder))) == expected
