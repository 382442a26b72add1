"""Settings with which a celery worker and its client meet in a folder, without any service."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def settings(folder: str, *, sends_to: str = "queue") -> dict[str, Any]:
    """Returns the configuration of either side.

    Args:
        folder: where both keep their files; subfolders are made.
        sends_to: the subfolder for messages to the other side, which takes them from `queue`.
    """
    folders = {name: Path(folder) / name for name in ("queue", sends_to, "control", "results")}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": {
            "data_folder_in": str(folders["queue"]),
            "data_folder_out": str(folders[sends_to]),
            "control_folder": str(folders["control"]),
            "polling_interval": 0.02,
        },
        "result_backend": folders["results"].as_uri(),
        "broker_connection_retry_on_startup": True,
        # No limit: with one, files wait for two seconds whenever it is reached.
        "worker_prefetch_multiplier": 0,
        # How long to wait for the result of a task whose worker was killed, before it counts as lost.
        "worker_lost_wait": 0.2,
    }
