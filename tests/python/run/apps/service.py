"""A service as its owners wrote it for the official client: nothing in it knows of forkmeter."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client import Counter, Gauge, make_asgi_app, make_wsgi_app

if TYPE_CHECKING:
    from collections.abc import Iterable

REQUESTS = Counter("requests", "Requests served.", ["path"])
WORKERS = Gauge("workers", "Workers that serve.", multiprocess_mode="livesum")
WORKERS.set(1)

METRICS = make_asgi_app()
WSGI_METRICS = make_wsgi_app()


def answer(path: str) -> bytes:
    """Counts a request and tells who answers, on which client."""
    REQUESTS.labels(path).inc()
    return json.dumps([os.getpid(), prometheus_client.__file__]).encode()


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serves over ASGI."""
    if scope["path"] == "/metrics":
        await METRICS(scope, receive, send)
        return
    body = answer(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Serves over WSGI."""
    if environ["PATH_INFO"] == "/metrics":
        exposition: Iterable[bytes] = WSGI_METRICS(environ, start_response)
        return exposition
    body = answer(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
