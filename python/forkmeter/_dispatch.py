"""Functions that choose their implementation by the types of some arguments.

The package does not use them; they are here because the module `decorator` has always had them.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from ._function_maker import FunctionMaker, getargspec

if TYPE_CHECKING:
    from collections.abc import Callable


def append(a: type, vancestors: list[type]) -> None:
    """Adds a class to a list of ancestors, in which no class has another one of them as its base.

    Args:
        a: The class. It takes the place of its bases, and is left out where a subclass is there.
        vancestors: The list, which is changed.
    """
    is_covered = False
    for index, present in enumerate(vancestors):
        if issubclass(present, a):
            is_covered = True
            break
        if issubclass(a, present):
            vancestors[index] = a
            is_covered = True
    if not is_covered:
        vancestors.append(a)


class _Generic:
    """The implementations of one function.

    Args:
        names: Parameters whose types decide.
        default: What is called where nothing else fits.
    """

    def __init__(self, names: tuple[str, ...], default: Callable[..., Any]) -> None:
        self._names = names
        self._default = default
        self.typemap: dict[tuple[type, ...], Callable[..., Any]] = {}

    def _check(self, types: tuple[Any, ...]) -> None:
        if len(types) != len(self._names):
            raise TypeError(f"Expected {len(self._names)} arguments, got {len(types)}")

    def register(self, *types: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Returns a decorator that makes a function the implementation for some types."""
        self._check(types)

        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            parameters = getargspec(function).args
            if len(parameters) < len(self._names):
                raise TypeError(f"Expected {len(self._names)} arguments, got {len(parameters)} in {function.__name__}")
            self.typemap[types] = function
            return function

        return decorate

    def vancestors(self, *types: type) -> list[set[type]]:
        """Returns for every type which registered abstract classes it belongs to without inheriting from them."""
        self._check(types)
        found: list[list[type]] = [[] for _ in self._names]
        for registered in self.typemap:
            for given, wanted, ancestors in zip(types, registered, found):
                if issubclass(given, wanted) and wanted not in given.__mro__:
                    append(wanted, ancestors)
        return [set(ancestors) for ancestors in found]

    def ancestors(self, *types: type) -> list[tuple[type, ...]]:
        """Returns for every type the classes to look for, nearest first.

        Raises:
            RuntimeError: A type belongs to several abstract classes, neither of which comes first.
        """
        lines = []
        for given, virtual in zip(types, self.vancestors(*types)):
            if len(virtual) > 1:
                raise RuntimeError(f"Ambiguous dispatch for {given}: {virtual}")
            line: tuple[type, ...] = given.__mro__
            if virtual:
                line = type("t", (given, *virtual), {}).__mro__[1:]
            # What is left is the type itself and `object`, for which there is the default.
            lines.append(line[:-1])
        return lines

    def dispatch_info(self, *types: type) -> list[tuple[str, ...]]:
        """Returns the names of the classes that are looked for, in their order."""
        return [tuple(ancestor.__name__ for ancestor in line) for line in product(*self.ancestors(*types))]

    def dispatch(self, values: tuple[Any, ...], *args: Any, **kw: Any) -> Any:
        """Calls the implementation for the types of some values."""
        types = tuple(type(value) for value in values)
        function = self.typemap.get(types)
        if function is None:
            candidates = product(*self.ancestors(*types))
            function = next((self.typemap[line] for line in candidates if line in self.typemap), self._default)
        return function(*args, **kw)


def dispatch_on(*dispatch_args: str) -> Callable[[Callable[..., Any]], Any]:
    """Returns a decorator that makes a function generic; `register(*types)` of the result adds implementations.

    Args:
        *dispatch_args: Names of the parameters whose types decide.

    Raises:
        AssertionError: There is no name.
    """
    if not dispatch_args:
        raise AssertionError("No dispatch args passed")
    names = f"({', '.join(dispatch_args)},)"

    def make_generic(func: Callable[..., Any]) -> Any:
        if not set(dispatch_args) <= set(getargspec(func).args):
            raise NameError(f"Unknown dispatch arguments {names}")
        generic = _Generic(dispatch_args, func)
        return FunctionMaker.create(
            func,
            f"return _f_({names}, %(shortsignature)s)",
            {"_f_": generic.dispatch},
            register=generic.register,
            default=func,
            typemap=generic.typemap,
            vancestors=generic.vancestors,
            ancestors=generic.ancestors,
            dispatch_info=generic.dispatch_info,
            __wrapped__=func,
        )

    make_generic.__name__ = f"dispatch_on{names}"
    return make_generic
