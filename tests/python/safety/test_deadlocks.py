"""Nothing hangs: not in forked children, signal handlers, finalizers, greenlets, nor at the interpreter's end."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING

import pytest

from support.safety import Job, run_program, start
from support.skipping import skip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    Outputs = dict[Job, Future[str]]

pytestmark = pytest.mark.timeout(900)

REPETITIONS = 1000
# Into how many programs the operations go that are forked in: in each, every thread has one of its own.
CREWS = 4
MOVING = ("configure", "status", "MetricWrapperBase.labels", "CollectorRegistry.collect")


def in_both_modes(scenario: str, repetitions: int = REPETITIONS, *parts: tuple[str, ...]) -> pytest.MarkDecorator:
    """Returns a mark that gives a test each job of a scenario."""
    jobs = [Job(scenario, is_shared, repetitions, names) for is_shared in (False, True) for names in parts or [()]]
    return pytest.mark.parametrize("job", jobs, ids=str)


@pytest.fixture(scope="module")
def outputs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outputs]:
    """Runs the programs of all tests that were chosen, beside each other."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    jobs = [item.callspec.params.get("job") for item in items if hasattr(item, "callspec")]
    pool, outputs = start([job for job in jobs if isinstance(job, Job)], tmp_path_factory.mktemp("jobs"))
    yield outputs
    pool.shutdown(cancel_futures=True)


def counts(output: str) -> dict[str, int]:
    """Reads what a program printed: how often something happened inside each operation."""
    lines = [line.rpartition(": ") for line in output.splitlines() if ": " in line]
    # Children may complain of a busy directory in between.
    return {name: int(count) for name, _, count in lines if count.isdigit()}


@in_both_modes("fork", REPETITIONS, MOVING, *[(f"{crew}/{CREWS}",) for crew in range(CREWS)])
def test_fork_while_other_threads_are_inside(outputs: Outputs, job: Job) -> None:
    """Also says of each operation that a copied thread was inside it, and that the child could call it."""
    inside = counts(outputs[job].result())
    assert inside
    assert {name for name, count in inside.items() if count < REPETITIONS} == set()


@in_both_modes("signals")
def test_signal_handler_counts_inside_the_methods(outputs: Outputs, job: Job) -> None:
    inside = counts(outputs[job].result())
    assert inside
    assert min(inside.values()) >= REPETITIONS


@in_both_modes("finalizers")
def test_finalizers_count_during_collections_inside_the_methods(outputs: Outputs, job: Job) -> None:
    inside = counts(outputs[job].result())
    assert inside["MetricWrapperBase.labels, finalizers"] >= REPETITIONS
    assert inside["MetricWrapperBase.labels of new series, finalizers"] >= REPETITIONS
    inside = {name: count for name, count in inside.items() if not name.endswith(", finalizers")}
    assert min(inside.values()) >= REPETITIONS


@in_both_modes("leave")
def test_interpreter_ends_while_threads_and_exit_handlers_count(outputs: Outputs, job: Job) -> None:
    outputs[job].result()


@in_both_modes("threads", 50)
def test_many_threads_call_everything(outputs: Outputs, job: Job) -> None:
    outputs[job].result()


@in_both_modes("greenlets", 40)
def test_greenlets_call_everything(outputs: Outputs, job: Job) -> None:
    if importlib.util.find_spec("gevent") is None:
        skip("gevent is not installed")
    outputs[job].result()


def test_operations_are_the_public_surface(tmp_path: Path) -> None:
    known = json.loads(run_program(tmp_path, "names", "1"))
    # More words behind a name make it another way to call the same method.
    called = {name.partition(" ")[0] for name in known["operations"]} | {"configure"}
    exempt = known["exempt"]
    assert set(known["surface"]) - called - set(exempt) == set(), "neither an operation nor exempt"
    assert (called | set(exempt)) - set(known["surface"]) == set(), "not public"
    assert called & set(exempt) == set()
    assert all(exempt.values()), "an exemption needs a reason"
