"""What forkmeter says of the directory: only where it is asked for, and each family once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import forkmeter
import pytest
from forkmeter import Counter, SelfMetricsCollector

from support.exposition import promtool_check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def collector() -> Iterator[SelfMetricsCollector]:
    """Registers a collector in the default registry, and takes it out again."""
    collector = SelfMetricsCollector()
    yield collector
    forkmeter.REGISTRY.unregister(collector)


def own_lines() -> dict[str, float]:
    """Returns the samples that the default registry has of forkmeter itself."""
    text = forkmeter.generate_latest(forkmeter.REGISTRY).decode()
    promtool_check(text, lint=False)
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("forkmeter_")]
    samples = {name: float(value) for name, value in lines}
    assert len(samples) == len(lines), text
    return samples


def test_nothing_is_said_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default exposition is that of the official client."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert own_lines() == {}


@pytest.mark.usefixtures("collector")
def test_the_scrape_that_is_under_way_is_described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, series and workers are those of the same exposition; a lone process has nothing to say."""
    assert own_lines() == {}
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    counter = Counter("described", "help", ["l"], registry=None)
    for label in "abc":
        counter.labels(label).inc()
    (tmp_path / "counter_7.db").write_bytes(b"\x64\0\0\0\0\0\0\0\1")
    samples = own_lines()
    assert samples['forkmeter_workers{state="live"}'] == 1
    assert samples['forkmeter_workers{state="dead"}'] == 0
    assert samples['forkmeter_files{state="truncated"}'] + samples['forkmeter_files{state="corrupt"}'] == 1
    assert samples["forkmeter_series"] >= 3
    before = samples["forkmeter_series"]
    counter.labels("d").inc()
    samples = own_lines()
    assert samples["forkmeter_series"] == before + 1
    assert samples["forkmeter_kept_series"] == 0
    assert samples["forkmeter_lost_series_total"] == 0
    assert 0 < samples["forkmeter_scrape_duration_seconds"] < 60
    assert samples["forkmeter_directory_size_bytes"] > 0


def test_a_registry_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has read the directory before; the names are known without a read."""
    registry = forkmeter.CollectorRegistry()
    SelfMetricsCollector(registry)
    with pytest.raises(ValueError, match="forkmeter_series"):
        Counter("forkmeter_series", "help", registry=registry)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    Counter("elsewhere", "help", registry=None).inc()
    assert registry.get_sample_value("forkmeter_workers", {"state": "live"}) == 1
    only = registry.restricted_registry(["forkmeter_series"])
    assert [family.name for family in only.collect()] == ["forkmeter_series"]
