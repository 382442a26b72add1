"""What an import loads, and what assignments to the names of a module change."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any
from unittest import mock

import forkmeter
import pytest
from forkmeter import CollectorRegistry, exposition

SLOW_MODULES = [
    "asyncio",
    "base64",
    "gzip",
    "http",
    "inspect",
    "platform",
    "socket",
    "socketserver",
    "ssl",
    "subprocess",
    "urllib.request",
    "wsgiref",
]


def test_import_loads_no_server_and_no_client() -> None:
    code = (
        "import json, sys; before = set(sys.modules); import forkmeter, forkmeter.exposition, forkmeter.parser; "
        "import forkmeter.openmetrics.parser; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": package_folder()}, check=True, stdout=subprocess.PIPE
    )
    loaded = json.loads(done.stdout)
    assert "forkmeter.exposition" in loaded
    assert [name for name in SLOW_MODULES if name in loaded] == []


def package_folder() -> str:
    assert forkmeter.__file__
    return forkmeter.__file__.rpartition("/forkmeter/")[0]


@pytest.mark.parametrize(
    "name",
    [
        "BaseHandler",
        "BaseHTTPRequestHandler",
        "HTTPError",
        "HTTPHandler",
        "HTTPRedirectHandler",
        "HTTPSHandler",
        "MetricsHandler",
        "Request",
        "SNAPPY_AVAILABLE",
        "ThreadingMixIn",
        "ThreadingWSGIServer",
        "WSGIRequestHandler",
        "WSGIServer",
        "_PrometheusRedirectHandler",
        "_SilentHandler",
        "_bake_output",
        "_get_best_family",
        "_get_ssl_ctx",
        "base64",
        "build_opener",
        "gzip",
        "make_server",
        "parse_qs",
        "quote_plus",
        "snappy",
        "socket",
        "ssl",
        "threading",
        "urlparse",
    ],
)
def test_every_name_of_the_official_module_is_there_and_can_be_replaced(name: str) -> None:
    before = getattr(exposition, name)
    with mock.patch.object(exposition, name, "replaced"):
        assert getattr(exposition, name) == "replaced"
    assert getattr(exposition, name) is before


def test_unknown_names_are_unknown() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        exposition.nonsense  # type: ignore[attr-defined]  # noqa: B018 -- that is the test


def test_replaced_bake_output_answers_scrapes() -> None:
    """The official WSGI test and several servers replace it."""
    started: list[Any] = []
    with mock.patch("forkmeter.exposition._bake_output", return_value=("200 OK", [], b"mine")):
        app = exposition.make_wsgi_app(CollectorRegistry())
        assert app({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *args: started.extend(args)) == [b"mine"]


def test_replaced_opener_gets_the_push() -> None:
    """Tests of programs replace the opener to see what would be sent."""
    with mock.patch("forkmeter.exposition.build_opener") as build_opener:
        build_opener().open().code = 200
        exposition.push_to_gateway("gateway:9091", "job", CollectorRegistry())
    request = build_opener().open.call_args[0][0]
    assert request.full_url == "http://gateway:9091/metrics/job/job"
    assert request.get_method() == "PUT"
    assert build_opener().open.call_args[1] == {"timeout": 30}


def test_defaults_are_the_constants_of_ssl() -> None:
    import inspect
    import ssl

    assert inspect.signature(exposition.start_http_server).parameters["protocol"].default == ssl.PROTOCOL_TLS_SERVER
    assert inspect.signature(exposition.tls_auth_handler).parameters["protocol"].default == ssl.PROTOCOL_TLS_CLIENT
