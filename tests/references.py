"""Every function as mpmath computes it: the textbook formula, with digits to spare."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnn._network.interpreters.exact import FORMULAS, context

ELEMENTWISE: dict[str, Callable[[Any], Any]] = {
    name: functools.partial(formula, context()) for name, formula in FORMULAS.items()
}
"""Of numbers of `xpnn._network.interpreters.exact.context()`, for the default options."""


def exact(name: str, x: float) -> Any:
    """The function at x, which must be finite, to 120 digits."""
    return ELEMENTWISE[name](context().mpf(x))


def pair(value: Any) -> tuple[float, float]:
    """Two doubles that add up to the value, to 106 bits where it is large enough."""
    high = float(value)
    return high, float(value - context().mpf(high))


def ulps(got: np.ndarray, high: np.ndarray, low: np.ndarray, dtype: str) -> np.ndarray:
    """|got - (high + low)| in units in the last place of dtype, at the exact value."""
    spacing = np.spacing(np.abs(high).astype(dtype)).astype("float64")
    return np.abs((got.astype("float64") - high) - low) / spacing
