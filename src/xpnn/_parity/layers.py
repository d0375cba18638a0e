"""Each layer alone: what it made of its own input, held to bounds that no earlier layer widens."""

from xpnn._arrays.dtypes import PRECISIONS
from xpnn._arrays.types import Array, Namespace, Values
from xpnn._network.interpreters.bounds import Bounds
from xpnn._network.interpreters.expectation import Expectations
from xpnn._network.layers.layer import Layers
from xpnn._parity.standard import root_mean_square, too_large
from xpnn._rounding.enclosure import Enclosure, Rounding
from xpnn._rounding.expected import FACTOR, Expectation


def first_unsound(
    layers: Layers, x: Values, outputs: list[tuple[Values, Values]], dtype: str, xp: Namespace
) -> str:
    """Return where a pass is first not sound and how, in words; empty if it is sound all through.

    Parameters
    ----------
    layers : tuple of layers
        In binary64, with the weights that were computed with.
    x : array, shape (rows, in)
    outputs : list of (a, z)
        Of each layer, computed in `dtype`, as `Network.layer_outputs` gives them.
    dtype : str
        float32 or float64.
    xp : namespace
        Of NumPy.
    """
    by = Bounds(Rounding.of(dtype, {dtype}, x, xp), xp)
    model = Expectations(xp, PRECISIONS[dtype].unit, 0.0)
    z = xp.astype(x, xp.float64)
    for i, (layer, given) in enumerate(zip(layers, outputs, strict=True)):
        a = xp.astype(given[0], xp.float64)
        bound = layer.preactivation(Enclosure.of(z, xp), by)
        expected = layer.preactivation(Expectation(z, 0 * z), model)
        wrong = _outside(bound, a, xp) or _large(expected, a, dtype, xp)
        if wrong:
            return f"layer {i}, {layer.formula}: {wrong}"
        z = xp.astype(given[1], xp.float64)
        wrong = _outside(layer.activated(Enclosure.of(a, xp), by), z, xp)
        if wrong:
            return f"layer {i}, {layer.activate}: {wrong}"
    return ""


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
