"""A pytest plugin that puts forkmeter in the official client's place before its tests are imported."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import forkmeter
import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Sequence

EXEMPTIONS = Path(__file__).with_name("exemptions.toml")


def _refuse_the_official_client() -> None:
    try:
        found = importlib.metadata.distribution("prometheus_client")
    except importlib.metadata.PackageNotFoundError:
        return
    raise pytest.UsageError(f"prometheus_client {found.version} is installed here, so nothing would be tested")


_refuse_the_official_client()
forkmeter.install_as_prometheus_client()


def pytest_report_header() -> str:
    """Says what is tested."""
    return f"prometheus_client is {Path(forkmeter.__file__).parent}, version {forkmeter.__version__}"


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Marks exempt tests; an exemption that no test needs is an error."""
    exemptions = {
        entry["name"]: entry["reason"] for entry in tomllib.loads(EXEMPTIONS.read_text("utf-8")).get("exempt", [])
    }
    for item in items:
        reason = exemptions.pop(item.nodeid, None)
        if reason is not None:
            item.add_marker(pytest.mark.xfail(reason=reason, strict=False))
    if exemptions and not config.args_source.name == "ARGS":
        raise pytest.UsageError(f"exemptions.toml names tests that do not exist: {sorted(exemptions)}")
