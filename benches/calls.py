"""Times what a program calls to count, in multi-process mode: the official client's objects and ours, in one process.

PYTHONPATH=tests python benches/calls.py
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from floor import build, least_family
from rounds import seconds_per_call
from table import Row, emit

from support.folders import in_memory

# What is timed, what one does less of than the official client, and what doing nothing in the same way would be.
CASES = [
    ("counter.inc()", "counter.inc()", 50, "a method of C that does nothing", "nothing.clear()"),
    ('counter.labels("GET", "/x").inc()', 'labelled.labels("GET", "/x").inc()', 25, None, None),
    ("histogram.observe(v)", "histogram.observe(0.3)", 50, "a method of C that does nothing", "nothing.clear()"),
    (
        'histogram.labels("GET", "/x").observe(v)',
        'labelled_histogram.labels("GET", "/x").observe(0.3)',
        30,
        None,
        None,
    ),
    (
        "with histogram.time(): pass",
        "with histogram.time(): pass",
        20,
        "a method of C that returns a context manager of C, which reads the clock at both ends,",
        "with block.time(): pass",
    ),
]
# The floor of a new child.
LEAST_CHILD = "a method of C that makes an object, keeps it in a dict and appends its entry to a mapped file"
CHILDREN = 4000
CHILD_ROUNDS = 15


def make(client: Any) -> dict[str, Any]:
    """Makes one metric of each kind."""
    registry = client.CollectorRegistry()
    return {
        "counter": client.Counter("bench_total", "Help.", registry=registry),
        "labelled": client.Counter("bench_labelled_total", "Help.", ["method", "path"], registry=registry),
        "histogram": client.Histogram("bench_seconds", "Help.", registry=registry),
        "labelled_histogram": client.Histogram(
            "bench_labelled_seconds", "Help.", ["method", "path"], registry=registry
        ),
        "children": client.Counter("bench_children_total", "Help.", ["method", "path"], registry=registry),
    }


def check(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Calls each of both sides three times, and finds the same samples.

    Args:
        theirs: The official client's metrics.
        ours: The same of ours.
    """
    samples = []
    for side in (theirs, ours):
        for _, statement, *_ in CASES:
            for _ in range(3):
                exec(statement, dict(side))  # noqa: S102 -- they are above
        found = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for metric in side.values()
            for family in metric.collect()
            for sample in family.samples
            # What was timed differs, and when.
            if sample.name != "bench_seconds_sum" and not sample.name.endswith("_created")
        }
        samples.append(found)
    if samples[0] != samples[1]:
        raise SystemExit(f"different samples: {sorted(set(samples[0].items()) ^ set(samples[1].items()))}")


def child_seconds(metric: Any, turn: int) -> float:
    """Returns the seconds that one new child took."""
    paths = [f"/{turn}/{number}" for number in range(CHILDREN)]
    begin = time.perf_counter()
    for path in paths:
        metric.labels("GET", path).inc()
    return (time.perf_counter() - begin) / CHILDREN


def main() -> None:
    """Prints the rows."""
    with in_memory(Path(tempfile.gettempdir())) as folder:
        official = folder / "official"
        official.mkdir()
        # Before the official client is imported, which looks once.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(official)
        import forkmeter
        import prometheus_client

        forkmeter.configure(folder / "forkmeter")
        theirs, ours = make(prometheus_client), make(forkmeter)
        check(theirs, ours)
        # Nothing without a compiler.
        floor_module = build(folder)
        doing_nothing: dict[str, Any] = {"nothing": {}, "block": floor_module and floor_module.Block()}
        peer = f"prometheus_client {version('prometheus_client')}"
        for case, statement, asked, floor_case, floor in CASES:
            statements: dict[str, tuple[str, Any]] = {"theirs": (statement, theirs), "ours": (statement, ours)}
            if floor and (doing_nothing["block"] or "block" not in floor):
                statements["floor"] = (floor, doing_nothing)
            taken = seconds_per_call(statements)
            least = statistics.median(taken["floor"]) if "floor" in taken else None
            emit(Row(case, peer, taken["theirs"], taken["ours"], "ns", asked, least, floor_case or ""))
        metrics = {"theirs": theirs["children"], "ours": ours["children"]}
        if floor_module:
            metrics["floor"] = least_family(floor_module, folder)
        children: dict[str, list[float]] = {side: [] for side in metrics}
        for turn in range(CHILD_ROUNDS):
            for side, metric in metrics.items():
                children[side].append(child_seconds(metric, turn))
        least = statistics.median(children["floor"]) if floor_module else None
        emit(Row("a new labelled child", peer, children["theirs"], children["ours"], "us", 20, least, LEAST_CHILD))


if __name__ == "__main__":
    main()
