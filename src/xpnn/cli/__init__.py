"""The command `xpnn`: predict, verify, parity, info, convert, backends."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command, or say what installs it."""
    if sys.stdout is None:
        print("xpnn: expected a standard output to write to, but it is closed", file=sys.stderr)
        sys.exit(2)
    try:
        from xpnn.cli._app import run
    except ModuleNotFoundError as error:
        sys.exit(f"xpnn: the command needs {error.name}; get it with: pip install 'xpnn[cli]'")
    run()
