"""Uses the public names that measure HTTP requests, as programs do; see `api.py`."""

from __future__ import annotations

import forkmeter.fastapi
import forkmeter.http
import forkmeter.starlette
import forkmeter.wsgi

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Optional

from fastapi import FastAPI
from forkmeter import REGISTRY
from forkmeter.http import FORKMETER, INSTRUMENTATOR, STARLETTE_EXPORTER, Exchange, Family, Label, Names
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import assert_type

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def code(exchange: Exchange) -> Optional[str]:
    assert_type(exchange.scope, dict[str, Any])
    assert_type(exchange.status, Optional[int])
    assert_type(exchange.response_header("server"), Optional[str])
    return exchange.header("x-client")


def applications() -> None:
    app = FastAPI()
    app.add_middleware(
        forkmeter.fastapi.PrometheusMiddleware,
        registry=REGISTRY,
        names="instrumentator",
        without=["request_size"],
        status="class",
        unmatched=None,
        duration_buckets=(0.1, 1),
        size_buckets=[1, "+Inf"],
        exclude_paths=["/health*"],
        exclude_methods={"OPTIONS"},
        labels={"region": "eu", "client": code, "tenant": Label(code, allowed=["a"], max_values=5)},
        exemplars=lambda scope: {"path": scope["path"]},
        route=lambda scope: scope["path"],
    )
    assert_type(forkmeter.fastapi.expose(app, "/metrics", registry=REGISTRY, disable_compression=True), None)
    other = Starlette()
    other.add_middleware(forkmeter.starlette.PrometheusMiddleware, names=FORKMETER)
    forkmeter.starlette.expose(other)


def wsgi(app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> None:
    middleware = forkmeter.wsgi.PrometheusMiddleware(
        app,
        names="starlette_exporter",
        without=["in_progress"],
        status="code",
        exclude_paths=["/health*"],
        labels={"region": "eu", "client": code},
        exemplars=False,
        route=lambda environ: environ.get("my.route"),
    )
    body: Iterable[bytes] = middleware(environ, start_response)
    assert body


async def by_hand(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    middleware = forkmeter.starlette.PrometheusMiddleware(app)
    as_application: ASGIApp = middleware
    await as_application(scope, receive, send)
    inner: ASGIApp = middleware.app
    await inner(scope, receive, send)


def names() -> None:
    family = Family(
        "duration",
        "seconds",
        "Seconds.",
        kind="histogram",
        labels=["method"],
        buckets=(1, 2.5),
        has_custom=False,
    )
    assert_type(family.quantity, Literal["requests", "duration", "in_progress", "request_size", "response_size"])
    assert_type((family.name, family.documentation, family.has_custom), tuple[str, str, bool])
    own = Names([family, *FORKMETER.families], labels={"route": "path"}, status="code", unmatched=None)
    assert_type((own.unmatched, own.cancelled), tuple[Optional[str], str])
    texts: list[str] = [*own.constants.values(), *own.labels.values()]
    assert texts
    known: list[Names] = [
        INSTRUMENTATOR,
        STARLETTE_EXPORTER,
        forkmeter.http.FORKMETER,
        forkmeter.http.instrumentator("ns", subsystem="sub", in_progress=["method"]),
        forkmeter.http.starlette_exporter("app", prefix="p", unhandled_paths=True, body_sizes=True),
    ]
    assert known
    assert_type(own.status, Literal["code", "class"])
    assert_type(family.kind, Literal["counter", "gauge", "histogram", "summary"])
    label = Label(code)
    assert_type(label.value(Exchange(None)), str)
    assert_type(family.labels[0], Literal["method", "route", "status"])
    assert family.buckets
