"""What may be wrong with a result: a table of faults that people meet, each tried on the same rows.

A fault is a function that yields what a network with this fault gives, computed in binary64. The one that
leaves the least of the error is named, if it leaves an eighth or less.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from xpnn._analysis import Activation, activation_of
from xpnn._dense import Dense, parse_activation
from xpnn._dtypes import PRECISIONS
from xpnn._forward import LOG_PROBA, Layers
from xpnn._standard import host
from xpnn._types import Array, Namespace

_LEFT = 1 / 8

EPSILONS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16)


class Case(NamedTuple):
    """Rows that went wrong."""

    layers: Layers
    """In binary64."""
    x: Array
    """In binary64, rows."""
    of: str
    dtype: str
    y: Array
    """What came, in binary64."""

    @property
    def last(self) -> Activation:
        """The activation that makes the result."""
        return activation_of(self.layers, len(self.layers) - 1, self.of)

    def run(
        self,
        layers: Layers | None = None,
        x: Array | None = None,
        of: str | None = None,
        factor: Callable[[Array], Array] = lambda a: a,
    ) -> Array:
        """Return a forward pass that differs in some way; `factor` is what becomes of factors."""
        layers, of = layers or self.layers, of or self.of
        z, xp = self.x if x is None else x, host().xp
        for i, layer in enumerate(layers):
            z = xp.matmul(factor(z), factor(layer.weight))
            z = z if layer.bias is None else z + layer.bias
            function, _, options = activation_of(layers, i, of)
            z = function(z, xp=xp, **options)
        return z


def rounded(a: Array, bits: int) -> Array:
    """Round binary64 to so many bits, to nearest (G. W. Veltkamp's way)."""
    c = a * (2.0 ** (53 - bits) + 1)
    return c - (c - a)


def _cut(a: Array, bits: int, xp: Namespace) -> Array:
    """Round binary64 to so many bits, toward zero."""
    near = rounded(a, bits)
    step = xp.abs(near) * 2.0**-bits
    return xp.where(xp.abs(near) > xp.abs(a), rounded(near - xp.sign(near) * step, bits), near)


Candidates = Iterator[tuple[str, Array]]
"""Where the fault is, in words, and what comes of it."""


def _changed(case: Case, change: Callable[[Dense], Dense | None]) -> Candidates:
    """Change each layer alone, and all together; `change` gives None for those that it cannot."""
    changed = {i: new for i, old in enumerate(case.layers) if (new := change(old)) is not None}
    sets = [(i,) for i in changed] + ([tuple(changed)] if len(changed) > 1 else [])
    for those in sets:
        mixed = (changed[i] if i in those else old for i, old in enumerate(case.layers))
        where = f" in layer{'s' * (len(those) > 1)} {', '.join(map(str, those))}"
        yield where, case.run(tuple(mixed))


def _rounded_factors(bits: int) -> Callable[[Case], Candidates]:
    def run(case: Case) -> Candidates:
        if PRECISIONS[case.dtype].bits > bits:
            yield "", case.run(factor=lambda a: rounded(a, bits))
            yield "", case.run(factor=lambda a: _cut(a, bits, host().xp))

    return run


def _single(case: Case) -> Candidates:
    if case.dtype != "float64":
        return
    bits = PRECISIONS["float32"].bits
    if bool(host().xp.all(rounded(case.y, bits) == case.y)):
        yield "", case.y
    yield ", the input", case.run(x=rounded(case.x, bits))
    weights = tuple(
        Dense(rounded(layer.weight, bits), layer.bias, layer.activation) for layer in case.layers
    )
    yield ", the weights", case.run(weights)
    yield ", input and weights", case.run(weights, x=rounded(case.x, bits))


def _other_gelu(case: Case) -> Candidates:
    def change(layer: Dense) -> Dense | None:
        name, options = parse_activation(layer.activation)
        if name != "gelu":
            return None
        other = "tanh" if options["approximate"] == "none" else "none"
        return Dense(layer.weight, layer.bias, f"gelu(approximate={other!r})")

    yield from _changed(case, change)


def _other_slope(case: Case) -> Candidates:
    for slope in (0.01, 0.1, 0.2, 0.3, 1 / 3):

        def change(layer: Dense, slope: float = slope) -> Dense | None:
            text = f"leaky_relu(negative_slope={slope})"
            is_leaky = parse_activation(layer.activation)[0] == "leaky_relu"
            return Dense(layer.weight, layer.bias, text) if is_leaky else None

        for where, y in _changed(case, change):
            yield f"{where}: {slope:.3g}", y


def _transposed(case: Case) -> Candidates:
    def change(layer: Dense) -> Dense | None:
        n, m = layer.weight.shape
        return Dense(layer.weight.T, layer.bias, layer.activation) if n == m else None

    yield from _changed(case, change)


def _without_bias(case: Case) -> Candidates:
    def change(layer: Dense) -> Dense | None:
        return None if layer.bias is None else Dense(layer.weight, None, layer.activation)

    yield from _changed(case, change)


def _wrong_axis(case: Case) -> Candidates:
    function, name, _ = case.last
    if name in {"softmax", "log_softmax"}:
        yield "", function(case.run(of="logits"), axis=0)


def _permuted(case: Case) -> Candidates:
    xp, y = host().xp, case.run()
    # For each class that came, the one that it is most like.
    order = [int(xp.argmin(xp.sum((y - column[:, None]) ** 2, axis=0))) for column in case.y.T]
    if sorted(order) == list(range(len(order))) and order != sorted(order):
        yield f": {', '.join(map(str, order))}", y[:, order]


def _activation_count(case: Case) -> Candidates:
    function, name, options = case.last
    if name != "identity":
        yield f": {name} left out", case.run(of="logits")
        yield f": {name} twice", function(case.run(), **options)


def _epsilon(case: Case) -> Candidates:
    xp, name = host().xp, case.last[1]
    if name not in LOG_PROBA:
        return
    logarithm = name.startswith("log_")
    p = xp.exp(case.run()) if logarithm else case.run()
    for e in EPSILONS:
        ways = {"added to": p + e, "limiting": xp.clip(p, e, 1 - e)}
        if name.endswith("softmax"):
            logits = case.run(of="logits")
            total = xp.sum(xp.exp(logits - xp.max(logits, axis=-1, keepdims=True)), axis=-1)
            ways["added to the sum of"] = p / (1 + e / total[:, None])
        for way, changed in ways.items():
            yield f" of {e:g} {way} the probabilities", xp.log(changed) if logarithm else changed


def _scaled_input(case: Case) -> Candidates:
    for factor in (1 / 255, 255.0, 1 / 256, 256.0):
        yield f": times {factor:.3g}", case.run(x=case.x * factor)


FAULTS: dict[str, Callable[[Case], Candidates]] = {
    "factors of products rounded to TF32": _rounded_factors(11),
    "factors of products rounded to bfloat16": _rounded_factors(8),
    "float64 cut to float32": _single,
    "gelu's other form": _other_gelu,
    "another slope of leaky_relu": _other_slope,
    "a transposed weight": _transposed,
    "a missing bias": _without_bias,
    "softmax over the wrong axis": _wrong_axis,
    "the classes in another order": _permuted,
    "the output layer's activation": _activation_count,
    "an epsilon": _epsilon,
    "another scale of the input": _scaled_input,
}


def likely(case: Case) -> str:
    """Return the fault that explains the most of the error, in words, or 'unknown'."""
    xp = host().xp
    with host().guard("float64"):
        right = case.run()
        # Small outputs count as much as large ones.
        scale = xp.max(xp.abs(right), axis=0, keepdims=True) + PRECISIONS["float64"].tiny

        def left(y: Array) -> float:
            size = float(xp.sqrt(xp.mean(((y - case.y) / scale) ** 2)))
            return math.inf if math.isnan(size) else size

        best, found = _LEFT * left(right), "unknown"
        for words, fault in FAULTS.items():
            for where, y in fault(case):
                size = left(y)
                if size < best:
                    best, found = size, words + where
    return found
