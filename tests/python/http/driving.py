"""Drives ASGI applications by hand, and reads what was counted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forkmeter import CollectorRegistry

Key = tuple[str, str, str]


def scope_of(method: str, path: str, **more: Any) -> dict[str, Any]:
    """Returns the scope of a request."""
    kind = "websocket" if method == "WEBSOCKET" else "http"
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws" if kind == "websocket" else "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"example.org")],
        "server": ("example.org", 80),
        "client": ("127.0.0.1", 1),
        "state": {},
        **more,
    }
    if kind == "http":
        scope["method"] = method
    else:
        scope["subprotocols"] = []
    return scope


class Client:
    """The other end of one request.

    Args:
        parts: The parts of the request's body.
        leaves_after: After how many messages of the response it goes away; never with `None`.
    """

    def __init__(self, *parts: bytes, leaves_after: int | None = None) -> None:
        self._waiting: list[dict[str, Any]] = [
            {"type": "http.request", "body": part, "more_body": index + 1 < len(parts)}
            for index, part in enumerate(parts or (b"",))
        ]
        self._leaves_after = leaves_after
        self._gone = asyncio.Event()
        self.sent: list[dict[str, Any]] = []
        if leaves_after == 0:
            self._gone.set()

    async def receive(self) -> dict[str, Any]:
        if self._waiting:
            return self._waiting.pop(0)
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        await asyncio.sleep(0)
        if len(self.sent) == self._leaves_after:
            self._gone.set()


class Visitor(Client):
    """The other end of one WebSocket, which says something and leaves."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "hello"},
            {"type": "websocket.disconnect", "code": 1000},
        ]


async def drive(app: Any, method: str, path: str, client: Client | None = None, **more: Any) -> Client:
    """Makes one request."""
    if client is None:
        client = Visitor() if method == "WEBSOCKET" else Client()
    await app(scope_of(method, path, **more), client.receive, client.send)
    return client


def counted(registry: CollectorRegistry, sample: str = "http_requests_total") -> dict[Key, float]:
    """Returns the values of a sample by method, route and status."""
    return {
        (s.labels["method"], s.labels["route"], s.labels.get("status", "")): s.value
        for family in registry.collect()
        for s in family.samples
        if s.name == sample
    }


def nonzero(values: dict[Key, float]) -> dict[Key, float]:
    """Leaves zeros out."""
    return {key: value for key, value in values.items() if value}
