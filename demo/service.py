"""An ordinary FastAPI service that counts with `prometheus_client` and knows nothing of forkmeter.

Run it with `PROMETHEUS_MULTIPROC_DIR` set: `uvicorn --workers 4 service:app`, and beside it `forkmeter serve`.
Or on forkmeter: `forkmeter run -- uvicorn --workers 4 service:app`; then `/metrics` of every worker is right.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import Counter, Gauge, Histogram, make_asgi_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

REQUESTS = Counter("http_requests", "Requests that were answered.", ["method", "route", "status"])
DURATION = Histogram(
    "http_request_duration_seconds",
    "Time from the request to its answer.",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)
IN_PROGRESS = Gauge(
    "http_requests_in_progress",
    "Requests that are being worked on.",
    multiprocess_mode="livesum",
)

app = FastAPI(title="forkmeter demo")
app.mount("/metrics", make_asgi_app())


@app.middleware("http")
async def measure(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Counts a request before its answer leaves, so that whoever has the answer finds it counted."""
    if request.url.path.startswith("/metrics"):
        return await tell_worker(call_next, request)
    started = time.perf_counter()
    status = 500
    IN_PROGRESS.inc()
    try:
        response = await tell_worker(call_next, request)
        status = response.status_code
        return response
    finally:
        IN_PROGRESS.dec()
        route = getattr(request.scope.get("route"), "path", "unknown")
        DURATION.labels(route).observe(time.perf_counter() - started)
        REQUESTS.labels(request.method, route, str(status)).inc()


async def tell_worker(call_next: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """Answers, and says in a header which worker did."""
    response = await call_next(request)
    response.headers["X-Worker"] = str(os.getpid())
    return response


@app.get("/items/{item}")
async def read_item(item: int) -> dict[str, int]:
    """Finds every item but each tenth."""
    if item % 10 == 0:
        raise HTTPException(404, "no such item")
    return {"item": item}


@app.post("/orders", status_code=201)
async def order() -> dict[str, str]:
    """Takes an order."""
    return {"state": "taken"}


@app.get("/report")
async def report() -> dict[str, int]:
    """Works for a moment."""
    await asyncio.sleep(0.005)
    return {"orders": 1}


@app.get("/stock")
async def stock() -> dict[str, str]:
    """Leans on something that is down."""
    raise HTTPException(503, "the warehouse does not answer")
