"""The pytest plugin under its public name; pytest finds it by itself where forkmeter is installed.

`-p forkmeter.pytest_plugin` loads it where plugins are not found by themselves (`PYTEST_DISABLE_PLUGIN_AUTOLOAD`).
"""

from __future__ import annotations

from .testing import Change, Delta, Metrics, isolate

__all__ = ("Change", "Delta", "Metrics", "isolate")

pytest_plugins: tuple[str, ...] = ("pytest_forkmeter",)
