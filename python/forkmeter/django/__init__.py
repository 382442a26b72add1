"""Serves scrapes from Django."""

from __future__ import annotations

from .exposition import PrometheusDjangoView

__all__ = ["PrometheusDjangoView"]
