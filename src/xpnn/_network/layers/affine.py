"""Affine: every column times a number, plus a number."""

from dataclasses import KW_ONLY, dataclass

from xpnn._arrays.types import Array
from xpnn._network.layers.layer import Interpreter, Layer, V
from xpnn.errors import XpnnValueError


@dataclass(frozen=True, eq=False, repr=False)
class Affine(Layer):
    """Layer of a network, x * scale + shift, column by column: a scaler, or a batch normalization.

    Parameters
    ----------
    scale : array, shape (n,), optional
        Real floating numbers of any array library. Of NumPy arrays the layer has a copy of its own.
    shift : array, shape (n,), optional
        Of the same library, on the same device. One of the two there must be.
    rounded : str, optional
        The dtype that scale and shift were rounded to from parameters that the network was meant to have, as
        `Network.fold` does: bounds and expected errors allow for it. Default None: they are meant as
        they are.

    Raises
    ------
    TypeError
        If scale or shift is no floating array, or they are of different libraries.
    ValueError
        If there is neither, the shapes do not fit, or there is no such dtype.

    Notes
    -----
    Frozen, and a pytree for JAX and PyTorch with children `scale` and `shift`. A scaler that takes
    `mean` off and divides by `std` is ``Affine(1 / std, -mean / std)``.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> layer = xpnn.Affine(np.asarray([2.0, 10.0]), np.asarray([-1.0, 0.0]))
    >>> layer
    Affine(2, scale, shift, float64)
    >>> xpnn.Network([layer])(np.asarray([[1.0, 0.5]]))
    array([[1., 5.]])
    """

    _children = ("scale", "shift")
    _options = ("rounded",)
    kind = "affine"
    formula = "x * scale + shift"

    scale: Array | None = None
    shift: Array | None = None
    _: KW_ONLY
    rounded: str | None = None

    def __post_init__(self) -> None:
        given = [a for a in (self.scale, self.shift) if a is not None]
        if not given:
            raise XpnnValueError("Affine: expected scale or shift, got neither")
        self._check_arrays()
        shapes = {tuple(a.shape) for a in given}
        if len(shapes) > 1 or len(given[0].shape) != 1:
            raise XpnnValueError(
                "Affine: expected scale and shift of one shape (n,), got "
                f"{' and '.join(map(str, sorted(shapes)))}"
            )
        self._check_rounded(self.rounded)
        self._set((self.rounded,), (self.scale, self.shift))

    def preactivation(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return x * scale + shift, as the interpreter has it."""
        return interpreter.affine(x, self.scale, self.shift, self.rounded)

    @property
    def words(self) -> list[str]:
        """The number of columns, what there is, and whether it was rounded."""
        rounded = [] if self.rounded is None else [f"rounded to {self.rounded}"]
        columns: Array = self.first  # one of the two is there
        return [*map(str, columns.shape), *self.arrays, *rounded]
