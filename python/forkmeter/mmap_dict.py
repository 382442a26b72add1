"""Reads and writes one file of the official client: floats by key, in a memory-mapped file.

The native metrics do not use it. It is there for those who read, write or archive such files themselves, and for
values with a process identifier of their own. `docs/format.md` specifies the bytes.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Buffer = Any  # bytes or a map of them

# Programs assign another size to this name.
_INITIAL_MMAP_SIZE = 1 << 16

_HEADER_SIZE = 8
_USED = struct.Struct("i")
_LENGTH = struct.Struct("i")
_VALUE = struct.Struct("dd")
_ALIGNMENT = 8


def _read_all_values(data: Buffer, used: int = 0) -> Iterator[tuple[str, float, float, int]]:
    """Yields key, value, timestamp and the value's offset of all entries in the first `used` bytes.

    Without `used`, the data says itself how many count.
    """
    if used <= 0:
        (used,) = _USED.unpack_from(data, 0)
    offset = _HEADER_SIZE
    while offset < used:
        (length,) = _LENGTH.unpack_from(data, offset)
        if offset + length > used:
            raise RuntimeError("Read beyond file size detected, file is corrupted.")
        start = offset + _LENGTH.size
        key = data[start : start + length].decode("utf-8")
        offset = start + _padded(length)
        value, timestamp = _VALUE.unpack_from(data, offset)
        yield key, value, timestamp, offset
        offset += _VALUE.size


def _padded(length: int) -> int:
    """Returns the length of a key with its padding, of which there is always some."""
    return length + _ALIGNMENT - (_LENGTH.size + length) % _ALIGNMENT


class MmapedDict:
    """Maps keys to values with timestamps, in a file that other processes may read meanwhile.

    Not safe for several threads: callers lock.

    Args:
        filename: The file, which is made where it is missing.
        read_mode: Only read; the file must be there.
    """

    def __init__(self, filename: str | os.PathLike[str], read_mode: bool = False) -> None:
        self._f: IO[bytes] | None = open(filename, "rb" if read_mode else "a+b")  # noqa: SIM115 -- kept open
        self._fname = filename
        self._capacity = os.fstat(self._f.fileno()).st_size
        if self._capacity == 0:
            self._capacity = _INITIAL_MMAP_SIZE
            self._f.truncate(self._capacity)
        access = mmap.ACCESS_READ if read_mode else mmap.ACCESS_WRITE
        self._m: Any = mmap.mmap(self._f.fileno(), self._capacity, access=access)
        self._positions: dict[str, int] = {}
        (self._used,) = _USED.unpack_from(self._m, 0)
        if self._used == 0:
            self._set_used(_HEADER_SIZE)
        elif not read_mode:
            self._positions.update((key, offset) for key, _, _, offset in self._read_all_values())

    @staticmethod
    def read_all_values_from_file(filename: str | os.PathLike[str]) -> Iterator[tuple[str, float, float, int]]:
        """Reads a file without mapping it.

        Args:
            filename: The file.

        Returns:
            Key, value, timestamp and the value's offset of each entry.

        Raises:
            RuntimeError: An entry does not fit into the file; raised where it is met.
        """
        with open(filename, "rb") as file:
            data = file.read(mmap.PAGESIZE)
            (used,) = _USED.unpack_from(data, 0)
            if used > len(data):
                data += file.read(used - len(data))
        return _read_all_values(data, used)

    def _set_used(self, used: int) -> None:
        # A slice is written at once; `pack_into` would let readers see zeros for a moment.
        self._m[: _USED.size] = _USED.pack(used)
        self._used = used

    def _init_value(self, key: str) -> int:
        """Appends an entry with the value 0, and returns the value's offset."""
        encoded = key.encode("utf-8")
        entry = _LENGTH.pack(len(encoded)) + encoded.ljust(_padded(len(encoded))) + _VALUE.pack(0.0, 0.0)
        end = self._used + len(entry)
        if end > self._capacity:
            while end > self._capacity:
                self._capacity *= 2
            assert self._f is not None
            self._f.truncate(self._capacity)
            self._m = mmap.mmap(self._f.fileno(), self._capacity)
        self._m[self._used : end] = entry
        self._set_used(end)
        offset: int = end - _VALUE.size
        self._positions[key] = offset
        return offset

    def _offset(self, key: str) -> int:
        offset = self._positions.get(key)
        return self._init_value(key) if offset is None else offset

    def _read_all_values(self) -> Iterator[tuple[str, float, float, int]]:
        return _read_all_values(self._m, self._used)

    def read_all_values(self) -> Iterator[tuple[str, float, float]]:
        """Yields key, value and timestamp of each entry, in the order in which they were made."""
        for key, value, timestamp, _ in self._read_all_values():
            yield key, value, timestamp

    def read_value(self, key: str) -> tuple[float, float]:
        """Returns value and timestamp of a key, which is made with zeros where it is missing."""
        # First: a new key may need another map.
        offset = self._offset(key)
        value, timestamp = _VALUE.unpack_from(self._m, offset)
        return value, timestamp

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        """Writes value and timestamp of a key."""
        offset = self._offset(key)
        self._m[offset : offset + _VALUE.size] = _VALUE.pack(value, timestamp)

    def close(self) -> None:
        """Closes the file; closing again does nothing."""
        if self._f is not None:
            self._m.close()
            self._m = None
            self._f.close()
            self._f = None


def mmap_key(metric_name: str, name: str, labelnames: Sequence[str], labelvalues: Sequence[str], help_text: str) -> str:
    """Returns the key of one value.

    Args:
        metric_name: The family's name.
        name: The sample's name.
        labelnames: Label names.
        labelvalues: Their values, in the same order.
        help_text: The family's help text.

    Returns:
        JSON in which labels are sorted, so that their order makes no difference.
    """
    return json.dumps([metric_name, name, dict(zip(labelnames, labelvalues)), help_text], sort_keys=True)
