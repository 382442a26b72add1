"""Expositions: what the official collector makes of a directory, comparing, and promtool."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from support.skipping import note_skip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from prometheus_client import Metric

PROMTOOL_LINT_COMPLAINTS = 3


class Block(NamedTuple):
    """One family of an exposition, as text; lines whose order means nothing are sorted."""

    comments: list[str]
    samples: list[str]


class Official(Collector):
    """Reads a directory as `MultiProcessCollector` does, in the order of file names.

    The official collector takes files as the operating system lists them, which decides ties; sorting makes it the
    same every time.
    """

    def __init__(self, directory: Path, files: Sequence[Path] | None = None) -> None:
        """Remembers what to read.

        Args:
            directory: where the files are.
            files: some of them, in another order.
        """
        self.directory = directory
        self.files = files

    def collect(self) -> Iterable[Metric]:
        """Merges the files as they are now."""
        files = self.files if self.files is not None else sorted(self.directory.glob("*.db"))
        merged: Iterable[Metric] = MultiProcessCollector.merge([str(path) for path in files], accumulate=True)
        return merged


def official_text(directory: Path, *, files: Sequence[Path] | None = None) -> str:
    """Returns the text exposition that the official client makes of a directory.

    Args:
        directory: where the files are.
        files: the files to read, in this order; without it all of them, sorted.
    """
    registry = CollectorRegistry()
    registry.register(Official(directory, files))
    text: bytes = generate_latest(registry)
    return text.decode()


def official_openmetrics(directory: Path) -> str:
    """Returns the OpenMetrics exposition that the official client makes of a directory."""
    registry = CollectorRegistry()
    registry.register(Official(directory))
    text: bytes = generate_openmetrics(registry)
    return text.decode()


def blocks(text: str) -> dict[str, Block]:
    """Splits an exposition into families, by the name in their comments.

    Args:
        text: an exposition in which comments precede the samples of each family.
    """
    found: dict[str, Block] = {}
    block = Block([], [])
    for line in text.split("\n"):
        if line.startswith("# ") and line != "# EOF":
            name = line.split(" ", 3)[2]
            block = found.setdefault(name, Block([], []))
            block.comments.append(line)
        elif line:
            block.samples.append(line)
    for block in found.values():
        block.samples.sort()
    return found


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Parses an exposition with the official client; no series may stand in it twice.

    Args:
        text: in the text format, or in OpenMetrics where it ends with `# EOF`.
    """
    parse = parse_openmetrics if text.endswith("# EOF\n") else parse_text
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in parse(text):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found, f"{key} stands there twice"
            found[key] = sample.value
    return found


def value(text: str, name: str, **labels: str) -> float:
    """Returns the value of one sample of an exposition."""
    return samples(text)[name, frozenset(labels.items())]


def promtool_check(text: str, *, lint: bool = True) -> None:
    """Lets `promtool check metrics` read an exposition in the text format.

    Where promtool is missing that is noted as skipped, and the test goes on.

    Args:
        text: the exposition.
        lint: whether its complaints about names count; the syntax always does.
    """
    promtool = shutil.which("promtool")
    if promtool is None:
        note_skip("promtool is not on PATH: expositions were not checked with it")
        return
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=text.encode(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    accepted = {0} if lint else {0, PROMTOOL_LINT_COMPLAINTS}
    assert done.returncode in accepted, f"promtool: {done.stderr.decode()}\n{text[:5000]}"
