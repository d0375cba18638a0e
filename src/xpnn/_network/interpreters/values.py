"""The forward pass: layers one after the other, and what is made of the last one's result."""

from collections.abc import Callable
from typing import NamedTuple

from xpnn._activations.sigmoids import log_sigmoid
from xpnn._activations.softmax import first_largest, log_softmax
from xpnn._arrays.dtypes import dtype_name, dtype_named
from xpnn._arrays.library import Library, device_of
from xpnn._arrays.types import Array, Namespace
from xpnn._network.layers.dense import Dense

Layers = tuple[Dense, ...]

LOG_PROBA = {
    "softmax": log_softmax,
    "log_softmax": log_softmax,
    "sigmoid": log_sigmoid,
    "log_sigmoid": log_sigmoid,
}
"""For the output layers whose outputs are probabilities, the logarithm of those."""


def output_of(layers: Layers) -> str:
    """Return the name of the output layer's activation."""
    return layers[-1].activation.partition("(")[0]


def outputs(layers: Layers, x: Array, xp: Namespace) -> Array:
    """Run all layers."""
    return layers[-1].activate(logits(layers, x, xp), xp=xp)


def logits(layers: Layers, x: Array, xp: Namespace) -> Array:
    """Run all layers, but not the last one's activation."""
    for layer in layers[:-1]:
        x = layer.activate(layer.linear(x, xp=xp), xp=xp)
    return layers[-1].linear(x, xp=xp)


def log_proba(layers: Layers, x: Array, xp: Namespace) -> Array:
    """Return the logarithm of the probabilities."""
    return LOG_PROBA[output_of(layers)](logits(layers, x, xp), xp=xp)


def classes(layers: Layers, x: Array, xp: Namespace) -> Array:
    """Return the largest logit's index, or after sigmoids where the logit is > 0."""
    a = logits(layers, x, xp)
    if output_of(layers) in {"softmax", "log_softmax"}:
        return xp.squeeze(first_largest(a, xp), axis=-1)
    if a.shape[-1] == 1:
        a = a[..., 0]
    integer = xp.__array_namespace_info__().default_dtypes(device=device_of(a))["integral"]
    return xp.astype(a > 0, integer)


class Forward(NamedTuple):
    """A forward pass with all that it needs beside layers and input: `forward(library, layers, x)`.

    Each row of the result depends on the same row of `x` alone.
    """

    part: Callable[[Layers, Array, Namespace], Array]
    """One of the functions above."""
    computing: str
    """Name of the dtype to compute in, which the layers have."""
    result: str
    """Name of the dtype of the result, if that is floating."""

    def __call__(self, found: Library, layers: Layers, x: Array) -> Array:
        """Compute it; x is an array of the library, or of the one that it is over."""
        return self.leave(found, x, self.part(layers, self.enter(found, x), found.xp))

    def enter(self, found: Library, x: Array) -> Array:
        """Return x as the layers take it."""
        x = found.enter(x)
        return x if dtype_name(x.dtype) == self.computing else self._to(self.computing, found, x)

    def leave(self, found: Library, x: Array, y: Array) -> Array:
        """Return a result as the caller gets it."""
        if dtype_name(y.dtype) == self.computing != self.result:
            y = self._to(self.result, found, y)
        return found.leave(y, x)

    @staticmethod
    def _to(dtype: str, found: Library, y: Array) -> Array:
        with found.guard(dtype):
            to = dtype_named(found.xp, dtype)
            return y if to is None else found.xp.astype(y, to)
