"""pytest's way into forkmeter: what every test run loads in an environment where forkmeter is installed.

So it imports neither forkmeter nor anything else. While forkmeter is not imported by somebody, a test costs one look
into `sys.modules`. PYTEST_DONT_REWRITE
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from forkmeter.testing import Metrics

_NATIVE = "forkmeter._forkmeter"
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# How many runs of pytest are at work in this process: one may run another, as tests of plugins do.
_runs = 0


def _native() -> ModuleType | None:
    """Returns the native module, once somebody has imported it."""
    return sys.modules.get(_NATIVE)


def _say_whether_tests_run() -> None:
    native = _native()
    if native is not None:
        native.reset_on_deletion(_runs > 0)


def forkmeter_is_imported() -> None:
    """Hears that forkmeter was imported just now."""
    if _runs:
        _say_whether_tests_run()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Gives each worker of pytest-xdist a folder of its own inside the one that all inherit."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    directory = os.environ.get(_VARIABLE)
    if worker and directory:
        own = os.path.join(directory, worker)
        os.environ[_VARIABLE] = own
        # Where it cannot be made, whoever needs it says so.
        with contextlib.suppress(OSError):
            os.makedirs(own, exist_ok=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that isolates every test."""
    help_text = "give every test metrics at zero, as the fixture `metrics` does"
    parser.addini("forkmeter_isolate", help_text, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Makes deletions of metrics resets."""
    global _runs  # noqa: PLW0603 -- one number per process
    _runs += 1
    _say_whether_tests_run()
    line = "forkmeter(multiprocess=True): what the fixture `metrics` does: share values in a directory, or not"
    config.addinivalue_line("markers", line)
    if config.getini("forkmeter_isolate"):
        config.pluginmanager.register(_IsolateEveryTest(), "forkmeter-isolate")


class _IsolateEveryTest:
    """Is a plugin of its own, so that other projects have no fixture more."""

    @pytest.fixture(autouse=True)
    def _forkmeter_isolate(self, metrics: Metrics) -> None:
        """Isolates the test."""


@pytest.fixture
def metrics(request: pytest.FixtureRequest) -> Iterator[Metrics]:
    """Metrics at zero, in a directory of the test's own where values are shared; reads and asserts them."""
    from forkmeter.testing import isolate

    marker = request.node.get_closest_marker("forkmeter")
    with isolate(**(marker.kwargs if marker is not None else {})) as isolated:
        yield isolated


def pytest_unconfigure() -> None:
    """Makes deletions of metrics what they are outside of tests."""
    global _runs  # noqa: PLW0603 -- one number per process
    _runs -= 1
    _say_whether_tests_run()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Notices what was deleted between the tests."""
    native = _native()
    if native is not None:
        native.begin_part_of_test(is_first=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """Notices what fixtures deleted, by whatever means."""
    native = _native()
    if native is not None:
        native.begin_part_of_test(is_first=False)
