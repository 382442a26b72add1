"""Whatever the routes and the requests are, every request is in one series, and in the right one."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from typing import TYPE_CHECKING, Any

from forkmeter import CollectorRegistry
from forkmeter.starlette import PrometheusMiddleware
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from python.http.driving import counted, drive, nonzero

if TYPE_CHECKING:
    from starlette.requests import Request

PARTS = st.sampled_from(["a", "b", "{x}", "{n:int}", "c-d"])
FILLED = {"{x}": ["a", "7", "zz", "q%20"], "{n:int}": ["0", "12"], "a": ["a"], "b": ["b"], "c-d": ["c-d"]}
METHODS = ["GET", "POST", "PUT", "HEAD", "PURGE"]


async def shared(_: Request) -> PlainTextResponse:
    """A handler that many routes have."""
    return PlainTextResponse("shared")


def path_of(parts: list[str]) -> str:
    """Returns a template whose parameters all have another name."""
    named = [part.replace("x", f"x{i}").replace("n:", f"n{i}:") for i, part in enumerate(parts)]
    return "/" + "/".join(named)


# A tree: lists of (parts, methods, sub-tree or None).
TREES: Any = st.recursive(
    st.lists(
        st.tuples(st.lists(PARTS, min_size=1, max_size=3), st.sets(st.sampled_from(METHODS[:3]), min_size=1)),
        min_size=1,
        max_size=4,
    ),
    lambda below: st.tuples(
        st.lists(st.tuples(st.lists(PARTS, min_size=1, max_size=2), below), min_size=1, max_size=2), below
    ),
    max_leaves=3,
)


def build(tree: Any, answered: list[str], prefix: str) -> list[Any]:
    """Makes the routes of a tree; each handler notes the template that it stands at."""
    if isinstance(tree, tuple):
        mounts, rest = tree
        # Parameters of a mount must not clash with those below.
        level = prefix.count("/") + 1
        built: list[Any] = []
        for parts, below in mounts:
            path = path_of(parts).replace("{x", f"{{m{level}x").replace("{n", f"{{m{level}n")
            built.append(Mount(path, routes=build(below, answered, prefix + path)))
        return built + build(rest, answered, prefix)
    routes = []
    for index, (parts, methods) in enumerate(tree):
        path = path_of(parts)
        template = prefix + path

        def handler(_: Request, template: str = template) -> PlainTextResponse:
            answered.append(template)
            return PlainTextResponse(template)

        # Some are in several places, so that the handler does not tell the route.
        endpoint = shared if index % 3 == 2 else handler
        routes.append(Route(path, endpoint, methods=sorted(methods)))
    return routes


def concrete(tree: Any, draw: Any) -> str:
    """Draws a path that some route of a tree matches, or nearly."""
    path = ""
    while isinstance(tree, tuple):
        mounts, rest = tree
        if draw(st.booleans()):
            parts, tree = draw(st.sampled_from(mounts))
            path += "".join("/" + draw(st.sampled_from(FILLED[part])) for part in parts)
        else:
            tree = rest
    parts, _ = draw(st.sampled_from(tree))
    path += "".join("/" + draw(st.sampled_from(FILLED[part])) for part in parts)
    return path + str(draw(st.sampled_from(["", "", "", "", "/", "/more"])))


@given(tree=TREES, data=st.data())
@settings(max_examples=60, deadline=None)
def test_every_request_is_in_its_series(tree: Any, data: st.DataObject) -> None:
    answered: list[str] = []
    registry = CollectorRegistry()
    app = Starlette(routes=build(tree, answered, ""))
    app.add_middleware(PrometheusMiddleware, registry=registry)
    requests = [
        (data.draw(st.sampled_from(METHODS)), concrete(tree, data.draw)) for _ in range(data.draw(st.integers(1, 15)))
    ]
    expected: Tally[tuple[str, str, str]] = Tally()

    async def run() -> None:
        for method, path in requests:
            answered.clear()
            client = await drive(app, method, path)
            status = str(client.sent[0]["status"])
            if answered:
                expected["other" if method == "PURGE" else method, answered[0], status] += 1

    asyncio.run(run())
    found = counted(registry)
    assert sum(found.values()) == len(requests)
    assert sum(counted(registry, "http_request_duration_seconds_count").values()) == len(requests)
    assert sum(counted(registry, "http_response_size_bytes_count").values()) == len(requests)
    assert not nonzero(counted(registry, "http_requests_in_progress"))
    for key, count in expected.items():
        # The shared handler notes nothing, and may stand at the same template.
        assert found[key] >= count, key
    told = {key: value for key, value in found.items() if key[2] == "200"}
    assert sum(told.values()) >= sum(expected.values())
    assert all(route != "unmatched" for _, route, _ in told)
