"""A WSGI application that counts its requests."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from counting import make_wsgi_app, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

METRICS = make_wsgi_app()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers `/work?number=N&victim=PID` and `/metrics`; a header names the worker."""

    def start(status: str, headers: list[tuple[str, str]]) -> Any:
        return start_response(status, [*headers, ("X-Worker", str(os.getpid()))])

    if environ["PATH_INFO"] == "/metrics":
        answer: Iterable[bytes] = METRICS(environ, start)
        return answer
    query = parse_qs(environ["QUERY_STRING"])
    work(int(query["number"][0]), int(query["victim"][0]))
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
    return [b""]
