"""Shorter formulas, for the fast way on NumPy's arrays: inside the error bound, in fewer steps.

Digits below the smallest normal number, and those of a log-probability below half a unit in the last place of 1,
which the formulas keep, are not there.
"""

from typing import Any

from xpnn._arrays.backends.protocol import Kernel
from xpnn._arrays.sums import sum_along
from xpnn._arrays.types import Array


def _sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)): 0 where the exponential overflows, below the smallest normal number."""
    xp = x.__array_namespace__()
    return 1 / (1 + xp.exp(-x))


def _silu(x: Array) -> Array:
    """Return x / (1 + exp(-x)), and 0 at -inf, where that were NaN."""
    xp = x.__array_namespace__()
    t = xp.maximum(x, -1000.0)
    return t / (1 + xp.exp(-t))


def _elu(x: Array, *, alpha: float = 1.0) -> Array:
    xp = x.__array_namespace__()
    below = xp.expm1(xp.minimum(x, 0.0))
    return xp.maximum(x, 0.0) + (below if alpha == 1.0 else alpha * below)


def _softplus(x: Array) -> Array:
    xp = x.__array_namespace__()
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


def _log_softmax(x: Array, *, axis: int) -> Array:
    """Return d - log(sum(exp(d))), to half a unit of 1; d is the difference from the largest entry."""
    xp = x.__array_namespace__()
    d = x - xp.max(x, axis=axis, keepdims=True)
    return d - xp.log(sum_along(xp.exp(d), axis, xp))


def _logsumexp(x: Array, *, axis: int, keepdims: bool) -> Array:
    """Return m + log(sum(exp(x - m))) of the largest entry m, or the largest number for an infinite one."""
    xp = x.__array_namespace__()
    m = xp.max(x, axis=axis, keepdims=True)
    last = float(xp.finfo(x.dtype).max)
    m = xp.minimum(xp.maximum(m, -last), last)
    y = m + xp.log(sum_along(xp.exp(x - m), axis, xp))
    axis %= x.ndim
    return y if keepdims else xp.reshape(y, (*x.shape[:axis], *x.shape[axis + 1 :]))


def _has_terms(x: Array, *, axis: int, **_: Any) -> bool:
    return bool(x.shape[axis])


KERNELS = {
    "sigmoid": Kernel(_sigmoid),
    "silu": Kernel(_silu),
    "elu": Kernel(_elu),
    "softplus": Kernel(_softplus, lambda _, **options: not options),
    "log_softmax": Kernel(_log_softmax, _has_terms),
    "logsumexp": Kernel(_logsumexp, _has_terms),
}
"""By the names of the public functions."""
