"""Residual: layers whose result is added to their input."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from xpnn._arrays.arguments import check_known
from xpnn._arrays.library import common_library
from xpnn._arrays.types import Array
from xpnn._network.layers.layer import (
    Interpreter,
    Layer,
    Layers,
    Shape,
    V,
    check_chain,
    from_fields,
    outputs_of,
    taken_by,
    widths_known,
)
from xpnn.errors import XpnnValueError

_DEEPEST = 50
"""Python's own stack holds some hundred calls of calls."""


@dataclass(frozen=True, eq=False, repr=False)
class Residual(Layer):
    """Layer of a network, x + f(x), where f is a chain of layers as wide at its end as at its beginning.

    Parameters
    ----------
    layers : iterable of layers
        At least one; the widths must fit.

    Raises
    ------
    TypeError
        If one is no layer, or the layers' arrays are of different libraries.
    ValueError
        If there is no layer, neighbours do not fit, the last gives another width than the first takes, or
        more than 50 are inside of each other.

    Notes
    -----
    Frozen, and a pytree for JAX and PyTorch with the child `layers`.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, 'Deep Residual Learning for Image Recognition', CVPR 2016,
    doi:10.1109/CVPR.2016.90.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> layer = xpnn.Residual([xpnn.Dense(np.asarray([[0.0, 1.0], [1.0, 0.0]]), activation="relu")])
    >>> xpnn.Network([layer])(np.asarray([[1.0, -2.0]]))
    array([[ 1., -1.]])
    """

    _children = ("layers",)
    kind = "residual"
    formula = "x + layers(x)"

    layers: Layers
    _takes: ClassVar[Shape | None]

    def __post_init__(self) -> None:
        layers = tuple(self.layers)
        check_chain("Residual", layers)
        if _depth(layers) > _DEEPEST:
            raise XpnnValueError(
                f"Residual: expected at most {_DEEPEST} of them inside of each other, got {_depth(layers)}"
            )
        arrays = {f"layer {i}": a for i, la in enumerate(layers) for a in la.arrays.values()}
        if arrays:
            common_library("Residual", None, arrays)
        takes = taken_by(layers)
        layers = widths_known(layers, takes)
        sample = takes or (1,)  # of layers that take any, one stands for all
        gives = outputs_of(layers, sample)
        if sample != gives:
            unknown = "; a Function says so by inputs and outputs" * (None in {takes, gives})
            raise XpnnValueError(
                "Residual: expected layers that give as many outputs as they take, got "
                f"{takes or 'any'} in and {gives or 'an unknown number'} out{unknown}"
            )
        self._set((), (layers,))

    def preactivation(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return x + layers(x), as the interpreter has it."""
        y = x
        for layer in self.layers:
            y = layer.apply(y, interpreter)
        return interpreter.add(x, y)

    @property
    def takes(self) -> Shape | None:
        """What the first of the layers takes; found once, or layers inside of layers would take time without end."""
        if not hasattr(self, "_takes"):
            object.__setattr__(self, "_takes", taken_by(self.layers))
        return self._takes

    def gives(self, sample: Shape | None, /) -> Shape | None:
        """Return the shape of the input."""
        return self.takes or sample

    @property
    def words(self) -> list[str]:
        """The layers inside."""
        return [f"x + ({'; '.join(', '.join(layer.words) for layer in self.layers)})"]

    def fields(self) -> dict[str, Any]:
        """Return the layers' own."""
        return {"layers": [{"kind": la.kind, **la.fields()} for la in self.layers]}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """Make it of the fields and tensors of a model file."""
        check_known(cls.kind, fields, ("layers",), XpnnValueError)
        return cls(from_fields(fields.get("layers"), tensors))


def _depth(layers: Layers) -> int:
    """Return how many Residuals are inside of each other, one around these layers counted."""
    return 1 + max(_depth(la.layers) if isinstance(la, Residual) else 0 for la in layers)
