"""Segments written byte by byte, as `docs/format.md` has them, for tests of files that no client writes."""

from __future__ import annotations

import json
import struct

HEADER_BYTES = 8


def key(family: str, sample: str, labels: dict[str, str], help_text: str = "Help.") -> bytes:
    """Returns the key of an entry."""
    return json.dumps([family, sample, labels, help_text], sort_keys=True).encode()


def entry(raw_key: bytes, value: float, timestamp: float = 0.0) -> bytes:
    """Returns an entry: the key's length, the key padded to eight bytes, the value and the timestamp."""
    padding = 8 - (len(raw_key) + 4) % 8
    return struct.pack("<i", len(raw_key)) + raw_key + b" " * padding + struct.pack("<dd", value, timestamp)


def segment(*entries: bytes, used: int | None = None, mark: bytes = bytes(4)) -> bytes:
    """Returns a whole file.

    Args:
        entries: what stands in it.
        used: the number of bytes that count, where it is to be wrong.
        mark: who wrote it; zeros are the official client.
    """
    body = b"".join(entries)
    return struct.pack("<i", HEADER_BYTES + len(body) if used is None else used) + mark + body
