"""Labels that the program adds, with a bound on how many values they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._report import report

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any

OTHER = "other"


class Exchange:
    """A request that ended, as the function of a label sees it.

    Attributes:
        scope: The ASGI scope, or the WSGI environment.
        status: The status of the response, if there was one.
    """

    def __init__(self, native: Any) -> None:
        self.scope: dict[str, Any] = native.scope
        self.status: int | None = native.status
        self._response = native.response

    def header(self, name: str) -> str | None:
        """Returns a header of the request; the first one, where there are several.

        Args:
            name: Its name, in any case.
        """
        if "headers" in self.scope:
            return _find(self.scope["headers"], name)
        value = self.scope.get("HTTP_" + name.upper().replace("-", "_"))
        return value if isinstance(value, str) else None

    def response_header(self, name: str) -> str | None:
        """Returns a header of the response; the first one, where there are several.

        Args:
            name: Its name, in any case.
        """
        response = self._response
        if response is None:
            return None
        return _find(response.get("headers") or () if isinstance(response, dict) else response, name)


class Label:
    """A label whose values the program computes.

    Args:
        value: Returns the value for a request that ended. Where it raises, the value is `other`.
        allowed: The values that there are; everything else is `other`.
        max_values: Without `allowed`: how many values a process may use before everything new is `other`.
    """

    def __init__(
        self,
        value: Callable[[Exchange], object],
        allowed: Collection[str] | None = None,
        max_values: int = 100,
    ) -> None:
        self._value = value
        self._allowed = None if allowed is None else frozenset(allowed)
        self._seen: set[str] = set()
        self._max_values = max_values

    def value(self, exchange: Exchange) -> str:
        """Returns the value for a request that ended."""
        try:
            value = str(self._value(exchange))
        except Exception as error:  # noqa: BLE001 -- a label never makes a request fail
            report(error)
            return OTHER
        if self._allowed is not None:
            return value if value in self._allowed else OTHER
        if value not in self._seen:
            if len(self._seen) >= self._max_values:
                return OTHER
            self._seen.add(value)
        return value


def split(
    labels: Mapping[str, str | Label | Callable[[Exchange], object]],
) -> tuple[dict[str, str], dict[str, Label]]:
    """Separates labels that are always the same from those to compute."""
    constants = {name: value for name, value in labels.items() if isinstance(value, str)}
    computed = {
        name: value if isinstance(value, Label) else Label(value)
        for name, value in labels.items()
        if not isinstance(value, str)
    }
    return constants, computed


def computer(labels: Iterable[Label]) -> Callable[[Any], list[str]]:
    """Returns a function that computes all labels of a request."""
    own = tuple(labels)

    def compute(native: Any) -> list[str]:
        exchange = Exchange(native)
        return [label.value(exchange) for label in own]

    return compute


def _find(headers: Iterable[tuple[Any, Any]], wanted: str) -> str | None:
    wanted = wanted.lower()
    for name, value in headers:
        if _text(name).lower() == wanted:
            return _text(value)
    return None


def _text(given: bytes | str) -> str:
    return given if isinstance(given, str) else bytes(given).decode("latin-1")
