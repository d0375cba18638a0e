"""Derivatives by JAX and by PyTorch, asked for in one way."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Differentiator(NamedTuple):
    """A library that finds derivatives."""

    xp: Any
    """Its namespace of arrays."""
    asarray: Callable[..., Any]
    grad: Callable[..., list[np.ndarray]]
    """grad(f, *x): derivatives of the sum of f by each of the NumPy arrays x."""


def differentiator(module: Any) -> Differentiator:
    """Return that of the module torch or jax."""

    def by_jax(f, *x):
        numbers = tuple(range(len(x)))
        grad = module.grad(lambda *a: f(*a).sum(), argnums=numbers)
        return [np.asarray(g) for g in grad(*map(module.numpy.asarray, x))]

    def by_torch(f, *x):
        leaves = [module.tensor(a, requires_grad=True) for a in x]
        f(*leaves).sum().backward()
        return [a.grad.numpy() for a in leaves]

    if module.__name__ == "jax":
        return Differentiator(module.numpy, module.numpy.asarray, by_jax)
    return Differentiator(module, module.tensor, by_torch)
