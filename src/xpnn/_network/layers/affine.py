"""Affine: every column times a number, plus a number."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Self

from xpnn._activations.activation import Activation
from xpnn._arrays.types import Array
from xpnn._network.layers.activated import Activated
from xpnn._network.layers.layer import Interpreter, Shape, V
from xpnn.errors import XpnnValueError


@dataclass(frozen=True, eq=False, repr=False)
class Affine(Activated):
    """Layer of a network, activation(x * scale + shift), column by column: a scaler, a batch normalization.

    Parameters
    ----------
    scale : array, shape (n,), optional
        Real floating numbers of any array library. Of NumPy arrays the layer has a copy of its own.
    shift : array, shape (n,), optional
        Of the same library, on the same device.
    activation : str, optional
        As of `Dense`. Default "identity". With neither scale nor shift, the layer is this activation, of
        any number of columns.
    rounded : str, optional
        The dtype that scale and shift were rounded to from parameters that the network was meant to have, as
        `Network.fold` does: bounds and expected errors allow for it. Default None: they are meant as
        they are.

    Raises
    ------
    TypeError
        If scale or shift is no floating array, or they are of different libraries.
    ValueError
        If there is nothing to do, the shapes do not fit, or there is no such activation, option or dtype.

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
    >>> xpnn.Affine(activation="relu")
    Affine(relu)
    >>> xpnn.Network([layer])(np.asarray([[1.0, 0.5]]))
    array([[1., 5.]])
    """

    _children = ("scale", "shift")
    _options = ("activation", "rounded")
    kind = "affine"
    formula = "x * scale + shift"

    scale: Array | None = None
    shift: Array | None = None
    _: KW_ONLY
    activation: str = "identity"
    rounded: str | None = None
    activate: Activation = field(init=False)

    def __post_init__(self) -> None:
        given = [a for a in (self.scale, self.shift) if a is not None]
        activation = str(Activation.of(self.activation))
        if not given and activation == "identity":
            raise XpnnValueError("Affine: expected scale, shift or an activation, got none of them")
        self._check_arrays()
        shapes = {tuple(a.shape) for a in given}
        if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
            raise XpnnValueError(
                "Affine: expected scale and shift of one shape (n,), got "
                f"{' and '.join(map(str, sorted(shapes)))}"
            )
        self._check_rounded(self.rounded)
        self._set((activation, self.rounded), (self.scale, self.shift))

    def preactivation(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return x * scale + shift, as the interpreter has it."""
        if self.first is None:
            return x
        return interpreter.affine(x, self.scale, self.shift, self.rounded)

    @property
    def takes(self) -> Shape | None:
        """The number of columns; None of an activation alone, which takes any."""
        return self.first_shape

    def gives(self, sample: Shape | None, /) -> Shape | None:
        """Return the number of columns: of an activation alone, that of the sample."""
        return self.takes or sample

    @property
    def words(self) -> list[str]:
        """The number of columns, what there is, the activation, and whether it was rounded."""
        columns = [] if self.takes is None else list(map(str, self.takes))
        activation = [] if self.activation == "identity" else [self.activation]
        rounded = [] if self.rounded is None else [f"rounded to {self.rounded}"]
        return [*columns, *self.arrays, *activation, *rounded]

    def fields(self) -> dict[str, Any]:
        """Return the activation and its options, where there is one."""
        found = super().fields()
        if self.activation == "identity":
            del found["activation"], found["options"]
        return found

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """Make it of the fields and tensors of a model file."""
        given = {} if "activation" in fields else {"activation": "identity", "options": {}}
        return super().from_fields({**given, **fields}, tensors)
