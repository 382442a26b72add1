"""An ASGI application that answers scrapes without holding up the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._offload import Offloader
from .registry import REGISTRY, Collector

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    Message = Mapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_ALLOWED = "OPTIONS,GET,HEAD"


def make_asgi_app(registry: Collector = REGISTRY, disable_compression: bool = False) -> Callable[..., Awaitable[None]]:
    """Makes an ASGI application that answers scrapes, on whatever path.

    Collecting, writing and compressing happen in the loop's default executor; scrapes that ask for the same at the
    same time share one answer. Only a small registry of plain metrics is written at once, as that takes less time than
    to wake a thread.

    Note: differs
        HEAD, OPTIONS and the lifespan protocol are answered, and other methods refused with 405; the official client
        answers every method as a GET and fails on a lifespan.

    Args:
        registry: Where to collect.
        disable_compression: Whether to leave bodies as they are.

    Returns:
        The application.
    """
    # That module imports this one.
    from .exposition import _bake_output

    offloader = Offloader(registry)

    async def prometheus_app(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        kind = scope.get("type")
        if kind == "lifespan":
            await _live(receive, send)
            return
        if kind != "http":
            raise AssertionError(f"the metrics application cannot serve a scope of type {kind!r}")
        method = scope.get("method", "GET")
        status, headers, output = "200 OK", [("Allow", _ALLOWED)], b""
        if method in {"GET", "HEAD"}:
            request_headers = scope.get("headers") or ()
            accept = _header(request_headers, b"accept")
            accept_encoding = _header(request_headers, b"accept-encoding")
            query = scope.get("query_string", b"").decode("utf8")
            status, headers, output = await offloader.run(
                (accept, accept_encoding, query),
                lambda: _bake_output(registry, accept, accept_encoding, _parameters(query), disable_compression),
            )
        elif method != "OPTIONS":
            status = "405 Method Not Allowed"
            output = f"# HTTP {status}: {method}; use OPTIONS, GET or HEAD\n".encode()
        if method == "HEAD":
            headers = [*headers, ("Content-Length", str(len(output)))]
            output = b""
        if (await receive()).get("type") != "http.request":
            # Whoever asked is gone.
            return
        await send(
            {
                "type": "http.response.start",
                "status": int(status.split(" ")[0]),
                "headers": [(name.encode("utf8"), value.encode("utf8")) for name, value in headers],
            }
        )
        await send({"type": "http.response.body", "body": output})

    return prometheus_app


async def _live(receive: Receive, send: Send) -> None:
    """Follows the lifespan protocol; there is nothing to start or to end."""
    while True:
        kind = (await receive())["type"]
        if kind == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif kind == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def _header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str:
    """Joins the values of a header, which may come more than once."""
    return ",".join([value.decode("utf8") for name, value in headers if name.lower() == wanted])


def _parameters(query: str) -> dict[str, list[str]]:
    if not query:
        return {}
    from urllib.parse import parse_qs

    return parse_qs(query)
