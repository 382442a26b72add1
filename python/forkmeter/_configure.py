"""Says and tells where this process keeps its values."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from . import _forkmeter

if TYPE_CHECKING:
    from typing import Literal

# What this package, the command and the official client put into a directory.
_OWN_FILE = (
    r"(counter|gauge|histogram|summary)_[^/]+\.db(\.left(-[0-9]+)?)?"
    r"|forkmeter\.(workers|meta|states|exemplars|fold|gc|published)(\.[^/]+)?"
)


class Worker(NamedTuple):
    """Describes a process that shares its values in the directory.

    Attributes:
        pid: Its process identifier, as it sees it itself.
        tag: The last part of its files' names.
        is_alive: Whether it lives.
        started_seconds: When it began to share values, as Unix time in seconds.
        kept_series: How many series it keeps in memory because the directory has no room.
    """

    pid: int
    tag: str
    is_alive: bool
    started_seconds: float
    kept_series: int


class Status(NamedTuple):
    """Describes where this process keeps its values.

    Attributes:
        mode: `single` where each process has its own values, `multiprocess` where workers share them.
        directory: The directory in which they are shared, if any.
        why: What decided that.
        is_open: Whether the directory is in use: it is opened when there is something to write.
        kept_series: How many series are kept in memory although there is a directory.
        problem: Why they are.
        workers: The processes that use the directory, dead ones among them.
    """

    mode: Literal["single", "multiprocess"]
    directory: str | None
    why: str
    is_open: bool
    kept_series: int
    problem: str | None
    workers: tuple[Worker, ...]


def configure(dir: str | os.PathLike[str] | None = None, *, fresh: bool = False) -> None:  # noqa: A002
    """Names the directory in which workers share their values, from now on and for all metrics.

    May be called at any time, and again. What was counted while there was no directory moves into it; what was
    counted in another directory stays there.

    Args:
        dir: The directory, made when it is missing. `None` leaves the choice to `PROMETHEUS_MULTIPROC_DIR` again.
        fresh: Delete metrics that are in the directory already. Only for the process that starts the others.

    Raises:
        ValueError: `fresh` without a directory.
        NotADirectoryError: `dir` is a file.

    Note:
        Children of `fork` go on with the same directory. A process that starts afresh, as with `spawn`, needs the
        call again, or the variable.

    Example:
        >>> import forkmeter, tempfile
        >>> with tempfile.TemporaryDirectory() as path:
        ...     forkmeter.configure(path)
        ...     forkmeter.status().why
        ...     forkmeter.configure(None)
        'configure()'
    """
    if dir is None:
        if fresh:
            raise ValueError("fresh=True needs a directory: configure(dir=..., fresh=True)")
        _forkmeter.set_directory(None)
        return
    # What is shown and compared later does not depend on the working directory.
    path = os.path.abspath(os.fspath(dir))
    if os.path.exists(path) and not os.path.isdir(path):
        raise NotADirectoryError(f"{path} is no directory: name one in which workers can share their metrics")
    if fresh:
        _delete_metrics(path)
    _forkmeter.set_directory(path)
    _forkmeter.refresh()


def _delete_metrics(path: str) -> None:
    try:
        names = os.listdir(path)
    except FileNotFoundError:
        return
    for name in names:
        if re.fullmatch(_OWN_FILE, name):
            os.remove(os.path.join(path, name))


def status() -> Status:
    """Tells where this process keeps its values, and why.

    Returns:
        The state at the moment.

    Example:
        >>> import forkmeter
        >>> forkmeter.status().mode
        'single'
    """
    named = _forkmeter.directory()
    if named is None:
        why = "neither configure() nor PROMETHEUS_MULTIPROC_DIR names a directory"
        return Status("single", None, why, is_open=False, kept_series=0, problem=None, workers=())
    path, why = named
    open_directory, kept_series, problem = _forkmeter.status()
    workers = tuple([Worker(*worker) for worker in _forkmeter.workers(path)])
    return Status(
        "multiprocess",
        os.fspath(path),
        why,
        is_open=open_directory is not None,
        kept_series=kept_series,
        problem=problem,
        workers=workers,
    )
