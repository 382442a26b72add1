"""The ASGI application, driven by hand."""

from __future__ import annotations

import asyncio
import gzip
import threading
from contextvars import ContextVar
from typing import Any

import pytest
from forkmeter import CollectorRegistry, Counter, Gauge, make_asgi_app
from forkmeter._offload import is_small
from forkmeter.core import GaugeMetricFamily, Metric

REQUEST = {"type": "http.request", "body": b""}


async def ask(app: Any, *messages: dict[str, Any], **scope: Any) -> list[dict[str, Any]]:
    """Sends a request and returns what the application sends."""
    sent: list[dict[str, Any]] = []
    waiting = list(messages or (REQUEST,))

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"", **scope}
    await app(scope, receive, send)
    return sent


class Slow:
    """Waits inside a scrape until it is told to go on."""

    def __init__(self) -> None:
        self.collected: list[int] = []
        self.started = threading.Event()
        self.gate = threading.Event()
        self.error: Exception | None = None

    def collect(self) -> list[Metric]:
        self.collected.append(threading.get_ident())
        self.started.set()
        assert self.gate.wait(30)
        if self.error:
            raise self.error
        return [GaugeMetricFamily("slow", "Help.", 1)]


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def registry(slow: Slow) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(slow)
    return registry


async def until(condition: Any) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_loop_goes_on_while_a_scrape_waits(slow: Slow, registry: CollectorRegistry) -> None:
    async def main() -> None:
        scrape = asyncio.ensure_future(ask(make_asgi_app(registry)))
        await until(slow.started.is_set)
        assert not scrape.done()
        slow.gate.set()
        start, body = await scrape
        assert start["status"] == 200
        assert b"slow 1.0\n" in body["body"]
        assert threading.get_ident() not in slow.collected

    asyncio.run(main())


def test_scrapes_for_the_same_share_one_answer(slow: Slow, registry: CollectorRegistry) -> None:
    async def main() -> None:
        app = make_asgi_app(registry)
        same = [asyncio.ensure_future(ask(app)) for _ in range(5)]
        accept = [(b"accept", b"application/openmetrics-text")]
        other = asyncio.ensure_future(ask(app, headers=accept))
        await until(lambda: len(slow.collected) == 2)
        # Who goes away does not take the answer along.
        same[0].cancel()
        await asyncio.sleep(0)
        slow.gate.set()
        answers = await asyncio.gather(*same[1:])
        assert all(answer == answers[0] for answer in answers)
        assert b"slow 1.0\n" in answers[0][1]["body"]
        assert (await other)[1]["body"].endswith(b"# EOF\n")
        assert len(slow.collected) == 2
        # The next one collects anew.
        await ask(app)
        assert len(slow.collected) == 3

    asyncio.run(main())


def test_error_of_a_collector_reaches_every_scrape_and_no_later_one(slow: Slow, registry: CollectorRegistry) -> None:
    async def main() -> None:
        app = make_asgi_app(registry)
        scrapes = [asyncio.ensure_future(ask(app)) for _ in range(2)]
        await until(slow.started.is_set)
        slow.error = OSError("broken")
        slow.gate.set()
        for result in await asyncio.gather(*scrapes, return_exceptions=True):
            assert isinstance(result, OSError)
        slow.error = None
        assert len(await ask(app)) == 2

    asyncio.run(main())


def test_one_application_in_several_loops(slow: Slow, registry: CollectorRegistry) -> None:
    app = make_asgi_app(registry)
    slow.gate.set()
    for _ in range(3):
        assert len(asyncio.run(ask(app))) == 2


def test_collectors_see_the_context_of_the_scrape() -> None:
    variable: ContextVar[float] = ContextVar("variable")

    class Reading:
        def collect(self) -> list[Metric]:
            return [GaugeMetricFamily("seen", "Help.", variable.get())]

    async def main() -> None:
        registry = CollectorRegistry()
        registry.register(Reading())
        variable.set(7)
        assert b"seen 7.0\n" in (await ask(make_asgi_app(registry)))[1]["body"]

    asyncio.run(main())


def test_methods() -> None:
    registry = CollectorRegistry()
    Counter("c", "Help.", registry=registry).inc()
    app = make_asgi_app(registry)

    async def main() -> None:
        get = await ask(app)
        head = await ask(app, method="HEAD")
        assert head[0]["status"] == 200
        assert head[0]["headers"] == [
            *get[0]["headers"],
            (b"Content-Length", str(len(get[1]["body"])).encode()),
        ]
        assert head[1]["body"] == b""
        options = await ask(app, method="OPTIONS")
        assert options[0]["status"] == 200
        assert options[0]["headers"] == [(b"Allow", b"OPTIONS,GET,HEAD")]
        for method in ("POST", "DELETE"):
            refused = await ask(app, method=method)
            assert refused[0]["status"] == 405
            assert refused[0]["headers"] == [(b"Allow", b"OPTIONS,GET,HEAD")]
            assert method.encode() in refused[1]["body"]

    asyncio.run(main())


def test_headers_may_come_more_than_once_and_refuse() -> None:
    registry = CollectorRegistry()
    Counter("c", "Help.", registry=registry).inc()
    app = make_asgi_app(registry)

    async def main() -> None:
        start, body = await ask(app, headers=[(b"Accept-Encoding", b"deflate"), (b"accept-encoding", b"gzip")])
        assert (b"Content-Encoding", b"gzip") in start["headers"]
        assert b"c_total 1.0" in gzip.decompress(body["body"])
        _, body = await ask(app, headers=[(b"accept-encoding", b"gzip;q=0")])
        assert b"c_total 1.0" in body["body"]

    asyncio.run(main())


def test_name_in_the_query_restricts() -> None:
    registry = CollectorRegistry()
    Counter("one", "Help.", registry=registry)
    Counter("two", "Help.", registry=registry)
    body = asyncio.run(ask(make_asgi_app(registry), query_string=b"name[]=one_total"))[1]["body"]
    assert b"one_total" in body
    assert b"two_total" not in body


def test_who_is_gone_gets_nothing(registry: CollectorRegistry, slow: Slow) -> None:
    slow.gate.set()
    assert asyncio.run(ask(make_asgi_app(registry), {"type": "http.disconnect"})) == []


def test_lifespan() -> None:
    app = make_asgi_app(CollectorRegistry())
    sent = asyncio.run(ask(app, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}, type="lifespan"))
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_other_scopes_are_refused() -> None:
    with pytest.raises(AssertionError, match="websocket"):
        asyncio.run(ask(make_asgi_app(CollectorRegistry()), type="websocket"))


def test_only_a_few_plain_series_are_written_at_once() -> None:
    registry = CollectorRegistry()
    counter = Counter("c", "Help.", ["label"], registry=registry)
    for number in range(64):
        counter.labels(number)
    assert is_small(registry)
    counter.labels("one more")
    assert not is_small(registry)
    counter.clear()
    assert is_small(registry)
    gauge = Gauge("g", "Help.", registry=registry)
    assert not is_small(registry)
    registry.unregister(gauge)
    assert is_small(registry)

    class Subclass(Counter):
        pass

    Subclass("s", "Help.", registry=registry)
    assert not is_small(registry)


def test_other_event_loops_get_an_answer(slow: Slow, registry: CollectorRegistry) -> None:
    """Under Trio there is no asyncio loop, and nothing of Trio's is needed before the answer."""
    slow.gate.set()
    coroutine = ask(make_asgi_app(registry))
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value[0]["status"] == 200
