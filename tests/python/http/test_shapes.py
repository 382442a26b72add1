"""What is counted for requests of all shapes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Union

import pytest
from forkmeter import CollectorRegistry
from forkmeter.starlette import PrometheusMiddleware

from python.http.apps import fastapi_app, raw, starlette_app
from python.http.driving import Client, counted, drive, nonzero

if TYPE_CHECKING:
    from collections.abc import Callable

# Method, path, route, status, bytes of the response where they are always the same.
Case = tuple[str, str, str, str, Union[int, None]]

COMMON: list[Case] = [
    ("GET", "/", "/", "200", None),
    ("GET", "/text", "/text", "200", 4),
    ("HEAD", "/text", "/text", "200", 0),
    ("POST", "/text", "/text", "405", None),
    ("BREW", "/text", "/text", "405", None),
    ("GET", "/nowhere", "unmatched", "404", None),
    ("GET", "/streams", "/streams", "200", 12),
    ("WEBSOCKET", "/talks/7", "/talks/{room}", "101", 0),
    ("WEBSOCKET", "/refuses", "/refuses", "403", 0),
    ("WEBSOCKET", "/nowhere", "unmatched", "403", 0),
    ("GET", "/talks/7", "unmatched", "404", None),
    ("GET", "/raw/a/b", "/raw", "200", 3),
    ("GET", "/raw/silent", "/raw", "500", 0),
]
STARLETTE: list[Case] = [
    *COMMON,
    ("GET", "/items/7", "/items/{id:int}", "200", 4),
    ("GET", "/items/seven", "/items/{name}", "200", 4),
    ("GET", "/both/7", "/both/{id}", "200", 4),
    ("POST", "/both/7", "/both/{id}", "200", 0),
    ("PUT", "/both/7", "/both/{id}", "405", None),
    ("GET", "/files/a/b/c", "/files/{path:path}", "200", 4),
    ("GET", "/things/7", "/things/{thing}", "200", 5),
    ("DELETE", "/things/7", "/things/{thing}", "405", None),
    ("GET", "/slash", "unmatched", "307", 0),
    ("GET", "/slash/", "/slash/", "200", 4),
    ("GET", "/below", "unmatched", "307", 0),
    ("GET", "/below/", "/below/", "200", 4),
    ("GET", "/below/x", "/below/{name}", "200", 4),
    ("POST", "/below/x", "/below/{name}", "405", None),
    ("GET", "/below/deeper/1/x", "/below/deeper/{level:int}/{end}", "200", 4),
    ("GET", "/below/deeper/one/x", "unmatched", "404", None),
    ("GET", "/tenants/a/x", "/tenants/{tenant}/{name}", "200", 4),
    ("GET", "/tenants/b/deeper/1/x", "/tenants/{tenant}/deeper/{level:int}/{end}", "200", 4),
    ("GET", "/below/x/y/z", "unmatched", "404", None),
    ("GET", "/hosted/7", "unmatched", "404", None),
]
FASTAPI: list[Case] = [
    *COMMON,
    ("GET", "/items/7", "/items/{id}", "200", 1),
    ("GET", "/items/seven", "/items/{id}", "422", None),
    ("HEAD", "/items/7", "/items/{id}", "405", 0),
    ("GET", "/teapot", "/teapot", "418", None),
    ("GET", "/alias/x", "/alias/{a}", "200", None),
    ("GET", "/alias/of/x", "/alias/of/{b}", "200", None),
    ("GET", "/outer/between/inner/7", "/outer/between/inner/{id}", "200", 3),
    ("POST", "/outer/between/inner/7", "/outer/between/inner/{id}", "200", 3),
    ("PUT", "/outer/between/inner/7", "/outer/between/inner/{id}", "405", None),
    ("WEBSOCKET", "/outer/between/inner/talks/1", "/outer/between/inner/talks/{room}", "101", 0),
    ("GET", "/outer/own", "/outer/own", "200", 6),
    ("GET", "/again/outer/own", "/again/outer/own", "200", 6),
    ("GET", "/again/outer/between/inner/7", "/again/outer/between/inner/{id}", "200", 3),
    ("GET", "/outer/nowhere", "unmatched", "404", None),
    ("GET", "/outer/own/", "unmatched", "307", 0),
    ("GET", "/mounted/inner/7", "/mounted/inner/{id}", "200", 3),
    ("WEBSOCKET", "/mounted/inner/talks/1", "/mounted/inner/talks/{room}", "101", 0),
    ("GET", "/mounted/own", "/mounted/own", "200", 6),
    ("POST", "/mounted/own", "/mounted/own", "405", None),
    ("GET", "/mounted/nowhere", "unmatched", "404", None),
    ("GET", "/tenants/a/own", "/tenants/{tenant}/own", "200", 6),
    ("GET", "/tenants/b/inner/7", "/tenants/{tenant}/inner/{id}", "200", 3),
    ("GET", "/starlette/items/7", "/starlette/items/{id:int}", "200", 4),
    ("GET", "/starlette/below/deeper/1/x", "/starlette/below/deeper/{level:int}/{end}", "200", 4),
    ("GET", "/starlette/tenants/x/y", "/starlette/tenants/{tenant}/{name}", "200", 4),
    ("GET", "/starlette/raw/x", "/starlette/raw", "200", 3),
]
CASES = [
    pytest.param(make, case, id=f"{make.__name__[:-4]} {case[0]} {case[1]}")
    for make, cases in ((starlette_app, STARLETTE), (fastapi_app, FASTAPI))
    for case in cases
]


def measured(make: Callable[[], Any], **options: Any) -> tuple[Any, CollectorRegistry]:
    """Returns an application with the middleware, and where it counts."""
    registry = CollectorRegistry()
    app = make()
    app.add_middleware(PrometheusMiddleware, registry=registry, **options)
    return app, registry


@pytest.mark.parametrize(("make", "case"), CASES)
@pytest.mark.parametrize("root_path", ["", "/proxy"])
def test_requests_by_route(make: Callable[[], Any], case: Case, root_path: str) -> None:
    method, path, route, status, size = case
    app, registry = measured(make)
    for _ in range(2):
        # The second time from what was kept of the first.
        client = asyncio.run(drive(app, method, root_path + path, root_path=root_path))
    label = {"WEBSOCKET": "GET", "BREW": "other"}.get(method, method)
    key = (label, route, status)
    assert counted(registry) == {key: 2.0}
    assert counted(registry, "http_request_duration_seconds_count") == {key: 2.0}
    assert counted(registry, "http_request_size_bytes_count") == {key: 2.0}
    assert counted(registry, "http_request_size_bytes_sum") == {key: 0.0}
    if size is None:
        size = sum(len(message.get("body", b"")) for message in client.sent)
        assert size
    assert counted(registry, "http_response_size_bytes_sum") == {key: 2.0 * size}
    assert counted(registry, "http_response_size_bytes_count") == {key: 2.0}
    assert not nonzero(counted(registry, "http_requests_in_progress"))


@pytest.mark.parametrize(("make", "cases"), [(starlette_app, STARLETTE), (fastapi_app, FASTAPI)])
def test_requests_do_not_mix(make: Callable[[], Any], cases: list[Case]) -> None:
    app, registry = measured(make)
    expected: dict[tuple[str, str, str], float] = {}

    async def run() -> None:
        for method, path, route, status, _ in [*cases, *reversed(cases)]:
            await drive(app, method, path)
            label = {"WEBSOCKET": "GET", "BREW": "other"}.get(method, method)
            expected[label, route, status] = expected.get((label, route, status), 0) + 1

    asyncio.run(run())
    assert counted(registry) == expected
    assert not nonzero(counted(registry, "http_requests_in_progress"))


def test_host_routes() -> None:
    app, registry = measured(starlette_app)
    asyncio.run(drive(app, "GET", "/hosted/7", headers=[(b"host", b"api.example.org")]))
    assert counted(registry) == {("GET", "/hosted/{id}", "200"): 1.0}


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
@pytest.mark.parametrize(
    ("path", "status", "size"),
    [("/fails", "500", 0), ("/breaks", "200", 6), ("/works-on", "200", 4)],
)
def test_exceptions_pass(make: Callable[[], Any], path: str, status: str, size: int) -> None:
    app, registry = measured(make)
    with pytest.raises(BaseException) as raised:  # noqa: PT011 -- some versions raise groups
        asyncio.run(drive(app, "GET", path))
    assert "on purpose" in repr(getattr(raised.value, "exceptions", raised.value))
    key = ("GET", path, status)
    assert counted(registry) == {key: 1.0}
    assert counted(registry, "http_response_size_bytes_sum") == {key: size}
    assert not nonzero(counted(registry, "http_requests_in_progress"))


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
@pytest.mark.parametrize(("path", "status"), [("/sleeps", "cancelled"), ("/drips", "200")])
def test_cancelled_requests(make: Callable[[], Any], path: str, status: str) -> None:
    app, registry = measured(make)

    async def cancel() -> None:
        task = asyncio.create_task(drive(app, "GET", path))
        for _ in range(20):
            await asyncio.sleep(0)
        assert nonzero(counted(registry, "http_requests_in_progress")) == {("GET", path, ""): 1.0}
        assert not counted(registry)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert counted(registry) == {("GET", path, status): 1.0}
    assert not nonzero(counted(registry, "http_requests_in_progress"))


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
def test_clients_that_go_away(make: Callable[[], Any]) -> None:
    app, registry = measured(make)
    asyncio.run(drive(app, "GET", "/drips", Client(leaves_after=2)))
    assert counted(registry) == {("GET", "/drips", "200"): 1.0}
    assert counted(registry, "http_response_size_bytes_sum") == {("GET", "/drips", "200"): 6.0}
    asyncio.run(drive(app, "GET", "/raw/waits", Client(leaves_after=0)))
    assert counted(registry)["GET", "/raw", "cancelled"] == 1.0
    assert not nonzero(counted(registry, "http_requests_in_progress"))


def test_request_bodies_are_measured_as_they_are_read() -> None:
    app, registry = measured(starlette_app)
    client = asyncio.run(drive(app, "POST", "/echo", Client(b"one,", b"two,", b"three")))
    assert client.sent[-1]["body"] == b"one,two,three"
    key = ("POST", "/echo", "200")
    assert counted(registry, "http_request_size_bytes_sum") == {key: 13.0}
    # Nobody read this one.
    asyncio.run(drive(app, "POST", "/text", Client(b"unread")))
    assert counted(registry, "http_request_size_bytes_sum")["POST", "/text", "405"] == 0.0


def test_the_end_is_counted_before_the_last_part_is_handed_on() -> None:
    app, registry = measured(starlette_app)
    seen = []

    class Watching(Client):
        async def send(self, message: dict[str, Any]) -> None:
            seen.append(counted(registry))
            await super().send(message)

    async def run() -> None:
        await drive(app, "GET", "/streams", Watching())

    asyncio.run(run())
    assert seen[-1] == {("GET", "/streams", "200"): 1.0}
    assert not any(seen[:-1])


def test_requests_in_progress_have_their_route() -> None:
    registry = CollectorRegistry()
    seen = {}

    def make() -> Any:
        app = fastapi_app()

        async def look(request: Any) -> Any:
            seen[request.url.path] = nonzero(counted(registry, "http_requests_in_progress"))
            from starlette.responses import PlainTextResponse

            return PlainTextResponse("")

        for prefix in ("", "/mounted", "/tenants/{tenant}"):
            mounts: list[Any] = [route for route in app.routes if getattr(route, "path", None) == prefix]
            inner = mounts[0].app if prefix else app
            inner.add_route("/look/{id:int}/{rest:path}", look)
        app.add_middleware(PrometheusMiddleware, registry=registry)
        return app

    app = make()
    for path in ("/look/1/a/b", "/mounted/look/1/a", "/tenants/x/look/1/a", "/tenants/y/look/1/a"):
        asyncio.run(drive(app, "GET", path))
    tail = "/look/{id:int}/{rest:path}"
    assert seen == {
        "/look/1/a/b": {("GET", tail, ""): 1.0},
        "/mounted/look/1/a": {("GET", "/mounted" + tail, ""): 1.0},
        "/tenants/x/look/1/a": {("GET", "/tenants/{tenant}" + tail, ""): 1.0},
        "/tenants/y/look/1/a": {("GET", "/tenants/{tenant}" + tail, ""): 1.0},
    }
    assert not nonzero(counted(registry, "http_requests_in_progress"))


def test_routes_that_are_added_later() -> None:
    app, registry = measured(starlette_app)
    asyncio.run(drive(app, "GET", "/later"))
    app.add_route("/later", starlette_app().routes[0].endpoint)  # type: ignore[attr-defined]
    asyncio.run(drive(app, "GET", "/later"))
    assert counted(registry) == {("GET", "unmatched", "404"): 1.0, ("GET", "/later", "200"): 1.0}
    assert set(counted(registry, "http_requests_in_progress")) == {("GET", "unmatched", ""), ("GET", "/later", "")}


def test_a_request_that_passes_twice_counts_once() -> None:
    registry = CollectorRegistry()
    inner = starlette_app()
    inner.add_middleware(PrometheusMiddleware, registry=registry)
    outer = fastapi_app()
    outer.mount("/inner", inner)
    outer.add_middleware(PrometheusMiddleware, registry=registry)
    asyncio.run(drive(outer, "GET", "/inner/items/7"))
    assert counted(registry) == {("GET", "/inner/items/{id:int}", "200"): 1.0}


def test_two_that_count_elsewhere_both_count() -> None:
    app, registry = measured(starlette_app)
    other = CollectorRegistry()
    app.add_middleware(PrometheusMiddleware, registry=other)
    app.add_middleware(PrometheusMiddleware, registry=registry)
    asyncio.run(drive(app, "GET", "/items/7"))
    assert counted(registry) == counted(other) == {("GET", "/items/{id:int}", "200"): 1.0}


def test_only_a_mounted_application_is_measured() -> None:
    inner, registry = measured(starlette_app)
    outer = fastapi_app()
    outer.mount("/inner/{x}", inner)
    asyncio.run(drive(outer, "GET", "/inner/1/items/7"))
    asyncio.run(drive(outer, "GET", "/items/7"))
    assert counted(registry) == {("GET", "/inner/{x}/items/{id:int}", "200"): 1.0}


def test_applications_of_no_framework() -> None:
    registry = CollectorRegistry()
    app: Any = PrometheusMiddleware(raw, registry=registry)
    asyncio.run(drive(app, "GET", "/whatever"))
    assert counted(registry) == {("GET", "unmatched", "200"): 1.0}
    app = PrometheusMiddleware(raw, registry=registry, route=lambda scope: scope["path"].upper())
    asyncio.run(drive(app, "GET", "/whatever"))
    assert counted(registry)["GET", "/WHATEVER", "200"] == 1.0


def test_other_scopes_pass() -> None:
    app, registry = measured(starlette_app)
    sent = []

    async def live() -> None:
        waiting = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

        async def receive() -> dict[str, Any]:
            return waiting.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])

        await app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)

    asyncio.run(live())
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert not counted(registry)
