"""The children of a metric as a mapping, whether or not an object stands for each of them."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Children(MutableMapping):  # type: ignore[type-arg]
    """What a metric's `_metrics` is: children by label values, as a dict would have them.

    A child is made when it is asked for, and is the same object for as long as somebody holds it.
    """

    __slots__ = ("_metric",)

    def __init__(self, metric: Any) -> None:
        self._metric = metric

    def __getitem__(self, key: object) -> Any:
        """Returns the child, and makes no series."""
        child = self._metric._child(key)
        if child is None:
            raise KeyError(key)
        return child

    def __setitem__(self, key: tuple[str, ...], child: object) -> None:
        """Puts a child in the place of another."""
        self._metric._replace_child(key, child)

    def __delitem__(self, key: object) -> None:
        """Forgets a series of this process."""
        if not self._metric._forget_child(key):
            raise KeyError(key)

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        """Goes over the label values in the order in which the children were made."""
        return iter(self._metric._child_keys())

    def __len__(self) -> int:
        """Returns how many there are."""
        count: int = self._metric._child_count()
        return count

    def __repr__(self) -> str:
        """Writes them as a dict."""
        return repr(self.copy())

    def setdefault(self, key: tuple[str, ...], default: object = None) -> Any:
        """Returns the child, which is the given one where there was none; in one step."""
        return self._metric._add_child(key, default)

    def pop(self, key: tuple[str, ...], *default: Any) -> Any:
        """Forgets a child and returns it, or the default where there is none."""
        child = self._metric._child(key)
        if self._metric._forget_child(key) and child is not None:
            return child
        if default:
            return default[0]
        raise KeyError(key)

    def clear(self) -> None:
        """Forgets all children."""
        for key in self:
            self._metric._forget_child(key)

    def copy(self) -> dict[tuple[str, ...], Any]:
        """Returns them as a dict."""
        return {key: child for key in self for child in (self.get(key),) if child is not None}
