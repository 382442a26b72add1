"""A resource for Twisted that answers scrapes in the reactor's thread pool."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.web.wsgi import WSGIResource

from .. import exposition
from ..registry import REGISTRY, Collector


def MetricsResource(registry: Collector = REGISTRY) -> WSGIResource:  # noqa: N802 -- it stands for a class
    """Makes a resource for Twisted that answers scrapes.

    Args:
        registry: Where to collect.

    Returns:
        The resource.
    """
    return WSGIResource(reactor, reactor.getThreadPool(), exposition.make_wsgi_app(registry))  # type: ignore[attr-defined,no-untyped-call,unused-ignore]
