"""A celery application that counts its tasks; the broker and the results are files."""

from __future__ import annotations

import os
import time

from celery import Celery
from counting import scrape, work

from support.celery_files import settings

app = Celery("celery_app")
app.conf.update(settings(os.environ["APP_FOLDER"]))


@app.task(name="work")  # type: ignore[untyped-decorator]
def work_task(number: int, victim: int) -> tuple[int, str]:
    """Handles one task; answers with the worker's process id."""
    work(number, victim)
    return os.getpid(), ""


@app.task(name="metrics")  # type: ignore[untyped-decorator]
def metrics_task() -> tuple[int, str]:
    """Answers with the worker's process id and what a scrape of it gives."""
    # Long enough that one worker does not take all such tasks.
    time.sleep(0.05)
    return os.getpid(), scrape()
