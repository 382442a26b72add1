"""Times what HTTP metrics add to one FastAPI request in multi-process mode, forkmeter's and others', in one run.

The same application is called as a server would call it, without a server and without a network, so that what is
measured is the middleware: bare, and with each of the middlewares, taking turns in short rounds. Before that, all must
have counted the same requests.

    PYTHONPATH=tests python benches/http_fastapi.py
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from table import Row, emit

from support.folders import in_memory

ROUNDS = 200
REQUESTS = 100
ASKED = 10
# What is compared, and the package whose version says which.
PEERS = {
    "prometheus-fastapi-instrumentator": "prometheus-fastapi-instrumentator",
    "starlette_exporter": "starlette_exporter",
    "BaseHTTPMiddleware by hand": "starlette",
}

App = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

# What uvicorn passes for a browser's request.
HEADERS = [
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"connection", b"keep-alive"),
    (b"cookie", b"session=0123456789abcdef"),
]


def application() -> Any:
    """Returns the application that is measured."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/users/{user_id}/items/{item_id}")
    async def item(user_id: str, item_id: int) -> dict[str, Any]:
        return {"user": user_id, "item": item_id}

    return app


def with_forkmeter(directory: Path) -> tuple[Any, Callable[[], str]]:
    """Returns the application with our middleware, and what reads its exposition."""
    import forkmeter
    from forkmeter.fastapi import PrometheusMiddleware

    forkmeter.configure(directory)
    app = application()
    app.add_middleware(PrometheusMiddleware)
    return app, lambda: forkmeter.generate_latest().decode()


def official_text() -> str:
    """Returns what the official client's collector reads of all that count with it."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return generate_latest(registry).decode()


def with_instrumentator() -> Any:
    """Returns the application with prometheus-fastapi-instrumentator."""
    from prometheus_fastapi_instrumentator import Instrumentator

    app = application()
    Instrumentator().instrument(app)
    return app


def with_starlette_exporter() -> Any:
    """Returns the application with starlette_exporter."""
    from starlette_exporter import PrometheusMiddleware

    app = application()
    app.add_middleware(PrometheusMiddleware)
    return app


def by_hand() -> Any:
    """Returns the application with a middleware as people write it."""
    from prometheus_client import Counter, Histogram
    from starlette.middleware.base import BaseHTTPMiddleware

    requests = Counter("hand_requests", "Requests.", ["method", "endpoint", "status"])
    latency = Histogram("hand_latency_seconds", "Latency.", ["method", "endpoint"])

    class Metrics(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            start = time.perf_counter()
            response = await call_next(request)
            route = request.scope.get("route")
            endpoint = route.path if route else "unmatched"
            requests.labels(request.method, endpoint, str(response.status_code)).inc()
            latency.labels(request.method, endpoint).observe(time.perf_counter() - start)
            return response

    app = application()
    app.add_middleware(Metrics)
    return app


async def ask(app: App, path: str, count: int) -> float:
    """Makes requests one after the other, and returns the processor's seconds that one took."""
    sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scopes = [
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50000),
            "scheme": "http",
            "method": "GET",
            "root_path": "",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": list(HEADERS),
            "state": {},
        }
        for _ in range(count)
    ]
    # Of the processor: other programs have a share in the time on the wall.
    start = time.process_time()
    for scope in scopes:
        await app(scope, receive, send)
    taken = time.process_time() - start
    starts = [message for message in sent if message["type"] == "http.response.start"]
    if len(starts) != count:
        raise SystemExit(f"{len(starts)} responses for {count} requests")
    return taken / count


def value(text: str, family: str, route: str) -> float:
    """Returns what a counter or the count of a histogram says of a route, whatever its other labels are."""
    found = [line for line in text.splitlines() if line.startswith(family + "{") and f'"{route}"' in line]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


async def compare(rounds: int, requests: int, directory: Path) -> dict[str, list[float]]:
    """Returns for each side the seconds that it added in each round."""
    ours, our_text = with_forkmeter(directory / "forkmeter")
    apps: dict[str, Any] = {
        "bare": application(),
        "forkmeter": ours,
        "prometheus-fastapi-instrumentator": with_instrumentator(),
        "starlette_exporter": with_starlette_exporter(),
        "BaseHTTPMiddleware by hand": by_hand(),
    }
    for app in apps.values():
        await ask(app, "/users/eve/items/7", 300)
    texts = {"forkmeter": our_text(), "official": official_text()}
    template = "/users/{user_id}/items/{item_id}"
    counts = {
        "forkmeter": ("forkmeter", "http_requests_total", "http_request_duration_seconds_count"),
        "prometheus-fastapi-instrumentator": ("official", "http_requests_total", "http_request_duration_seconds_count"),
        "starlette_exporter": (
            "official",
            "starlette_requests_total",
            "starlette_request_duration_seconds_count",
        ),
        "BaseHTTPMiddleware by hand": ("official", "hand_requests_total", "hand_latency_seconds_count"),
    }
    for side, (text, *families) in counts.items():
        for family in families:
            counted = value(texts[text], family, template)
            if counted != 300:
                raise SystemExit(f"{side}: {family} is {counted} after 300 requests")
    added: dict[str, list[float]] = {side: [] for side in counts}
    for number in range(rounds):
        # Identifiers that come again and ones that never do.
        path = f"/users/user{number}/items/{number}"
        times = {side: await ask(app, path, requests) for side, app in apps.items()}
        for side in counts:
            added[side].append(times[side] - times["bare"])
    return added


def main() -> None:
    """Prints the rows: each peer's, and what is asked is said of the least of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="in a round")
    options = parser.parse_args()
    with in_memory(Path(tempfile.gettempdir())) as directory:
        official = directory / "official"
        official.mkdir()
        # Before the official client is imported, which looks once.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(official)
        added = asyncio.run(compare(options.rounds, options.requests, directory))
    for side, package in PEERS.items():
        peer = f"{side} {version(package)}"
        emit(Row("HTTP metrics added to one FastAPI request", peer, added[side], added["forkmeter"], "us", ASKED))


if __name__ == "__main__":
    main()
