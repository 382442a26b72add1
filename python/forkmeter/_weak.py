"""Remembers objects without keeping them alive."""

from __future__ import annotations

# `weakref` itself takes longer to import than all that is needed of it.
from _weakref import ref
from typing import Generic, TypeVar

T = TypeVar("T")


class WeakList(Generic[T]):
    """Holds objects as long as somebody else does.

    Threads, signal handlers and finalizers may add at any moment, also while others look: unlike a
    `weakref.WeakSet`, it takes no step that can see a change half done.
    """

    def __init__(self) -> None:
        self._references: dict[int, ref[T]] = {}

    def add(self, item: T) -> None:
        """Adds an object."""
        key = id(item)
        references = self._references

        def forget(gone: ref[T]) -> None:
            # The identity may be another object's by now.
            if references.get(key) is gone:
                del references[key]

        references[key] = ref(item, forget)

    def items(self) -> list[T]:
        """Returns the objects that are still there."""
        found = [reference() for reference in list(self._references.values())]
        return [item for item in found if item is not None]

    def clear(self) -> None:
        """Forgets all."""
        self._references.clear()
