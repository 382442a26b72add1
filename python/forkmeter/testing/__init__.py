"""Tests of programs that count: isolated values, and assertions that show what is near.

Under pytest the fixture `metrics` is a `Metrics` of the test's own; elsewhere `isolate` makes one. The `process_*` and
`python_*` metrics of the default registry and `_created` samples are left out of everything here: no test can know
them.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from .. import _forkmeter
from ..exposition import generate_latest
from ..gc_collector import GC_COLLECTOR
from ..metrics_core import Metric
from ..platform_collector import PLATFORM_COLLECTOR
from ..process_collector import PROCESS_COLLECTOR
from ..registry import REGISTRY, _registries
from . import _compare, _golden, _isolation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from ..registry import Collector
    from ..samples import Sample

__all__ = ("Change", "Delta", "Metrics", "isolate")

T = TypeVar("T")
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.05
_TIMEOUT_SECONDS = 10.0


class Change(NamedTuple):
    """Describes how one sample changed.

    Attributes:
        name: Its name, with suffix.
        labels: All its labels.
        before: Its value before; `None` where it was not there.
        after: Its value after; `None` where it is not there any more.
    """

    name: str
    labels: dict[str, str]
    before: float | None
    after: float | None

    @property
    def amount(self) -> float:
        """By how much it changed; where it was not there it counts as 0."""
        return (self.after or 0.0) - (self.before or 0.0)

    def __str__(self) -> str:
        """Writes one line."""
        now = "is gone" if self.after is None else _compare.number(self.after)
        before = "was not there" if self.before is None else f"was {_compare.number(self.before)}"
        sign = "+" if self.amount >= 0 else ""
        return f"{_compare.series(self.name, self.labels)} {sign}{_compare.number(self.amount)} ({now}, {before})"


class Delta:
    """Holds what changed between two moments; filled when the `with` block of `Metrics.delta` ends.

    Attributes:
        changes: The changes, by name and labels.
    """

    def __init__(self) -> None:
        self.changes: tuple[Change, ...] = ()

    def value(self, name: str, labels: Mapping[str, object] | None = None, /, **more: object) -> float:
        """Returns by how much a sample changed; 0 where it did not. Name and labels are as for `Metrics.value`."""
        wanted = _labels(labels, more)
        for change in self.changes:
            if change.name == name and wanted in (change.labels, _compare.without_pid(change.labels)):
                return change.amount
        return 0.0

    def sum(self, name: str) -> float:
        """Returns by how much all samples of a name changed together."""
        return sum(change.amount for change in self.changes if change.name == name)

    def __bool__(self) -> bool:
        """Tells whether anything changed."""
        return bool(self.changes)

    def __str__(self) -> str:
        """Writes one line per change."""
        return "\n".join(map(str, self.changes))

    __repr__ = __str__


class Metrics:
    """Reads what is exposed, in the way tests want it.

    Where values are shared in a directory, they are those of all workers. Families of all registries are seen, those
    of the default registry first.

    Args:
        collectors: What to look at; without any, all registries.
    """

    def __init__(self, *collectors: Collector) -> None:
        self._collectors = collectors
        self._leftover: frozenset[Any] = frozenset()

    @property
    def directory(self) -> str | None:
        """The directory in which values are shared at the moment, if any."""
        named = _forkmeter.directory()
        return named[0] if named is not None else None

    def of(self, *collectors: Collector) -> Metrics:
        """Returns the same for these registries, or other collectors, only."""
        metrics = Metrics(*collectors)
        metrics._leftover = self._leftover
        return metrics

    def value(self, name: str, labels: Mapping[str, object] | None = None, /, **more: object) -> float | None:
        """Returns the value of a sample. Asking makes no series.

        Args:
            name: The sample's name, with suffix: `jobs_total`, `latency_seconds_count`.
            labels: All its labels, where they are no names in Python. `pid`, which tells a gauge's workers apart, may
                be left out where there is one.
            **more: All its labels.

        Returns:
            The value, or `None` where there is no such sample.
        """
        found = _compare.find(self._found(), name, _labels(labels, more))
        return None if found is None else found.sample.value

    def samples(self, name: str) -> list[Sample]:
        """Returns all samples of a name: that of a sample, or that of a family for all of its samples."""
        found = self._found()
        leftover = self._ids_left_over(found)
        return [one.sample for one in found if name in (one.family, one.sample.name) and id(one.sample) not in leftover]

    def text(self) -> str:
        """Returns what is exposed, in the text format; lines of it make a golden text."""
        families = self._families()
        leftover = self._ids_left_over(_found_in(families))
        for family in families:
            family.samples = [sample for sample in family.samples if id(sample) not in leftover]
        return generate_latest(_Families(families)).decode()

    @contextmanager
    def delta(self) -> Iterator[Delta]:
        """Watches what changes in a `with` block, whoever changes it.

        Yields:
            What changed, once the block has ended.
        """
        delta = Delta()
        before = self._values()
        yield delta
        after = self._values()
        keys = sorted(before.keys() | after.keys())
        changes = (Change(key[0], dict(key[1]), before.get(key), after.get(key)) for key in keys)
        delta.changes = tuple(
            [
                change
                for change in changes
                if change.before is None or change.after is None or not _compare.is_same(change.before, change.after)
            ]
        )

    def assert_sample(
        self, name: str, value: float, labels: Mapping[str, object] | None = None, /, **more: object
    ) -> None:
        """Asserts that a sample has this value: exactly, NaN being equal to itself.

        Args:
            name: The sample's name, as for `value`.
            value: The value that it must have.
            labels: All its labels, as for `value`.
            **more: All its labels.

        Raises:
            AssertionError: It has another one, or there is no such sample; shows the nearest one.
        """
        __tracebackhide__ = True
        wanted = _labels(labels, more)
        samples = self._found()
        found = _compare.find(samples, name, wanted)
        text = _compare.series(name, wanted)
        if found is None:
            near = _compare.nearest(name, wanted, samples, "  ")
            raise AssertionError(f"there is no {text}, expected with {_compare.number(value)}{near}")
        if not _compare.is_same(found.sample.value, value):
            given = _compare.number(found.sample.value)
            raise AssertionError(f"{text} is {given}, expected {_compare.number(value)}")

    def assert_exposition(self, golden: str) -> None:
        """Asserts that the families which a text names are exposed as it says, and have no other series.

        Args:
            golden: Lines of the text format: samples, and `# HELP` and `# TYPE` where they matter. Order and
                indentation do not matter, nor does how a number is written; `*` for a value means any. Families
                that it does not name are not looked at; a `# TYPE` line without samples says that one has none.

        Raises:
            AssertionError: They are not; shows every difference, and the series that is nearest to a missing one.
            ValueError: A line of the text is none of the text format.
        """
        __tracebackhide__ = True
        families = self._families()
        found = _found_in(families)
        message = _golden.check(golden, families, found, self._ids_left_over(found))
        if message is not None:
            raise AssertionError(message)

    def eventually(self, look: Callable[[], T], timeout_seconds: float = _TIMEOUT_SECONDS) -> T:
        """Looks again and again until there is what the test waits for, such as what another process counts.

        Args:
            look: Called until it neither raises `AssertionError` nor returns `False`; mostly a `lambda` around
                `assert_sample` or a comparison.
            timeout_seconds: How long, at most. There is one more look after it.

        Returns:
            What the last look returned.

        Raises:
            AssertionError: It is not there, with what the last look said.
        """
        __tracebackhide__ = True
        for pause_seconds in _pauses(timeout_seconds):
            is_last = pause_seconds is None
            result, failure = _look(look)
            if failure is None:
                return result  # type: ignore[return-value]
            if is_last:
                raise AssertionError(f"after {timeout_seconds:g} s: {failure}")
            time.sleep(pause_seconds or 0.0)
        raise AssertionError("unreachable")

    async def eventually_async(self, look: Callable[[], T], timeout_seconds: float = _TIMEOUT_SECONDS) -> T:
        """Is `eventually` for asynchronous tests: other tasks of the loop, asyncio's, go on meanwhile."""
        __tracebackhide__ = True
        for pause_seconds in _pauses(timeout_seconds):
            result, failure = _look(look)
            if failure is None:
                return result  # type: ignore[return-value]
            if pause_seconds is None:
                raise AssertionError(f"after {timeout_seconds:g} s: {failure}")
            await asyncio.sleep(pause_seconds)
        raise AssertionError("unreachable")

    def _families(self) -> list[Metric]:
        """Collects what tests look at; each family once."""
        collectors: Iterable[Any] = self._collectors
        if not collectors:
            others = [registry for registry in _registries.items() if registry is not REGISTRY]
            collectors = [REGISTRY, *others]
        families: dict[str, Metric] = {}
        for collector in collectors:
            for family in collector.collect():
                families.setdefault(family.name, family)
        left_out = _names_left_out()
        kept = []
        for family in families.values():
            if family.name in left_out:
                continue
            copy = Metric(family.name, family.documentation, family.type, family.unit)
            # A gauge may well have that name itself.
            created = None if family.type in {"gauge", "unknown"} else f"{family.name}_created"
            copy.samples = [sample for sample in family.samples if sample.name != created]
            kept.append(copy)
        return kept

    def _found(self) -> list[_compare.Found]:
        return _found_in(self._families())

    def _values(self) -> dict[Any, float]:
        return {_key(found.sample): found.sample.value for found in self._found()}

    def _remember_leftover(self) -> None:
        """Remembers the labelled series that earlier tests made and that are at zero now."""
        self._leftover = frozenset(_key(found.sample) for found in self._found() if _is_labelled(found.sample))

    def _ids_left_over(self, found: Iterable[_compare.Found]) -> frozenset[int]:
        if not self._leftover:
            return frozenset()
        samples = [one.sample for one in found]
        used = {_series_key(sample) for sample in samples if sample.value and _key(sample) in self._leftover}
        left = (sample for sample in samples if _key(sample) in self._leftover and _series_key(sample) not in used)
        return frozenset(id(sample) for sample in left)


class _Families:
    """Families as a registry."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Returns them."""
        return self._families


def _found_in(families: Iterable[Metric]) -> list[_compare.Found]:
    return [_compare.Found(family.name, family.type, sample) for family in families for sample in family.samples]


def _labels(labels: Mapping[str, object] | None, more: Mapping[str, object]) -> dict[str, str]:
    return _compare.as_exposed({**(labels or {}), **more})


def _key(sample: Sample) -> Any:
    return (sample.name, tuple(sorted(sample.labels.items())))


def _series_key(sample: Sample) -> Any:
    """Returns what the samples of one series have in common."""
    name = sample.name
    for suffix in ("_bucket", "_sum", "_count"):
        name = name.removesuffix(suffix)
    return (name, tuple(sorted((label, value) for label, value in sample.labels.items() if label != "le")))


def _is_labelled(sample: Sample) -> bool:
    return not {"le", "quantile", _compare.PID}.issuperset(sample.labels)


def _names_left_out() -> frozenset[str]:
    collectors = (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR)
    return frozenset(family.name for collector in collectors for family in collector.collect())


def _look(look: Callable[[], T]) -> tuple[T | None, str | None]:
    """Returns what there is, or what to say where it is not there yet."""
    try:
        result = look()
    except AssertionError as error:
        return None, str(error) or "an assertion without a message failed"
    if result is False:
        return None, "still false"
    return result, None


def _pauses(timeout_seconds: float) -> Iterator[float | None]:
    """Yields how long to wait after each look, and `None` for the last."""
    end = time.monotonic() + timeout_seconds
    pause_seconds = _FIRST_PAUSE_SECONDS
    while True:
        left_seconds = end - time.monotonic()
        if left_seconds <= 0:
            break
        yield min(pause_seconds, left_seconds)
        pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
    yield None


@contextmanager
def isolate(*, multiprocess: bool | None = None) -> Iterator[Metrics]:
    """Gives one test all values at zero, and where values are shared a directory of its own.

    The program under test needs no change and is not imported again. Afterwards values and directory are what they
    were; where they are shared, gauges of this process start from zero in its former directory.

    Args:
        multiprocess: Share values in a directory. `None` does so where the program does at the moment; otherwise they
            are in memory, and children of the test have copies, as they would have outside of tests.

    Yields:
        The metrics.

    Note:
        Children of `fork`, and programs that are started meanwhile, use the same directory. Facts of infos stay. Only
        registered metrics are known where values are in memory.

    Example:
        >>> from forkmeter import Counter, testing
        >>> visits = Counter("visits", "Visits.", ["page"])
        >>> with testing.isolate() as metrics:
        ...     visits.labels("home").inc()
        ...     metrics.assert_sample("visits_total", 1, page="home")
    """
    metrics = Metrics()
    if multiprocess is None:
        multiprocess = _forkmeter.directory() is not None
    with _isolation.isolated_directory() if multiprocess else _isolation.isolated_memory():
        if not multiprocess:
            metrics._remember_leftover()
        yield metrics
