"""Writes expositions, and takes them where they are wanted: over HTTP, into a file, to a Pushgateway.

Importing this module loads neither `http.server` nor `ssl` nor `urllib`; they come with their first use. Names that
the official module has from them are here as well, and what is assigned to them takes effect.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from ._negotiation import gzip_accepted as gzip_accepted
from ._negotiation import media_ranges
from ._push import CompressionType as CompressionType
from ._push import _compress_payload as _compress_payload
from ._push import _escape_grouping_key as _escape_grouping_key
from ._push import _make_handler as _make_handler
from ._push import _use_gateway as _use_gateway
from ._push import basic_auth_handler as basic_auth_handler
from ._push import default_handler as default_handler
from ._push import delete_from_gateway as delete_from_gateway
from ._push import instance_ip_grouping_key as instance_ip_grouping_key
from ._push import passthrough_redirect_handler as passthrough_redirect_handler
from ._push import push_to_gateway as push_to_gateway
from ._push import pushadd_to_gateway as pushadd_to_gateway
from ._push import tls_auth_handler as tls_auth_handler
from ._writing import write
from .openmetrics import exposition as openmetrics
from .registry import REGISTRY, Collector
from .utils import floatToGoString
from .utils import parse_version as parse_version

if TYPE_CHECKING:
    import base64 as base64
    import gzip as gzip
    import socket as socket
    import ssl as ssl
    import threading as threading
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from http.server import BaseHTTPRequestHandler as BaseHTTPRequestHandler
    from socketserver import ThreadingMixIn as ThreadingMixIn
    from urllib.error import HTTPError as HTTPError
    from urllib.parse import parse_qs as parse_qs
    from urllib.parse import quote_plus as quote_plus
    from urllib.parse import urlparse as urlparse
    from urllib.request import BaseHandler as BaseHandler
    from urllib.request import HTTPHandler as HTTPHandler
    from urllib.request import HTTPRedirectHandler as HTTPRedirectHandler
    from urllib.request import HTTPSHandler as HTTPSHandler
    from urllib.request import Request as Request
    from urllib.request import build_opener as build_opener
    from wsgiref.simple_server import WSGIRequestHandler as WSGIRequestHandler
    from wsgiref.simple_server import WSGIServer as WSGIServer
    from wsgiref.simple_server import make_server as make_server

    from ._redirect import _PrometheusRedirectHandler as _PrometheusRedirectHandler
    from ._server import MetricsHandler as MetricsHandler
    from ._server import ThreadingWSGIServer as ThreadingWSGIServer
    from ._server import _get_best_family as _get_best_family
    from ._server import _get_ssl_ctx as _get_ssl_ctx
    from ._server import _SilentHandler as _SilentHandler
    from .asgi import make_asgi_app as make_asgi_app
    from .metrics_core import Metric
    from .samples import Sample

    SNAPPY_AVAILABLE: bool
    snappy: Any

__all__ = (
    "CONTENT_TYPE_LATEST",
    "CONTENT_TYPE_PLAIN_0_0_4",
    "CONTENT_TYPE_PLAIN_1_0_0",
    "MetricsHandler",
    "delete_from_gateway",
    "generate_latest",
    "instance_ip_grouping_key",
    "make_asgi_app",
    "make_wsgi_app",
    "push_to_gateway",
    "pushadd_to_gateway",
    "start_http_server",
    "start_wsgi_server",
    "write_to_textfile",
)

CONTENT_TYPE_PLAIN_0_0_4 = "text/plain; version=0.0.4; charset=utf-8"
"""Content type of the text format that every scraper reads."""

CONTENT_TYPE_PLAIN_1_0_0 = "text/plain; version=1.0.0; charset=utf-8"
"""Content type of the text format with a choice of escaping."""

CONTENT_TYPE_LATEST = CONTENT_TYPE_PLAIN_1_0_0

# The values of `ssl.PROTOCOL_TLS_SERVER`, for a default that does not load `ssl`.
_PROTOCOL_TLS_SERVER = 17

# Where the names are that are loaded with their first use.
_LAZY_NAMES = {
    # It needs what is here, so it comes after it even where it is imported first.
    "make_asgi_app": ".asgi",
    "MetricsHandler": "._server",
    "ThreadingWSGIServer": "._server",
    "_SilentHandler": "._server",
    "_get_best_family": "._server",
    "_get_ssl_ctx": "._server",
    "_PrometheusRedirectHandler": "._redirect",
    "BaseHTTPRequestHandler": "http.server",
    "ThreadingMixIn": "socketserver",
    "HTTPError": "urllib.error",
    "parse_qs": "urllib.parse",
    "quote_plus": "urllib.parse",
    "urlparse": "urllib.parse",
    "BaseHandler": "urllib.request",
    "HTTPHandler": "urllib.request",
    "HTTPRedirectHandler": "urllib.request",
    "HTTPSHandler": "urllib.request",
    "Request": "urllib.request",
    "build_opener": "urllib.request",
    "WSGIRequestHandler": "wsgiref.simple_server",
    "WSGIServer": "wsgiref.simple_server",
    "make_server": "wsgiref.simple_server",
}
_LAZY_MODULES = frozenset({"base64", "gzip", "socket", "ssl", "threading"})

# Functions read lazy names from here, so that what tests and programs assign to them takes effect.
_this: Any = sys.modules[__name__]


if not TYPE_CHECKING:
    # Type checkers know the names from above, and that there are no others.
    def __getattr__(name: str) -> Any:
        """Loads a name with its first use."""
        from importlib import import_module

        if name in _LAZY_NAMES:
            value = getattr(import_module(_LAZY_NAMES[name], __package__), name)
        elif name in _LAZY_MODULES:
            value = import_module(name)
        elif name in {"snappy", "SNAPPY_AVAILABLE"}:
            try:
                snappy = import_module("snappy")
            except ImportError:
                snappy = None
            value = snappy if name == "snappy" else snappy is not None
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def generate_latest(registry: Collector = REGISTRY, escaping: str = openmetrics.UNDERSCORES) -> bytes:
    """Collects and writes an exposition in the text format.

    Args:
        registry: Where to collect.
        escaping: How to write names that the legacy scheme does not allow.

    Returns:
        The exposition in UTF-8.

    Raises:
        Exception: What a collector raises; or a sample cannot be written, then the last of the exception's arguments is
            its family.
    """
    names = openmetrics._NameWriter(escaping)
    return write(registry, escaping, lambda metric, lines: _write_family(metric, names, lines), is_openmetrics=False)


# Types of OpenMetrics that the text format has not, under the closest one that it has.
_TEXT_TYPES = {
    "info": "gauge",
    "stateset": "gauge",
    "gaugehistogram": "histogram",
    "unknown": "untyped",
}
_TEXT_NAME_SUFFIXES = {"counter": "_total", "info": "_info"}
# Samples that the text format has no place for in their family; they follow it as gauges.
_GAUGE_SUFFIXES = ("_created", "_gcount", "_gsum")


def _write_family(metric: Metric, names: openmetrics._NameWriter, output: list[str]) -> None:
    name = metric.name
    documentation = metric.documentation.replace("\\", r"\\").replace("\n", r"\n")
    written_name = names.metric(name + _TEXT_NAME_SUFFIXES.get(metric.type, ""))
    written_type = _TEXT_TYPES.get(metric.type, metric.type)
    output.append(f"# HELP {written_name} {documentation}\n# TYPE {written_name} {written_type}\n")
    gauge_names = {name + suffix: suffix for suffix in _GAUGE_SUFFIXES}
    gauges: dict[str, list[str]] = {}
    for sample in metric.samples:
        suffix = gauge_names.get(sample.name)
        lines = output if suffix is None else gauges.setdefault(suffix, [])
        lines.append(_sample_line(sample, names))
    for suffix, lines in sorted(gauges.items()):
        written_name = names.metric(name + suffix)
        output.append(f"# HELP {written_name} {documentation}\n# TYPE {written_name} gauge\n")
        output.extend(lines)


def _sample_line(sample: Sample, names: openmetrics._NameWriter) -> str:
    start = names.start(sample.name, sample.labels, names.metric)
    value = floatToGoString(sample.value)
    if sample.timestamp is None:
        return f"{start} {value}\n"
    return f"{start} {value} {int(float(sample.timestamp) * 1000):d}\n"


def choose_encoder(accept_header: str | None) -> tuple[Callable[[Collector], bytes], str]:
    """Chooses the format for a scrape.

    Among the formats that the header allows, the one with the highest q-value wins; among equal ones a format with a
    version wins over the fallback, which is the text format 0.0.4, then the one named first. Versions that are not
    spoken here are passed over, as is everything with `q=0`. An unknown escaping, or none, means underscores.

    Note: differs
        The official client takes the first type that it knows, whatever its q-value, and repeats any version from
        1.0.0 on in the content type.

    Args:
        accept_header: The `Accept` header, None or empty where there is none.

    Returns:
        A function that collects from a registry and writes the exposition, and its content type.
    """
    ranges = media_ranges(accept_header or "")
    best: tuple[Callable[[Collector], bytes], str] = (generate_latest, CONTENT_TYPE_PLAIN_0_0_4)
    best_rank = (0.0, False)
    named = {media_type for media_type, _, _ in ranges}
    for media_type, parameters, quality in ranges:
        if quality <= 0:
            continue
        tokens = [f"{name}={value}" for name, value in parameters.items()]
        for candidate in _candidates(media_type, _get_version(tokens), _get_escaping(tokens), named):
            rank = (quality, candidate[1] != CONTENT_TYPE_PLAIN_0_0_4 and "*" not in media_type)
            if rank > best_rank:
                best, best_rank = candidate, rank
            break
    return best


def _candidates(
    media_type: str, version: str, escaping: str, named: set[str]
) -> Iterable[tuple[Callable[[Collector], bytes], str]]:
    """Yields the formats that a media range allows, best first; a wildcard is about types that are not named."""
    if media_type == _TEXT:
        if version in {"", "0.0.4"}:
            yield generate_latest, CONTENT_TYPE_PLAIN_0_0_4
        elif version == "1.0.0":
            yield partial(generate_latest, escaping=escaping), f"{CONTENT_TYPE_PLAIN_1_0_0}; escaping={escaping}"
    elif media_type == _OPENMETRICS:
        if not version:
            yield _OPENMETRICS_UNASKED
        elif version in _OPENMETRICS_CONTENT_TYPES:
            encoder = partial(openmetrics.generate_latest, escaping=escaping, version=version)
            yield encoder, f"{_OPENMETRICS_CONTENT_TYPES[version]}; escaping={escaping}"
    if media_type in {"*/*", "*", "text/*"} and _TEXT not in named:
        yield generate_latest, CONTENT_TYPE_PLAIN_0_0_4
    if media_type in {"*/*", "*", "application/*"} and _OPENMETRICS not in named:
        yield _OPENMETRICS_UNASKED


_TEXT = "text/plain"
_OPENMETRICS = "application/openmetrics-text"
_OPENMETRICS_CONTENT_TYPES = {
    "1.0.0": openmetrics.CONTENT_TYPE_LATEST,
    "2.0.0": openmetrics.CONTENT_TYPE_LATEST_2_0,
}
_OPENMETRICS_UNASKED = (
    partial(openmetrics.generate_latest, escaping=openmetrics.UNDERSCORES, version="1.0.0"),
    openmetrics.CONTENT_TYPE_LATEST,
)


def _get_version(accept_header: Sequence[str]) -> str:
    """Returns the version among the parameters of a media range, or an empty text."""
    return _get_parameter(accept_header, "version") or ""


def _get_escaping(accept_header: Sequence[str]) -> str:
    """Returns the escaping among the parameters of a media range; underscores where it is missing or unknown."""
    escaping = _get_parameter(accept_header, "escaping")
    known = (openmetrics.ALLOWUTF8, openmetrics.UNDERSCORES, openmetrics.DOTS, openmetrics.VALUES)
    return escaping if escaping in known else openmetrics.UNDERSCORES


def _get_parameter(tokens: Iterable[str], wanted: str) -> str | None:
    for token in tokens:
        name, separator, value = token.strip().partition("=")
        if separator and name == wanted:
            return value
    return None


def _bake_output(
    registry: Any,
    accept_header: str | None,
    accept_encoding_header: str | None,
    params: Mapping[str, Any],
    disable_compression: bool,
) -> tuple[str, list[tuple[str, str]], bytes]:
    """Answers a scrape.

    Args:
        registry: Where to collect.
        accept_header: The `Accept` header.
        accept_encoding_header: The `Accept-Encoding` header.
        params: Parameters of the query, as lists; `name[]` restricts the answer to samples of these names.
        disable_compression: Whether to leave the body as it is.

    Returns:
        Status, headers and body.
    """
    encoder, content_type = choose_encoder(accept_header)
    if "name[]" in params:
        registry = registry.restricted_registry(params["name[]"])
    output = encoder(registry)
    headers = [("Content-Type", content_type)]
    if not disable_compression and gzip_accepted(accept_encoding_header):
        output = _this.gzip.compress(output)
        headers.append(("Content-Encoding", "gzip"))
    return "200 OK", headers, output


def make_wsgi_app(registry: Collector = REGISTRY, disable_compression: bool = False) -> Callable[..., list[bytes]]:
    """Makes a WSGI application that answers scrapes, on whatever path.

    Args:
        registry: Where to collect.
        disable_compression: Whether to leave bodies as they are.

    Returns:
        The application. It answers GET and OPTIONS; `/favicon.ico` is empty, for browsers.
    """

    def prometheus_app(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        method = environ["REQUEST_METHOD"]
        headers = [("Allow", "OPTIONS,GET")]
        output = b""
        if method == "OPTIONS":
            status = "200 OK"
        elif method != "GET":
            status = "405 Method Not Allowed"
            output = f"# HTTP {status}: {method}; use OPTIONS or GET\n".encode()
        elif environ["PATH_INFO"] == "/favicon.ico":
            status, headers = "200 OK", []
        else:
            status, headers, output = _bake_output(
                registry,
                environ.get("HTTP_ACCEPT"),
                environ.get("HTTP_ACCEPT_ENCODING"),
                _this.parse_qs(environ.get("QUERY_STRING", "")),
                disable_compression,
            )
        start_response(status, headers)
        return [output]

    return prometheus_app


def start_wsgi_server(
    port: int,
    addr: str = "0.0.0.0",  # noqa: S104 -- as in the official client: whoever starts an exporter wants it reached
    registry: Collector = REGISTRY,
    certfile: str | None = None,
    keyfile: str | None = None,
    client_cafile: str | None = None,
    client_capath: str | None = None,
    protocol: int = _PROTOCOL_TLS_SERVER,
    client_auth_required: bool = False,
    tls_min_version: ssl.TLSVersion | None = None,
    tls_max_version: ssl.TLSVersion | None = None,
) -> tuple[WSGIServer, threading.Thread]:
    """Starts an HTTP server for scrapes in a daemon thread.

    Args:
        port: TCP port; 0 lets the system choose one.
        addr: Address to listen on, of either family.
        registry: Where to collect.
        certfile: Certificate chain of the server; with `keyfile`, TLS is spoken.
        keyfile: Key of the server.
        client_cafile: File with the authorities that clients' certificates must come from.
        client_capath: Directory with such authorities.
        protocol: Protocol of the TLS context.
        client_auth_required: Whether clients must show a certificate.
        tls_min_version: Lowest version of TLS.
        tls_max_version: Highest version of TLS.

    Returns:
        The server, whose `shutdown` and `server_close` end it, and its thread.

    Raises:
        OSError: The address cannot be listened on, or a certificate cannot be read.
    """
    from . import _server

    return _server.start(
        port,
        addr,
        make_wsgi_app(registry),
        certfile=certfile,
        keyfile=keyfile,
        client_cafile=client_cafile,
        client_capath=client_capath,
        protocol=protocol,
        client_auth_required=client_auth_required,
        tls_min_version=tls_min_version,
        tls_max_version=tls_max_version,
    )


start_http_server = start_wsgi_server


def write_to_textfile(
    path: str, registry: Collector, escaping: str = openmetrics.ALLOWUTF8, tmpdir: str | None = None
) -> None:
    """Writes an exposition to a file, for the textfile collector of the node exporter.

    The file is replaced at once: whoever reads sees the old one or the new one.

    Args:
        path: The file; the collector wants it to end in `.prom`.
        registry: Where to collect.
        escaping: How to write names that the legacy scheme does not allow.
        tmpdir: Where to write before replacing, on the same file system; beside the file where it is None.

    Raises:
        OSError: The file cannot be written; the old one is still there, and nothing else.
    """
    base = path if tmpdir is None else os.path.join(tmpdir, os.path.basename(path))
    temporary = f"{base}.{os.getpid()}.{_this.threading.current_thread().ident}"
    try:
        with open(temporary, "wb") as file:
            file.write(generate_latest(registry, escaping))
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise
