"""Each layer alone: what it made of its own input, held to bounds that no earlier layer widens."""

from xpnn._arrays.dtypes import PRECISIONS
from xpnn._arrays.types import Array, Namespace, Values
from xpnn._network.interpreters import bounds, expectation
from xpnn._network.interpreters.values import Layers
from xpnn._parity.standard import root_mean_square, too_large
from xpnn._rounding.enclosure import Enclosure, Rounding
from xpnn._rounding.expected import FACTOR, Expectation


def first_unsound(
    layers: Layers, x: Values, outputs: list[tuple[Values, Values]], dtype: str, xp: Namespace
) -> str:
    """Return where a pass is first not sound and how, in words; empty if it is sound all through.

    Parameters
    ----------
    layers : tuple of Dense
        In binary64, with the weights that were computed with.
    x : array, shape (rows, in)
    outputs : list of (a, z)
        Of each layer, computed in `dtype`, as `Network.layer_outputs` gives them.
    dtype : str
        float32 or float64.
    xp : namespace
        Of NumPy.
    """
    by = Rounding.of(dtype, {dtype}, x, xp)
    unit = PRECISIONS[dtype].unit
    z = xp.astype(x, xp.float64)
    for i, (layer, given) in enumerate(zip(layers, outputs, strict=True)):
        a = xp.astype(given[0], xp.float64)
        product = bounds.after_linear(_just(z, xp), layer, by, xp)
        expected = expectation.after_linear(Expectation(z, 0 * z), layer, unit, 0.0, xp)
        wrong = _outside(product, a, xp) or _large(expected, a, dtype, xp)
        if wrong:
            return f"layer {i}, x @ weight + bias: {wrong}"
        z = xp.astype(given[1], xp.float64)
        wrong = _outside(bounds.after_activation(_just(a, xp), layer.activate, by, xp), z, xp)
        if wrong:
            return f"layer {i}, {layer.activation}: {wrong}"
    return ""


def _just(values: Array, xp: Namespace) -> Enclosure:
    return Enclosure(values, xp.stack([0 * values, 0 * values]))


def _outside(enclosure: Enclosure, values: Array, xp: Namespace) -> str:
    inside = xp.abs(values - enclosure.centre) <= enclosure.reach
    rows = int(xp.sum(~xp.all(inside | xp.isinf(enclosure.reach), axis=-1)))
    return f"{rows:,} of {len(values):,} rows outside the bound" if rows else ""


def _large(expected: Expectation, values: Array, dtype: str, xp: Namespace) -> str:
    error = xp.abs(values - expected.centre)
    size = xp.sqrt(expected.variance)
    known = (size > 0) & xp.isfinite(error)
    ratio = root_mean_square((error[known] / size[known]).tolist())
    return too_large(ratio, dtype) if ratio > FACTOR else ""
