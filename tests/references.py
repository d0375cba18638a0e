"""Every function as mpmath computes it: the textbook formula, with digits to spare."""

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

DIGITS = 120

ELEMENTWISE: dict[str, Callable[[Any], Any]] = {
    "identity": lambda x: x,
    "step": lambda x: mp.mpf(int(x > 0)),
    "sigmoid": lambda x: 1 / (1 + mp.exp(-x)),
    "log_sigmoid": lambda x: -mp.log1p(mp.exp(-x)),
    "tanh": mp.tanh,
    "relu": lambda x: max(x, mp.mpf(0)),
    "relu6": lambda x: min(max(x, mp.mpf(0)), mp.mpf(6)),
    "leaky_relu": lambda x: x if x > 0 else x * mp.mpf(0.01),
    "elu": lambda x: x if x > 0 else mp.expm1(x),
    "selu": lambda x: (
        mp.mpf("1.0507009873554804934193349852946")
        * (x if x > 0 else mp.mpf("1.6732632423543772848170429916717") * mp.expm1(x))
    ),
    "celu": lambda x: x if x > 0 else mp.expm1(x),
    # mpmath's erfc refuses huge arguments, where the result is 0 or x in every dtype.
    "gelu": lambda x: x * mp.erfc(-max(min(x, mp.mpf(1000)), mp.mpf(-1000)) / mp.sqrt(2)) / 2,
    "silu": lambda x: x / (1 + mp.exp(-x)),
    "mish": lambda x: x * mp.tanh(mp.log1p(mp.exp(x))),
    "softplus": lambda x: mp.log1p(mp.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "hard_sigmoid": lambda x: min(max(x + 3, mp.mpf(0)), mp.mpf(6)) / 6,
    "hard_swish": lambda x: x * min(max(x + 3, mp.mpf(0)), mp.mpf(6)) / 6,
    "hard_tanh": lambda x: min(max(x, mp.mpf(-1)), mp.mpf(1)),
    "erf": lambda x: mp.erf(max(min(x, mp.mpf(1000)), mp.mpf(-1000))),
}


def exact(name: str, x: float) -> Any:
    """The function at x, which must be finite, to DIGITS digits."""
    with mp.workdps(DIGITS):
        return +ELEMENTWISE[name](mp.mpf(x))


def pair(value: Any) -> tuple[float, float]:
    """Two doubles that add up to the value, to 106 bits where it is large enough."""
    with mp.workdps(DIGITS):
        high = float(value)
        return high, float(value - mp.mpf(high))


def ulps(got: np.ndarray, high: np.ndarray, low: np.ndarray, dtype: str) -> np.ndarray:
    """|got - (high + low)| in units in the last place of dtype, at the exact value."""
    spacing = np.spacing(np.abs(high).astype(dtype)).astype("float64")
    return np.abs((got.astype("float64") - high) - low) / spacing
