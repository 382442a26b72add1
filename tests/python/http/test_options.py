"""Names, labels and what is left out."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from forkmeter import CollectorRegistry, Counter
from forkmeter.http import Exchange, Family, Label, Names, instrumentator, starlette_exporter
from forkmeter.openmetrics.exposition import generate_latest as generate_openmetrics
from forkmeter.starlette import PrometheusMiddleware, expose
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from python.http.apps import fastapi_app, starlette_app
from python.http.driving import Client, counted, drive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forkmeter.http._names import Quantity

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def samples(registry: CollectorRegistry, name: str) -> list[tuple[dict[str, str], float]]:
    return [(s.labels, s.value) for f in registry.collect() for s in f.samples if s.name == name]


def ask(app: Any, *requests: tuple[str, str], **more: Any) -> list[Client]:
    async def run() -> list[Client]:
        return [await drive(app, method, path, **more) for method, path in requests]

    return asyncio.run(run())


def measured(**options: Any) -> tuple[Any, CollectorRegistry]:
    registry = CollectorRegistry()
    app = starlette_app()
    app.add_middleware(PrometheusMiddleware, registry=registry, **options)
    return app, registry


def test_paths_and_methods_that_are_excluded() -> None:
    app, registry = measured(exclude_paths=["/text", "/below/*"], exclude_methods=["OPTIONS", "HEAD"])
    ask(app, ("GET", "/text"), ("GET", "/below/x"), ("HEAD", "/"), ("OPTIONS", "/"), ("WEBSOCKET", "/text"))
    assert not counted(registry)
    assert not counted(registry, "http_requests_in_progress")
    ask(app, ("GET", "/textual"), ("GET", "/below"), ("GET", "/"))
    assert sum(counted(registry).values()) == 3.0


def test_status_as_a_class() -> None:
    app, registry = measured(status="class")
    ask(app, ("GET", "/text"), ("GET", "/nowhere"))
    assert counted(registry) == {("GET", "/text", "2xx"): 1.0, ("GET", "unmatched", "4xx"): 1.0}


@pytest.mark.parametrize("left_out", ["requests", "duration", "in_progress", "request_size", "response_size"])
def test_families_that_are_left_out(left_out: Quantity) -> None:
    names = {
        "requests": "http_requests",
        "duration": "http_request_duration_seconds",
        "in_progress": "http_requests_in_progress",
        "request_size": "http_request_size_bytes",
        "response_size": "http_response_size_bytes",
    }
    app, registry = measured(without=[left_out])
    ask(app, ("GET", "/text"))
    del names[left_out]
    assert {family.name for family in registry.collect()} == set(names.values())
    assert all(family.samples for family in registry.collect())


def test_buckets() -> None:
    app, registry = measured(duration_buckets=[1, 2], size_buckets=[5])
    ask(app, ("GET", "/text"))
    assert {labels["le"] for labels, _ in samples(registry, "http_request_duration_seconds_bucket")} == {
        "1.0",
        "2.0",
        "+Inf",
    }
    assert {labels["le"] for labels, _ in samples(registry, "http_response_size_bytes_bucket")} == {"5.0", "+Inf"}


@pytest.mark.parametrize(("unmatched", "expected"), [("nowhere", {("GET", "nowhere", "404"): 1.0}), (None, {})])
def test_requests_that_no_route_matches(unmatched: str | None, expected: dict[Any, float]) -> None:
    app, registry = measured(unmatched=unmatched)
    ask(app, ("GET", "/nope"))
    assert counted(registry) == expected


def test_labels_of_the_program(caplog: pytest.LogCaptureFixture) -> None:
    def tenant(exchange: Exchange) -> str | None:
        return exchange.header("X-Tenant")

    def cache(exchange: Exchange) -> object:
        assert exchange.status == 200, "an answer"
        return exchange.response_header("Content-Type")

    def broken(_: Exchange) -> str:
        raise LookupError("on purpose")

    app, registry = measured(
        labels={
            "zone": "eu",
            "tenant": Label(tenant, allowed={"a", "b"}),
            "kind": cache,
            "broken": broken,
            "path": Label(lambda exchange: exchange.scope["path"], max_values=1),
        }
    )
    with caplog.at_level(logging.WARNING, "forkmeter"):
        for name in (b"a", b"evil", b"b"):
            ask(app, ("GET", "/text"), headers=[(b"x-tenant", name)])
        ask(app, ("GET", "/items/1"))
    common = {"method": "GET", "status": "200", "zone": "eu", "broken": "other", "kind": "text/plain; charset=utf-8"}
    found = {tuple(sorted(labels.items())): value for labels, value in samples(registry, "http_requests_total")}
    expected = [
        {**common, "route": "/text", "tenant": "a", "path": "/text"},
        {**common, "route": "/text", "tenant": "b", "path": "/text"},
        {**common, "route": "/text", "tenant": "other", "path": "/text"},
        {**common, "route": "/items/{id:int}", "tenant": "other", "path": "other"},
    ]
    assert found == {tuple(sorted(labels.items())): 1.0 for labels in expected}
    assert samples(registry, "http_requests_in_progress")[0][0] == {"method": "GET", "route": "/text", "zone": "eu"}
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [LookupError]


def test_what_goes_wrong_while_measuring_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def exemplar(_: Any) -> dict[str, str]:
        raise KeyError("on purpose")

    app, registry = measured(exemplars=exemplar)
    with caplog.at_level(logging.WARNING, "forkmeter"):
        clients = ask(app, ("GET", "/text"), ("GET", "/text"))
    assert [client.sent[-1]["body"] for client in clients] == [b"text", b"text"]
    assert len(caplog.records) == 1
    # Whatever an exemplar's labels are, the request counts.
    assert counted(registry) == {("GET", "/text", "200"): 2.0}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{TRACE}-{SPAN}-01", {"trace_id": TRACE, "span_id": SPAN}),
        (f"00-{TRACE}-{SPAN}-00", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-zz", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_exemplars_of_the_header(header: str, expected: dict[str, str] | None) -> None:
    app, registry = measured()
    ask(app, ("GET", "/text"), headers=[(b"traceparent", header.encode())])
    assert counted(registry) == {("GET", "/text", "200"): 1.0}
    found = [s.exemplar for f in registry.collect() for s in f.samples if s.exemplar]
    assert [exemplar.labels for exemplar in found] == ([expected] * 2 if expected else [])
    assert (b"# {" in generate_openmetrics(registry)) == (expected is not None)
    app, registry = measured(exemplars=False)
    ask(app, ("GET", "/text"), headers=[(b"traceparent", header.encode())])
    assert not [s.exemplar for f in registry.collect() for s in f.samples if s.exemplar]


def test_exemplars_of_opentelemetry() -> None:
    app, registry = measured()
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        ask(app, ("GET", "/text"))
    found = [s.exemplar.labels for f in registry.collect() for s in f.samples if s.exemplar]
    context = span.get_span_context()
    own = {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}
    assert found == [own, own]


def test_middlewares_that_are_made_anew_share_families() -> None:
    registry = CollectorRegistry()
    for _ in range(3):
        app = starlette_app()
        app.add_middleware(PrometheusMiddleware, registry=registry)
        ask(app, ("GET", "/text"))
    assert counted(registry) == {("GET", "/text", "200"): 3.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"names": "wrong"}, "there are no names called 'wrong'"),
        ({"labels": {"__name": "x"}}, "__name"),
        ({"duration_buckets": [2, 1]}, "sorted"),
        ({"labels": {"another": "x"}}, "Duplicated"),
        ({"size_buckets": [1, 2]}, "Duplicated"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], message: str) -> None:
    registry = CollectorRegistry()
    PrometheusMiddleware(starlette_app(), registry=registry)
    with pytest.raises(ValueError, match=message):
        PrometheusMiddleware(starlette_app(), registry=registry, **options)


def test_a_name_that_something_else_has() -> None:
    registry = CollectorRegistry()
    Counter("http_requests", "Something else.", registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        PrometheusMiddleware(starlette_app(), registry=registry)


def test_families_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="requests cannot be a histogram; counter can"):
        Family("requests", "name", "Help.", "histogram")
    with pytest.raises(ValueError, match="the status of a request in progress is not known"):
        Family("in_progress", "name", "Help.", "gauge", ("status",))


def test_names_of_the_programs_own() -> None:
    names = Names(
        (
            Family("requests", "web_hits", "Hits.", "counter", ("route",)),
            Family("response_size", "web_bytes", "Bytes.", "counter", ()),
            Family("duration", "web_seconds", "Seconds.", "summary", ("method",)),
        ),
        labels={"route": "path", "method": "verb"},
        constants={"site": "main"},
    )
    app, registry = measured(names=names)
    ask(app, ("GET", "/text"), ("GET", "/items/7"))
    assert samples(registry, "web_hits_total") == [
        ({"path": "/text", "site": "main"}, 1.0),
        ({"path": "/items/{id:int}", "site": "main"}, 1.0),
    ]
    assert samples(registry, "web_bytes_total") == [({"site": "main"}, 8.0)]
    assert samples(registry, "web_seconds_count") == [({"verb": "GET", "site": "main"}, 2.0)]


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
def test_metrics_are_served_with_and_without_a_slash(make: Any) -> None:
    registry = CollectorRegistry()
    app = make()
    app.add_middleware(PrometheusMiddleware, registry=registry)
    expose(app, registry=registry)
    expose(app, "/own/place/", registry=registry)
    ask(app, ("GET", "/text"))
    for path in ("/metrics", "/metrics/", "/own/place", "/own/place/"):
        (client,) = ask(app, ("GET", path))
        assert client.sent[0]["status"] == 200
        assert b'http_requests_total{method="GET",route="/text",status="200"} 1.0\n' in client.sent[-1]["body"]
        assert counted(registry)["GET", path, "200"] == 1.0
    (client,) = ask(app, ("DELETE", "/metrics"))
    assert client.sent[0]["status"] == 405


# What the packages say themselves.


def same_requests() -> Iterable[tuple[str, str]]:
    return [
        ("GET", "/items/7"),
        ("GET", "/items/8"),
        ("GET", "/items/wrong"),
        ("GET", "/mounted/inner/7"),
        ("GET", "/outer/between/inner/7"),
        ("GET", "/nowhere"),
        ("GET", "/streams"),
    ]


def shape(registry: Any) -> dict[str, Any]:
    """Returns types, and what was counted; durations and their buckets' contents differ from run to run."""
    found: dict[str, Any] = {}
    for family in registry.collect():
        for sample in family.samples:
            # When a series was made is nobody's dashboard.
            if sample.name.endswith("_created"):
                continue
            timed = "duration" in sample.name and not sample.name.endswith("_count")
            key = (sample.name, *sorted(sample.labels.items()))
            found[str(key)] = (family.type, None if timed else sample.value)
    return found


def test_names_of_instrumentator_are_its_own() -> None:
    import prometheus_client
    from prometheus_fastapi_instrumentator import Instrumentator

    theirs = prometheus_client.CollectorRegistry()
    app = fastapi_app()
    Instrumentator(registry=theirs).instrument(app)
    ask(app, *same_requests())

    ours = CollectorRegistry()
    app = fastapi_app()
    app.add_middleware(PrometheusMiddleware, registry=ours, names="instrumentator")
    ask(app, *same_requests())

    expected = shape(theirs)
    assert len(expected) > 50
    # It takes the length from the header, which a stream has not.
    key = str(("http_response_size_bytes_sum", ("handler", "/streams")))
    assert expected.pop(key) == ("summary", 0.0)
    found = shape(ours)
    assert found.pop(key) == ("summary", 12.0)
    assert found == expected


def test_names_of_instrumentator_with_requests_in_progress() -> None:
    app, registry = measured(names=instrumentator("my", "api", in_progress=("method", "route")))
    ask(app, ("GET", "/text"))
    assert samples(registry, "my_api_http_requests_total") == [
        ({"method": "GET", "handler": "/text", "status": "2xx"}, 1.0)
    ]
    assert samples(registry, "http_requests_inprogress") == [({"method": "GET", "handler": "/text"}, 0.0)]


@pytest.mark.parametrize("unhandled", [False, True])
def test_names_of_starlette_exporter_are_its_own(unhandled: bool) -> None:
    import prometheus_client
    from starlette_exporter import PrometheusMiddleware as Theirs
    from starlette_exporter.optional_metrics import request_body_size, response_body_size

    prefix = f"shop{int(unhandled)}"
    app = fastapi_app()
    app.add_middleware(
        Theirs,
        app_name="shop",
        prefix=prefix,
        optional_metrics=[response_body_size, request_body_size],
        group_unhandled_paths=unhandled,
        filter_unhandled_paths=not unhandled,
    )
    ask(app, *same_requests())
    expected = {key: value for key, value in shape(prometheus_client.REGISTRY).items() if key.startswith(f"('{prefix}")}

    ours = CollectorRegistry()
    app = fastapi_app()
    names = starlette_exporter("shop", prefix, unhandled_paths=unhandled, body_sizes=True)
    app.add_middleware(PrometheusMiddleware, registry=ours, names=names)
    ask(app, *same_requests())
    found = shape(ours)
    assert len(expected) > 50
    streamed = [key for key in expected if "response_body_bytes" in key and "/streams" in key]
    assert [(expected.pop(key)[1], found.pop(key)[1]) for key in streamed] == [(0.0, 12.0)]
    assert found == expected
