"""The forkmeter command: one-shot runs, and the exporter as a server."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import time
import urllib.request
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from children import Child, ChildFailedError
from support.exposition import promtool_check
from support.skipping import skip

if TYPE_CHECKING:
    from typing_extensions import Self

TIMEOUT_SECONDS = 30


@lru_cache(maxsize=1)
def command() -> str:
    """Returns the path of the command; skips the test where it was not built."""
    path = os.environ.get("FORKMETER_BIN")
    if not path or not Path(path).exists():
        skip("FORKMETER_BIN names no program: run `make test-python`")
    return path


def dump(directory: Path, *, form: str = "text", lint: bool = True) -> str:
    """Returns what `forkmeter dump` prints; promtool reads the text format as well.

    Args:
        directory: what to read.
        form: `text`, `openmetrics` or `json`.
        lint: whether promtool's complaints about names count.
    """
    done = subprocess.run(
        [command(), "dump", str(directory), "--format", form],
        check=True,
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
    )
    text = done.stdout.decode()
    if form == "text":
        promtool_check(text, lint=lint)
    return text


def inspect(directory: Path) -> dict[str, Any]:
    """Returns what `forkmeter inspect --output json` says of a directory."""
    done = subprocess.run(
        [command(), "inspect", str(directory), "--output", "json"],
        check=True,
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


class Exporter:
    """A running `forkmeter serve`, on a port that the system chose."""

    def __init__(self, *directories: Path, log: Path) -> None:
        """Starts the exporter and waits until it is ready.

        Args:
            directories: what to export.
            log: the file that takes its log, a JSON object a line.
        """
        # Permissions bind root as well once it lacks these.
        drop = "--bounding-set=-dac_override,-dac_read_search"
        prefix = ["setpriv", drop] if os.geteuid() == 0 else []
        self.child = Child(
            "forkmeter",
            [
                *prefix,
                command(),
                "serve",
                *map(str, directories),
                "--web.listen-address=127.0.0.1:0",
                "--log.format=json",
            ],
            log,
            environment=dict(os.environ),
        )
        try:
            self.port = self._find_port()
            self.child.wait_ready(self.port, "/-/ready")
        except BaseException:
            self.child.stop()
            raise

    def _find_port(self) -> int:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            self.child.check()
            found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.child.log.read_text(encoding="utf-8"))
            if found:
                return int(found[1])
            time.sleep(0.02)
        raise ChildFailedError(f"forkmeter does not say where it listens\n{self.child.tail()}")

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> tuple[bytes, dict[str, str]]:
        """Asks for a page.

        Args:
            path: such as `/metrics`.
            headers: of the request; an underscore stands for a dash.

        Returns:
            The body, decompressed, and the headers with names in lower case.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, headers=named)
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            body: bytes = response.read()
            answered = {name.lower(): value for name, value in response.headers.items()}
        if answered.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return body, answered

    def scrape(self, *, lint: bool = True) -> str:
        """Scrapes in the text format, and lets promtool read what comes.

        Args:
            lint: whether promtool's complaints about names count.
        """
        body, _ = self.get("/metrics")
        text = body.decode()
        promtool_check(text, lint=lint)
        return text

    def log_lines(self) -> list[dict[str, Any]]:
        """Returns what it logged so far."""
        lines = self.child.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def __enter__(self) -> Self:
        """Returns the exporter itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stops the exporter."""
        self.child.stop()
