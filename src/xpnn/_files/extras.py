"""Libraries that only some formats and ways need, imported where they are used."""

import importlib
from typing import Any

from xpnn.errors import XpnnError


def needing(module: str, extra: str) -> Any:
    """Return a module; XpnnError says which extra brings what it needs."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise XpnnError(
            f"{extra} needs the package {error.name}; get it with: pip install 'xpnn[{extra}]'"
        ) from None
