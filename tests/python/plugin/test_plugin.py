"""The pytest plugin in projects of every kind, each run by a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = "pytester"

APPLICATION = """
    from forkmeter import Counter, Enum, Gauge, Histogram, Info

    jobs = Counter("jobs", "Jobs done.", ["queue"])
    held = jobs.labels("held")
    visits = Counter("visits", "Visits.")
    level = Gauge("level", "Level.")
    sizes = Histogram("sizes", "Sizes.", ["kind"], buckets=(1, 10))
    state = Enum("state", "State.", states=["off", "on"])
    version = Info("version", "Version.")
    version.info({"number": "7"})


    def work(queue="mail", count=1):
        jobs.labels(queue).inc(count)
        held.inc(count)
        visits.inc(count)
        level.inc(count)
        sizes.labels("small").observe(count)
        state.state("on")
"""
CHECK = """
    from application import work


    def check(metrics, count=1, queue="mail"):
        assert metrics.samples("jobs") == []
        assert metrics.value("visits_total") == 0
        assert metrics.value("level") in (0, None)
        assert metrics.value("state", state="off") in (1, None)
        assert metrics.value("version_info", number="7") == 1
        work(queue, count)
        metrics.assert_sample("jobs_total", count, queue=queue)
        metrics.assert_sample("visits_total", count)
        metrics.assert_sample("level", count)
        metrics.assert_exposition(f'''
            # HELP jobs_total Jobs done.
            # TYPE jobs_total counter
            jobs_total{{queue="{queue}"}} {count}
            jobs_total{{queue="held"}} {count}
            sizes_bucket{{kind="small",le="1"}} *
            sizes_bucket{{kind="small",le="10"}} 1
            sizes_bucket{{kind="small",le="+Inf"}} 1
            sizes_count{{kind="small"}} 1
            sizes_sum{{kind="small"}} {count}
        ''')
"""
MODES = pytest.mark.parametrize("shared", [False, True], ids=["lone", "shared"])


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Callable[..., pytest.RunResult]:
    """Runs the tests of a project that has the application."""
    pytester.makepyfile(application=APPLICATION, checks=CHECK)
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.delenv(name, raising=False)

    def run(test: str, *options: str, shared: bool = False, ini: str = "") -> pytest.RunResult:
        pytester.makeini("[pytest]\nfilterwarnings = error\n" + ini)
        pytester.makepyfile(
            test_it="from application import *\nfrom checks import check\nimport pytest\n" + dedent(test)
        )
        if shared:
            monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(pytester.path / "shared"))
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)

    return run


def dedent(text: str) -> str:
    """Takes off the indentation of the first line."""
    import textwrap

    return textwrap.dedent(text)


RUNNERS = {
    "functions": """
        @pytest.mark.parametrize("count", [1, 2, 3])
        def test_it(metrics, count):
            check(metrics, count)

        def test_other_labels(metrics):
            check(metrics, queue="print")
    """,
    "unittest": """
        import unittest

        class TestIt(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _metrics(self, metrics):
                self.metrics = metrics

            def test_one(self):
                check(self.metrics)

            def test_two(self):
                check(self.metrics, 2)
    """,
    "classes": """
        @pytest.mark.usefixtures("metrics")
        class TestIt:
            def test_one(self, metrics):
                check(metrics)

            def test_two(self, metrics):
                check(metrics, 2)
    """,
    "anyio": """
        import anyio

        @pytest.mark.anyio
        @pytest.mark.parametrize("count", [1, 2])
        async def test_it(metrics, count):
            await anyio.sleep(0)
            check(metrics, count)

        @pytest.fixture
        def anyio_backend():
            return "asyncio"
    """,
    "asyncio": """
        import asyncio

        @pytest.mark.asyncio
        @pytest.mark.parametrize("count", [1, 2])
        async def test_it(metrics, count):
            check(metrics, count)
            task = asyncio.create_task(later())
            await metrics.eventually_async(lambda: metrics.assert_sample("jobs_total", 1, queue="late"))
            await task

        async def later():
            await asyncio.sleep(0.02)
            jobs.labels("late").inc()
    """,
    "not_isolated_between": """
        def test_one():
            work(count=5)

        def test_two(metrics):
            check(metrics, 2)

        def test_three():
            before = visits._value.get()
            work()
            assert visits._value.get() == before + 1

        def test_four(metrics):
            check(metrics, 3, queue="print")
    """,
}


@MODES
@pytest.mark.parametrize("parallel", [(), ("-n", "2")], ids=["alone", "xdist"])
@pytest.mark.parametrize("runner", RUNNERS)
def test_runners(
    project: Callable[..., pytest.RunResult], runner: str, parallel: tuple[str, ...], shared: bool
) -> None:
    result = project(RUNNERS[runner], *parallel, shared=shared)
    outcomes = result.parseoutcomes()
    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] >= 2


def test_lone_values_are_what_they_were_afterwards(project: Callable[..., pytest.RunResult]) -> None:
    test = """
        level.set(7)
        work(count=2)

        @pytest.mark.parametrize("count", [1, 2])
        def test_isolated(metrics, count):
            check(metrics, count)

        def test_what_was():
            assert (level._value.get(), held._value.get(), visits._value.get()) == (9, 2, 2)
    """
    project(test).assert_outcomes(passed=3)


def test_forked_and_spawned_children_are_seen(project: Callable[..., pytest.RunResult]) -> None:
    test = """
        import multiprocessing, subprocess, sys

        @pytest.mark.forkmeter(multiprocess=True)
        @pytest.mark.parametrize("method", ["fork", "spawn"])
        def test_children(metrics, method):
            context = multiprocessing.get_context(method)
            children = [context.Process(target=work, args=("mail", 2)) for _ in range(2)]
            for child in children:
                child.start()
            metrics.eventually(lambda: metrics.assert_sample("jobs_total", 4, queue="mail"), timeout_seconds=60)
            for child in children:
                child.join()
                assert child.exitcode == 0
            work()
            metrics.assert_sample("visits_total", 5)

        @pytest.mark.forkmeter(multiprocess=True)
        def test_a_program(metrics):
            with metrics.delta() as delta:
                subprocess.run([sys.executable, "-c", "import application; application.work()"], check=True)
            assert delta.value("jobs_total", queue="mail") == 1
            assert delta.sum("jobs_total") == 2
            assert metrics.directory is not None

        def test_no_children(metrics):
            child = multiprocessing.get_context("fork").Process(target=work)
            child.start()
            child.join()
            assert metrics.samples("jobs_total") == []
    """
    project(test, "-W", "ignore::DeprecationWarning").assert_outcomes(passed=4)


def test_every_test_is_isolated_by_an_option(project: Callable[..., pytest.RunResult]) -> None:
    test = """
        import unittest
        from forkmeter import testing

        @pytest.mark.parametrize("count", [1, 2, 3])
        def test_it(count):
            work(count=count)
            testing.Metrics().assert_sample("visits_total", count)

        class TestIt(unittest.TestCase):
            def test_one(self):
                assert visits._value.get() == 0
                visits.inc()

            def test_two(self):
                assert visits._value.get() == 0
                visits.inc()
    """
    project(test).assert_outcomes(passed=1, failed=4)
    project(test, ini="forkmeter_isolate = true\n").assert_outcomes(passed=5)
    project(test, ini="forkmeter_isolate = true\n", shared=True).assert_outcomes(passed=5)


def test_failures_show_what_is_near(project: Callable[..., pytest.RunResult]) -> None:
    test = """
        def test_value(metrics):
            work()
            metrics.assert_sample("jobs_total", 2, queue="mail")

        def test_label(metrics):
            work()
            metrics.assert_sample("jobs_total", 1, queue="mial")

        def test_exposition(metrics):
            work("print")
            metrics.assert_exposition('''
                # TYPE jobs_total gauge
                jobs_total{queue="prints"} 1
                jobs_total{queue="held"} 3
            ''')

        def test_nothing_like_it(metrics):
            metrics.assert_sample("quite_another", 1)

        def test_never(metrics):
            metrics.eventually(lambda: metrics.assert_sample("visits_total", 1), timeout_seconds=0.05)

        def test_golden(metrics):
            metrics.assert_exposition("jobs_total{")
    """
    result = project(test)
    result.assert_outcomes(failed=6)
    result.stdout.fnmatch_lines_random(
        [
            'E   *AssertionError: jobs_total{queue="mail"} is 1.0, expected 2.0',
            'E   *AssertionError: there is no jobs_total{queue="mial"}, expected with 1.0',
            'E   *  nearest is jobs_total{queue="mail"} 1.0',
            'E   *    queue: expected "mial", found "mail"',
            "E   *AssertionError: the exposition is not as expected:",
            'E   *  # TYPE jobs_total: expected "gauge", found "counter"',
            'E   *  missing    jobs_total{queue="prints"} 1.0',
            'E   *      nearest is jobs_total{queue="print"} 1.0',
            'E   *        queue: expected "prints", found "print"',
            'E   *  jobs_total{queue="held"}: expected 3.0, found 1.0',
            'E   *  unexpected jobs_total{queue="print"} 1.0',
            "E   *there is no quite_another, expected with 1.0",
            "E   *  no series has a name like it",
            "E   *AssertionError: after 0.05 s: visits_total is 0.0, expected 1.0",
            "E   *ValueError: line 1 of the golden text is no exposition: jobs_total{",
        ]
    )
    # The failure stands at the line of the test.
    assert "forkmeter/testing" not in result.stdout.str().partition("test_never")[0]


def test_what_changed(project: Callable[..., pytest.RunResult]) -> None:
    test = """
        def test_it(metrics):
            level.set(5)
            with metrics.delta() as delta:
                jobs.labels("mail").inc(2)
                level.set(3)
            assert str(delta) == 'jobs_total{queue="mail"} +2.0 (2.0, was not there)\\nlevel -2.0 (3.0, was 5.0)'
            assert delta and delta.value("level") == -2 and delta.value("jobs_total", queue="no") == 0
            with metrics.delta() as delta:
                metrics.text()
            assert not delta
            assert 'jobs_total{queue="mail"} 2.0' in metrics.text()
            metrics.assert_exposition(metrics.text())
            assert "python_info" not in metrics.text() and "_created" not in metrics.text()
    """
    project(test).assert_outcomes(passed=1)


def test_a_project_without_forkmeter_pays_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_it():
            assert "pytest_forkmeter" in sys.modules
            assert not [name for name in sys.modules if name == "forkmeter" or name.startswith("forkmeter.")]
    """)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
    program = "import sys, time, pytest; before = set(sys.modules); import pytest_forkmeter; "
    program += "print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['pytest_forkmeter']\n"


def test_without_automatic_plugins(project: Callable[..., pytest.RunResult], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    test = "def test_it(metrics):\n    check(metrics)\n"
    project(test).assert_outcomes(errors=1)
    project(test, "-p", "forkmeter.pytest_plugin").assert_outcomes(passed=1)
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    project(test, "-p", "forkmeter.pytest_plugin").assert_outcomes(passed=1)
    project(test, "-p", "no:forkmeter").assert_outcomes(errors=1)


def test_deletions_are_resets_only_while_tests_run(project: Callable[..., pytest.RunResult]) -> None:
    test = """
        import glob, os

        def delete():
            for path in glob.glob(os.environ["PROMETHEUS_MULTIPROC_DIR"] + "/*.db"):
                os.remove(path)

        @pytest.mark.parametrize("count", [1, 2])
        def test_it(count):
            visits.inc(count)
            assert visits._value.get() == count
            delete()

        def test_after():
            assert visits._value.get() == 0
    """
    project(test, shared=True).assert_outcomes(passed=3)
    project(test, "-p", "no:forkmeter", shared=True).assert_outcomes(passed=1, failed=2)
