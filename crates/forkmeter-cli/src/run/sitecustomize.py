"""Makes `import prometheus_client` give forkmeter. `forkmeter run` puts this on the path of a command's interpreters.

Every interpreter runs it at its start, also those that never count anything. So it imports only what each of them
has loaded by then, leaves no trace in `sys.path`, lets the `sitecustomize` that would have been found without it
run, and looks for forkmeter no earlier than somebody imports `prometheus_client`. It runs on every Python 3, also
where forkmeter itself needs a newer one.
"""

import os
import sys
from _frozen_importlib import module_from_spec
from _frozen_importlib_external import PathFinder

TYPE_CHECKING = False  # As type checkers know it; the module that has it takes long to load.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Optional

ALIAS = "prometheus_client"
HERE = os.path.dirname(__file__)


def warn(cause: object) -> None:
    """Says, once for all processes of the command, why the alias is not in place."""
    try:
        os.close(os.open(os.path.join(HERE, "warned"), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    except OSError:
        pass  # Better said twice than never.
    message = "forkmeter: warning: prometheus_client is not replaced by forkmeter in {}: {}\n"
    try:
        sys.stderr.write(message.format(sys.executable, cause))
    except Exception:
        pass  # There may be no standard error, and the program must run all the same.


class AliasFinder:
    """Puts the alias in place when `prometheus_client` is first imported, and steps aside for good."""

    def find_spec(
        self, fullname: str, path: "Optional[Sequence[str]]" = None, target: "Optional[ModuleType]" = None
    ) -> "Optional[ModuleSpec]":
        """Answers as the finders behind it do once the alias is there, or without it where there is no forkmeter."""
        if fullname != ALIAS:
            return None
        sys.meta_path.remove(self)
        try:
            import forkmeter

            forkmeter.install_as_prometheus_client()
        except Exception as error:
            warn("{} (python -m pip install forkmeter installs it there)".format(error))
        # Asked here, for the import machinery is one place further in the list than it knows.
        for finder in list(sys.meta_path):
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
        return None


def run_the_next() -> None:
    """Runs the `sitecustomize` that this one hides, in its place."""
    sys.path[:] = [entry for entry in sys.path if entry != HERE]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if ALIAS in sys.modules:
    warn("a .pth file has imported it at the start of the interpreter")
else:
    sys.meta_path.insert(0, AliasFinder())
run_the_next()
