"""Flatten: the axes of a sample, an image say, as one."""

import math
from dataclasses import dataclass
from typing import Any

from xpnn._arrays.arguments import Count, Option
from xpnn._network.layers.layer import Interpreter, Layer, Shape, V
from xpnn.errors import XpnnTypeError, XpnnValueError

_LENGTH = Option(..., Count(1))


@dataclass(frozen=True, eq=False, repr=False)
class Flatten(Layer):
    """First layer of a network, which takes samples of several axes, and makes one of these.

    Parameters
    ----------
    shape : tuple of int
        Of one sample, without the axes of a batch: ``(28, 28)`` takes x of shape (..., 28, 28), and
        gives (..., 784).

    Raises
    ------
    TypeError
        If that is no tuple of integers.
    ValueError
        If it is empty, or a length is not positive.

    Notes
    -----
    The last axis runs fastest, as in ``torch.nn.Flatten(1)`` and ``keras.layers.Flatten``. There may be
    any axes before those of a sample, also none. Frozen, and a pytree without children.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> layer = xpnn.Flatten((2, 2))
    >>> layer
    Flatten(2 x 2 -> 4)
    >>> network = xpnn.Network([layer, xpnn.Dense(np.ones((4, 1)))])
    >>> network(np.asarray([[[1.0, 2.0], [3.0, 4.0]]]))
    array([[10.]])
    """

    _options = ("shape",)
    kind = "flatten"
    formula = "x as one axis"

    shape: Shape

    def __post_init__(self) -> None:
        given: Any = self.shape
        if not isinstance(given, tuple | list):
            raise XpnnTypeError(
                f"Flatten: expected shape to be a tuple of integers, such as (28, 28), got {given!r}"
            )
        if not given:
            raise XpnnValueError("Flatten: expected the lengths of one axis or more, got none")
        shape = tuple([_LENGTH.taken("Flatten: expected each length in shape", n) for n in given])
        self._set((shape,), ())

    def _set(self, options: tuple[Any, ...], children: tuple[Any, ...]) -> None:
        super()._set(options, children)
        object.__setattr__(self, "axes", len(self.shape))

    def preactivation(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return the axes of a sample as one, as the interpreter has it."""
        return interpreter.flatten(x, self.shape)

    @property
    def takes(self) -> Shape:
        """The shape of a sample."""
        return self.shape

    def gives(self, _: Shape | None, /) -> Shape:
        """Return how many numbers a sample has."""
        return (math.prod(self.shape),)

    @property
    def words(self) -> list[str]:
        """The shape of a sample, and how many numbers it has."""
        return [f"{' x '.join(map(str, self.shape))} -> {math.prod(self.shape)}"]
