"""analysed: what a network's passes are held to, computed in binary64 beside them."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from xpnn._arrays.library import of_parts
from xpnn._arrays.types import Array, Namespace
from xpnn._network.checks import laid_out
from xpnn._network.interpreters.bounds import Pass, run
from xpnn._network.passes import by_chunks

if TYPE_CHECKING:
    from xpnn._network.network import Network


def analysed(
    network: "Network",
    x: Array,
    xp: Namespace | None,
    function: str,
    analysis: Callable[[Pass, Array, Namespace], Any],
    *,
    dtype: str | None = None,
    of: str = "output",
) -> Any:
    """Analyse a pass in `dtype`; the analysis computes in binary64, with x's own library."""
    options = {"analysis": analysis, "dtype": dtype, "of": of}
    y = by_chunks(analysed, network, x, xp, function=function, **options)
    if y is not None:
        return y
    x = laid_out(function, network.layers, x)
    found, name = network._checked(function, x, xp)
    x, found = found.to_raw(x), found.raw
    layers_at = partial(network._layers_at, dtype="float64", use="analysis")
    one = Pass(network.layers, network._dtypes, dtype or name, of)
    compute = lambda x: run(analysis, one, x, found, layers_at)
    return of_parts(function, found, compute, (-1,), x)(x)
