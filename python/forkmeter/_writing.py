"""Writes expositions: what is native without holding other threads up, the rest in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _directory
from ._forkmeter import Exposition, NativeFamily
from .registry import Collector, families_to_write

if TYPE_CHECKING:
    from collections.abc import Callable

    from .metrics_core import Metric

    WriteMetric = Callable[[Metric, list[str]], None]


def write(registry: Collector, escaping: str, write_metric: WriteMetric, *, is_openmetrics: bool) -> bytes:
    """Collects and writes an exposition.

    Args:
        registry: Where to collect.
        escaping: How to write names that the legacy scheme does not allow.
        write_metric: Appends the lines of a family in Python's form.
        is_openmetrics: Whether to write OpenMetrics, not the text format.

    Raises:
        Exception: What a collector raises; or a sample cannot be written, then the last of the exception's arguments is
            its family.
    """
    exposition = Exposition(id(registry), is_openmetrics, escaping)
    native: list[NativeFamily] = []

    def write_here(metric: Metric) -> None:
        lines: list[str] = []
        try:
            write_metric(metric, lines)
        except Exception as exception:
            exception.args = (*(exception.args or ("",)), metric)
            raise
        exposition.write("".join(lines).encode("utf-8"))

    def write_native() -> None:
        if not native:
            return
        try:
            exposition.write_families(native)
        except ValueError:
            # What is wrong is reported, or written all the same, as the official client does it.
            for family in native:
                write_here(_directory.to_metric(family))
        native.clear()

    for family in families_to_write(registry):
        if isinstance(family, NativeFamily):
            native.append(family)
        else:
            write_native()
            write_here(family)
    write_native()
    if is_openmetrics:
        exposition.write(b"# EOF\n")
    return exposition.finish()
