"""analysed: what a network's passes are held to, computed in binary64 beside them."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from xpnn._arrays.types import Array, Namespace
from xpnn._network.checks import laid_out
from xpnn._network.interpreters.bounds import Pass, run

if TYPE_CHECKING:
    from xpnn._network.network import Network


def analysed(
    network: "Network",
    function: str,
    analysis: Callable[[Pass, Array, Namespace], Any],
    x: Array,
    xp: Namespace | None,
    *,
    dtype: str | None = None,
    of: str = "output",
) -> Any:
    """Analyse a pass in `dtype`; the analysis computes in binary64, with x's own library."""
    x = laid_out(function, network.layers, x)
    found, name = network._checked(function, x, xp)
    x, found = found.to_raw(x), found.raw
    layers_at = partial(network._layers_at, dtype="float64", use="analysis")
    one = Pass(network.layers, network._dtypes, dtype or name, of)
    return run(analysis, one, x, found, layers_at)
