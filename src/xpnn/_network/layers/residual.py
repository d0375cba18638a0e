"""Residual: layers whose result is added to their input, or to what others make of it."""

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
    """Layer of a network, x + f(x) or g(x) + f(x), where f and g are chains of layers.

    Parameters
    ----------
    layers : iterable of layers
        At least one; the widths must fit.
    shortcut : iterable of layers, optional
        What is added to their result: of as many outputs. By default the input itself, which is then as
        wide as that.

    Raises
    ------
    TypeError
        If one is no layer, or the layers' arrays are of different libraries.
    ValueError
        If there is no layer, neighbours do not fit, what is added is of another width, or more than 50
        are inside of each other.

    Notes
    -----
    Frozen, and a pytree for JAX and PyTorch with the children `layers` and `shortcut`.

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

    _children = ("layers", "shortcut")
    kind = "residual"
    formula = "shortcut(x) + layers(x)"

    layers: Layers
    shortcut: Layers = ()
    _takes: ClassVar[Shape | None]

    def __post_init__(self) -> None:
        chains = tuple(self.layers), tuple(self.shortcut)
        check_chain("Residual", chains[0])
        if chains[1]:
            check_chain("Residual, shortcut", chains[1])
        if _depth(chains) > _DEEPEST:
            raise XpnnValueError(
                f"Residual: expected at most {_DEEPEST} of them inside of each other, got "
                f"{_depth(chains)}"
            )
        named = zip(("layer", "layer of the shortcut"), chains, strict=True)
        arrays = {
            f"{what} {i}": a
            for what, chain in named
            for i, layer in enumerate(chain)
            for a in layer.arrays.values()
        }
        if arrays:
            common_library("Residual", None, arrays)
        takes = taken_by(chains[0]) or taken_by(chains[1])
        sample = takes or (1,)  # of layers that take any, one stands for all
        added = outputs_of(chains[1], sample)
        layers = widths_known(chains[0], added if chains[1] or takes else None)
        gives = outputs_of(layers, sample)
        if added != gives or taken_by(chains[1]) not in (None, takes):
            unknown = "; a Function says so by inputs and outputs" * (None in {takes, gives})
            beside = f", and a shortcut of {added or 'an unknown number'}" if chains[1] else ""
            wanted = "as the shortcut does" if chains[1] else "as they take"
            raise XpnnValueError(
                f"Residual: expected layers that give as many outputs {wanted}, got "
                f"{takes or 'any'} in and {gives or 'an unknown number'} out{beside}{unknown}"
            )
        self._set((), (layers, widths_known(chains[1], gives) if chains[1] else ()))

    def preactivation(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return shortcut(x) + layers(x), as the interpreter has it."""
        y, z = x, x
        for layer in self.layers:
            y = layer.apply(y, interpreter)
        for layer in self.shortcut:
            z = layer.apply(z, interpreter)
        return interpreter.add(z, y)

    @property
    def takes(self) -> Shape | None:
        """What the layers take; found once, or layers inside of layers would take time without end."""
        if not hasattr(self, "_takes"):
            takes = taken_by(self.layers) or taken_by(self.shortcut)
            object.__setattr__(self, "_takes", takes)
        return self._takes

    def gives(self, sample: Shape | None, /) -> Shape | None:
        """Return the shape of the input, or of what the shortcut makes of it."""
        return outputs_of(self.shortcut, self.takes or sample)

    @property
    def words(self) -> list[str]:
        """The layers inside."""
        inside, beside = (
            "; ".join(", ".join(layer.words) for layer in chain)
            for chain in (self.layers, self.shortcut)
        )
        return [f"({beside}) + ({inside})" if beside else f"x + ({inside})"]

    def fields(self) -> dict[str, Any]:
        """Return the layers' own."""
        chains = {name: getattr(self, name) for name in self._children}
        return {
            name: [{"kind": la.kind, **la.fields()} for la in chain]
            for name, chain in chains.items()
            if chain
        }

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """Make it of the fields and tensors of a model file."""
        check_known(cls.kind, fields, cls._children, XpnnValueError)
        beside = {name: a for name, a in tensors.items() if name.startswith("shortcut.")}
        inside = {name: a for name, a in tensors.items() if name not in beside}
        shortcut = from_fields(fields.get("shortcut", []), beside, "shortcut")
        return cls(from_fields(fields.get("layers"), inside), shortcut)


def _depth(chains: tuple[Layers, ...]) -> int:
    """Return how many Residuals are inside of each other, one around these layers counted."""
    inside = (la for chain in chains for la in chain if isinstance(la, Residual))
    return 1 + max((_depth((la.layers, la.shortcut)) for la in inside), default=0)
