"""The same for WSGI: Flask, Django, and applications of no framework."""

from __future__ import annotations

import io
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
from flask import Blueprint, Flask, Response, abort
from forkmeter import CollectorRegistry
from forkmeter.wsgi import PrometheusMiddleware
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from python.http.driving import counted, nonzero

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Answer:
    """What a server would have sent."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.parts: list[bytes] = []


def drive(app: Any, method: str, path: str, *, takes: int | None = None, **environ: Any) -> Answer:
    """Makes one request as a server does, and takes so many parts of the response."""
    answer = Answer()

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], None]:
        answer.status, answer.headers = status, headers
        return answer.parts.append

    environ = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **environ,
    }
    body = app(environ, start_response)
    try:
        for part in body:
            answer.parts.append(part)
            if takes is not None and len(answer.parts) >= takes:
                break
    finally:
        if hasattr(body, "close"):
            body.close()
    return answer


def flask_app() -> Flask:
    app = Flask("shop")

    def parts() -> Iterator[bytes]:
        yield b"first,"
        yield b"second"

    def breaking() -> Iterator[bytes]:
        yield b"first,"
        raise RuntimeError("on purpose")

    rules: dict[str, Callable[..., Any]] = {
        "/": lambda: "root",
        "/items/<int:id>": lambda id: f"{id}",  # noqa: A006 -- the parameter's name is the rule's
        "/teapot": lambda: abort(418),
        "/streams": lambda: Response(parts()),
        "/breaks": lambda: Response(breaking()),
        "/fails": lambda: 1 / 0,
        "/slash/": lambda: "slash",
    }
    for index, (rule, view) in enumerate(rules.items()):
        app.add_url_rule(rule, f"view{index}", view)
    blueprint = Blueprint("below", "below", url_prefix="/below/<name>")
    blueprint.add_url_rule("/own", "own", lambda name: f"{name}")
    app.register_blueprint(blueprint)
    return app


def django_app() -> Any:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import Http404, HttpResponse, StreamingHttpResponse
    from django.urls import include, path, re_path

    def missing(_: Any) -> None:
        raise Http404

    def fails(_: Any) -> None:
        raise ZeroDivisionError

    urls: Any = types.ModuleType("shop_urls")
    below = [path("own", lambda _, name: HttpResponse(name))]
    urls.urlpatterns = [
        path("", lambda _: HttpResponse("root")),
        path("items/<int:id>", lambda _, id: HttpResponse(str(id))),  # noqa: A006 -- as above
        path("streams", lambda _: StreamingHttpResponse([b"first,", b"second"])),
        path("missing", missing),
        path("fails", fails),
        re_path("^old/(?P<year>[0-9]{4})/$", lambda _, year: HttpResponse(year)),
        path("below/<str:name>/", include(below)),
    ]
    sys.modules["shop_urls"] = urls
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="of a test", LOGGING_CONFIG=None)  # noqa: S106 -- no secret
        django.setup()
    settings.ROOT_URLCONF = "shop_urls"
    return WSGIHandler()


COMMON = [
    ("GET", "/", "/", "200", 4),
    ("HEAD", "/", "/", "200", 0),
    ("GET", "/streams", "/streams", "200", 12),
    ("GET", "/nowhere", "unmatched", "404", None),
]
FLASK = [
    *COMMON,
    ("GET", "/items/7", "/items/<int:id>", "200", 1),
    ("GET", "/items/seven", "unmatched", "404", None),
    ("GET", "/teapot", "/teapot", "418", None),
    ("GET", "/fails", "/fails", "500", None),
    ("GET", "/below/x/own", "/below/<name>/own", "200", 1),
    ("GET", "/slash/", "/slash/", "200", 5),
    ("GET", "/slash", "unmatched", "308", None),
]
DJANGO = [
    *COMMON,
    ("GET", "/items/7", "/items/<int:id>", "200", 1),
    ("BREW", "/items/7", "/items/<int:id>", "200", 1),
    ("GET", "/missing", "/missing", "404", None),
    ("GET", "/fails", "/fails", "500", None),
    ("GET", "/old/1999/", "/old/(?P<year>[0-9]{4})/", "200", 4),
    ("GET", "/below/x/own", "/below/<str:name>/own", "200", 1),
]
CASES = [
    pytest.param(make, case, id=f"{make.__name__[:-4]} {case[0]} {case[1]}")
    for make, cases in ((flask_app, FLASK), (django_app, DJANGO))
    for case in cases
]


def measured(app: Any, **options: Any) -> tuple[Any, CollectorRegistry]:
    registry = CollectorRegistry()
    wsgi_app = app.wsgi_app if isinstance(app, Flask) else app
    return PrometheusMiddleware(wsgi_app, registry=registry, **options), registry


@pytest.mark.parametrize(("make", "case"), CASES)
def test_requests_by_route(make: Callable[[], Any], case: tuple[str, str, str, str, int | None]) -> None:
    method, path, route, status, size = case
    app, registry = measured(make())
    answer = Answer()
    for _ in range(2):
        answer = drive(app, method, path, CONTENT_LENGTH="5")
    if method == "HEAD":
        answer.parts = []
    key = ("other" if method == "BREW" else method, route, status)
    assert answer.status.startswith(status)
    assert counted(registry) == {key: 2.0}
    sent = sum(map(len, answer.parts))
    assert size is None or sent == size
    assert counted(registry, "http_response_size_bytes_sum") == {key: 2.0 * sent}
    assert counted(registry, "http_request_size_bytes_sum") == {key: 10.0}
    assert counted(registry, "http_request_duration_seconds_count") == {key: 2.0}
    progress = counted(registry, "http_requests_in_progress")
    assert not nonzero(progress)
    assert (key[0], route, "") in progress


def test_bodies_are_measured_to_their_end() -> None:
    app, registry = measured(flask_app())
    with pytest.raises(RuntimeError, match="on purpose"):
        drive(app, "GET", "/breaks")
    key = ("GET", "/breaks", "200")
    assert counted(registry) == {key: 1.0}
    assert counted(registry, "http_response_size_bytes_sum") == {key: 6.0}
    # A client that goes away: the server closes the body.
    drive(app, "GET", "/streams", takes=1)
    assert counted(registry, "http_response_size_bytes_sum")["GET", "/streams", "200"] == 6.0
    assert not nonzero(counted(registry, "http_requests_in_progress"))


def test_the_last_part_is_counted_before_it_is_handed_on() -> None:
    app, registry = measured(flask_app())
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "x", "SERVER_PORT": "80"}
    environ |= {"wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr}
    body = iter(app(environ, lambda *_: None))
    assert not counted(registry)
    assert next(body) == b"root"
    assert counted(registry) == {("GET", "/", "200"): 1.0}
    body.close()
    assert counted(registry) == {("GET", "/", "200"): 1.0}


def test_applications_behind_a_dispatcher() -> None:
    inner = flask_app()
    app, registry = measured(DispatcherMiddleware(flask_app().wsgi_app, {"/shop": inner.wsgi_app}))
    drive(app, "GET", "/shop/items/7")
    drive(app, "GET", "/items/7")
    assert counted(registry) == {
        ("GET", "/shop/items/<int:id>", "200"): 1.0,
        ("GET", "/items/<int:id>", "200"): 1.0,
    }


def test_applications_of_no_framework() -> None:
    closed = []

    class Body(list[bytes]):
        def close(self) -> None:
            closed.append(self)

    def app(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/fails":
            raise LookupError("on purpose")
        if environ["PATH_INFO"] == "/ends":
            raise SystemExit
        write = start_response("200 OK", [("X-Kind", "raw")])
        write(b"written,")
        return Body([b"returned"])

    kinds = {"kind": lambda exchange: exchange.response_header("x-kind")}
    wrapped, registry = measured(app, route=lambda environ: environ["PATH_INFO"], labels=kinds)
    answer = drive(wrapped, "GET", "/raw")
    assert b"".join(answer.parts) == b"written,returned"
    assert len(closed) == 1
    with pytest.raises(LookupError):
        drive(wrapped, "GET", "/fails")
    with pytest.raises(SystemExit):
        drive(wrapped, "GET", "/ends")
    assert counted(registry) == {
        ("GET", "/raw", "200"): 1.0,
        ("GET", "/fails", "500"): 1.0,
        ("GET", "/ends", "cancelled"): 1.0,
    }
    assert counted(registry, "http_response_size_bytes_sum")["GET", "/raw", "200"] == 16.0
    assert {s.labels["kind"] for f in registry.collect() for s in f.samples if "kind" in s.labels} == {"raw", "None"}
    assert not nonzero(counted(registry, "http_requests_in_progress"))


def test_files_stay_the_servers_to_send() -> None:
    class Wrapper:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.file)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Length", "4")])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"file"))

    wrapped, registry = measured(app)
    body = wrapped({"REQUEST_METHOD": "GET", "wsgi.file_wrapper": Wrapper}, lambda *_: None)
    assert type(body) is Wrapper
    assert counted(registry, "http_response_size_bytes_sum") == {("GET", "unmatched", "200"): 4.0}


def test_bodies_keep_their_length_and_truth() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return [b"one", b"two"] if environ["PATH_INFO"] else iter([b"one"])

    wrapped, _ = measured(app)
    assert len(wrapped({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *_: None)) == 2
    without_length = wrapped({"REQUEST_METHOD": "GET", "PATH_INFO": ""}, lambda *_: None)
    assert without_length
    with pytest.raises(TypeError):
        len(without_length)


def test_what_is_excluded() -> None:
    app, registry = measured(flask_app(), exclude_paths=["/items/*"], exclude_methods=["HEAD"])
    drive(app, "GET", "/items/7")
    drive(app, "HEAD", "/")
    assert not counted(registry)
