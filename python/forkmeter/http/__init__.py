"""What HTTP metrics are called, and what labels they have: shared by `forkmeter.fastapi` and `forkmeter.wsgi`.

See `docs/http.md`.
"""

from __future__ import annotations

from ._labels import Exchange, Label
from ._names import FORKMETER, INSTRUMENTATOR, STARLETTE_EXPORTER, Family, Names, instrumentator, starlette_exporter

__all__ = (
    "FORKMETER",
    "INSTRUMENTATOR",
    "STARLETTE_EXPORTER",
    "Exchange",
    "Family",
    "Label",
    "Names",
    "instrumentator",
    "starlette_exporter",
)
