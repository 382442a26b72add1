"""A real Prometheus server that scrapes what a test runs."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from children import Child, free_port
from support.skipping import tool

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


class Prometheus:
    """A Prometheus that scrapes some targets every second."""

    def __init__(self, folder: Path, **target_ports: int) -> None:
        """Starts the server and waits until it is ready.

        Args:
            folder: an empty folder for its configuration, data and log.
            target_ports: by job, where to scrape `/metrics` on 127.0.0.1.
        """
        program = tool("prometheus")
        self.targets = len(target_ports)
        configuration = folder / "prometheus.json"
        # JSON is YAML.
        configuration.write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                    "scrape_configs": [
                        {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                        for job, port in target_ports.items()
                    ],
                }
            ),
            encoding="utf-8",
        )
        self.port = free_port()
        self.child = Child(
            "prometheus",
            [
                program,
                f"--config.file={configuration}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            folder / "prometheus.log",
            environment={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
        )
        try:
            self.child.wait_ready(self.port, "/-/ready")
        except BaseException:
            self.child.stop()
            raise

    def query(self, expression: str) -> list[float]:
        """Returns the values of an instant query, in any order.

        Args:
            expression: in PromQL.
        """
        arguments = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?{arguments}", timeout=20) as response:
            answer: dict[str, Any] = json.load(response)
        assert answer["status"] == "success", answer
        return [float(result["value"][1]) for result in answer["data"]["result"]]

    def one(self, expression: str) -> float:
        """Returns the value of an instant query that gives exactly one.

        Args:
            expression: in PromQL.
        """
        (value,) = self.query(expression)
        return value

    def wait_scrape_after(self, unix_seconds: float, *, timeout_seconds: float = 30.0) -> None:
        """Waits until of every target a good scrape that began after a moment is stored.

        Args:
            unix_seconds: the moment.
            timeout_seconds: how long to wait.
        """
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            # The time of a sample is when its scrape began. Of an expression it would be the time of the query.
            began, up = self.query("timestamp(up)"), self.query("up")
            if len(began) == len(up) == self.targets and min(began) > unix_seconds and min(up) == 1:
                return
            time.sleep(0.1)
        raise AssertionError(f"no good scrape after {unix_seconds}\n{self.child.tail()}")

    def __enter__(self) -> Self:
        """Returns the server itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stops the server."""
        self.child.stop()
