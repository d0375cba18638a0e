"""The command `xpnn`: predict, verify, parity, info, convert, backends."""

import sys
from typing import NoReturn, TextIO, cast

__all__ = ["main"]


def main() -> None:
    """Run the command, or say what installs it."""
    from xpnn.cli import _signals

    _signals.catch()
    try:
        _main()
    except KeyboardInterrupt:  # before there is a command
        sys.exit(130)


def _main() -> None:
    from xpnn.cli._words import Aside, nowhere

    # A program started with its error output closed has None here.
    sys.stderr = cast("TextIO", Aside(sys.stderr or nowhere()))
    if sys.stdout is None:
        _end("expected a standard output to write to, but it is closed")
    try:
        from xpnn.cli._app import run
    except ModuleNotFoundError as error:
        _end(f"the command needs {error.name}; get it with: pip install 'xpnn[cli]'")
    run()


def _end(text: str) -> NoReturn:
    print("xpnn:", text, file=sys.stderr)
    sys.exit(2)
