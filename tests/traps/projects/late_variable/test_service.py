from __future__ import annotations

from typing import TYPE_CHECKING

from checks import count_and_check

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi.testclient import TestClient


def test_requests_are_counted(client: TestClient) -> None:
    count_and_check(client, items=2, users=1)


def test_values_are_shared(client: TestClient, tmp_path: Path) -> None:
    count_and_check(client, items=1)
    assert sorted({path.name.partition("_")[0] for path in tmp_path.glob("*.db")}) == ["counter", "gauge", "histogram"]
