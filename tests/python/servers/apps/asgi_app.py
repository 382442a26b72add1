"""An ASGI application that counts its requests."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from counting import HANG_SECONDS, IN_PROGRESS, begin, finish, hangs, make_asgi_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

METRICS = make_asgi_app()


async def application(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Answers `/work?number=N&victim=PID` and `/metrics`; a header names the worker."""

    async def send_named(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"x-worker", str(os.getpid()).encode())]}
        await send(message)

    if scope["type"] != "http" or scope["path"] == "/metrics":
        await METRICS(scope, receive, send_named)
        return
    query = parse_qs(scope["query_string"].decode())
    await work(int(query["number"][0]), int(query["victim"][0]))
    await send_named({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send_named({"type": "http.response.body", "body": b""})


@IN_PROGRESS.track_inprogress()
async def work(number: int, victim: int) -> None:
    """Handles a request while others are handled."""
    begin(number)
    await asyncio.sleep(HANG_SECONDS if hangs(number, victim) else 0.001)
    finish(number)
