"""Decorators that keep the signature of what they decorate.

The wrapper takes exactly the parameters of the function, so a wrong call fails in the wrapper, before anything is
timed or counted, and `inspect` shows what it showed before. The names are those of the module that the official client
ships, for dependents that import them from there; `decorate_run` is the one that this package uses.
"""

from __future__ import annotations

import itertools
import keyword
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from types import CodeType
    from typing import TypeVar

    from ._dispatch import append as append
    from ._dispatch import dispatch_on as dispatch_on
    from ._function_maker import DEF as DEF
    from ._function_maker import ArgSpec as ArgSpec
    from ._function_maker import ContextManager as ContextManager
    from ._function_maker import FunctionMaker as FunctionMaker
    from ._function_maker import contextmanager as contextmanager
    from ._function_maker import decorator as decorator
    from ._function_maker import get_init as get_init
    from ._function_maker import getargspec as getargspec
    from ._function_maker import getfullargspec as getfullargspec

    F = TypeVar("F", bound=Callable[..., Any])

__version__ = "4.0.10"

# Bits of `co_flags`; `inspect` names them too, but takes longer to import than all of this package.
_VARARGS = 0x04
_VARKEYWORDS = 0x08
_GENERATOR = 0x20
_COROUTINE = 0x80
_ITERABLE_COROUTINE = 0x100
_ASYNC_GENERATOR = 0x200


_OF_FUNCTION_MAKER = frozenset(
    {
        "DEF",
        "ArgSpec",
        "ContextManager",
        "FunctionMaker",
        "contextmanager",
        "decorator",
        "get_init",
        "getargspec",
        "getfullargspec",
    }
)


if not TYPE_CHECKING:
    # Type checkers know the names from above, and that there are no others.
    def __getattr__(name: str) -> Any:
        """Loads what this package does not use itself."""
        if name in _OF_FUNCTION_MAKER:
            from . import _function_maker

            return getattr(_function_maker, name)
        if name in {"append", "dispatch_on"}:
            from . import _dispatch

            return getattr(_dispatch, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# One file name per wrapper: profilers tell functions apart by file, line and name.
_wrappers = itertools.count()

_PLAIN = """\
def {name}({declared}):
    with {manager}():
        return {function}({passed})
"""

_COROUTINE_FUNCTION = """\
async def {name}({declared}):
    with {manager}():
        return await {function}({passed})
"""

_GENERATOR_FUNCTION = """\
def {name}({declared}):
    with {manager}():
        return (yield from {function}({passed}))
"""

# `yield from` does not exist here, so what a consumer sends, throws and closes is passed on by hand.
_ASYNC_GENERATOR_FUNCTION = """\
async def {name}({declared}):
    with {manager}():
        {inner} = {function}({passed})
        try:
            {item} = await {inner}.__anext__()
            while True:
                try:
                    {item} = yield {item}
                except GeneratorExit:
                    await {inner}.aclose()
                    raise
                except BaseException as {error}:
                    {item} = await {inner}.athrow({error})
                else:
                    {item} = await {inner}.asend({item})
        except StopAsyncIteration:
            return
"""

_PLACEHOLDERS = ("manager", "function", "inner", "item", "error")


def _parameters(function: FunctionType) -> tuple[str, str, frozenset[str]]:
    """Reads the parameters of a function.

    Returns:
        How to declare them again (defaults are set later), how to pass them on, and their names.
    """
    code: CodeType = function.__code__
    positional = code.co_varnames[: code.co_argcount]
    end = code.co_argcount + code.co_kwonlyargcount
    keyword_only = code.co_varnames[code.co_argcount : end]
    rest = iter(code.co_varnames[end:])
    declared = list(positional)
    passed = list(positional)
    if code.co_posonlyargcount:
        declared.insert(code.co_posonlyargcount, "/")
    if code.co_flags & _VARARGS:
        declared.append("*" + next(rest))
        passed.append(declared[-1])
    elif keyword_only:
        declared.append("*")
    declared.extend(f"{name}=None" for name in keyword_only)
    passed.extend(f"{name}={name}" for name in keyword_only)
    if code.co_flags & _VARKEYWORDS:
        declared.append("**" + next(rest))
        passed.append(declared[-1])
    return ", ".join(declared), ", ".join(passed), frozenset(code.co_varnames)


def _free_name(wanted: str, taken: Iterable[str]) -> str:
    while wanted in taken:
        wanted += "_"
    return wanted


def _check_function(func: Any) -> FunctionType:
    if not isinstance(func, FunctionType):
        raise TypeError(f"You are decorating a non function: {func}")
    return func


def _build(function: FunctionType, template: str, values: Mapping[str, Any]) -> FunctionType:
    """Compiles a wrapper from a template and makes it look like `function`."""
    declared, passed, taken = _parameters(function)
    shown_name = "_lambda_" if function.__name__ == "<lambda>" else function.__name__
    is_usable = shown_name.isidentifier() and not keyword.iskeyword(shown_name)
    name = shown_name if is_usable else "_decorated_"
    names = {key: _free_name(f"_{key}_", taken | {name}) for key in _PLACEHOLDERS}
    source = template.format(name=name, declared=declared, passed=passed, **names)
    scope = {names[key]: value for key, value in values.items()}
    exec(compile(source, f"<decorator-gen-{next(_wrappers)}>", "exec"), scope)  # noqa: S102 -- the only way to repeat a signature
    wrapper: FunctionType = scope[name]
    wrapper.__name__ = shown_name
    wrapper.__qualname__ = function.__qualname__
    wrapper.__doc__ = function.__doc__
    wrapper.__module__ = function.__module__
    wrapper.__defaults__ = function.__defaults__
    wrapper.__kwdefaults__ = function.__kwdefaults__
    if sys.version_info >= (3, 14):
        # Annotations are evaluated late there, and may not be evaluable yet.
        wrapper.__annotate__ = function.__annotate__
    else:
        wrapper.__annotations__ = function.__annotations__
    wrapper.__dict__.update(function.__dict__)
    wrapper.__wrapped__ = function  # type: ignore[attr-defined]
    wrapper.__source__ = source  # type: ignore[attr-defined]
    return wrapper


def decorate(func: F, caller: Callable[..., Any]) -> F:
    """Returns a function with the signature of `func` that calls `caller(func, ...)`.

    Args:
        func: The function to decorate.
        caller: Gets the function and the arguments of each call, and returns the result.

    Raises:
        TypeError: `func` is not a plain function.
    """
    template = "def {name}({declared}):\n    return {manager}({function}, {passed})\n"
    return _build(_check_function(func), template, {"manager": caller, "function": func})  # type: ignore[return-value]


def decorate_run(func: F, new_manager: Callable[[], AbstractContextManager[Any]]) -> F:
    """Returns a function with the signature of `func` that runs it inside a context manager.

    A coroutine function, a generator function and an asynchronous generator function stay what they are, and the
    context is that of the run: it is entered when the first step is taken and left when the last one is done, whether
    by a result, an exception, cancellation or being closed. A generator that nobody starts enters nothing.

    Args:
        func: The function to decorate.
        new_manager: Called for every run; returns the context manager to use.

    Raises:
        TypeError: `func` is not a plain function.
    """
    function = _check_function(func)
    flags = function.__code__.co_flags
    if flags & _COROUTINE or _is_marked_as_coroutine_function(function):
        template = _COROUTINE_FUNCTION
    elif flags & _ASYNC_GENERATOR:
        template = _ASYNC_GENERATOR_FUNCTION
    elif flags & _GENERATOR:
        template = _GENERATOR_FUNCTION
    else:
        template = _PLAIN
    wrapper = _build(function, template, {"manager": new_manager, "function": func})
    if flags & _ITERABLE_COROUTINE:
        from types import coroutine

        wrapper = coroutine(wrapper)  # type: ignore[assignment]
    return wrapper  # type: ignore[return-value]


def decorate_within(func: F, manager: AbstractContextManager[Any]) -> F:
    """Returns a function with the signature of `func` that runs it inside a context manager, always the same one.

    Args:
        func: The function to decorate; see `decorate_run`.
        manager: The context manager, which may be entered again before it is left.

    Raises:
        TypeError: `func` is not a plain function.
    """
    return decorate_run(func, lambda: manager)


def _is_marked_as_coroutine_function(function: FunctionType) -> bool:
    """Tells whether a plain function says of itself that it returns an awaitable (`inspect.markcoroutinefunction`)."""
    marks = function.__dict__
    return "_is_coroutine_mark" in marks or "_is_coroutine_marker" in marks or "_is_coroutine" in marks
