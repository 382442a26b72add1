"""A view for Django that answers scrapes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.http import HttpResponse
from django.views import View

from .. import multiprocess
from ..exposition import _bake_output
from ..registry import REGISTRY, CollectorRegistry

if TYPE_CHECKING:
    from django.http import HttpRequest


class PrometheusDjangoView(View):  # type: ignore[misc]
    """Answers scrapes from a registry, or where there is none from all processes or the default registry.

    Attributes:
        multiprocess_mode: Whether to collect from all processes.
        registry: Where to collect; `as_view(registry=...)` sets it.
    """

    multiprocess_mode: bool = "PROMETHEUS_MULTIPROC_DIR" in os.environ or "prometheus_multiproc_dir" in os.environ
    registry: CollectorRegistry | None = None

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ARG002 -- what views are given
        """Answers a scrape.

        Args:
            request: The request.
            *args: What the URL pattern captured.
            **kwargs: What the URL pattern captured by name.
        """
        if self.registry is None:
            if self.multiprocess_mode:
                self.registry = CollectorRegistry()
                multiprocess.MultiProcessCollector(self.registry)
            else:
                self.registry = REGISTRY
        status, headers, output = _bake_output(
            registry=self.registry,
            accept_header=request.headers.get("Accept"),
            accept_encoding_header=request.headers.get("Accept-Encoding"),
            # Indexing a QueryDict gives one value of several.
            params=dict(request.GET.lists()),
            disable_compression=False,
        )
        return HttpResponse(output, status=int(status.split(" ")[0]), headers=dict(headers))

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ARG002 -- as above
        """Tells which methods there are.

        Args:
            request: The request.
            *args: What the URL pattern captured.
            **kwargs: What the URL pattern captured by name.
        """
        return HttpResponse(status=200, headers={"Allow": "OPTIONS,GET"})
