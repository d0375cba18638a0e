"""Each layer alone: what it made of its own input, held to bounds that no earlier layer widens."""

from xpnn._arrays.dtypes import PRECISIONS
from xpnn._arrays.types import Array, Namespace, Values
from xpnn._network.interpreters.bounds import Bounds
from xpnn._network.interpreters.expectation import Expectations
from xpnn._network.layers.layer import Layers
from xpnn._parity.standard import ANY_ROW, is_smooth, root_mean_square, too_large
from xpnn._rounding.enclosure import Enclosure, Rounding, entered
from xpnn._rounding.expected import FACTOR, LEAST, Expectation


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
    rounding = Rounding.of(dtype, {dtype}, x, xp)
    by = Bounds(rounding, xp)
    precision = PRECISIONS[dtype]
    model = Expectations(xp, precision.unit, precision.tiny)
    z = x
    for i, (layer, given) in enumerate(zip(layers, outputs, strict=True)):
        bound = layer.preactivation(entered(z, rounding, xp), by)
        z = xp.astype(z, xp.float64)
        exact = Expectation(z, 0 * z).flushed(precision.tiny, xp)
        expected = layer.preactivation(exact, model)
        widest = layer.preactivation(exact, model._replace(reach=ANY_ROW)).variance
        a, z = given
        wrong = _outside(bound, a, xp) or _large(expected, widest, a, dtype, xp)
        if wrong:
            return f"layer {i}, {layer.formula}: {wrong}"
        wrong = _outside(layer.activated(entered(a, rounding, xp), by), z, xp)
        if wrong:
            return f"layer {i}, {layer.activate}: {wrong}"
    return ""


def _outside(enclosure: Enclosure, values: Array, xp: Namespace) -> str:
    inside = xp.abs(values - enclosure.centre) <= enclosure.reach
    rows = int(xp.sum(~xp.all(inside | xp.isinf(enclosure.reach), axis=-1)))
    return f"{rows:,} of {len(values):,} rows outside the bound" if rows else ""


def _large(expected: Expectation, widest: Array, values: Array, dtype: str, xp: Namespace) -> str:
    error = xp.abs(values - expected.centre)
    size = xp.sqrt(expected.variance)
    known = (size > 0) & xp.isfinite(error) & is_smooth(expected.variance, widest)
    size = xp.maximum(size, LEAST)
    ratio = root_mean_square((error[known] / size[known]).tolist())
    return too_large(ratio, dtype) if ratio > FACTOR else ""
