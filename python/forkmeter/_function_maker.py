"""Makes functions from source text; `decorator` loads this module when its dependents ask for it.

The package does not use it.
"""

from __future__ import annotations

import re
import sys
from contextlib import _GeneratorContextManager
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from .decorator import _parameters, _wrappers, decorate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from inspect import FullArgSpec

    _Generated = _GeneratorContextManager[Any]
else:
    _Generated = _GeneratorContextManager


class ArgSpec(NamedTuple):
    """The positional parameters of a function; compares with plain tuples.

    Attributes:
        args: Their names.
        varargs: Name of the parameter that takes the rest, if any.
        varkw: Name of the parameter that takes the rest by name, if any.
        defaults: Defaults of the last ones.
    """

    args: list[str]
    varargs: str | None
    varkw: str | None
    defaults: tuple[Any, ...] | None


DEF = re.compile(r"\s*def\s*([_\w][_\w\d]*)\s*\(")


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
        self.signature: str
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


class ContextManager(_Generated):
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


contextmanager: Any = decorator(ContextManager)
