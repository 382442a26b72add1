"""Applications of all shapes that routing has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI, HTTPException, Request, WebSocket
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def raw(scope: Any, receive: Any, send: Any) -> None:
    """An application of no framework; what it does stands in the path."""
    path = scope["path"]
    if path.endswith("/silent"):
        return
    if path.endswith("/waits"):
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": memoryview(b"raw"), "more_body": True})
    await send({"type": "http.response.body"})


async def text(_: Any) -> PlainTextResponse:
    return PlainTextResponse("text")


async def echo(request: Any) -> PlainTextResponse:
    return PlainTextResponse(await request.body())


async def fails(_: Any) -> None:
    raise RuntimeError("on purpose")


async def sleeps(_: Any) -> None:
    await asyncio.sleep(3600)


async def parts(*, fail: bool = False, wait: bool = False) -> AsyncIterator[bytes]:
    yield b"first,"
    if fail:
        raise RuntimeError("on purpose")
    if wait:
        await asyncio.sleep(3600)
    yield b"second"


async def streams(_: Any) -> StreamingResponse:
    return StreamingResponse(parts())


async def breaks(_: Any) -> StreamingResponse:
    return StreamingResponse(parts(fail=True))


async def drips(_: Any) -> StreamingResponse:
    return StreamingResponse(parts(wait=True))


async def fail_later() -> None:
    raise RuntimeError("on purpose")


async def works_on(_: Any) -> PlainTextResponse:
    return PlainTextResponse("text", background=BackgroundTask(fail_later))


async def talks(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()


async def refuses(websocket: WebSocket) -> None:
    await websocket.close()


class Things(HTTPEndpoint):
    """A handler that is a class."""

    async def get(self, _: Any) -> PlainTextResponse:
        return PlainTextResponse("thing")


def handlers() -> list[Any]:
    """Returns routes for what handlers can do."""
    return [
        Route("/text", text),
        Route("/echo", echo, methods=["POST"]),
        Route("/fails", fails),
        Route("/sleeps", sleeps),
        Route("/streams", streams),
        Route("/breaks", breaks),
        Route("/drips", drips),
        Route("/works-on", works_on),
        WebSocketRoute("/talks/{room}", talks),
        WebSocketRoute("/refuses", refuses),
    ]


def starlette_app() -> Starlette:
    """Returns an application of Starlette."""
    below = [Route("/", text), Route("/{name}", text), Mount("/deeper/{level:int}", routes=[Route("/{end}", text)])]
    return Starlette(
        routes=[
            Route("/", text),
            Route("/items/{id:int}", text),
            Route("/items/{name}", text),
            Route("/both/{id}", text, methods=["GET"]),
            Route("/both/{id}", echo, methods=["POST"]),
            Route("/files/{path:path}", text),
            Route("/things/{thing}", Things),
            Route("/slash/", text),
            Mount("/below", routes=below),
            Mount("/tenants/{tenant}", app=Router(below)),
            Mount("/raw", app=raw),
            Host("api.example.org", app=Router([Route("/hosted/{id}", text)])),
            *handlers(),
        ]
    )


def fastapi_app() -> FastAPI:
    """Returns an application of FastAPI."""
    app = FastAPI()
    app.router.routes.extend(handlers())

    @app.get("/")
    async def root() -> str:
        return "root"

    @app.get("/items/{id}")
    async def item(id: int) -> int:  # noqa: A002 -- the parameter's name is the template's
        return id

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418)

    @app.get("/alias/{a}")  # noqa: FAST003 -- the paths are what is tested
    @app.get("/alias/of/{b}")
    async def alias(request: Request) -> str:
        return request.url.path

    inner = APIRouter(prefix="/inner")

    @inner.get("/{id}")
    @inner.post("/{id}")
    async def included(id: str) -> str:  # noqa: A002 -- as above
        return id

    @inner.websocket("/talks/{room}")
    async def talk(websocket: WebSocket, room: str) -> None:  # noqa: ARG001 -- the parameter's name is the template's
        await talks(websocket)

    outer = APIRouter(prefix="/outer")
    outer.include_router(inner, prefix="/between")
    outer.add_api_route("/own", text_of_fastapi)
    app.include_router(outer)
    app.include_router(outer, prefix="/again")

    below = FastAPI()
    below.include_router(inner)
    below.add_api_route("/own", text_of_fastapi)
    app.mount("/mounted", below)
    app.mount("/tenants/{tenant}", below)
    app.mount("/starlette", starlette_app())
    app.mount("/raw", raw)
    return app


async def text_of_fastapi() -> str:
    """A handler of FastAPI that is used in several places."""
    return "text"
