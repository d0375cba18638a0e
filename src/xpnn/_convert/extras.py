"""Files of this room that need packages which not everybody has."""

import importlib
from typing import Any

from xpnn.errors import XpnnError


def needing(extra: str, file: str) -> Any:
    """Return a file of this room; XpnnError says what to install for it."""
    try:
        return importlib.import_module(f"xpnn._convert.{file}")
    except ModuleNotFoundError as error:
        raise XpnnError(
            f"{extra} needs the package {error.name}; get it with: pip install 'xpnn[{extra}]'"
        ) from None
