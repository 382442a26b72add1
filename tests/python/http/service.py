"""A service that a server runs in several processes."""

from __future__ import annotations

import os

from fastapi import FastAPI
from forkmeter.fastapi import PrometheusMiddleware, expose

app = FastAPI()
app.add_middleware(PrometheusMiddleware, exclude_paths=["/metrics*"])
expose(app)


@app.get("/workers/{asked}")
def worker(asked: int) -> dict[str, int]:
    """Tells who answered; in a thread, so that both workers get their turn."""
    return {"asked": asked, "pid": os.getpid()}
