"""Value classes: what keeps a number for a metric.

Metrics look `ValueClass` up whenever they make values. As long as it is `NativeValueClass`, values are native: this
process's own, or shared with all workers where a directory is named. Any other class is called for each value, as
the official client does.
"""

from __future__ import annotations

import os
import warnings
from threading import RLock
from typing import TYPE_CHECKING, Any

from . import _forkmeter
from ._weak import WeakList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .mmap_dict import MmapedDict as MmapedDict
    from .mmap_dict import mmap_key as mmap_key

_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_DEPRECATED_VARIABLE = "prometheus_multiproc_dir"


if not TYPE_CHECKING:
    # Type checkers know the names from above, and that there are no others.
    def __getattr__(name: str) -> Any:
        """Imports what only values in files need."""
        if name in {"MmapedDict", "mmap_key"}:
            from . import mmap_dict

            value = globals()[name] = getattr(mmap_dict, name)
            return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def warn_of_deprecated_variable() -> None:
    """Warns where only the lower-case variable names the directory, and sets the other one."""
    if _forkmeter.uses_deprecated_variable():
        _adopt_deprecated_variable()


def _adopt_deprecated_variable() -> None:
    if _DEPRECATED_VARIABLE in os.environ and _VARIABLE not in os.environ:
        os.environ[_VARIABLE] = os.environ[_DEPRECATED_VARIABLE]
        warnings.warn(
            f"{_DEPRECATED_VARIABLE} variable has been deprecated in favor of the upper case naming {_VARIABLE}",
            DeprecationWarning,
            stacklevel=4,
        )


class MutexValue:
    """Keeps a number in the memory of this process.

    Takes what every value class takes: the type, the family's and the sample's name, label names and values, and the
    help text. It needs none of them.
    """

    _multiprocess = False
    # One for all, so that a new child can replace it: another thread may have held it.
    _lock = RLock()

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Sequence[str],
        labelvalues: Sequence[str],
        help_text: str,
        **kwargs: Any,
    ) -> None:
        del typ, metric_name, name, labelnames, labelvalues, help_text, kwargs
        self._value = 0.0
        self._exemplar: Any = None

    def inc(self, amount: float) -> None:
        """Adds to the value."""
        with self._lock:
            self._value += amount

    def set(self, value: float, timestamp: float | None = None) -> None:  # noqa: ARG002 -- see `MultiProcessValue`
        """Replaces the value."""
        with self._lock:
            self._value = value

    def set_exemplar(self, exemplar: Any) -> None:
        """Replaces the exemplar."""
        with self._lock:
            self._exemplar = exemplar

    def get(self) -> float:
        """Returns the value."""
        with self._lock:
            return self._value

    def get_exemplar(self) -> Any:
        """Returns the last exemplar, if any."""
        with self._lock:
            return self._exemplar


class _ProcessFiles:
    """The files of one process identifier, and the values in them."""

    def __init__(self, process_identifier: Callable[[], Any]) -> None:
        self.lock = RLock()
        self._identify = process_identifier
        self._identifier = process_identifier()
        self._files: dict[str, MmapedDict] = {}
        self._values: WeakList[Any] = WeakList()

    def add(self, value: Any) -> None:
        """Opens the file of a new value."""
        with self.lock:
            self.follow()
            value._open()
            self._values.add(value)

    def file(self, prefix: str) -> MmapedDict:
        """Returns the file of a kind of values; the lock is held."""
        file = self._files.get(prefix)
        if file is None:
            directory = os.environ.get(_VARIABLE)
            if directory is None:
                configured = _forkmeter.directory()
                directory = os.fspath(configured[0]) if configured else ""
            # As an attribute: it is imported then, and programs replace it.
            from . import values  # noqa: PLW0406 -- see `__getattr__`

            file = values.MmapedDict(os.path.join(directory, f"{prefix}_{self._identifier}.db"))
            self._files[prefix] = file
        return file

    def follow(self) -> None:
        """Moves all values to other files where the identifier changed, as after a fork; the lock is held."""
        identifier = self._identify()
        if identifier != self._identifier:
            self._identifier = identifier
            self._close_files()
            for value in self._values.items():
                value._open()

    def _close_files(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def close(self) -> None:
        """Closes all files; the values in them can no longer be used."""
        with self.lock:
            self._close_files()
            self._values.clear()


_all_files: WeakList[_ProcessFiles] = WeakList()
# Kept until `close_all_multiprocess_files`, as the classes that use them may be gone before.
_open_files: list[_ProcessFiles] = []


def _renew_locks() -> None:
    """Replaces the locks in a new child, where another thread may have held them."""
    MutexValue._lock = RLock()
    for files in _all_files.items():
        files.lock = RLock()


os.register_at_fork(after_in_child=_renew_locks)


def close_all_multiprocess_files() -> None:
    """Closes the files of all classes that `MultiProcessValue` made."""
    while _open_files:
        _open_files.pop().close()


def MultiProcessValue(process_identifier: Callable[[], Any] = os.getpid) -> type[Any]:  # noqa: N802
    """Makes a value class that keeps numbers in files of the official client's kind, one per process and type.

    Args:
        process_identifier: Names the process. Processes that run at the same time must get different names.

    Returns:
        The class, which may be subclassed.

    Note: differs
        This is for programs that name processes themselves. Without it, all workers share one file per type, and
        neither files nor the time of a scrape grow with the number of processes that have lived.
    """
    files = _ProcessFiles(process_identifier)
    _all_files.add(files)
    _open_files.append(files)

    class MmapedValue:
        """Keeps a number in a file of this process."""

        _multiprocess = True

        def __init__(
            self,
            typ: str,
            metric_name: str,
            name: str,
            labelnames: Sequence[str],
            labelvalues: Sequence[str],
            help_text: str,
            multiprocess_mode: str = "",
            **kwargs: Any,  # noqa: ARG002 -- every value class takes more than it needs
        ) -> None:
            self._params = (typ, metric_name, name, labelnames, labelvalues, help_text, multiprocess_mode)
            _adopt_deprecated_variable()
            files.add(self)

        def _open(self) -> None:
            typ, metric_name, name, labelnames, labelvalues, help_text, mode = self._params
            self._file = files.file(f"{typ}_{mode}" if typ == "gauge" else typ)
            from . import values  # noqa: PLW0406 -- see `__getattr__`

            self._key = values.mmap_key(metric_name, name, labelnames, labelvalues, help_text)
            self._value, self._timestamp = self._file.read_value(self._key)

        def _write(self, value: float, timestamp: float) -> None:
            self._value = value
            self._timestamp = timestamp
            self._file.write_value(self._key, value, timestamp)

        def inc(self, amount: float) -> None:
            """Adds to the value."""
            with files.lock:
                files.follow()
                self._write(self._value + amount, 0.0)

        def set(self, value: float, timestamp: float | None = None) -> None:
            """Replaces the value, set at a Unix time in seconds where that matters."""
            with files.lock:
                files.follow()
                self._write(value, timestamp or 0.0)

        def get(self) -> float:
            """Returns this process's value."""
            with files.lock:
                files.follow()
                return self._value

        def set_exemplar(self, exemplar: Any) -> None:
            """Does nothing: these files have no room for exemplars."""

        def get_exemplar(self) -> None:
            """Returns nothing: these files have no room for exemplars."""

        @classmethod
        def close_all_files(cls) -> None:
            """Closes the files of this class."""
            files.close()

    return MmapedValue


class NativeValueClass:
    """Stands for native values: metrics that find it in `ValueClass` make no value objects at all.

    Called or subclassed by others, it is the class that the official client would have in its place at the time.
    """

    def __init__(
        self,
        typ: str,
        metric_name: str,
        name: str,
        labelnames: Sequence[str],
        labelvalues: Sequence[str],
        help_text: str,
        **kwargs: Any,
    ) -> None:
        own = (typ, metric_name, name, labelnames, labelvalues, help_text)
        self._inner = get_value_class()(*own, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Hands everything on."""
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)


def get_value_class() -> type[Any]:
    """Returns the class that the official client would use now.

    Returns:
        `MutexValue`, or where a directory is named a new class with a file per process.
    """
    if _DEPRECATED_VARIABLE in os.environ or _VARIABLE in os.environ or _forkmeter.directory() is not None:
        return MultiProcessValue()
    return MutexValue


ValueClass: type[Any] = NativeValueClass
