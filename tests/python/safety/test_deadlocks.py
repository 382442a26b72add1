"""Nothing hangs: not in forked children, signal handlers, finalizers, greenlets, nor at the interpreter's end."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from support.safety import run_program
from support.skipping import skip

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(600)

REPETITIONS = "1000"

FORKED_IN = [
    ["inc", "inc_with_exemplar", "dec"],
    ["set", "set_most_recent", "observe_summary", "observe_histogram"],
    ["labels", "remove", "remove_by_labels", "clear"],
    ["info", "state", "time", "track_inprogress"],
    ["count_exceptions", "register", "set_target_info", "restricted_registry"],
    ["collect", "generate_latest"],
    ["generate_openmetrics", "get_sample_value", "status"],
]


@pytest.fixture(params=["single", "multiprocess"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """Is where values are shared, in one of the two modes."""
    return tmp_path if request.param == "multiprocess" else None


@pytest.mark.parametrize("names", FORKED_IN, ids=lambda names: str(names[0]))
def test_fork_while_another_thread_is_inside(directory: Path | None, names: list[str]) -> None:
    output = run_program(directory, "fork", REPETITIONS, *names)
    assert [line.partition(":")[0] for line in output.splitlines()] == names


def test_fork_while_another_thread_is_inside_the_collector_of_a_directory(tmp_path: Path) -> None:
    run_program(tmp_path, "fork", REPETITIONS, "multiprocess_collector")


def test_signal_handler_counts_on_the_metrics_in_use(directory: Path | None) -> None:
    run_program(directory, "signals", REPETITIONS)


def test_finalizers_count_during_collections_inside_the_methods(directory: Path | None) -> None:
    run_program(directory, "finalizers", REPETITIONS)


def test_interpreter_ends_while_threads_and_exit_handlers_count(directory: Path | None) -> None:
    run_program(directory, "leave", REPETITIONS)


def test_many_threads_call_everything(directory: Path | None) -> None:
    run_program(directory, "threads", "50")


def test_greenlets_call_everything(directory: Path | None) -> None:
    if importlib.util.find_spec("gevent") is None:
        skip("gevent is not installed")
    run_program(directory, "greenlets", "40")
