"""HTTP metrics for Starlette and FastAPI: a middleware, and a route that serves `/metrics`.

The middleware is plain ASGI, so it goes on any application of that kind; routes it knows of these two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._forkmeter import AsgiExchange
from .asgi import make_asgi_app
from .http import _recorder
from .http._routes import Routes
from .registry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
    from typing import Literal

    from .http import Names
    from .http._names import Buckets, Quantity
    from .http._recorder import Exemplars, Labels
    from .registry import Collector, CollectorRegistry

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

__all__ = ("PrometheusMiddleware", "expose")


class PrometheusMiddleware:
    """Measures the requests of an ASGI application.

    A request counts once, when the last part of its response is sent or when nobody waits for it any more. The
    handshake of a WebSocket counts as a request; its status is 101 where it was accepted. What goes wrong while a
    request is measured is logged once, and never makes it fail.

    Args:
        app: The application.
        registry: Where the families are; the default registry if there is none.
        names: What families and labels are called: `forkmeter`, `instrumentator`, `starlette_exporter`, or
            `forkmeter.http.Names`.
        without: Quantities that are left out: `requests`, `duration`, `in_progress`, `request_size`, `response_size`.
        status: Whether a status is written as `404` (`code`) or as `4xx` (`class`), instead of as the names have it.
        unmatched: The route of requests that no route matches, instead of as the names have it; with `None` they do
            not count.
        duration_buckets: Upper bounds of all histograms of durations, in seconds.
        size_buckets: Upper bounds of all histograms of sizes, in bytes.
        exclude_paths: Paths that are not measured; one that ends in `*` means all that begin so.
        exclude_methods: Methods that are not measured.
        labels: Further labels by name: a constant, a function of a `forkmeter.http.Exchange`, or a
            `forkmeter.http.Label`, which bounds the number of values.
        exemplars: Whether requests leave the trace that they belong to as an exemplar, or a function that returns an
            exemplar's labels for a scope.
        route: Returns the template of a request's route for its scope, for applications of other frameworks.

    Raises:
        ValueError: A name or the buckets are not valid, or another metric has one of the names.

    Note: fork
        Made before a fork or after it, in as many processes as there are.

    Example:
        >>> from fastapi import FastAPI
        >>> from forkmeter.fastapi import PrometheusMiddleware, expose
        >>> app = FastAPI()
        >>> app.add_middleware(PrometheusMiddleware)
        >>> expose(app)
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        registry: CollectorRegistry | None = None,
        names: str | Names = "forkmeter",
        without: Collection[Quantity] = (),
        status: Literal["code", "class"] | None = None,
        unmatched: str | None = _recorder._KEEP,
        duration_buckets: Buckets | None = None,
        size_buckets: Buckets | None = None,
        exclude_paths: Iterable[str] = (),
        exclude_methods: Iterable[str] = (),
        labels: Labels | None = None,
        exemplars: Exemplars = True,
        route: Callable[[dict[str, Any]], str | None] | None = None,
    ) -> None:
        self.app = app
        routes = Routes()
        self._recorder = _recorder.make(
            routes.expect if route is None else route,
            routes.resolve if route is None else lambda scope, _answer: route(scope),
            asks_always=route is not None,
            registry=registry,
            names=names,
            without=without,
            status=status,
            unmatched=unmatched,
            duration_buckets=duration_buckets,
            size_buckets=size_buckets,
            exclude_paths=exclude_paths,
            exclude_methods=exclude_methods,
            labels=labels,
            exemplars=exemplars,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and measures it."""
        exchange = AsgiExchange.begin(self._recorder, scope, receive, send)
        if exchange is None:
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, exchange.receive, exchange)
        except Exception:
            exchange.fail(False)  # noqa: FBT003 -- the native half has no keywords
            raise
        except BaseException:
            exchange.fail(True)  # noqa: FBT003 -- as above
            raise
        exchange.finish()


class _Metrics:
    """A scrape's endpoint: an object, since routers take functions for request handlers."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def expose(
    app: Any,
    path: str = "/metrics",
    *,
    registry: Collector = REGISTRY,
    disable_compression: bool = False,
) -> None:
    """Adds routes to an application that answer scrapes, with and without a slash at the end.

    Args:
        app: The FastAPI or Starlette application, or a router.
        path: Where to answer.
        registry: Where to collect.
        disable_compression: Whether to leave bodies as they are.
    """
    endpoint = _Metrics(make_asgi_app(registry, disable_compression))
    stem = path.rstrip("/")
    # Both, so that nobody's scrape is redirected.
    for own in (stem or "/", f"{stem}/") if stem else ("/",):
        app.add_route(own, endpoint, include_in_schema=False)
