"""The numbers in which exact values are computed: those of mpmath, with `BITS` bits."""

import functools
from typing import Any

from xpnn.errors import XpnnError

BITS = 400

Number = Any
"""A number of mpmath."""


@functools.cache
def context() -> Any:
    """Return mpmath with `BITS` bits; its own settings stay as they are."""
    try:
        import mpmath  # noqa: PLC0415 -- only who asks for exact values needs it
    except ModuleNotFoundError:
        raise XpnnError(
            "exact values need mpmath; get it with: pip install 'xpnn[parity]'"
        ) from None
    mp = mpmath.MPContext()
    mp.prec = BITS
    return mp


def clip(mp: Any, x: Number, low: int, high: int) -> Number:
    """Return min(max(x, low), high)."""
    return min(max(x, mp.mpf(low)), mp.mpf(high))
