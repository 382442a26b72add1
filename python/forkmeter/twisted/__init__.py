"""Serves scrapes from Twisted."""

from __future__ import annotations

from ._exposition import MetricsResource

__all__ = ["MetricsResource"]
