"""The operations of a reproducible namespace, one record each: what computes it, and its derivatives.

A derivative takes (xp, g, y, *arrays, **options), where xp is the namespace and g the derivative with
respect to the result y, and gives those with respect to the arrays: reverse mode, itself reproducible.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn._arrays.dtypes import dtype_named
from xpnn._arrays.types import Array, Namespace
from xpnn._reproducible.arithmetic import conversions, elementwise, reductions

Rule = Callable[..., tuple[Array, ...]]


def _broadcast(xp: Namespace, *arrays: Array, **_: Any) -> Array:
    return functools.reduce(xp.add, arrays)


class Operation(NamedTuple):
    """What the engine runs under a name, on arrays of one floating dtype."""

    kernel: Callable[..., Array]
    """Of arrays in binary64, as `elementwise` and `reductions` have them; or a conversion."""
    derivatives: Rule
    abstract_value: Callable[..., Array] = _broadcast
    """A function of (xp, *arrays, **options) of the library whose result has the shape and the dtype."""
    is_elementwise: bool = False
    """Whether it is a function of one array, element by element."""
    is_conversion: bool = False
    """Whether it takes the library's arrays as they are: see `conversions`."""


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


def _of_one(kernel: Callable[..., Array], derivative: Callable[..., Array]) -> Operation:
    return Operation(kernel, _one(derivative), is_elementwise=True)


def _of_two(kernel: Callable[..., Array], rule: Callable[..., tuple[Array, Array]]) -> Operation:
    return Operation(kernel, _two(rule))


def _over_axes(kernel: Callable[..., Array], rule: Rule) -> Operation:
    return Operation(kernel, rule, lambda xp, x, axes, **_: xp.sum(x, axis=axes) if axes else x)


OPERATIONS: dict[str, Operation] = {
    "add": _of_two(reductions.add, lambda g, y, a, b: (g, g)),
    "subtract": _of_two(reductions.subtract, lambda g, y, a, b: (g, -g)),
    "multiply": _of_two(reductions.multiply, lambda g, y, a, b: (g * b, g * a)),
    "divide": _of_two(reductions.divide, lambda g, y, a, b: (g / b, -(g * y) / b)),
    "logaddexp": _of_two(reductions.logaddexp, _logaddexp),
    "power": Operation(reductions.power, _power),
    "matmul": Operation(reductions.matmul, _matmul, lambda xp, a, b: xp.matmul(a, b)),
    "sum": _over_axes(reductions.sum, _sum),
    "mean": _over_axes(reductions.mean, _mean),
    "var": _over_axes(reductions.var, _var),
    "std": _over_axes(reductions.std, _std),
    "cumulative_sum": Operation(reductions.cumulative_sum, _cumulative_sum),
    "exp": _of_one(elementwise.exp, lambda xp, x, y: y),
    "exp2": _of_one(elementwise.exp2, lambda xp, x, y: y * math.log(2)),
    "expm1": _of_one(elementwise.expm1, lambda xp, x, y: xp.exp(x)),
    "log": _of_one(elementwise.log, lambda xp, x, y: 1.0 / x),
    "log2": _of_one(elementwise.log2, lambda xp, x, y: 1 / math.log(2) / x),
    "log10": _of_one(elementwise.log10, lambda xp, x, y: 1 / math.log(10) / x),
    "log1p": _of_one(elementwise.log1p, lambda xp, x, y: 1.0 / (x + 1.0)),
    "tanh": _of_one(elementwise.tanh, _tanh),
    "sinh": _of_one(elementwise.sinh, lambda xp, x, y: xp.cosh(x)),
    "cosh": _of_one(elementwise.cosh, lambda xp, x, y: xp.sinh(x)),
    "sigmoid": _of_one(elementwise.sigmoid, lambda xp, x, y: y * xp.sigmoid(-x)),
    "erf": _of_one(elementwise.erf, _erf),
    "sqrt": _of_one(elementwise.sqrt, lambda xp, x, y: 0.5 / y),
    "clean": Operation(conversions.clean, lambda xp, g, y, x: (g,), is_conversion=True),
    "negative": Operation(conversions.negative, lambda xp, g, y, x: (-g,), is_conversion=True),
    "astype": Operation(
        conversions.convert,
        lambda xp, g, y, x, *, to: (xp.astype(g, x.dtype),),
        lambda xp, x, to: xp.astype(x, dtype_named(xp, to)),
        is_conversion=True,
    ),
}

ELEMENTWISE = tuple(name for name, operation in OPERATIONS.items() if operation.is_elementwise)
"""The functions of one array that are computed here."""
