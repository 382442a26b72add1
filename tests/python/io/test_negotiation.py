"""Which format and which compression a scrape gets."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from forkmeter import CollectorRegistry, make_wsgi_app
from forkmeter.core import CounterMetricFamily, Metric, NativeHistogram
from forkmeter.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest, gzip_accepted

TEXT = CONTENT_TYPE_PLAIN_0_0_4
TEXT_1 = "text/plain; version=1.0.0; charset=utf-8; escaping="
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OPENMETRICS_2 = "application/openmetrics-text; version=2.0.0; charset=utf-8"

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


class OneCounter:
    """Collects a counter whose name the legacy scheme does not allow."""

    def collect(self) -> list[Metric]:
        return [CounterMetricFamily("dotted.name", "Help.", 1)]


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(OneCounter())
    return registry


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, TEXT),
        ("", TEXT),
        ("*/*", TEXT),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        ("text/plain;version=1.0.0", TEXT_1 + "underscores"),
        ("text/plain;version=1.0.0;escaping=allow-utf-8", TEXT_1 + "allow-utf-8"),
        ("TEXT/PLAIN; Version=1.0.0; Escaping=values", TEXT_1 + "values"),
        ('text/plain; version="1.0.0"; escaping="dots"', TEXT_1 + "dots"),
        ("text/plain;version=1.0.0;escaping=rot13", TEXT_1 + "underscores"),
        ("application/openmetrics-text", OPENMETRICS),
        ("application/openmetrics-text;escaping=allow-utf-8", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0", OPENMETRICS + "; escaping=underscores"),
        ("application/openmetrics-text;version=2.0.0", OPENMETRICS_2 + "; escaping=underscores"),
        (
            PROMETHEUS_2,
            OPENMETRICS + "; escaping=underscores",
        ),
        (
            PROMETHEUS_3,
            OPENMETRICS + "; escaping=allow-utf-8",
        ),
        # The q-value decides, not the order.
        ("application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=1.0.0;q=0.7", TEXT_1 + "underscores"),
        ("application/openmetrics-text;version=1.0.0;q=0.3,text/plain;q=0.7", TEXT),
        (
            "text/plain;version=0.0.4;q=0.3,application/openmetrics-text;version=1.0.0;q=0.7",
            OPENMETRICS + "; escaping=underscores",
        ),
        ("text/plain, application/openmetrics-text;version=1.0.0", OPENMETRICS + "; escaping=underscores"),
        # q=0 refuses.
        ("application/openmetrics-text;version=1.0.0;q=0", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0,text/plain;version=1.0.0;q=0.1", TEXT_1 + "underscores"),
        ("application/openmetrics-text;q=0.0,*/*", TEXT),
        ("text/plain;q=0,*/*", OPENMETRICS),
        ("application/openmetrics-text;version=1.0.0;q=nonsense", OPENMETRICS + "; escaping=underscores"),
        # Wildcards are about what is not named.
        ("*/*,text/plain;q=0.1,application/openmetrics-text;q=0.5", OPENMETRICS),
        ("*/*,application/openmetrics-text;version=1.0.0;q=0.5", TEXT),
        ("text/*;q=0.4,application/*;q=0.5", OPENMETRICS),
        # Versions that nobody here speaks are passed over, not repeated.
        ("application/openmetrics-text;version=9.9.9", TEXT),
        ("application/openmetrics-text;version=1.x", TEXT),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        (
            "application/openmetrics-text;version=9.9.9,application/openmetrics-text;version=1.0.0;q=0.1",
            OPENMETRICS + "; escaping=underscores",
        ),
        ("text/plain;version=7.0.0", TEXT),
        (";;,,=", TEXT),
    ],
)
def test_accept(registry: CollectorRegistry, accept: str | None, content_type: str) -> None:
    encoder, chosen = choose_encoder(accept)
    assert chosen == content_type
    body = encoder(registry).decode()
    assert body.endswith("# EOF\n") == ("openmetrics" in content_type)
    escaping = content_type.rpartition("escaping=")[2] if "escaping=" in content_type else "underscores"
    name = {
        "underscores": "dotted_name_total 1.0",
        "allow-utf-8": '{"dotted.name_total"} 1.0',
        "dots": "dotted_dot_name__total 1.0",
        "values": "U__dotted_2e_name__total 1.0",
    }[escaping]
    assert f"\n{name}\n" in body


def test_native_histograms_are_written_to_who_asks_for_openmetrics_2() -> None:
    metric = Metric("h", "Help.", "histogram")
    histogram = NativeHistogram(3, 2.5, 0, 0.001, 1, pos_spans=[(-1, 2)], pos_deltas=[1, 0])  # type: ignore[list-item]
    metric.add_sample("h", {"a": "b"}, None, native_histogram=histogram)  # type: ignore[arg-type]

    class Collector:
        def collect(self) -> list[Metric]:
            return [metric]

    encoder, _ = choose_encoder("application/openmetrics-text;version=2.0.0")
    assert encoder(Collector()).decode().splitlines()[2] == (
        'h{a="b"} {count:3,sum:2.5,schema:0,zero_threshold:0.001,zero_count:1,'
        "positive_spans:[-1:2],positive_deltas:[1,0]}"
    )
    encoder, _ = choose_encoder("application/openmetrics-text;version=1.0.0")
    assert len(encoder(Collector()).splitlines()) == 3


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("deflate", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.001", True),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip, *;q=0", True),
        ("identity", False),
        ("gzippy", False),
    ],
)
def test_accept_encoding(accept_encoding: str | None, expected: bool) -> None:
    assert gzip_accepted(accept_encoding) is expected


def scrape(app: Any, **environ: str) -> tuple[str, dict[str, str], bytes]:
    """Sends a WSGI request."""
    started: list[Any] = []
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", **environ}
    body = b"".join(app(environ, lambda *args: started.extend(args)))
    return started[0], dict(started[1]), body


def test_wsgi(registry: CollectorRegistry) -> None:
    app = make_wsgi_app(registry)
    status, headers, body = scrape(app)
    assert (status, headers, body) == ("200 OK", {"Content-Type": TEXT}, generate_latest(registry))
    _, headers, body = scrape(app, HTTP_ACCEPT_ENCODING="gzip")
    assert headers == {"Content-Type": TEXT, "Content-Encoding": "gzip"}
    assert gzip.decompress(body) == generate_latest(registry)
    _, headers, body = scrape(app, HTTP_ACCEPT_ENCODING="gzip;q=0")
    assert (headers, body) == ({"Content-Type": TEXT}, generate_latest(registry))
    assert scrape(app, REQUEST_METHOD="OPTIONS") == ("200 OK", {"Allow": "OPTIONS,GET"}, b"")
    status, headers, body = scrape(app, REQUEST_METHOD="POST")
    assert (status, headers) == ("405 Method Not Allowed", {"Allow": "OPTIONS,GET"})
    assert body == b"# HTTP 405 Method Not Allowed: POST; use OPTIONS or GET\n"
    assert scrape(app, PATH_INFO="/favicon.ico") == ("200 OK", {}, b"")


def test_names_restrict() -> None:
    registry = CollectorRegistry(support_collectors_without_names=True)
    registry.register(OneCounter())
    app = make_wsgi_app(registry)
    assert scrape(app, QUERY_STRING="name[]=other")[2] == b""
    assert b"dotted_name_total" in scrape(app, QUERY_STRING="name[]=other&name[]=dotted.name_total")[2]
