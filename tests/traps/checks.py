"""What the test projects ask the service, and expect of its exposition."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


def request(client: TestClient, **counts: int) -> None:
    """Sends so many requests to each endpoint."""
    for endpoint, count in counts.items():
        for _ in range(count):
            assert client.get(f"/{endpoint}").status_code == 200


def check(client: TestClient, **counts: int) -> None:
    """Scrapes, and finds requests to these endpoints and no others."""
    lines = client.get("/metrics/").text.splitlines()
    for name, label in (("http_requests_total", ',method="GET"}'), ("http_request_seconds_count", "}")):
        expected = {f'{name}{{endpoint="/{endpoint}"{label} {count}.0' for endpoint, count in counts.items() if count}
        assert {line for line in lines if line.startswith(name)} == expected, lines
    lengths = [float(line.split()[1]) for line in lines if line.startswith("http_last_length ")]
    # Of nothing, or of the last path.
    assert sum(lengths) == max([len(f"/{endpoint}") for endpoint, count in counts.items() if count], default=0), lines


def count_and_check(client: TestClient, **counts: int) -> None:
    """Starts from zero, sends requests, and finds exactly these."""
    check(client)
    request(client, **counts)
    check(client, **counts)
