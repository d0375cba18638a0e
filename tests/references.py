"""Every function as mpmath computes it: the textbook formula, with digits to spare."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from xpnn._activations.activation import Activation
from xpnn._activations.table import RECORDS
from xpnn._arrays.dtypes import PRECISIONS
from xpnn._rounding.exact import context


def _formula(name: str, x: Any) -> Any:
    return Activation(name).exact([x])[0]


ELEMENTWISE: dict[str, Callable[[Any], Any]] = {
    name: functools.partial(_formula, name) for name, r in RECORDS.items() if not r.of_rows
}
"""Of numbers of `xpnn._rounding.exact.context()`, for the default options."""


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


def bound(form: str, x: np.ndarray, y: np.ndarray, dtype: str) -> np.ndarray:
    """The error bound of an activation of x, which has no error, where y is the exact value."""
    one, precision = Activation.of(form), PRECISIONS[dtype]
    x, y = np.abs(x.astype("float64")), np.abs(y.astype("float64"))
    with np.errstate(over="ignore"):
        roundings = one.record.errors.roundings(x, y, **dict(one.options))
    most = precision.unit * roundings + 4 * precision.tiny * (1 + x)
    return np.where(np.maximum(x, y) <= precision.largest / 8, most, np.inf)
