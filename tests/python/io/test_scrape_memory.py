"""A scrape takes no more memory than twice its text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forkmeter import CollectorRegistry, Counter, exposition
from forkmeter._forkmeter import Exposition, NativeFamily, make_family
from forkmeter.openmetrics import exposition as openmetrics
from forkmeter.registry import families_to_write

PROGRAM = Path(__file__).parents[3] / "benches" / "programs" / "scrape_peak.py"
SERIES = 60_000


def test_a_repeated_scrape_of_a_directory_takes_no_more_than_twice_its_text(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, str(PROGRAM), "forkmeter", str(SERIES)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, timeout=120)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["text"] > SERIES * 50
    assert found["peak"] <= 2 * found["text"]


def large_registry() -> CollectorRegistry:
    """Has a family whose text takes several parts, and a small one."""
    registry = CollectorRegistry()
    counter = Counter("x", "X.", ["label"], registry=registry)
    for number in range(20_000):
        counter.labels(str(number)).inc(number)
    Counter("y", "Y.", registry=registry).inc()
    return registry


@pytest.mark.parametrize("write", [exposition.generate_latest, openmetrics.generate_latest])
def test_expositions_that_grow_and_shrink_are_whole(write: Any) -> None:
    registry = large_registry()
    counter = registry._names_to_collectors["x"]
    assert isinstance(counter, Counter)
    first = write(registry)
    lines = first.count(b"\n")
    assert write(registry) == first
    for number in range(20_000, 40_000):
        counter.labels(str(number)).inc(number)
    longer = write(registry)
    assert longer.count(b"\n") == lines + 2 * 20_000
    assert write(registry) == longer
    for number in range(20_000, 40_000):
        counter.remove(str(number))
    assert write(registry) == first
    assert write(registry) == first
    counter.clear()
    shortest = write(registry)
    assert len(shortest) < 400
    assert write(registry) == shortest


@pytest.mark.parametrize("has_room", [False, True])
def test_what_is_refused_leaves_nothing(has_room: bool) -> None:
    sound = [family for family in families_to_write(large_registry()) if isinstance(family, NativeFamily)]
    samples = [("z", [("n", str(number))], 1.0, None, None) for number in range(20_000)]
    time = float("nan")
    refused = make_family("z", "Z.", "gauge", "", [*samples, ("z", [("n", "last")], 1.0, time, None)])
    registry = 16 * (2 + has_room)

    def begin() -> Exposition:
        text = Exposition(registry, is_openmetrics=False, escaping="underscores")
        text.write(b"before\n")
        return text

    expected = begin()
    expected.write_families([*sound, *sound])
    whole = expected.finish()
    assert whole.count(b"x_total{") == 2 * 20_000
    assert expected.finish() == b""
    if has_room:
        begun = begin()
        begun.write_families([*sound, *sound])
        assert begun.finish() == whole
    text = begin()
    for families in (sound, [*sound, refused], [refused], sound):
        if refused in families:
            with pytest.raises(ValueError, match="z"):
                text.write_families(families)
        else:
            text.write_families(families)
    assert text.finish() == whole


def test_an_escaping_that_is_unknown_is_refused_where_it_is_needed() -> None:
    text = Exposition(0, is_openmetrics=False, escaping="none of these")
    text.write(b"before\n")
    with pytest.raises(ValueError, match="none of these"):
        text.write_families([])
    assert text.finish() == b"before\n"
