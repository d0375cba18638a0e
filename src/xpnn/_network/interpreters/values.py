"""The forward pass: layers one after the other, and what is made of the last one's result."""

from collections.abc import Callable
from typing import NamedTuple

from xpnn._activations.activation import Activation
from xpnn._activations.softmax import first_largest
from xpnn._arrays.dtypes import dtype_name, dtype_named
from xpnn._arrays.library import Library, device_of
from xpnn._arrays.types import Array, Namespace
from xpnn._network.layers.dense import Dense
from xpnn.errors import XpnnValueError

Layers = tuple[Dense, ...]


def activations(layers: Layers, of: str = "output") -> tuple[Activation, ...]:
    """Return what follows the product of each layer, if `of` is wanted of the network."""
    last = layers[-1].activate
    wanted = {
        "output": last,
        "logits": Activation("identity") if gives_logits(last) else None,
        "log_proba": last.log_probability,
    }.get(of)
    if wanted is None:
        raise XpnnValueError(
            "of: expected 'output', or after softmax or sigmoid 'logits' or 'log_proba', got "
            f"{of!r} of a network whose output layer is {last.name}"
        )
    return (*(layer.activate for layer in layers[:-1]), wanted)


def gives_logits(last: Activation) -> bool:
    """Whether the argument of an output layer's activation has a meaning of its own."""
    return last.log_probability is not None or last.name == "identity"


def output_of(layers: Layers) -> Activation:
    """Return the output layer's activation, also of layers that are ready for a library."""
    return Activation.of(layers[-1].activation)


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
    return output_of(layers).log_probability(logits(layers, x, xp), xp=xp)  # type: ignore[misc]


def classes(layers: Layers, x: Array, xp: Namespace) -> Array:
    """Return the largest logit's index, or after sigmoids where the logit is > 0."""
    a = logits(layers, x, xp)
    if output_of(layers).record.of_rows:
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
