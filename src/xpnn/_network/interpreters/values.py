"""Values: the forward pass, layers one after the other, and what is made of the last one's result."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from xpnn._activations.activation import Activation
from xpnn._activations.softmax import first_largest
from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.dtypes import dtype_name, dtype_named
from xpnn._arrays.library import device_of, library
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.computation import Plan
from xpnn._network.layers.layer import Interpreter, Layers, Shape, V
from xpnn._network.layers.linear import linear, product
from xpnn._network.layers.normalization import normalized
from xpnn.errors import XpnnValueError


def ending(layers: Layers, of: str = "output") -> Activation:
    """Return the activation that the last layer ends in, if `of` is wanted of the network."""
    last = layers[-1].activate
    wanted = {
        "output": last,
        "logits": Activation.of("identity") if gives_logits(last) else None,
        "log_proba": last.log_probability,
    }.get(of)
    if wanted is None:
        raise XpnnValueError(
            "of: expected 'output', or after softmax or sigmoid 'logits' or 'log_proba', got "
            f"{of!r} of a network whose output layer is {last.name}"
        )
    return wanted


def gives_logits(last: Activation) -> bool:
    """Whether the argument of an output layer's activation has a meaning of its own."""
    return last.log_probability is not None or last.name == "identity"


def before_ending(layers: Layers, x: V, interpreter: Interpreter[V]) -> V:
    """Run all layers, but not the last one's activation."""
    for layer in layers[:-1]:
        x = layer.apply(x, interpreter)
    return layers[-1].preactivation(x, interpreter)


def passed(layers: Layers, x: V, interpreter: Interpreter[V], end: Activation) -> V:
    """Run all layers, the last one with another activation."""
    return interpreter.activate(before_ending(layers, x, interpreter), end)


class Plain:
    """The words as functions of arrays, which are looked at in each of them."""

    def __init__(self, xp: Namespace | None) -> None:
        self.xp: Any = xp

    def linear(self, x: Array, weight: Array, bias: Array | None, _: str | None = None, /) -> Array:
        """Return x @ weight + bias."""
        return linear(x, weight, bias, xp=self.xp)

    def activate(self, x: Array, activation: Activation, /) -> Array:
        """Return an activation of x."""
        return activation.function(x, xp=self.xp)

    def affine(
        self, x: Array, scale: Array | None, shift: Array | None, _: str | None = None, /
    ) -> Array:
        """Return x * scale + shift."""
        with library(x).guard(dtype_name(x.dtype)):
            return affine(x, scale, shift)

    def normalize(self, x: Array, epsilon: float, /) -> Array:
        """Return (x - mean) / sqrt(variance + epsilon) along the last axis."""
        found = library(x)
        with found.guard(dtype_name(x.dtype)):
            return normalized(x, epsilon, self.xp or found.xp)

    def add(self, x: Array, y: Array, /) -> Array:
        """Return x + y."""
        with library(x).guard(dtype_name(x.dtype)):
            return x + y

    def flatten(self, x: Array, _: Shape, /) -> Array:
        """Return x, which the network has laid out."""
        return x

    def call(self, x: Array, f: Callable[[Array], Array], /) -> Array:
        """Return f(x)."""
        return f(x)


class Fast:
    """The words for arrays of one library that are known to fit each other."""

    def __init__(self, found: Library, *, plain: bool = False) -> None:
        self.xp = found.xp
        self._asked = found.xp if plain else None
        self._kernel = None if plain else found.kernels.get("linear")

    def linear(self, x: Array, weight: Array, bias: Array | None, _: str | None = None, /) -> Array:
        """Return x @ weight + bias."""
        return self.plan_of_linear(x, weight, bias)(x)

    def activate(self, x: Array, activation: Activation, /) -> Array:
        """Return an activation of x, which has a plan for such arrays."""
        return activation.function(x, xp=self._asked)

    def plan_of(self, activation: Activation, x: Array) -> Plan:
        """Return what computes an activation of arrays like x."""
        return activation.plan(x, self._asked)

    def plan_of_linear(
        self, x: Array, weight: Array, bias: Array | None
    ) -> Callable[[Array], Array]:
        """Return what multiplies arrays like x by a weight."""
        if self._kernel is not None and self._kernel.fits(x, weight, bias):
            return functools.partial(self._kernel.compute, weight=weight, bias=bias)
        return functools.partial(product, weight=weight, bias=bias, xp=self.xp)

    def affine(
        self, x: Array, scale: Array | None, shift: Array | None, _: str | None = None, /
    ) -> Array:
        """Return x * scale + shift."""
        return affine(x, scale, shift)

    def normalize(self, x: Array, epsilon: float, /) -> Array:
        """Return (x - mean) / sqrt(variance + epsilon) along the last axis."""
        return normalized(x, epsilon, self.xp)

    def add(self, x: Array, y: Array, /) -> Array:
        """Return x + y."""
        return x + y

    def flatten(self, x: Array, _: Shape, /) -> Array:
        """Return x, which the network has laid out."""
        return x

    def call(self, x: Array, f: Callable[[Array], Array], /) -> Array:
        """Return f(x)."""
        return f(x)


def affine(x: Array, scale: Array | None, shift: Array | None) -> Array:
    """Return x * scale + shift of arrays of one dtype, each where it is there."""
    y = x if scale is None else x * scale
    return y if shift is None else y + shift


Part = Callable[[Layers, Array, Plain | Fast], Array]
"""What is made of layers and an input."""


def outputs(layers: Layers, x: Array, by: Plain | Fast) -> Array:
    """Run all layers."""
    for layer in layers:
        x = layer.apply(x, by)
    return x


def each_layer(layers: Layers, x: Array, by: Plain | Fast) -> Iterator[Array]:
    """Run all layers; give what each makes, without its activation and with it."""
    for layer in layers:
        a = layer.preactivation(x, by)
        x = layer.activated(a, by)
        yield from (a, x)


def logits(layers: Layers, x: Array, by: Plain | Fast) -> Array:
    """Run all layers, but not the last one's activation."""
    return before_ending(layers, x, by)


def log_proba(layers: Layers, x: Array, by: Plain | Fast) -> Array:
    """Return the logarithm of the probabilities."""
    return passed(layers, x, by, ending(layers, "log_proba"))


def classes(layers: Layers, x: Array, by: Plain | Fast) -> Array:
    """Return the largest logit's index, or after sigmoids where the logit is > 0."""
    of_rows = layers[-1].activate.record.of_rows
    return by.call(logits(layers, x, by), lambda a: _classes(a, by.xp, of_rows=of_rows))


def _classes(a: Array, xp: Namespace, *, of_rows: bool) -> Array:
    if of_rows:
        return xp.squeeze(first_largest(a, xp), axis=-1)
    if a.shape[-1] == 1:
        a = a[..., 0]
    integer = xp.__array_namespace_info__().default_dtypes(device=device_of(a))["integral"]
    return xp.astype(a > 0, integer)


class Forward(NamedTuple):
    """A forward pass with all that it needs beside layers and input: `forward(library, layers, x)`.

    Each row of the result depends on the same row of `x` alone.
    """

    part: Part
    """One of the functions above."""
    computing: str
    """Name of the dtype to compute in, which the layers have."""
    result: str
    """Name of the dtype of the result, if that is floating."""

    def __call__(
        self,
        found: Library,
        layers: Layers,
        x: Array,
        by: Fast | None = None,
    ) -> Array:
        """Compute it; x is an array of the library, or of the one that it is over."""
        words = Plain(found.xp) if by is None else by
        return self.leave(found, x, self.part(layers, self.enter(found, x), words))

    def each(self, found: Library, layers: Layers, x: Array, by: Plain) -> tuple[Array, ...]:
        """Return what each layer is before and after its activation, one after the other."""
        z = self.enter(found, x)
        return tuple([self.leave(found, x, y) for y in each_layer(layers, z, by)])

    def enter(self, found: Library, x: Array) -> Array:
        """Return x as the layers take it."""
        x = found.enter(x)
        return x if dtype_name(x.dtype) == self.computing else self._to(self.computing, found, x)

    def leave(self, found: Library, x: Array, y: Array) -> Array:
        """Return a result as the caller gets it."""
        if dtype_name(y.dtype) == self.computing != self.result:
            y = self._to(self.result, found, y)
        return found.returned(found.leave(y, x))

    @staticmethod
    def _to(dtype: str, found: Library, y: Array) -> Array:
        with found.guard(dtype):
            to = dtype_named(found.xp, dtype)
            return y if to is None else found.xp.astype(y, to)
