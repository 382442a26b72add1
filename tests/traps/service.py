"""The service of all the test projects here: a middleware counts, `/metrics` shows what all workers counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_asgi_app
from prometheus_client.multiprocess import MultiProcessCollector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import Request, Response


class Metrics:
    """What the service counts."""

    def __init__(self) -> None:
        own = CollectorRegistry()
        self.requests = Counter("http_requests", "Requests.", ["method", "endpoint"], registry=own)
        self.seconds = Histogram("http_request_seconds", "Their durations.", ["endpoint"], registry=own)
        self.last_length = Gauge("http_last_length", "Length of the last path.", multiprocess_mode="max", registry=own)


def make_app(metrics: Metrics) -> FastAPI:
    """Makes the application; the variable says where the workers' files are."""
    app = FastAPI()

    @app.middleware("http")
    async def count(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        path = request.url.path
        if path.startswith("/metrics"):
            return await call_next(request)
        with metrics.seconds.labels(path).time():
            response = await call_next(request)
        metrics.requests.labels(request.method, path).inc()
        metrics.last_length.set(len(path))
        return response

    @app.get("/items")
    async def items() -> list[str]:
        return ["lamp"]

    @app.get("/users")
    async def users() -> list[str]:
        return ["ann"]

    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    app.mount("/metrics", make_asgi_app(registry))
    return app
