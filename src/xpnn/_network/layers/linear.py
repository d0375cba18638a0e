"""linear: the product with a weight matrix, plus a bias."""

from xpnn._arrays.library import prepare
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.chunks import OfChunk, in_chunks
from xpnn._execution.computation import compute
from xpnn.errors import XpnnValueError


def check_weight(function: str, weight: Array, bias: Array | None) -> tuple[int, int]:
    """Return the widths (in, out) of a layer; ValueError if weight and bias are no layer."""
    if len(weight.shape) != 2:
        raise XpnnValueError(
            f"{function}: expected weight of shape (in, out), got shape {tuple(weight.shape)}"
        )
    if bias is not None and tuple(bias.shape) != (weight.shape[1],):
        raise XpnnValueError(
            f"{function}: expected bias of shape ({weight.shape[1]},) for weight of shape "
            f"{tuple(weight.shape)}, got shape {tuple(bias.shape)}"
        )
    return weight.shape[0], weight.shape[1]


def check_width(function: str, x: Array, shape: tuple[int, ...]) -> None:
    """Raise ValueError with both shapes unless the last axis of x has the width a weight of a shape takes."""
    # A width is None while it is not known, as a formula is traced.
    width, outputs = shape
    if len(x.shape) == 0 or x.shape[-1] not in {None, width}:
        transposed = " (weight is (in, out); torch.nn.Linear holds its transpose, use weight.T)"
        raise XpnnValueError(
            f"{function}: expected x of shape (..., {width}) for weight of shape {shape}, "
            f"got shape {tuple(x.shape)}"
            + (transposed if x.shape and x.shape[-1] == outputs else "")
        )


def linear(
    x: Array, weight: Array, bias: Array | None = None, /, *, xp: Namespace | None = None
) -> Array:
    """Linear layer, x @ weight + bias.

    Parameters
    ----------
    x : array, shape (..., in)
        One sample, a batch, or any leading axes; real floating or integer.
    weight : array, shape (in, out)
        The weights. torch.nn.Linear and scikit-learn's order differ: torch holds (out, in).
    bias : array, shape (out,), optional
        Added to every row of the product.
    xp : namespace, optional
        The array namespace to compute with; by default the one of `x`.

    Returns
    -------
    array, shape (..., out)
        In the floating dtype that the arguments promote to. float16 and bfloat16 are computed in
        float32 and rounded once. A row with NaN, or with infinities that cancel, gives NaN.

    Raises
    ------
    TypeError
        If an argument is no real array, or they are of different libraries.
    ValueError
        If the shapes do not fit, or the arrays lie on different devices.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> weight = np.asarray([[0.1, 0.3, 0.5], [0.2, 0.4, 0.6]])
    >>> xpnn.linear(np.asarray([1.0, 0.5]), weight, np.asarray([0.1, 0.2, 0.3]))
    array([0.3, 0.7, 1.1])
    """
    ready = prepare("linear", xp, x=x, weight=weight, bias=bias)
    check_width("linear", x, check_weight("linear", weight, bias))
    y = _by_chunks(x, weight, bias, xp)
    return y if y is not None else compute(ready, product, kernel="linear")


def product(x: Array, weight: Array, bias: Array | None, _: None = None, *, xp: Namespace) -> Array:
    """Return x @ weight + bias of arrays of one dtype."""
    y = xp.matmul(x, weight)
    return y if bias is None else y + bias


def _by_chunks(x: Array, weight: Array, bias: Array | None, xp: Namespace | None) -> Array | None:
    """Return the product of rows in chunks; None where the library's own functions take it apart."""
    found = in_chunks("linear", x, xp)
    cut = found is not None and found.is_cut(x, (x.ndim - 1,)) and found.is_full(x)
    if found is None or (cut and xp is None):
        return None
    axes = tuple(range(x.ndim + 1))
    given = [(x, axes[:-1]), (weight, axes[-2:])] + ([] if bias is None else [(bias, axes[-1:])])
    result, f = (*axes[:-2], axes[-1]), OfChunk(linear, xp, ())
    return found.by_chunks(f, result, *given, whole=axes[-2:], exact=True, name="linear")
