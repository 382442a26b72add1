"""Pushgateway, textfile, HTTP server and Graphite, against servers on this machine."""

from __future__ import annotations

import base64
import gzip
import socket
import ssl
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from forkmeter import (
    CollectorRegistry,
    Gauge,
    MetricsHandler,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
    start_http_server,
    write_to_textfile,
)
from forkmeter.bridge.graphite import GraphiteBridge
from forkmeter.exposition import (
    _escape_grouping_key,
    basic_auth_handler,
    instance_ip_grouping_key,
    passthrough_redirect_handler,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = b"# HELP g Help.\n# TYPE g gauge\ng 7.0\n"


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("g", "Help.", registry=registry).set(7)
    return registry


class Gateway(HTTPServer):
    """Keeps the requests that it gets."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), GatewayHandler)
        self.requests: list[tuple[str, str, Any, bytes]] = []
        self.status = 202

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class GatewayHandler(BaseHTTPRequestHandler):
    """Answers anything."""

    server: Gateway

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.command, self.path, self.headers, body))
        is_redirected = self.path.startswith("/elsewhere")
        self.send_response(202 if is_redirected else self.server.status)
        self.send_header("Location", f"http://{self.server.address}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 -- the names that `http.server` calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- as above
        """Logs nothing."""


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_push_add_and_delete(gateway: Gateway, registry: CollectorRegistry) -> None:
    key = {"b": 9, "a": "x/y", "c": "", "d": "ä b", "e": "&="}
    push_to_gateway(gateway.address, "my job", registry, key)
    pushadd_to_gateway(f"http://{gateway.address}/prefix/", "job", registry)
    delete_from_gateway(gateway.address, "job", {"a": 1})
    (put, post, delete) = gateway.requests
    encoded = base64.urlsafe_b64encode("ä b".encode()).decode()
    assert put[:2] == ("PUT", f"/metrics/job@base64/bXkgam9i/a@base64/eC95/b/9/c@base64/=/d@base64/{encoded}/e/%26%3D")
    assert post[:2] == ("POST", "/prefix/metrics/job/job")
    assert delete[:2] == ("DELETE", "/metrics/job/job/a/1")
    assert (put[3], post[3], delete[3]) == (BODY, BODY, b"")
    for _, _, headers, _ in gateway.requests:
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_compressed_push(gateway: Gateway, registry: CollectorRegistry) -> None:
    push_to_gateway(gateway.address, "job", registry, compression="gzip")
    _, _, headers, body = gateway.requests[0]
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == BODY
    with pytest.raises(ValueError, match="Unsupported compression type: brotli"):
        push_to_gateway(gateway.address, "job", registry, compression="brotli")  # type: ignore[arg-type]
    assert len(gateway.requests) == 1


def test_snappy_is_asked_for_when_it_is_needed(
    gateway: Gateway, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forkmeter.exposition.SNAPPY_AVAILABLE", False)
    with pytest.raises(RuntimeError, match="requires the python-snappy package"):
        push_to_gateway(gateway.address, "job", registry, compression="snappy")
    monkeypatch.setattr("forkmeter.exposition.SNAPPY_AVAILABLE", True)

    class Snappy:
        @staticmethod
        def StreamCompressor() -> Snappy:  # noqa: N802 -- the name in the package
            return Snappy()

        def compress(self, data: bytes) -> bytes:
            return data[::-1]

    monkeypatch.setattr("forkmeter.exposition.snappy", Snappy)
    push_to_gateway(gateway.address, "job", registry, compression="snappy")
    assert gateway.requests[0][2]["Content-Encoding"] == "snappy"
    assert gateway.requests[0][3] == BODY[::-1]


def test_basic_authentication(gateway: Gateway, registry: CollectorRegistry) -> None:
    handler = partial(basic_auth_handler, username="user", password="pass:wörd")  # noqa: S106 -- nobody's
    push_to_gateway(gateway.address, "job", registry, handler=handler)
    assert gateway.requests[0][2]["Authorization"] == "Basic " + base64.b64encode("user:pass:wörd".encode()).decode()


@pytest.mark.parametrize("status", [301, 302, 303])
def test_redirect_is_followed_with_the_same_request(gateway: Gateway, registry: CollectorRegistry, status: int) -> None:
    gateway.status = status
    push_to_gateway(gateway.address, "job", registry, handler=passthrough_redirect_handler)
    first, second = gateway.requests
    assert (second[0], second[1], second[3]) == ("PUT", "/elsewhere", first[3])
    assert second[2]["Content-Type"] == first[2]["Content-Type"]


def test_redirect_of_a_delete_is_not_followed(gateway: Gateway) -> None:
    gateway.status = 302
    with pytest.raises(HTTPError) as error:
        delete_from_gateway(gateway.address, "job", handler=passthrough_redirect_handler)
    error.value.close()
    assert len(gateway.requests) == 1


def test_refusal_raises(gateway: Gateway, registry: CollectorRegistry) -> None:
    gateway.status = 500
    with pytest.raises(OSError, match="500") as error:
        push_to_gateway(gateway.address, "job", registry)
    error.value.close()  # type: ignore[attr-defined]


def test_grouping_keys() -> None:
    assert _escape_grouping_key("a", "b+c") == ("a", "b%2Bc")
    assert _escape_grouping_key("a", "") == ("a@base64", "=")
    socket.inet_aton(instance_ip_grouping_key()["instance"])


def test_textfile_is_replaced_at_once(tmp_path: Path, registry: CollectorRegistry) -> None:
    path = tmp_path / "metrics.prom"
    elsewhere = tmp_path / "tmp"
    elsewhere.mkdir()
    write_to_textfile(str(path), registry)
    write_to_textfile(str(path), registry, tmpdir=str(elsewhere))
    assert path.read_bytes() == BODY

    class Broken:
        def collect(self) -> Any:
            yield from registry.collect()
            assert len(list(tmp_path.iterdir())) == 3
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        write_to_textfile(str(path), Broken())
    assert path.read_bytes() == BODY
    assert sorted(file.name for file in tmp_path.iterdir()) == ["metrics.prom", "tmp"]
    assert not list(elsewhere.iterdir())


def test_http_server(registry: CollectorRegistry) -> None:
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        assert thread.daemon
        with urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as response:
            assert response.read() == BODY
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_http_server_without_its_certificate_gives_the_port_back(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    missing = str(tmp_path / "missing.pem")
    for _ in range(2):
        with pytest.raises(
            FileNotFoundError, match=r"Cannot load server certificate file '.*missing.pem' or its private"
        ):
            start_http_server(port, "127.0.0.1", certfile=missing, keyfile=missing)
        with pytest.raises(
            OSError, match=r"Cannot load CA certificate chain from file '.*missing.pem' or directory None"
        ):
            start_http_server(port, "127.0.0.1", certfile=missing, keyfile=missing, client_cafile=missing)
    server, thread = start_http_server(port, "127.0.0.1")
    server.shutdown()
    server.server_close()
    thread.join()
    assert not isinstance(server.socket, ssl.SSLSocket)


def test_handler_of_a_registry(registry: CollectorRegistry) -> None:
    class Mine(MetricsHandler):
        pass

    handler = Mine.factory(registry)
    assert issubclass(handler, Mine)
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with urlopen(f"http://127.0.0.1:{server.server_port}/?name[]=g") as response:
            assert response.read() == BODY
        thread.join()


@pytest.mark.parametrize(
    ("tags", "prefix", "line"),
    [
        (False, "", "name_with_dots.label_a.value__1 7.0 1500"),
        (False, "pre.fix", "pre.fix.name_with_dots.label_a.value__1 7.0 1500"),
        (True, "", "name_with_dots;label_a=value__1 7.0 1500"),
    ],
)
def test_graphite(tags: bool, prefix: str, line: str) -> None:
    registry = CollectorRegistry()
    Gauge("name.with.dots", "Help.", ["label_a"], registry=registry).labels("value//1").set(7)
    with socket.create_server(("127.0.0.1", 0)) as server:
        bridge = GraphiteBridge(server.getsockname(), registry, tags=tags, _timer=lambda: 1500.9)
        bridge.push(prefix)
        connection, _ = server.accept()
        with connection, connection.makefile() as received:
            assert received.read() == line + "\n"


def test_graphite_goes_on_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    registry = CollectorRegistry()
    Gauge("g", "Help.", registry=registry)
    pushed = threading.Event()

    class Bridge(GraphiteBridge):
        count = 0

        def push(self, prefix: str = "") -> None:
            assert prefix == "p"
            Bridge.count += 1
            if Bridge.count == 1:
                raise OSError("not there")
            if Bridge.count == 2:
                pushed.set()

    Bridge(("127.0.0.1", 1), registry).start(0.01, "p")
    assert pushed.wait(30)
    assert "Push failed" in caplog.text
