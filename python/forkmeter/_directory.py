"""The directory that workers share, as registries and collectors see it."""

from __future__ import annotations

import atexit
import os
import sys
from typing import TYPE_CHECKING

from . import _forkmeter
from .metrics_core import Metric
from .samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ._forkmeter import NativeFamily

# After what programs have done at the end of a child of `multiprocessing`, which may count.
_LAST_PRIORITY = -1000

_reported: set[str] = set()


def is_shared() -> bool:
    """Tells whether values are shared in a directory now."""
    return _forkmeter.directory() is not None


def to_metric(family: Metric | NativeFamily) -> Metric:
    """Makes a family in Python's form of one in any form."""
    if isinstance(family, Metric):
        return family
    name, documentation, kind, unit, samples = family.fields()
    metric = Metric(name, documentation, kind, unit)
    metric.samples = [Sample(*sample) for sample in samples]
    return metric


def collect_own(names: Iterable[str] | None = None) -> list[NativeFamily]:
    """Returns what all workers of this process's directory counted; logs once what could not be read.

    Args:
        names: Samples' names: nothing is read that only others need.
    """
    from . import metrics

    families, errors = _forkmeter.collect_store(metrics._use_created, writable_names(names))
    report(errors)
    return families


def writable_names(names: Iterable[str] | None) -> list[str] | None:
    """Returns those of some names that a sample can have, wherever it is kept."""
    if names is None:
        return None
    return [name for name in names if isinstance(name, str) and name.encode("utf-8", "ignore").decode() == name]


def report(errors: list[str]) -> None:
    """Logs each error once.

    Args:
        errors: Say what could not be read.
    """
    for error in errors:
        if error not in _reported and warn(error):
            _reported.add(error)


def warn(text: str) -> bool:
    """Logs a line.

    Args:
        text: The line.

    Returns:
        Whether it could be logged.
    """
    try:
        # Most programs never need it, or import it after all they must start with.
        import logging
    except (OSError, ImportError):
        # No more files can be opened, and it is said later; or the interpreter is ending.
        return False
    logging.getLogger("forkmeter").warning("%s", text)
    return True


def _refresh_at_exit() -> None:
    """Brings what is still kept in memory, because the directory was busy, into it; says what is lost."""
    lost, why = _forkmeter.refresh_at_exit()
    if lost:
        report([f"{lost} series are lost with process {os.getpid()}: {why}"])


def _refresh_at_end_of_children() -> None:
    """Has the same done at the end of children of `multiprocessing`, once that is there.

    They end by `os._exit`, without `atexit`, and forget in the beginning what their parent wanted done at the end.
    """
    global _knows_children  # noqa: PLW0603 -- once
    module: Any = sys.modules.get("multiprocessing.util")
    # While it is being imported nobody has children yet.
    if not _knows_children and hasattr(module, "Finalize"):
        _knows_children = True
        module.register_after_fork(module, _refresh_at_end)
        # This may be such a child.
        _refresh_at_end(module)


_knows_children = False


def _refresh_at_end(module: Any) -> None:
    module.Finalize(None, _refresh_at_exit, exitpriority=_LAST_PRIORITY)


atexit.register(_refresh_at_exit)
os.register_at_fork(before=_refresh_at_end_of_children)
_refresh_at_end_of_children()


def stands_in_directory(collector: Any) -> bool:
    """Tells whether a collector is a metric whose values are in the directory, and nowhere else."""
    if not isinstance(collector, _forkmeter.NativeMetric) or not collector._is_declared:
        return False
    own_samples = vars(collector).get("_child_samples")
    # The function of a gauge is called, and what it returns put into the directory.
    return own_samples is None or own_samples is vars(collector).get("_function_samples")


def is_reader(collector: Any) -> bool:
    """Tells whether a collector is a `MultiProcessCollector`."""
    # On the type: what makes up attributes, such as a mock, has this one too.
    return getattr(type(collector), "_is_reader", False) is True


def describes_directory(collector: Any) -> bool:
    """Tells whether a collector describes the directory, so that every worker has the same answer."""
    # On the type, as above.
    return getattr(type(collector), "_describes_directory", False) is True


def is_collector_of_own(collector: Any) -> bool:
    """Tells whether a collector reads this process's directory, so that asking it as well would count twice."""
    # Before the import, which no finalizer can do at the end of the interpreter.
    if not is_reader(collector):
        return False
    from . import multiprocess

    own = _forkmeter.directory()
    return own is not None and multiprocess.is_same_directory(own[0], collector._path)
