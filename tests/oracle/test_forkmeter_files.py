"""Directories that forkmeter wrote, alone or beside the official client: both collectors give the same."""

from __future__ import annotations

import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.exposition import Block, blocks, official_text, samples
from support.forkmeter import dump
from support.operations import AWKWARD, MODES, act, declare
from support.worker import OFFICIAL, Operation, Worker, forkmeter_driver

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Floats hold these exactly, so sums are the same in any order and texts are equal byte for byte.
EXACT = st.integers(-(2**20), 2**20).map(lambda number: number / 8)

FAMILIES = [
    declare("counter", "requests", "name"),
    declare("counter", "starts"),
    declare("histogram", "latency_seconds", "name", buckets=[-8, 0.5, 1, 64]),
    declare("histogram", "size_bytes"),
    declare("summary", "wait_seconds", "name"),
    declare("summary", "idle_seconds"),
    *[declare("gauge", f"level_{mode}_meters", "name", mode=mode) for mode in MODES],
]


def with_samples(text: str) -> dict[str, Block]:
    """Splits an exposition into families, without those that have no series yet.

    The official layout has no room for a family without series, so only forkmeter exposes it.
    """
    return {name: block for name, block in blocks(text).items() if block.samples}


def anonymous(text: str, workers: Sequence[Worker]) -> str:
    """Replaces the process ids in `pid` labels by the numbers of the workers.

    Args:
        text: an exposition.
        workers: whose process ids to replace.
    """
    for number, worker in enumerate(workers):
        text = re.sub(rf'\bpid="{worker.pid}"', f'pid="worker {number}"', text)
    return text


def script(number: int) -> list[Operation]:
    """Returns what the worker of this number does: every kind, every mode, awkward texts, 100 label sets and more."""
    operations: list[Operation] = [
        act("inc", "starts", value=1),
        act("observe", "size_bytes", value=number / 4),
        act("observe", "idle_seconds", value=-number),
    ]
    for index, text in enumerate([*AWKWARD, *[f"series {index}" for index in range(120)]]):
        operations += [
            act("inc", "requests", text, value=number + index / 8),
            act("observe", "latency_seconds", text, value=index / 8 - number),
            act("observe", "wait_seconds", text, value=index),
        ]
    shared: list[float] = [3, 1, 2]
    infinite: list[float | str] = ["+Inf", "-Inf", 0]
    for mode in MODES:
        name = f"level_{mode}_meters"
        operations += [
            act("touch", name, "untouched"),
            act("set", name, "shared", value=shared[number]),
            act("set", name, "infinite", value=infinite[number]),
            act("set", name, f"own {number}", value=number),
        ]
        if "mostrecent" not in mode:
            operations.append(act("inc", name, "counted", value=0.125))
    return operations


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Ends what a test started."""
    with ExitStack() as running:
        yield running


@pytest.mark.parametrize(
    "clients",
    [("forkmeter",), ("forkmeter", "forkmeter", "forkmeter"), ("official", "forkmeter", "official")],
    ids="-".join,
)
def test_both_collectors_agree(stack: ExitStack, tmp_path: Path, clients: tuple[str, ...]) -> None:
    """What forkmeter's workers wrote, also beside official ones, is the same in both collectors and in each worker."""
    for number, client in enumerate(clients):
        command = OFFICIAL if client == "official" else forkmeter_driver()
        worker = stack.enter_context(Worker(command, tmp_path))
        worker.do(*FAMILIES, *script(number))
        expected = with_samples(official_text(tmp_path))
        assert len(expected) == len(FAMILIES)
        assert with_samples(dump(tmp_path)) == expected
        if client == "forkmeter":
            assert with_samples(worker.ask({"op": "text"})["text"]) == expected


def test_both_clients_come_to_the_same(stack: ExitStack, tmp_path: Path) -> None:
    """The same operations through either client give the same exposition, whichever collector reads it."""
    texts = []
    for client, command in (("official", OFFICIAL), ("forkmeter", forkmeter_driver())):
        directory = tmp_path / client
        directory.mkdir()
        workers = [stack.enter_context(Worker(command, directory)) for _ in range(3)]
        for number, worker in enumerate(workers):
            worker.do(*FAMILIES, *script(number))
        texts += [with_samples(anonymous(text, workers)) for text in (official_text(directory), dump(directory))]
    assert texts[0] == texts[1]
    assert texts[0] == texts[2]
    assert texts[0] == texts[3]


def test_counts_outlive_their_workers(stack: ExitStack, tmp_path: Path) -> None:
    """Counts of workers that ended or were killed stay, without another file for each."""
    for number in range(6):
        worker = stack.enter_context(Worker(forkmeter_driver(), tmp_path))
        worker.do(*FAMILIES, act("inc", "requests", "a", value=1), act("observe", "latency_seconds", "a", value=1))
        if number % 2:
            worker.kill()
        else:
            worker.end()
    for text in (dump(tmp_path), official_text(tmp_path)):
        found = samples(text)
        assert found["requests_total", frozenset({("name", "a")})] == 6
        assert found["latency_seconds_count", frozenset({("name", "a")})] == 6
    assert [path.name for path in sorted(tmp_path.glob("counter_*.db"))] == ["counter_shared.db"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["killed", "ended"])
def test_gauges_of_dead_workers(stack: ExitStack, tmp_path: Path, mode: str, how: str) -> None:
    """What dead workers leave: nothing in `live*` modes, and in others what the official client's files would.

    Nobody calls `mark_process_dead`. forkmeter's own reader knows at once; the official collector sees it once a
    later worker has put the files of the dead ones away.
    """
    name = f"level_{mode}_meters"
    values = [3.0, 1.0, 2.0]
    workers = [stack.enter_context(Worker(forkmeter_driver(), tmp_path)) for _ in values]
    for worker, value in zip(workers, values):
        worker.do(*FAMILIES, act("set", name, "a", value=value))
    for worker in workers[:2]:
        if how == "killed":
            worker.kill()
        else:
            worker.end()
    survivors = values[2:] if mode.startswith("live") else values
    rule = mode.removeprefix("live")
    if rule == "all":
        pids = [worker.pid for worker in workers][-len(survivors) :]
        expected = {(name, frozenset({("name", "a"), ("pid", str(pid))})): value for pid, value in zip(pids, survivors)}
    else:
        merged = {
            "min": min(survivors),
            "max": max(survivors),
            "sum": sum(survivors),
            "mostrecent": survivors[-1],
        }
        expected = {(name, frozenset({("name", "a")})): merged[rule]}

    def levels(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {sample: value for sample, value in samples(text).items() if sample[0] == name}

    assert levels(dump(tmp_path)) == expected
    assert levels(workers[2].ask({"op": "text"})["text"]) == expected
    stack.enter_context(Worker(forkmeter_driver(), tmp_path)).do(*FAMILIES, act("inc", "starts", value=1))
    assert levels(dump(tmp_path)) == expected
    assert levels(official_text(tmp_path)) == expected


def test_a_removed_series(stack: ExitStack, tmp_path: Path) -> None:
    """A series that one worker removes is gone for all, and starts from zero when another counts on it again."""
    first, second = (stack.enter_context(Worker(forkmeter_driver(), tmp_path)) for _ in range(2))
    for worker in (first, second):
        worker.do(*FAMILIES, act("inc", "requests", "a", value=5), act("inc", "requests", "b", value=1))
    first.do(act("remove", "requests", "a"))
    for text in (dump(tmp_path), second.ask({"op": "text"})["text"]):
        assert list(samples(text)).count(("requests_total", frozenset({("name", "a")}))) == 0
        assert samples(text)["requests_total", frozenset({("name", "b")})] == 2
    second.do(act("inc", "requests", "a", value=2))
    assert samples(dump(tmp_path))["requests_total", frozenset({("name", "a")})] == 2
    assert samples(official_text(tmp_path))["requests_total", frozenset({("name", "a")})] == 2


def test_what_only_forkmeter_has(stack: ExitStack, tmp_path: Path) -> None:
    """Units, infos, state sets, exemplars and families without series reach readers and other workers."""
    declarations = [
        declare("counter", "work", "job", unit="seconds"),
        declare("info", "build", help="Build."),
        declare("stateset", "feature", help="Feature.", states=["on", "off"]),
        declare("gauge", "idle", help="Never set.", mode="max"),
        declare("gauge", "unseen", "job", help="Without series.", mode="max"),
    ]
    first, second = (stack.enter_context(Worker(forkmeter_driver(), tmp_path)) for _ in range(2))
    first.do(
        *declarations,
        {**act("inc", "work", "a", value=2), "exemplar": {"trace": "é1"}},
        {"op": "facts", "name": "build", "facts": {"version": "1.2", "commit": "abc"}},
        {"op": "state", "name": "feature", "state": "off"},
    )
    second.do(*declarations[:1])
    for text in (dump(tmp_path, form="openmetrics"), second.ask({"op": "text", "openmetrics": True})["text"]):
        found = samples(text)
        assert found["work_seconds_total", frozenset({("job", "a")})] == 2
        assert found["build_info", frozenset({("version", "1.2"), ("commit", "abc")})] == 1
        assert found["feature", frozenset({("feature", "off")})] == 1
        assert found["feature", frozenset({("feature", "on")})] == 0
        assert "# UNIT work_seconds seconds\n" in text
        assert '# {trace="é1"} 2.0' in text
        assert "# TYPE unseen gauge\n" in text
    dump(tmp_path)


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    """Draws one operation that both clients take, on one of a few series, so that workers often meet."""
    family = draw(st.sampled_from([family for family in FAMILIES if family["labels"]]))
    text = draw(
        st.one_of(
            st.sampled_from(["", "a", "b", *AWKWARD]),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        )
    )
    if family["type"] == "counter":
        return act("inc", family["name"], text, value=draw(st.one_of(EXACT.map(abs), st.just("+Inf"))))
    if family["type"] == "gauge":
        op = "set" if "mostrecent" in family["mode"] else draw(st.sampled_from(["set", "inc"]))
        return act(op, family["name"], text, value=draw(EXACT))
    return act("observe", family["name"], text, value=draw(st.one_of(EXACT, st.sampled_from(["NaN", "+Inf", "-Inf"]))))


@pytest.fixture(scope="module")
def fleets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[list[Worker]]]:
    """Three workers of each client that begin anew in another directory for each example."""
    directory = tmp_path_factory.mktemp("unused")
    with ExitStack() as stack:
        yield [
            [stack.enter_context(Worker(command, directory)) for _ in range(3)]
            for command in (OFFICIAL, forkmeter_driver())
        ]


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(scripts=st.lists(st.lists(operations(), max_size=25), min_size=3, max_size=3))
def test_any_operations(fleets: list[list[Worker]], scripts: list[list[Operation]]) -> None:
    """Whatever three workers did through either client, all four ways to read it give the same lines."""
    texts = []
    for fleet in fleets:
        with tempfile.TemporaryDirectory() as folder:
            for worker, lines in zip(fleet, scripts):
                begin = {"op": "begin", "directory": folder}
                worker.do(begin, *FAMILIES, *lines)
            both = official_text(Path(folder)), dump(Path(folder))
            texts += [with_samples(anonymous(text, fleet)) for text in both]
    assert texts[0] == texts[1]
    assert texts[0] == texts[2]
    assert texts[0] == texts[3]
