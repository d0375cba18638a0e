"""For tests of Array API code: asserts against exact values, and those of array-api-extra.

The fixtures `xp` and `device` and the markers are the pytest plugin's; docs/testing.md has them all.
"""

import importlib
from typing import TYPE_CHECKING, Any

from xpnn.testing._asserts import assert_digest, assert_ulp, assert_within

if TYPE_CHECKING:
    from array_api_extra.testing import (
        assert_close,
        assert_close_nulp,
        assert_equal,
        lazy_xp_function,
    )

__all__ = [
    "assert_close",
    "assert_close_nulp",
    "assert_digest",
    "assert_equal",
    "assert_ulp",
    "assert_within",
    "lazy_xp_function",
]


def __getattr__(name: str) -> Any:
    """Look a name up in array-api-extra, which is imported no earlier."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module("array_api_extra.testing"), name)
    except (ImportError, AttributeError) as error:
        raise ImportError(
            f"xpnn.testing: {name} is that of array-api-extra 0.11 or later ({error}); get it with: "
            "pip install 'xpnn[testing]'"
        ) from None
