"""The HTTP server for scrapes.

Loaded with its first use, as `http.server` and what it needs take longer to import than everything else. Names are
read from `exposition`, where programs and tests assign to them.
"""

from __future__ import annotations

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlparse
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from . import exposition
from .registry import REGISTRY, Collector

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

_exposition: Any = exposition


class MetricsHandler(BaseHTTPRequestHandler):
    """Answers scrapes in an `http.server`; `factory` makes one for another registry."""

    registry: Collector = REGISTRY

    def do_GET(self) -> None:
        """Answers a scrape, on whatever path."""
        status, headers, output = _exposition._bake_output(
            self.registry,
            self.headers.get("Accept"),
            self.headers.get("Accept-Encoding"),
            parse_qs(urlparse(self.path).query),
            disable_compression=False,
        )
        self.send_response(int(status.split(" ")[0]))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(output)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name that `http.server` has
        """Logs nothing."""

    @classmethod
    def factory(cls, registry: Collector) -> type[Self]:
        """Returns a handler class like this one.

        Args:
            registry: Where it collects.
        """
        made: Any = type(cls.__name__, (cls, object), {"registry": registry})
        handler: type[Self] = made
        return handler


class _SilentHandler(WSGIRequestHandler):
    """Logs no requests."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name that `http.server` has
        """Logs nothing."""


class ThreadingWSGIServer(ThreadingMixIn, WSGIServer):
    """Answers each request in a thread of its own, none of which keeps the process alive."""

    daemon_threads = True


def _get_best_family(address: str | None, port: int | str | None) -> tuple[socket.AddressFamily, str]:
    """Returns the family of an address and the address as the system writes it."""
    infos = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, socket_address = infos[0]
    return family, str(socket_address[0])


def _get_ssl_ctx(
    certfile: str,
    keyfile: str,
    protocol: int,
    cafile: str | None = None,
    capath: str | None = None,
    client_auth_required: bool = False,
    tls_min_version: ssl.TLSVersion | None = None,
    tls_max_version: ssl.TLSVersion | None = None,
) -> ssl.SSLContext:
    """Makes the TLS context of a server.

    Raises:
        OSError: A file cannot be read or used; the text says which.
    """
    context = ssl.SSLContext(protocol=protocol)
    if cafile is not None or capath is not None:
        what = f"Cannot load CA certificate chain from file {cafile!r} or directory {capath!r}"
        _load(what, context.load_verify_locations, cafile, capath)
    else:
        _load("Cannot load default CA certificate chain", context.load_default_certs, ssl.Purpose.CLIENT_AUTH)
    if client_auth_required:
        context.verify_mode = ssl.CERT_REQUIRED
    what = f"Cannot load server certificate file {certfile!r} or its private key file {keyfile!r}"
    _load(what, context.load_cert_chain, certfile, keyfile)
    if tls_min_version is not None:
        context.minimum_version = tls_min_version
    if tls_max_version is not None:
        context.maximum_version = tls_max_version
    return context


def _load(what: str, load: Callable[..., None], *args: Any) -> None:
    try:
        load(*args)
    except OSError as error:
        raise type(error)(f"{what}: {error}") from error


def start(
    port: int,
    addr: str,
    app: Callable[..., Any],
    *,
    certfile: str | None,
    keyfile: str | None,
    client_cafile: str | None,
    client_capath: str | None,
    protocol: int,
    client_auth_required: bool,
    tls_min_version: ssl.TLSVersion | None,
    tls_max_version: ssl.TLSVersion | None,
) -> tuple[WSGIServer, threading.Thread]:
    """Starts a server in a daemon thread; `exposition.start_wsgi_server` says what the arguments mean."""
    family, addr = _exposition._get_best_family(addr, port)
    # The family is an attribute of the class, and another server in this process may need the other one.
    server_class = type("TmpServer", (_exposition.ThreadingWSGIServer,), {"address_family": family})
    server: WSGIServer = _exposition.make_server(
        addr, port, app, server_class, handler_class=_exposition._SilentHandler
    )
    if certfile and keyfile:
        try:
            context = _exposition._get_ssl_ctx(
                certfile,
                keyfile,
                protocol,
                client_cafile,
                client_capath,
                client_auth_required,
                tls_min_version,
                tls_max_version,
            )
            server.socket = context.wrap_socket(server.socket, server_side=True)
        except BaseException:
            # The port was taken before the certificates were read.
            server.server_close()
            raise
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    return server, thread
