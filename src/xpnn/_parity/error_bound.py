"""error_bound and expected_error: how far a forward pass may be from the exact one, and is likely to be."""

from xpnn._arrays.dtypes import floating_name
from xpnn._arrays.types import Array, DType, Namespace
from xpnn._network.analysis import analysed
from xpnn._network.interpreters.bounds import Pass, enclose
from xpnn._network.interpreters.expectation import expect
from xpnn._network.network import Network
from xpnn.errors import XpnnTypeError


def check_network(function: str, network: object) -> None:
    """Raise XpnnTypeError for what is no network, such as the name of one."""
    if not isinstance(network, Network):
        got = f"{type(network).__name__} {network!r:.80}"
        raise XpnnTypeError(f"{function}: expected a Network, as xpnn.load returns, got {got}")


def error_bound(
    network: Network,
    x: Array,
    /,
    *,
    of: str = "output",
    dtype: DType | str | None = None,
    xp: Namespace | None = None,
) -> Array:
    """Bound on the rounding error of a forward pass: no sound computation is further off.

    Parameters
    ----------
    network : Network
        Any network.
    x : array, shape (..., in)
        One sample, a batch, or any leading axes; real floating or integer.
    of : {'output', 'logits', 'log_proba'}, optional
        Of what: ``network(x)``, the default, ``network.logits(x)`` or ``network.log_proba(x)``.
    dtype : dtype or str, optional
        The dtype that is computed in; by default the one that ``network(x)`` has. If it holds fewer
        digits than `x` or the weights, rounding these is part of the error. float16 and bfloat16
        stand for arrays of these, computed in float32, and rounded once at the end.
    xp : namespace, optional
        The array namespace to compute the bound with; by default the one of `x`.

    Returns
    -------
    array of float64, shape (..., out)
        For every output the largest possible ``abs(computed - exact)``, where exact is the network of the
        given weights and inputs in exact arithmetic; of layers that are `rounded`, as `Network.fold`
        makes them, those that they were rounded from. inf where nothing can be said: rows that hold
        NaN or infinity, or where something may overflow.

    Raises
    ------
    TypeError
        If `x` is no real array of the right library, or `dtype` is no floating dtype.
    ValueError
        If the width does not fit, or there is nothing like `of` in this network.

    Notes
    -----
    Sound is what adds the products of a layer in any order, with or without fused multiply-add, has
    elementary functions right to 8 units in the last place, writes softmax with the largest entry
    taken off, squares what is left of a row without its mean, and may make zero of what is below the smallest normal number. The bound is proved, in
    the module `xpnn._network.interpreters.bounds`, its own rounding accounted for; it is a worst case that grows with the
    number of inputs that are not zero. `expected_error` is the size to expect.

    References
    ----------
    N. J. Higham, 'Accuracy and Stability of Numerical Algorithms', 2nd edition, SIAM 2002, chapter
    3, doi:10.1137/1.9780898718027. C.-P. Jeannerod, S. M. Rump, 'Improved error bounds for inner
    products in floating-point arithmetic', SIAM J. Matrix Anal. Appl. 34, 2013,
    doi:10.1137/120894488.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> network = xpnn.Network([xpnn.Dense(np.asarray([[0.1], [0.2]]), activation="sigmoid")])
    >>> x = np.asarray([[1.0, 0.5]])
    >>> bool(xpnn.error_bound(network, x)[0, 0] < 1e-14)
    True
    >>> y = network(x.astype("float32"))  # the weights are float64, and so is this
    >>> half = xpnn.error_bound(network, x, dtype="float16")
    >>> bool(half[0, 0] > 1e-4)
    True
    """
    check_network("error_bound", network)
    name = floating_name("error_bound", dtype)
    return analysed(network, x, xp, "error_bound", _bound, dtype=name, of=of)


def expected_error(
    network: Network,
    x: Array,
    /,
    *,
    of: str = "output",
    dtype: DType | str | None = None,
    xp: Namespace | None = None,
) -> Array:
    """Size that the rounding error of a forward pass is expected to have: a model, not a bound.

    Parameters
    ----------
    network, x, of, dtype, xp
        As of `error_bound`.

    Returns
    -------
    array of float64, shape (..., out)
        For every output the expected root mean square of computed - exact. NaN or inf in rows that
        hold NaN or infinity; 0 or too small below 2**-500, as binary64 loses the squares of such.

    Raises
    ------
    TypeError, ValueError
        As `error_bound` does.

    Notes
    -----
    Rounding errors are taken to be independent and to have mean zero, so that they add up like the
    sides of right angles, and sums to be added in random order. A computation whose errors are many
    times as large has lost digits somewhere, even where it is inside the bound: factors rounded to
    TF32, for example. `parity` uses both.

    References
    ----------
    N. J. Higham, T. Mary, 'A new approach to probabilistic rounding error analysis', SIAM J. Sci.
    Comput. 41, 2019, doi:10.1137/18M1226312.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> network = xpnn.load("digits")
    >>> x = np.full((1, 784), 100, dtype="float32")
    >>> ratio = xpnn.error_bound(network, x) / xpnn.expected_error(network, x)
    >>> bool(np.all(ratio > 10))
    True
    """
    check_network("expected_error", network)
    name = floating_name("expected_error", dtype)
    return analysed(network, x, xp, "expected_error", _expected, dtype=name, of=of)


def _bound(one: Pass, x: Array, xp: Namespace) -> Array:
    return enclose(one, x, xp).errors[1, ...]


def _expected(one: Pass, x: Array, xp: Namespace) -> Array:
    return xp.sqrt(expect(one, x, xp).variance)
