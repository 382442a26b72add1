"""All workers of a real server expose what all of them counted."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import forkmeter
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTS = 200
START_SECONDS = 60


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=20) as response:
        return bytes(response.read())


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The address of a service with two workers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(256)
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        paths = [str(Path(__file__).parents[2]), str(Path(forkmeter.__file__).parents[1])]
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(paths)}
        arguments = ["python.http.service:app", "--workers", "2", "--fd", str(listening.fileno())]
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *arguments, "--log-level", "warning"],
            env=environment,
            pass_fds=[listening.fileno()],
            cwd=tmp_path,
        )
        try:
            yield address
        finally:
            server.terminate()
            server.wait(30)


def test_two_workers_expose_the_same(service: str) -> None:
    with ThreadPoolExecutor(8) as clients:
        pids: set[int] = set()
        sent = 0
        until = time.monotonic() + START_SECONDS
        while len(pids) < 2 and time.monotonic() < until:
            urls = [f"{service}/workers/{number}" for number in range(REQUESTS)]
            pids |= {json.loads(body)["pid"] for body in clients.map(get, urls)}
            sent += REQUESTS
    assert len(pids) == 2
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(f"{service}/nowhere")
    for _ in range(10):
        text = get(f"{service}/metrics").decode()
        assert f'http_requests_total{{method="GET",route="/workers/{{asked}}",status="200"}} {sent}.0\n' in text
        assert 'http_requests_total{method="GET",route="unmatched",status="404"} 1.0\n' in text
        assert 'http_requests_in_progress{method="GET",route="/workers/{asked}"} 0.0\n' in text
        assert 'route="/metrics"' not in text
