"""The command `xpnn`: predict, info, backends."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command, or say what installs it."""
    try:
        from xpnn.cli._app import run
    except ModuleNotFoundError as error:
        sys.exit(f"xpnn: the command needs {error.name}; get it with: pip install 'xpnn[cli]'")
    run()
