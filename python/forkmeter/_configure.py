"""Says and tells where this process keeps its values."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from . import _bounds, _forkmeter

if TYPE_CHECKING:
    from typing import Literal

_KEEP = _bounds.KEEP
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


def configure(
    dir: str | os.PathLike[str] | None = _KEEP,  # noqa: A002
    *,
    fresh: bool = False,
    max_series: int | None = _KEEP,
    idle_seconds: float | None = _KEEP,
) -> None:
    """Names the directory in which workers share their values, and sets bounds, from now on and for all metrics.

    May be called at any time, and again. What was counted while there was no directory moves into it; what was
    counted in another directory stays there.

    The bounds hold for all metrics with labels, also those that were made before, that have none of their own
    (`bound_series`, which tells what becomes of series beyond the bounds). Series that are there stay, also where there
    are more. Metrics of integrations such as `forkmeter.fastapi` are bounded as well; what describes the process or the
    directory (`process_*`, `python_*`, `forkmeter_*`) and custom collectors are not.

    Args:
        dir: The directory, made when it is missing. `None` leaves the choice to `PROMETHEUS_MULTIPROC_DIR` again, as
            does a call without any argument. Left out beside a bound, it stays what it is.
        fresh: Delete metrics that are in the directory already. Only for the process that starts the others.
        max_series: How many series a metric may have; `None` for no limit. Left out, it stays what it is: what an
            earlier call set, or else what the variable `FORKMETER_MAX_SERIES` says, or else no limit.
        idle_seconds: How long series of counters, histograms and summaries stay in which nobody counts; `None` for
            ever. Left out, as above, with the variable `FORKMETER_IDLE_SECONDS`. Gauges and enums expire only where
            their own `bound_series` says so: what they say holds for as long as nobody says otherwise.

    Raises:
        ValueError: `fresh` without a directory, or a negative bound.
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
        >>> forkmeter.configure(max_series=10_000, idle_seconds=24 * 3600)
        >>> forkmeter.configure(max_series=None, idle_seconds=None)
    """
    _bounds.set_defaults(max_series, idle_seconds)
    if dir is _KEEP:
        if fresh:
            raise ValueError("fresh=True needs a directory: configure(dir=..., fresh=True)")
        if max_series is not _KEEP or idle_seconds is not _KEEP:
            return
    if dir is _KEEP or dir is None:
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
