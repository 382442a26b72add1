"""HTTP metrics for FastAPI: a middleware, and a route that serves `/metrics`; the same as `forkmeter.starlette`."""

from __future__ import annotations

from .starlette import PrometheusMiddleware, expose

__all__ = ("PrometheusMiddleware", "expose")
