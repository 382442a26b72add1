"""Options and fixtures of all Python tests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from support.skipping import NOTED, in_ci, skipped_before

# How pytest, and the tests of the crates, begin what they say.
SKIPPED = re.compile(r"^(Skipped|SKIPPED):? ")

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a skip into a failure in CI, whichever way the test was skipped."""
    report = yield
    if report.skipped and in_ci() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says in one place what was skipped, in this step and in those before it."""
    reasons = dict.fromkeys(skipped_before(), 1)
    reasons.update(NOTED)
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[reason] = reasons.get(reason, 0) + 1
    terminalreporter.section("skipped", sep="-")
    for reason, count in reasons.items():
        terminalreporter.write_line(f"skipped: {SKIPPED.sub('', reason)} ({count})", yellow=True)
    if not reasons:
        terminalreporter.write_line("skipped: nothing", green=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails the run in CI where an earlier step skipped something."""
    if in_ci() and skipped_before():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
