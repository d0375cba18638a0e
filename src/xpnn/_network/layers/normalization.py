"""LayerNorm: each row less its mean, divided by its deviation; then scaled and shifted column by column."""

from dataclasses import dataclass

from xpnn._arrays.arguments import Number, Option
from xpnn._arrays.sums import sum_along
from xpnn._arrays.types import Array, Namespace
from xpnn._network.layers.layer import Interpreter, Layer, V
from xpnn.errors import XpnnValueError

_EPSILON = Option(1e-5, Number("that is 0 or more", lambda e: e >= 0))

_FAR = 2.0**50
"""Deviations from which on a row is divided by the largest of them first, as squares might overflow."""


def normalized(x: Array, epsilon: float, xp: Namespace) -> Array:
    """Return (x - mean) / sqrt(mean((x - mean)**2) + epsilon) along the last axis."""
    n = float(x.shape[-1])
    d = x - sum_along(x, -1, xp) / n
    d = d - sum_along(d, -1, xp) / n  # that mean was rounded: of equal numbers, 0 is to be left
    largest = xp.max(xp.abs(d), axis=-1, keepdims=True)
    # Without an epsilon, squares that underflow must not leave 0 to divide by.
    unit = xp.where(largest > (_FAR if epsilon else 0.0), largest, 1.0)
    d = d / unit
    square = sum_along(d * d, -1, xp) / n
    return d / xp.sqrt(square + epsilon / (unit * unit) if epsilon else square)


@dataclass(frozen=True, eq=False, repr=False)
class LayerNorm(Layer):
    """Layer of a network, (x - mean) / sqrt(variance + epsilon) * weight + bias, row by row.

    Parameters
    ----------
    weight : array, shape (n,)
        Real floating numbers of any array library, one a column. Of NumPy arrays the layer has a copy
        of its own.
    bias : array, shape (n,), optional
        Of the same library, on the same device.
    epsilon : float, optional
        What is added to the variance, 0 or more. Default 1e-5, as in PyTorch; Keras has 1e-3, Flax 1e-6.

    Raises
    ------
    TypeError
        If weight or bias is no floating array, they are of different libraries, or epsilon is no number.
    ValueError
        If the shapes do not fit, there is no column, or epsilon is negative.

    Notes
    -----
    Mean and variance are those of a row along the last axis, the variance divided by n. A row of equal
    numbers gives `bias`; without an epsilon, or with one that the dtype has no number for, NaN. A row that holds NaN or infinity, or whose sum
    overflows, gives NaN; squares that would overflow are no matter.

    Frozen, and a pytree for JAX and PyTorch with children `weight` and `bias`. A layer without a weight,
    ``elementwise_affine=False`` in PyTorch, has a weight of ones.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, 'Layer Normalization', 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> layer = xpnn.LayerNorm(np.asarray([1.0, 1.0, 10.0]), epsilon=0)
    >>> layer
    LayerNorm(3, weight, epsilon=0, float64)
    >>> xpnn.Network([layer])(np.asarray([[1.0, 1.0, 4.0]]))
    array([[-0.70710678, -0.70710678, 14.14213562]])
    """

    _children = ("weight", "bias")
    _options = ("epsilon",)
    kind = "layer_norm"
    formula = "(x - mean) / sqrt(variance + epsilon) * weight + bias"

    weight: Array
    bias: Array | None = None
    epsilon: float = _EPSILON.default

    def __post_init__(self) -> None:
        self._check_arrays()
        shape = tuple(self.weight.shape)
        if len(shape) != 1 or shape == (0,):
            raise XpnnValueError(
                f"LayerNorm: expected weight of shape (n,), n > 0, got shape {shape}"
            )
        if self.bias is not None and tuple(self.bias.shape) != shape:
            raise XpnnValueError(
                f"LayerNorm: expected bias of the weight's shape {shape}, got shape "
                f"{tuple(self.bias.shape)}"
            )
        epsilon = _EPSILON.taken("LayerNorm: expected epsilon", self.epsilon)
        self._set((epsilon,), (self.weight, self.bias))

    def preactivation(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return the rows normalized, scaled and shifted, as the interpreter has it."""
        y = interpreter.normalize(x, self.epsilon)
        return interpreter.affine(y, self.weight, self.bias)

    @property
    def words(self) -> list[str]:
        """The number of columns, what there is, the epsilon where it is another than usual."""
        unusual = [] if self.epsilon == _EPSILON.default else [f"epsilon={self.epsilon:g}"]
        return [*map(str, self.weight.shape), *self.arrays, *unusual]
