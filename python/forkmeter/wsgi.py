"""HTTP metrics for WSGI applications: a middleware that knows the routes of Flask and Django."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._forkmeter import WsgiExchange
from .http import _recorder
from .http._wsgi_routes import WsgiRoutes

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Literal

    from .http import Names
    from .http._names import Buckets, Quantity
    from .http._recorder import Exemplars, Labels
    from .registry import CollectorRegistry

    WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

__all__ = ("PrometheusMiddleware",)


class PrometheusMiddleware:
    """Measures the requests of a WSGI application.

    A request counts once: when the last part of its response is taken, as its length tells, or when its body ends or is
    closed. The size of a request is what its header says. What goes wrong while a request is measured is logged once,
    and never makes it fail.

    Args:
        app: The application; for Flask, `app.wsgi_app`.
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
            exemplar's labels for an environment.
        route: Returns the template of a request's route for its environment, for other frameworks.

    Raises:
        ValueError: A name or the buckets are not valid, or another metric has one of the names.

    Example:
        >>> from flask import Flask
        >>> from forkmeter import make_wsgi_app
        >>> from forkmeter.wsgi import PrometheusMiddleware
        >>> from werkzeug.middleware.dispatcher import DispatcherMiddleware
        >>> app = Flask("shop")
        >>> measured = PrometheusMiddleware(app.wsgi_app)
        >>> app.wsgi_app = DispatcherMiddleware(measured, {"/metrics": make_wsgi_app()})
    """

    def __init__(
        self,
        app: WSGIApp,
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
        routes = WsgiRoutes(app)
        self._recorder = _recorder.make(
            routes.expect if route is None else route,
            routes.resolve if route is None else lambda environ, _answer: route(environ),
            asks_always=True,
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

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Passes a request on, and measures it."""
        exchange = WsgiExchange.begin(self._recorder, environ, start_response)
        if exchange is None:
            return self.app(environ, start_response)
        try:
            body = self.app(environ, exchange)
        except Exception:
            exchange.fail(False)  # noqa: FBT003 -- the native half has no keywords
            raise
        except BaseException:
            exchange.fail(True)  # noqa: FBT003 -- as above
            raise
        measured: Iterable[bytes] = exchange.measure(body)
        return measured
