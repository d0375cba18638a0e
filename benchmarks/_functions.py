"""The functions, by xpnn and by what people would call instead."""

import importlib
import math
from collections.abc import Callable
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
    on = {"numpy": _on_numpy, "torch": _on_torch, "jax": _on_jax}
    return on[backend](case, sample(case))


def ours(case: Function) -> Callable[[Any], Any]:
    """xpnn's function, called as people call it."""
    function = getattr(xpnn, case.name)
    if case.axis is None:
        return function
    return lambda x: function(x, axis=case.axis)


def _on_numpy(case: Function, x: np.ndarray) -> list[Contender]:
    mine = ours(case)
    peers = {"scipy.special": _scipy(case), "by hand": by_hand(case)}
    if case.name == "softmax" and case.axis == -1:
        from sklearn.utils.extmath import softmax

        peers["scikit-learn"] = softmax
    calls = [Contender(name, lambda peer=peer: peer(x)) for name, peer in peers.items()]
    return [Contender("xpnn", lambda: mine(x), None), *calls]


def _scipy(case: Function) -> Callable[[np.ndarray], np.ndarray]:
    from scipy import special

    if case.name == "sigmoid":
        return special.expit
    if case.name == "gelu":
        return lambda x: x * special.ndtr(x)
    function = getattr(special, case.name)
    return lambda x: function(x, axis=case.axis)


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

    written = (softmax, log_softmax, logsumexp, sigmoid, gelu)
    return {f.__name__: f for f in written}[case.name]


def by_torch(case: Function) -> Callable[[Any], Any]:
    """PyTorch's own function."""
    import torch

    axis = case.axis
    return {
        "softmax": lambda x: torch.nn.functional.softmax(x, dim=axis),
        "log_softmax": lambda x: torch.nn.functional.log_softmax(x, dim=axis),
        "logsumexp": lambda x: torch.logsumexp(x, dim=axis),
        "sigmoid": torch.sigmoid,
        "gelu": torch.nn.functional.gelu,
    }[case.name]


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

    axis = case.axis
    return {
        "softmax": lambda x: jax.nn.softmax(x, axis=axis),
        "log_softmax": lambda x: jax.nn.log_softmax(x, axis=axis),
        "logsumexp": lambda x: jax.nn.logsumexp(x, axis=axis),
        "sigmoid": jax.nn.sigmoid,
        "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    }[case.name]


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
