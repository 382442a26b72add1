"""Decorators that keep the signature of what they decorate.

The wrapper takes exactly the parameters of the function, so a wrong call fails in the wrapper, before anything is
timed or counted, and `inspect` shows what it showed before. The names are those of the module that the official client
ships, for dependents that import them from there; `decorate_run` is the one that this package uses.
"""

from __future__ import annotations

import itertools
import keyword
import re
import sys
from collections import namedtuple
from contextlib import _GeneratorContextManager
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from inspect import FullArgSpec
    from types import CodeType
    from typing import TypeVar

    F = TypeVar("F", bound=Callable[..., Any])

__version__ = "4.0.10"

ArgSpec = namedtuple("ArgSpec", "args varargs varkw defaults")  # noqa: PYI024 -- compared with plain tuples

DEF = re.compile(r"\s*def\s*([_\w][_\w\d]*)\s*\(")

# Bits of `co_flags`; `inspect` names them too, but takes longer to import than all of this package.
_VARARGS = 0x04
_VARKEYWORDS = 0x08
_GENERATOR = 0x20
_COROUTINE = 0x80
_ITERABLE_COROUTINE = 0x100
_ASYNC_GENERATOR = 0x200


def __getattr__(name: str) -> Any:
    """Loads what this package does not use itself."""
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


def getfullargspec(func: Callable[..., Any]) -> FullArgSpec:
    """Does what `inspect.getfullargspec` does."""
    import inspect

    return inspect.getfullargspec(func)


def getargspec(f: Callable[..., Any]) -> ArgSpec:
    """Returns the positional parameters of a function, as a tuple that compares with plain ones."""
    spec = getfullargspec(f)
    return ArgSpec(spec.args, spec.varargs, spec.varkw, spec.defaults)


def get_init(cls: type) -> Callable[..., None]:
    """Returns the initialiser of a class."""
    init: Callable[..., None] = cls.__init__  # type: ignore[misc]
    return init


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


def _is_marked_as_coroutine_function(function: FunctionType) -> bool:
    """Tells whether a plain function says of itself that it returns an awaitable (`inspect.markcoroutinefunction`)."""
    marks = function.__dict__
    return "_is_coroutine_mark" in marks or "_is_coroutine_marker" in marks or "_is_coroutine" in marks


class FunctionMaker:
    """Makes functions from source text with a signature taken from a function or given as text.

    Args:
        func: A function (or a class, for its name) whose name, signature and documentation are taken over.
        name: Name, in place of that of `func`.
        signature: Parameters as text, in place of those of `func`.
        defaults: Defaults of the positional parameters.
        doc: Documentation.
        module: Name of the module to show.
        funcdict: Attributes.

    Raises:
        TypeError: There is neither a signature nor a function to take one from.
    """

    def __init__(
        self,
        func: Any = None,
        name: str | None = None,
        signature: str | None = None,
        defaults: tuple[Any, ...] | None = None,
        doc: str | None = None,
        module: str | None = None,
        funcdict: dict[str, Any] | None = None,
    ) -> None:
        self.shortsignature = signature
        self.dict: dict[str, Any] = {}
        self.doc: str | None = None
        self.defaults: tuple[Any, ...] | None = ()
        self.kwonlydefaults: dict[str, Any] | None = None
        self.annotations: dict[str, Any] = {}
        self.module: str | None = None
        if func:
            self.name: str = "_lambda_" if func.__name__ == "<lambda>" else func.__name__
            self.doc = func.__doc__
            self.module = func.__module__
            if isinstance(func, FunctionType):
                self.signature, self.shortsignature, _ = _parameters(func)
                self.defaults = func.__defaults__
                self.kwonlydefaults = func.__kwdefaults__
                self.annotations = func.__annotations__
                self.dict = func.__dict__.copy()
        if name:
            self.name = name
        if signature is not None:
            self.signature = signature
        self.defaults = defaults or self.defaults
        self.doc = doc or self.doc
        self.module = module or self.module
        self.dict = funcdict or self.dict
        if not hasattr(self, "signature"):
            raise TypeError(f"You are decorating a non function: {func}")

    def update(self, func: FunctionType, **kw: Any) -> None:
        """Gives a function the name, documentation, defaults and attributes kept here, and `kw` as attributes."""
        func.__name__ = self.name
        func.__doc__ = self.doc
        func.__dict__.update(self.dict)
        func.__defaults__ = self.defaults
        func.__kwdefaults__ = self.kwonlydefaults
        func.__annotations__ = self.annotations
        func.__module__ = self.module or sys._getframe(3).f_globals.get("__name__", "?")
        func.__dict__.update(kw)

    def make(
        self, src_templ: str, evaldict: dict[str, Any] | None = None, addsource: bool = False, **attrs: Any
    ) -> FunctionType:
        """Makes a function from a template with `%(name)s`, `%(signature)s` and `%(shortsignature)s`.

        Args:
            src_templ: Source of one function.
            evaldict: Names that the source uses.
            addsource: Whether to keep the source as `__source__`.
            **attrs: Attributes of the result.

        Raises:
            SyntaxError: The template is not that of a function.
            NameError: A parameter has a name that the callers of this method use for themselves.
        """
        source = src_templ % vars(self)
        scope = evaldict or {}
        match = DEF.match(source)
        if match is None:
            raise SyntaxError(f"not a valid function template\n{source}")
        name = match.group(1)
        parameters = {parameter.strip(" *") for parameter in (self.shortsignature or "").split(",")}
        for used in ("_func_", "_call_"):
            if used == name or used in parameters:
                raise NameError(f"{used} is overridden in\n{source}")
        exec(compile(source, f"<decorator-gen-{next(_wrappers)}>", "exec"), scope)  # noqa: S102 -- this is its purpose
        function: FunctionType = scope[name]
        if addsource:
            attrs["__source__"] = source
        self.update(function, **attrs)
        return function

    @classmethod
    def create(
        cls,
        obj: Any,
        body: str,
        evaldict: dict[str, Any],
        defaults: tuple[Any, ...] | None = None,
        doc: str | None = None,
        module: str | None = None,
        addsource: bool = True,
        **attrs: Any,
    ) -> FunctionType:
        """Makes a function from a body.

        Args:
            obj: A function to take name and signature from, or `name(parameters)` as text.
            body: Statements, with `%(shortsignature)s` for the arguments to pass on.
            evaldict: Names that the body uses.
            defaults: Defaults of the positional parameters.
            doc: Documentation.
            module: Name of the module to show.
            addsource: Whether to keep the source as `__source__`.
            **attrs: Attributes of the result.
        """
        name = signature = func = None
        if isinstance(obj, str):
            name, _, rest = obj.strip().partition("(")
            signature = rest[:-1]
        else:
            func = obj
        maker = cls(func, name, signature, defaults, doc, module)
        indented = "\n".join("    " + line for line in body.splitlines())
        return maker.make("def %(name)s(%(signature)s):\n" + indented, evaldict, addsource, **attrs)


def decorator(caller: Any, _func: Any = None) -> Any:
    """Turns `caller(func, *args, **kwargs)` into a decorator.

    Args:
        caller: A function, a class or any callable.
        _func: A function to decorate at once; better call `decorate`.
    """
    if _func is not None:
        return decorate(_func, caller)
    if isinstance(caller, type):
        name = caller.__name__.lower()
        doc = f"decorator({caller.__name__}) converts functions/generators into factories of {caller.__name__} objects"
    elif isinstance(caller, FunctionType):
        name = "_lambda_" if caller.__name__ == "<lambda>" else caller.__name__
        doc = caller.__doc__ or ""
    else:
        name = type(caller).__name__.lower()
        doc = caller.__call__.__doc__ or ""
    scope = {"_call_": caller, "_decorate_": decorate}
    return FunctionMaker.create(
        f"{name}(func)",
        "return _decorate_(func, _call_)",
        scope,
        doc=doc,
        module=caller.__module__,
        __wrapped__=caller,
    )


class ContextManager(_GeneratorContextManager):  # type: ignore[type-arg]
    """A context manager made of a generator that decorates functions too.

    Args:
        g: The generator function.
        *a: Its arguments.
        **k: Its keyword arguments.
    """

    def __init__(self, g: Callable[..., Iterator[Any]], *a: Any, **k: Any) -> None:
        super().__init__(g, a, k)  # type: ignore[arg-type]

    def __call__(self, func: Callable[..., Any]) -> Any:
        """Returns `func` run inside this context."""
        return FunctionMaker.create(
            func,
            "with _self_: return _func_(%(shortsignature)s)",
            {"_self_": self, "_func_": func},
            __wrapped__=func,
        )


contextmanager = decorator(ContextManager)
