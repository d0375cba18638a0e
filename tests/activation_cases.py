"""One case an activation: what the tests that are generated from the table must be told of it."""

import math
from typing import NamedTuple

INF = math.inf


class Case(NamedTuple):
    """What is expected of an elementwise activation."""

    ulps: float
    """Largest error in units in the last place, over the whole range: docs/accuracy.md has what was measured.
    What exceeds 3 comes from JAX's float32 tanh, expm1 and exp, or from the squares in the tails."""
    edges: tuple[float, float, float, float]
    """Values at -inf, -0.0, 0, inf."""
    kinks: dict[float, float] = {}  # noqa: RUF012
    """The derivative stated at a kink, where mpmath's two-sided one would be neither side's."""
    forms: tuple[str, ...] = ()
    """With options, for layers."""


CASES = {
    "identity": Case(0, (-INF, 0, 0, INF)),
    "step": Case(0, (0, 0, 0, 1), {0: 0}),
    "relu": Case(0, (0, 0, 0, INF), {0: 0}),
    "relu6": Case(0, (0, 0, 0, 6), {0: 0, 6: 0}),
    "leaky_relu": Case(1, (-INF, 0, 0, INF), {0: 0.01}, forms=("leaky_relu(negative_slope=0.2)", "leaky_relu(negative_slope=-3.0)",)),
    "hard_sigmoid": Case(2, (0, 0.5, 0.5, 1), {-3: 0, 3: 0}),
    "hard_swish": Case(3, (0, 0, 0, INF), {-3: 0, 3: 1}),
    "hard_tanh": Case(0, (-1, 0, 0, 1), {-1: 0, 1: 0}),
    "sigmoid": Case(3, (0, 0.5, 0.5, 1)),
    "log_sigmoid": Case(3, (-INF, -math.log(2), -math.log(2), 0)),
    "tanh": Case(7, (-1, 0, 0, 1)),
    "softplus": Case(3, (0, math.log(2), math.log(2), INF), forms=("softplus(beta=3.0)", "softplus(threshold=2.0)",)),
    "softsign": Case(2, (-1, 0, 0, 1)),
    "elu": Case(4, (-1, 0, 0, INF), forms=("elu(alpha=0.3)",)),
    "selu": Case(5, (-1.7580993408473766, 0, 0, INF), {0: 1.0507009873554805 * 1.6732632423543772}),
    "celu": Case(4, (-1, 0, 0, INF), forms=("celu(alpha=0.3)",)),
    "exp": Case(5, (0, 1, 1, INF)),
    "gelu": Case(6, (0, 0, 0, INF), forms=("gelu(approximate='tanh')",)),
    "silu": Case(6, (0, 0, 0, INF)),
    "mish": Case(6, (0, 0, 0, INF)),
    "hard_shrink": Case(0, (-INF, 0, 0, INF), {-0.5: 0, 0.5: 0}, forms=("hard_shrink(lambd=1.2)",)),
    "softshrink": Case(1, (-INF, 0, 0, INF), {-0.5: 0, 0.5: 0}, forms=("softshrink(lambd=0.1)",)),
    "threshold": Case(0, (0, 0, 0, INF), {1: 0}, forms=("threshold(threshold=-0.3, value=2.0)",)),
    "tanhshrink": Case(5, (-INF, 0, 0, INF)),
    "erf": Case(2, (-1, 0, 0, 1)),
}  # fmt: skip
