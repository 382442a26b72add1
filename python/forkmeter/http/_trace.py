"""Finds the trace that a request belongs to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_SAMPLED = 1


def exemplar(scope: Mapping[str, Any]) -> dict[str, str] | None:
    """Returns the labels of an exemplar, where the request belongs to a trace that is kept.

    OpenTelemetry is asked where the program has loaded it, otherwise the request's `traceparent` header.

    Args:
        scope: The ASGI scope, or the WSGI environment.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            if not context.trace_flags & _SAMPLED:
                return None
            return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
    return _of_header(_traceparent(scope))


def _traceparent(scope: Mapping[str, Any]) -> str:
    for name, value in scope.get("headers") or ():
        if name == b"traceparent":
            return bytes(value).decode("latin-1")
    return str(scope.get("HTTP_TRACEPARENT", ""))


def _of_header(header: str) -> dict[str, str] | None:
    parts = header.split("-")
    # W3C Trace Context: version, trace, parent, flags.
    if len(parts) < 4 or len(parts[1]) != 32 or len(parts[2]) != 16:
        return None
    try:
        flags = int(parts[3], 16)
        if not flags & _SAMPLED or not int(parts[1], 16) or not int(parts[2], 16):
            return None
    except ValueError:
        return None
    return {"trace_id": parts[1], "span_id": parts[2]}
