"""Lets forkmeter stand in for `prometheus_client` in a whole process."""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

_ALIAS = "prometheus_client"
_PACKAGE = __name__.partition(".")[0]


class _Finder:
    """Answers imports of `prometheus_client` and of what is below it with forkmeter's own modules."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 -- the import system's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Claims the alias and its submodules."""
        if fullname == _ALIAS or fullname.startswith(f"{_ALIAS}."):
            return ModuleSpec(fullname, _LOADER)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Returns forkmeter's module, which is then known under both names."""
        name = _PACKAGE + spec.name[len(_ALIAS) :]
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            message = f"No module named {spec.name!r} ({_PACKAGE} stands in for {_ALIAS})"
            raise ModuleNotFoundError(message, name=spec.name) from None
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Gives the module, which ran already, the spec back that the import system replaced."""
        spec = module.__spec__
        if spec is not None and spec.loader is _LOADER:
            module.__spec__ = spec.loader_state


_FINDER = _Finder()
# The import system asks for no more of a loader than this one has.
_LOADER: Any = _FINDER


def install_as_prometheus_client() -> None:
    """Makes `import prometheus_client` and all its submodules mean forkmeter from now on, in this process.

    Modules get both names, and are the same objects under either. It may be called at any time, and again.

    Raises:
        RuntimeError: The official client is loaded already: its metrics could not be taken over.

    Example:
        >>> import forkmeter
        >>> forkmeter.install_as_prometheus_client()
        >>> import prometheus_client.metrics
        >>> prometheus_client.metrics.Counter is forkmeter.Counter
        True
    """
    loaded = sys.modules.get(_ALIAS)
    if loaded is not None and loaded is not sys.modules[_PACKAGE]:
        where = getattr(loaded, "__file__", None) or "an unknown place"
        raise RuntimeError(
            f"{_ALIAS} is loaded already, from {where}: call install_as_prometheus_client() before anything imports it"
        )
    if not is_installed():
        sys.meta_path.insert(0, _FINDER)


def is_installed() -> bool:
    """Tells whether `prometheus_client` means forkmeter."""
    return _FINDER in sys.meta_path


def public_name(module: str) -> str:
    """Returns a module's name as the program knows it."""
    if is_installed() and (module == _PACKAGE or module.startswith(f"{_PACKAGE}.")):
        return _ALIAS + module[len(_PACKAGE) :]
    return module
