"""The `forkmeter` command, also as `python -m forkmeter`."""

from __future__ import annotations

import signal
import sys

from ._forkmeter import command


def main() -> int:
    """Runs the command that `sys.argv` asks for and returns its exit code."""
    # What Python arranged for its own programs is in the way here, and the programs that are run would inherit it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    return command(sys.argv)


if __name__ == "__main__":
    sys.exit(main())
