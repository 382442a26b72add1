"""The README's Python service does what the README says, under the servers that it names."""

from __future__ import annotations

import http.client
import importlib.metadata
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from children import Child, free_port
from support.skipping import skip

README = Path(__file__).resolve().parents[2] / "README.md"
REQUESTS = 60
WORKERS = 4


def ask(port: int, path: str) -> str:
    """Returns what the service answers, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        assert response.status == 200, path
        return response.read().decode()
    finally:
        connection.close()


def workers(text: str) -> set[str]:
    """Returns the workers whose `process_*` are shown, each told apart by its `pid`."""
    return set(re.findall(r'^process_start_time_seconds\{pid="(\d+)"\} ', text, re.MULTILINE))


@pytest.mark.parametrize(
    "server",
    [
        "uvicorn --workers 4 --host 127.0.0.1 --port PORT",
        "gunicorn --workers 4 --worker-class uvicorn.workers.UvicornWorker --bind 127.0.0.1:PORT",
    ],
    ids=["uvicorn", "gunicorn"],
)
def test_the_service_counts_over_all_workers(tmp_path: Path, server: str) -> None:
    """Every scrape, of whichever worker, has all requests that were answered before it."""
    try:
        importlib.metadata.distribution("forkmeter")
    except importlib.metadata.PackageNotFoundError:
        skip("the package forkmeter is not installed: run `make test-python`")
    readme = README.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(# app\.py\n.+?)```", readme, re.DOTALL)
    assert server.partition(" --host")[0].partition(" --bind")[0] in readme
    (tmp_path / "app.py").write_text(code, encoding="utf-8")
    (tmp_path / "metrics").mkdir()
    port = free_port()
    command = [sys.executable, "-m", *server.replace("PORT", str(port)).split(), "app:app"]
    environment = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
        "PYTHONPATH": str(tmp_path),
    }
    service = Child("service", command, tmp_path / "log", environment=environment)
    try:
        service.wait_ready(port, None)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: ask(port, f"/hello/{number % 7}"), range(REQUESTS)))
            assert answers[:2] == ['{"hello":"0"}', '{"hello":"1"}']
            scrapes: list[str] = []
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                scrapes = list(pool.map(lambda _: ask(port, "/metrics/"), range(40)))
                if all(len(workers(text)) >= WORKERS for text in scrapes):
                    break
    finally:
        service.stop()
    wanted = f'http_requests_total{{method="GET",route="/hello/{{name}}"}} {REQUESTS}.0\n'
    assert all(wanted in text for text in scrapes)
    assert all(len(workers(text)) >= WORKERS for text in scrapes), "a worker does not show all others"
