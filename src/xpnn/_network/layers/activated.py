"""Layers that end in an activation: how it is named, computed, and written to a model file."""

from collections.abc import Mapping
from typing import Any, Self

from xpnn._activations.activation import Activation
from xpnn._arrays.types import Array
from xpnn._network.layers.layer import Interpreter, Layer, V
from xpnn.errors import XpnnValueError


class Activated(Layer, stored=False):
    """A layer with an option `activation`, the text for one; `activate` is the activation itself."""

    activation: str

    def _set(self, options: tuple[Any, ...], children: tuple[Any, ...]) -> None:
        super()._set(options, children)
        object.__setattr__(self, "activate", Activation.of(self.activation))

    def activated(self, a: V, interpreter: Interpreter[V], /) -> V:
        """Return activation(a), as the interpreter has it."""
        return interpreter.activate(a, self.activate)

    def fields(self) -> dict[str, Any]:
        """Return the activation and all of its options."""
        made_by = {"activation": self.activate.name, "options": dict(self.activate.options)}
        return {**super().fields(), **made_by}

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], tensors: Mapping[str, Array]) -> Self:
        """Make it of the fields and tensors of a model file."""
        others = dict(fields)
        name, options = others.pop("activation", None), others.pop("options", None)
        if not (isinstance(name, str) and isinstance(options, dict)):
            raise XpnnValueError(f"expected an activation and options, got {dict(fields)!r}")
        activation = str(Activation(name, options))
        return super().from_fields({**others, "activation": activation}, tensors)
