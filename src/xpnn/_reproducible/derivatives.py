"""Derivatives of the functions of a reproducible namespace, in terms of that namespace.

`RULES[name](xp, g, y, *arrays, **options)` takes the derivative g with respect to the result y and
gives those with respect to the arrays: reverse mode, itself reproducible.
"""

import math
from collections.abc import Callable

from xpnn._arrays.types import Array, Namespace

Rule = Callable[..., tuple[Array, ...]]


def _of_shape(xp: Namespace, g: Array, like: Array) -> Array:
    """Sum g over the axes along which `like` was broadcast."""
    extra = g.ndim - like.ndim
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(like.shape) if n == 1 and g.shape[i + extra] != 1
    )
    return xp.reshape(xp.sum(g, axis=axes), like.shape) if axes else g


def _one(derivative: Callable[[Namespace, Array, Array], Array]) -> Rule:
    return lambda xp, g, y, x: (g * derivative(xp, x, y),)


def _two(rule: Callable[..., tuple[Array, Array]]) -> Rule:
    def function(xp: Namespace, g: Array, y: Array, a: Array, b: Array) -> tuple[Array, Array]:
        da, db = rule(g, y, a, b)
        return _of_shape(xp, da, a), _of_shape(xp, db, b)

    return function


def _matmul(xp: Namespace, g: Array, y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    left = a if a.ndim > 1 else a[None, :]
    right = b if b.ndim > 1 else b[:, None]
    g = g[..., None, :] if a.ndim == 1 else g
    g = g[..., None] if b.ndim == 1 else g
    da, db = g @ right.mT, left.mT @ g
    da = xp.reshape(da, da.shape[:-2] + a.shape) if a.ndim == 1 else da
    db = xp.reshape(db, db.shape[:-2] + b.shape) if b.ndim == 1 else db
    return _of_shape(xp, da, a), _of_shape(xp, db, b)


def _kept(xp: Namespace, g: Array, x: Array, axes: tuple[int, ...]) -> Array:
    """g with the axes that were summed over, as x has them."""
    shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    return xp.broadcast_to(xp.reshape(g, shape), x.shape)


def _sum(xp: Namespace, g: Array, y: Array, x: Array, *, axes: tuple[int, ...]) -> tuple[Array]:
    return (_kept(xp, g, x, axes),)


def _mean(xp: Namespace, g: Array, y: Array, x: Array, *, axes: tuple[int, ...]) -> tuple[Array]:
    return (_kept(xp, g / float(x.size // max(y.size, 1)), x, axes),)


def _var(
    xp: Namespace, g: Array, y: Array, x: Array, *, axes: tuple[int, ...], correction: float
) -> tuple[Array]:
    n = x.size // max(y.size, 1)
    d = x - xp.mean(x, axis=axes, keepdims=True)
    return (_kept(xp, g, x, axes) * d * 2.0 / (n - correction),)


def _std(
    xp: Namespace, g: Array, y: Array, x: Array, *, axes: tuple[int, ...], correction: float
) -> tuple[Array]:
    return _var(xp, g / (2.0 * y), y, x, axes=axes, correction=correction)


def _cumulative_sum(
    xp: Namespace, g: Array, y: Array, x: Array, *, axes: tuple[int]
) -> tuple[Array]:
    axis = axes[0]
    return (xp.flip(xp.cumulative_sum(xp.flip(g, axis=axis), axis=axis), axis=axis),)


def _power(xp: Namespace, g: Array, y: Array, x: Array, *, n: int) -> tuple[Array]:
    return (xp.zeros_like(x) if n == 0 else g * (float(n) * x ** (n - 1)),)


def _logaddexp(g: Array, y: Array, a: Array, b: Array) -> tuple[Array, Array]:
    xp = y.__array_namespace__()
    d = xp.where(a == b, 0.0, a - b)  # of two infinities, too
    return g * xp.sigmoid(d), g * xp.sigmoid(-d)


def _tanh(xp: Namespace, x: Array, y: Array) -> Array:
    # Not 1 - y * y, which has no digits left where y is near 1.
    e = 1.0 / xp.cosh(x)
    return e * e


def _erf(xp: Namespace, x: Array, y: Array) -> Array:
    # The square of u is exact wherever the result is not 0; that of x is off by x * x units.
    x = xp.clip(x, -40.0, 40.0)
    u = xp.round(x * 256.0) / 256.0
    return 2 / math.sqrt(math.pi) * (xp.exp(-(u * u)) * xp.exp(-((x - u) * (x + u))))


def _astype(xp: Namespace, g: Array, y: Array, x: Array, *, to: str) -> tuple[Array]:
    return (xp.astype(g, x.dtype),)


RULES: dict[str, Rule] = {
    "add": _two(lambda g, y, a, b: (g, g)),
    "subtract": _two(lambda g, y, a, b: (g, -g)),
    "multiply": _two(lambda g, y, a, b: (g * b, g * a)),
    "divide": _two(lambda g, y, a, b: (g / b, -(g * y) / b)),
    "logaddexp": _two(_logaddexp),
    "matmul": _matmul,
    "sum": _sum,
    "mean": _mean,
    "var": _var,
    "std": _std,
    "cumulative_sum": _cumulative_sum,
    "power": _power,
    "astype": _astype,
    "clean": lambda xp, g, y, x: (g,),
    "negative": lambda xp, g, y, x: (-g,),
    "exp": _one(lambda xp, x, y: y),
    "exp2": _one(lambda xp, x, y: y * math.log(2)),
    "expm1": _one(lambda xp, x, y: xp.exp(x)),
    "log": _one(lambda xp, x, y: 1.0 / x),
    "log2": _one(lambda xp, x, y: 1 / math.log(2) / x),
    "log10": _one(lambda xp, x, y: 1 / math.log(10) / x),
    "log1p": _one(lambda xp, x, y: 1.0 / (x + 1.0)),
    "tanh": _one(_tanh),
    "sinh": _one(lambda xp, x, y: xp.cosh(x)),
    "cosh": _one(lambda xp, x, y: xp.sinh(x)),
    "sigmoid": _one(lambda xp, x, y: y * xp.sigmoid(-x)),
    "erf": _one(_erf),
    "sqrt": _one(lambda xp, x, y: 0.5 / y),
}
