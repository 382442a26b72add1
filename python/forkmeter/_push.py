"""Sends expositions to a Pushgateway.

What is slow to import, and what programs and tests assign to, is read from `exposition` when it is needed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, Optional

from .openmetrics.exposition import UNDERSCORES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from urllib.request import BaseHandler

    from .registry import Collector

    Handler = Callable[..., Callable[[], None]]

CompressionType = Optional[Literal["gzip", "snappy"]]

# The value of `ssl.PROTOCOL_TLS_CLIENT`, for a default that does not load `ssl`.
_PROTOCOL_TLS_CLIENT = 16

_FIRST_ERROR_STATUS = 400


def _exposition() -> Any:
    return sys.modules[f"{__package__}.exposition"]


def _make_handler(
    url: str,
    method: str,
    timeout: float | None,
    headers: Sequence[tuple[str, str]],
    data: bytes,
    base_handler: BaseHandler | type,
) -> Callable[[], None]:
    """Returns a function that sends one request, with a handler of `urllib.request`."""

    def handle() -> None:
        exposition = _exposition()
        request = exposition.Request(url, data=data)
        # Handlers of `urllib` that pass requests on look here.
        request.get_method = lambda: method
        for name, value in headers:
            request.add_header(name, value)
        response = exposition.build_opener(base_handler).open(request, timeout=timeout)
        try:
            if response.code >= _FIRST_ERROR_STATUS:
                raise OSError(f"error talking to pushgateway: {response.code} {response.msg}")
        finally:
            response.close()

    return handle


def default_handler(
    url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
) -> Callable[[], None]:
    """Sends over HTTP or HTTPS.

    Handlers of one's own may build on this one.

    Args:
        url: Where to send.
        method: HTTP method.
        timeout: Seconds until giving up; None waits for ever.
        headers: Names and values of the headers.
        data: The body.

    Returns:
        A function that sends the request, and raises an `OSError` where that fails.
    """
    return _make_handler(url, method, timeout, headers, data, _exposition().HTTPHandler)


def passthrough_redirect_handler(
    url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
) -> Callable[[], None]:
    """Sends over HTTP or HTTPS, and wherever a redirect leads: same method, headers and data.

    Use it only where whoever answers is trusted.

    Args:
        url: Where to send.
        method: HTTP method.
        timeout: Seconds until giving up; None waits for ever.
        headers: Names and values of the headers.
        data: The body.

    Returns:
        A function that sends the request, and raises an `OSError` where that fails.
    """
    return _make_handler(url, method, timeout, headers, data, _exposition()._PrometheusRedirectHandler)


def basic_auth_handler(
    url: str,
    method: str,
    timeout: float | None,
    headers: list[tuple[str, str]],
    data: bytes,
    username: str | None = None,
    password: str | None = None,
) -> Callable[[], None]:
    """Sends over HTTP or HTTPS with basic authentication, if both a name and a password are given.

    Args:
        url: Where to send.
        method: HTTP method.
        timeout: Seconds until giving up; None waits for ever.
        headers: Names and values of the headers.
        data: The body.
        username: Name of the user.
        password: Password of the user.

    Returns:
        A function that sends the request, and raises an `OSError` where that fails.
    """

    def handle() -> None:
        exposition = _exposition()
        if username is not None and password is not None:
            token = exposition.base64.b64encode(f"{username}:{password}".encode())
            headers.append(("Authorization", b"Basic " + token))
        exposition.default_handler(url, method, timeout, headers, data)()

    return handle


def tls_auth_handler(
    url: str,
    method: str,
    timeout: float | None,
    headers: list[tuple[str, str]],
    data: bytes,
    certfile: str,
    keyfile: str,
    cafile: str | None = None,
    protocol: int = _PROTOCOL_TLS_CLIENT,
    insecure_skip_verify: bool = False,
) -> Callable[[], None]:
    """Sends over HTTPS with a client certificate.

    Args:
        url: Where to send.
        method: HTTP method.
        timeout: Seconds until giving up; None waits for ever.
        headers: Names and values of the headers.
        data: The body.
        certfile: Certificate chain of the client.
        keyfile: Key of the client.
        cafile: Authorities that the server's certificate must come from; those of the system where it is None.
        protocol: Protocol of the TLS context.
        insecure_skip_verify: Whether to trust any server.

    Returns:
        A function that sends the request, and raises an `OSError` where that fails.

    Raises:
        OSError: A certificate cannot be read.
    """
    exposition = _exposition()
    ssl = exposition.ssl
    context = ssl.SSLContext(protocol=protocol)
    if cafile is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(cafile)
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certfile=certfile, keyfile=keyfile)
    return _make_handler(url, method, timeout, headers, data, exposition.HTTPSHandler(context=context))


def push_to_gateway(
    gateway: str,
    job: str,
    registry: Collector,
    grouping_key: dict[str, Any] | None = None,
    timeout: float | None = 30,
    handler: Handler = default_handler,
    compression: CompressionType = None,
) -> None:
    """Replaces everything that the gateway has under a job and a grouping key (HTTP PUT).

    Args:
        gateway: URL of the gateway, `http://` where it says nothing.
        job: Value of the label `job`.
        registry: Where to collect.
        grouping_key: Further labels that name the group, and their values.
        timeout: Seconds until giving up; None waits for ever.
        handler: Called with url, method, timeout, headers and data; returns a function that sends the request.
        compression: How to compress the body. `snappy` needs python-snappy.

    Raises:
        OSError: The gateway cannot be reached, or refuses.
        ValueError: The compression is unknown.
        RuntimeError: The compression is not installed.
    """
    _exposition()._use_gateway("PUT", gateway, job, registry, grouping_key, timeout, handler, compression)


def pushadd_to_gateway(
    gateway: str,
    job: str,
    registry: Collector | None,
    grouping_key: dict[str, Any] | None = None,
    timeout: float | None = 30,
    handler: Handler = default_handler,
    compression: CompressionType = None,
) -> None:
    """Replaces the families of the same names under a job and a grouping key, and keeps the others (HTTP POST).

    Args:
        gateway: URL of the gateway, `http://` where it says nothing.
        job: Value of the label `job`.
        registry: Where to collect; None means the default registry.
        grouping_key: Further labels that name the group, and their values.
        timeout: Seconds until giving up; None waits for ever.
        handler: Called with url, method, timeout, headers and data; returns a function that sends the request.
        compression: How to compress the body. `snappy` needs python-snappy.

    Raises:
        OSError: The gateway cannot be reached, or refuses.
        ValueError: The compression is unknown.
        RuntimeError: The compression is not installed.
    """
    _exposition()._use_gateway("POST", gateway, job, registry, grouping_key, timeout, handler, compression)


def delete_from_gateway(
    gateway: str,
    job: str,
    grouping_key: dict[str, Any] | None = None,
    timeout: float | None = 30,
    handler: Handler = default_handler,
) -> None:
    """Deletes everything that the gateway has under a job and a grouping key (HTTP DELETE).

    Args:
        gateway: URL of the gateway, `http://` where it says nothing.
        job: Value of the label `job`.
        grouping_key: Further labels that name the group, and their values.
        timeout: Seconds until giving up; None waits for ever.
        handler: Called with url, method, timeout, headers and data; returns a function that sends the request.

    Raises:
        OSError: The gateway cannot be reached, or refuses.
    """
    _exposition()._use_gateway("DELETE", gateway, job, None, grouping_key, timeout, handler)


def _use_gateway(
    method: str,
    gateway: str,
    job: str,
    registry: Collector | None,
    grouping_key: dict[str, Any] | None,
    timeout: float | None,
    handler: Handler,
    compression: CompressionType = None,
) -> None:
    exposition = _exposition()
    if exposition.urlparse(gateway).scheme not in {"http", "https"}:
        gateway = f"http://{gateway}"
    group = [("job", job), *((str(name), str(value)) for name, value in sorted((grouping_key or {}).items()))]
    path = "/".join("/".join(_escape_grouping_key(name, value)) for name, value in group)
    if method == "DELETE":
        if compression is not None:
            raise ValueError("Compression is not supported for DELETE requests.")
        data, headers = b"", [("Content-Type", exposition.CONTENT_TYPE_PLAIN_0_0_4)]
    else:
        families = exposition.REGISTRY if registry is None else registry
        data, headers = _compress_payload(exposition.generate_latest(families, UNDERSCORES), compression)
    url = f"{gateway.rstrip('/')}/metrics/{path}"
    handler(url=url, method=method, timeout=timeout, headers=headers, data=data)()


def _compress_payload(data: bytes, compression: CompressionType) -> tuple[bytes, list[tuple[str, str]]]:
    """Returns the body and the headers to send.

    Raises:
        ValueError: The compression is unknown.
        RuntimeError: The compression is not installed.
    """
    exposition = _exposition()
    headers = [("Content-Type", exposition.CONTENT_TYPE_PLAIN_0_0_4)]
    if compression is None:
        return data, headers
    encoding = compression.lower()
    if encoding == "gzip":
        compressed = exposition.gzip.compress(data)
    elif encoding == "snappy":
        if not exposition.SNAPPY_AVAILABLE:
            raise RuntimeError("Snappy compression requires the python-snappy package to be installed.")
        compressor = exposition.snappy.StreamCompressor()
        compressed = compressor.compress(data)
        flush = getattr(compressor, "flush", None)
        if callable(flush):
            compressed += flush()
    else:
        raise ValueError(f"Unsupported compression type: {compression}")
    return compressed, [*headers, ("Content-Encoding", encoding)]


def _escape_grouping_key(k: str, v: str) -> tuple[str, str]:
    """Writes a label of the group as two parts of a path; base64 where the value could not be one."""
    if not v:
        return k + "@base64", "="
    exposition = _exposition()
    if "/" in v or " " in v:
        return k + "@base64", exposition.base64.urlsafe_b64encode(v.encode("utf-8")).decode("utf-8")
    return k, exposition.quote_plus(v)


def instance_ip_grouping_key() -> dict[str, Any]:
    """Returns a grouping key with the address of this host as `instance`."""
    socket = _exposition().socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # No packet is sent: a datagram socket only chooses its own address. macOS chooses none for localhost. As a
        # number: a fork while another thread resolves a name leaves the resolver locked in the child.
        probe.connect(("10.255.255.255", 1) if sys.platform == "darwin" else ("127.0.0.1", 0))
        return {"instance": probe.getsockname()[0]}
