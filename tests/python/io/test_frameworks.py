"""aiohttp, Django and Starlette: what the official client's own tests of them leave out."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from typing import Any

import django
import httpx
import pytest
from aiohttp import ClientSession, web
from django.conf import settings
from django.test import RequestFactory
from forkmeter import CollectorRegistry, Counter, make_asgi_app
from forkmeter.aiohttp import make_aiohttp_handler
from forkmeter.core import GaugeMetricFamily, Metric
from starlette.applications import Starlette
from starlette.routing import Mount


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    for name in ("one", "two"):
        Counter(name, "Help.", registry=registry).inc()
    return registry


async def ask_aiohttp(handler: Any, *requests: dict[str, Any]) -> list[tuple[Any, bytes]]:
    """Serves with aiohttp on a port of its own and sends requests."""
    app = web.Application()
    app.router.add_get("/metrics", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        answers = []
        async with ClientSession(auto_decompress=False, skip_auto_headers=["Accept-Encoding"]) as session:
            for request in requests:
                async with session.get(url, **request) as response:
                    answers.append((response, await response.read()))
        return answers
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("accept_encoding", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=0, deflate", "deflate"),
        ("br", None),
    ],
)
def test_aiohttp_compresses_as_asked(registry: CollectorRegistry, accept_encoding: str, coding: str | None) -> None:
    request = {"headers": {"Accept-Encoding": accept_encoding}}
    ((response, body),) = asyncio.run(ask_aiohttp(make_aiohttp_handler(registry), request))
    assert response.headers.get("Content-Encoding") == coding
    if coding == "gzip":
        body = gzip.decompress(body)
    elif coding == "deflate":
        body = zlib.decompress(body)
    assert b"one_total 1.0\n" in body


def test_aiohttp_restricts_to_names(registry: CollectorRegistry) -> None:
    request = {"params": [("name[]", "one_total"), ("name[]", "other")]}
    ((_, body),) = asyncio.run(ask_aiohttp(make_aiohttp_handler(registry), request))
    assert b"one_total" in body
    assert b"two_total" not in body


def test_aiohttp_collects_outside_the_loop() -> None:
    threads: list[int] = []

    class Collector:
        def collect(self) -> list[Metric]:
            threads.append(threading.get_ident())
            return [GaugeMetricFamily("g", "Help.", 1)]

    registry = CollectorRegistry()
    registry.register(Collector())
    asyncio.run(ask_aiohttp(make_aiohttp_handler(registry), {}))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_starlette_mounts_the_application(registry: CollectorRegistry) -> None:
    app = Starlette(routes=[Mount("/metrics", app=make_asgi_app(registry))])

    async def main() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            for method, status in (("GET", 200), ("HEAD", 200), ("OPTIONS", 200), ("POST", 405)):
                response = await client.request(method, "/metrics/")
                assert response.status_code == status
            response = await client.get("/metrics/", params={"name[]": "two_total"})
            assert "two_total 1.0\n" in response.text
            assert "one_total" not in response.text

    asyncio.run(main())


@pytest.fixture(scope="module")
def view() -> Any:
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["testserver"])
        django.setup()
    from forkmeter.django import PrometheusDjangoView

    return PrometheusDjangoView


def test_django_restricts_to_names(registry: CollectorRegistry, view: Any) -> None:
    """A query has lists of values, of which indexing gives one: the official view restricts to its letters."""
    request = RequestFactory().get("/metrics", {"name[]": ["one_total", "other"]})
    body = view.as_view(registry=registry)(request).content
    assert b"one_total 1.0\n" in body
    assert b"two_total" not in body


def test_django_negotiates(registry: CollectorRegistry, view: Any) -> None:
    headers = {"HTTP_ACCEPT": "application/openmetrics-text;version=1.0.0", "HTTP_ACCEPT_ENCODING": "gzip"}
    response = view.as_view(registry=registry)(RequestFactory().get("/metrics", **headers))
    assert response["Content-Type"].startswith("application/openmetrics-text")
    assert response["Content-Encoding"] == "gzip"
    assert gzip.decompress(response.content).endswith(b"# EOF\n")
    response = view.as_view()(RequestFactory().options("/metrics"))
    assert (response.status_code, response["Allow"]) == (200, "OPTIONS,GET")


def test_django_view_serves_the_default_registry(view: Any) -> None:
    assert b"python_info" in view.as_view()(RequestFactory().get("/metrics")).content
