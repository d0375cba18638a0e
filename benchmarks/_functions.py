"""The functions, by xpnn and by what people would call instead."""

import importlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from _cases import Function
from _timing import Contender

import xpnn

COMPILED_SHAPES = ((64, 1000), (4096, 1000))
"""torch.compile takes seconds: float32 along the last axis on these is enough to see by."""


def sample(case: Function) -> np.ndarray:
    """Normal numbers, as logits are."""
    return np.random.default_rng(0).standard_normal(case.shape).astype(case.dtype)


def contenders(backend: str, case: Function) -> list[Contender]:
    """All that compute this function on this backend's arrays."""
    on = {
        "numpy": _on_numpy,
        "numpy-only": _on_numpy_only,
        "torch": _on_torch,
        "jax": _on_jax,
    }
    return on[backend](case, sample(case))


def ours(case: Function) -> Callable[[Any], Any]:
    """xpnn's function, called as people call it."""
    function = getattr(xpnn, case.name)
    if case.axis is None:
        return function
    return lambda x: function(x, axis=case.axis)


def _on_numpy_only(case: Function, x: np.ndarray) -> list[Contender]:
    mine, theirs = ours(case), by_hand(case)
    return [Contender("xpnn", lambda: mine(x), None), Contender("by hand", lambda: theirs(x))]


def _on_numpy(case: Function, x: np.ndarray) -> list[Contender]:
    peers = {}
    if theirs := _scipy(case):
        peers["scipy.special"] = theirs
    if case.name == "softmax" and case.axis == -1:
        from sklearn.utils.extmath import softmax

        peers["scikit-learn"] = softmax
    calls = [Contender(name, lambda peer=peer: peer(x)) for name, peer in peers.items()]
    return [*_on_numpy_only(case, x), *calls]


def _scipy(case: Function) -> Callable[[np.ndarray], np.ndarray] | None:
    """What SciPy has for it, if anything."""
    from scipy import special

    if case.axis is not None:
        function = getattr(special, case.name)
        return lambda x: function(x, axis=case.axis)
    return {
        "sigmoid": special.expit,
        "gelu": lambda x: x * special.ndtr(x),
        "silu": lambda x: x * special.expit(x),
        "softplus": special.softplus,
    }.get(case.name)


def by_hand(case: Function, xp: Any = np) -> Callable[[Any], Any]:
    """What people write with NumPy, or with CuPy: stable, and as short as can be."""
    axis = case.axis

    def softmax(x: Any) -> Any:
        e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
        return e / xp.sum(e, axis=axis, keepdims=True)

    def log_softmax(x: Any) -> Any:
        d = x - xp.max(x, axis=axis, keepdims=True)
        return d - xp.log(xp.sum(xp.exp(d), axis=axis, keepdims=True))

    def logsumexp(x: Any) -> Any:
        m = xp.max(x, axis=axis, keepdims=True)
        return xp.squeeze(m, axis=axis) + xp.log(xp.sum(xp.exp(x - m), axis=axis))

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + xp.exp(-x))

    def gelu(x: Any) -> Any:
        special = importlib.import_module("scipy.special" if xp is np else "cupyx.scipy.special")
        return 0.5 * x * (1 + special.erf(x / math.sqrt(2)))

    def silu(x: Any) -> Any:
        return x / (1 + xp.exp(-x))

    def softplus(x: Any) -> Any:
        return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))  # a tenth of logaddexp's time

    def elu(x: Any) -> Any:
        return xp.maximum(x, 0) + xp.expm1(xp.minimum(x, 0))

    if case.name == "tanh":
        return xp.tanh
    written = (softmax, log_softmax, logsumexp, sigmoid, gelu, silu, softplus, elu)
    return {f.__name__: f for f in written}[case.name]


def by_torch(case: Function) -> Callable[[Any], Any]:
    """PyTorch's own function."""
    import torch

    own = case.name in {"logsumexp", "sigmoid", "tanh"}
    function = getattr(torch if own else torch.nn.functional, case.name)
    return function if case.axis is None else lambda x: function(x, dim=case.axis)


def _on_torch(case: Function, given: np.ndarray) -> list[Contender]:
    import torch

    x = torch.from_numpy(given)
    mine, theirs = ours(case), by_torch(case)
    found = [
        Contender("xpnn", lambda: mine(x), None),
        Contender("torch.nn.functional", lambda: theirs(x)),
    ]
    if case.dtype == "float32" and case.shape in COMPILED_SHAPES and case.axis != 0:
        my_compiled = torch.compile(mine, dynamic=False)
        their_compiled = torch.compile(theirs, dynamic=False)
        found += [
            Contender("xpnn compiled", lambda: my_compiled(x), None),
            Contender("torch.compile", lambda: their_compiled(x), "xpnn compiled"),
        ]
    return found


def by_jax_nn(case: Function) -> Callable[[Any], Any]:
    """JAX's own function."""
    import jax

    function = getattr(jax.nn, case.name)
    if case.axis is not None:
        return lambda x: function(x, axis=case.axis)
    return partial(function, approximate=False) if case.name == "gelu" else function


def _on_jax(case: Function, given: np.ndarray) -> list[Contender]:
    import jax

    x = jax.numpy.asarray(given)
    mine, theirs = ours(case), by_jax_nn(case)
    my_jitted, their_jitted = jax.jit(mine), jax.jit(theirs)
    return [
        Contender("xpnn", lambda: mine(x).block_until_ready(), None),
        Contender("jax.nn", lambda: theirs(x).block_until_ready()),
        Contender("xpnn jitted", lambda: my_jitted(x).block_until_ready(), None),
        Contender("jax.nn jitted", lambda: their_jitted(x).block_until_ready(), "xpnn jitted"),
    ]
