"""Settings with which a celery worker and its client meet in a folder, without any service."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def settings(folder: str) -> dict[str, Any]:
    """Returns the configuration of either side.

    Args:
        folder: where both keep their files; subfolders are made.
    """
    folders = {name: Path(folder) / name for name in ("queue", "control", "results")}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    queue = str(folders["queue"])
    return {
        "broker_url": "filesystem://",
        "broker_transport_options": {
            "data_folder_in": queue,
            "data_folder_out": queue,
            "control_folder": str(folders["control"]),
            "polling_interval": 0.02,
        },
        "result_backend": folders["results"].as_uri(),
        "broker_connection_retry_on_startup": True,
        # No limit: with one, files wait for two seconds whenever it is reached.
        "worker_prefetch_multiplier": 0,
    }
