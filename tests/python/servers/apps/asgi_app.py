"""An ASGI application that counts its requests."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from counting import IN_PROGRESS, count, note
from forkmeter import make_asgi_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

METRICS = make_asgi_app()


async def application(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Answers `/work?number=N` and `/metrics`; a header names the worker."""

    async def send_named(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"x-worker", str(os.getpid()).encode())]}
        await send(message)

    if scope["type"] != "http" or scope["path"] == "/metrics":
        await METRICS(scope, receive, send_named)
        return
    await work(int(parse_qs(scope["query_string"].decode())["number"][0]))
    await send_named({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send_named({"type": "http.response.body", "body": b""})


@IN_PROGRESS.track_inprogress()
async def handle(number: int) -> None:
    """Counts a request while others are handled."""
    await asyncio.sleep(0.001)
    count(number)


async def work(number: int) -> None:
    """Handles a request, and notes in the journal that it was counted."""
    await handle(number)
    note(number)
