"""Models of Keras that are there as objects: their configuration and weights, by their own methods."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xpnn._convert.graph import Numbers
from xpnn._convert.keras_config import Place
from xpnn._convert.keras_layers import Shape
from xpnn._convert.keras_network import check_count, parts_of
from xpnn._convert.parts import Parts
from xpnn.errors import XpnnTypeError, XpnnValueError


class _Model:
    """The weights of a model."""

    def __init__(self, model: Any, version: int) -> None:
        self.model = model
        self.version = version

    def arrays(self, place: Place, shapes: Mapping[str, Shape]) -> Sequence[Numbers]:
        one = self.model
        for name in place.names:
            one = next(layer for layer in one.layers if layer.name == name)
        found = [np.asarray(a) for a in one.get_weights()]
        check_count(shapes, len(found))
        return found


def read(model: Any, output: str | Sequence[str] | None = None) -> Parts:
    """Return the layers of a model."""
    if not all(hasattr(model, name) for name in ("to_json", "get_weights", "layers")):
        raise XpnnTypeError(
            f"from_keras: expected a model of Keras, got {type(model).__qualname__}"
        )
    try:
        config = json.loads(model.to_json())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise XpnnValueError(
            f"from_keras: expected a model with a configuration, got {type(model).__qualname__}: "
            f"{error!s:.200}; from_jax of its call, or an export to ONNX, reads what it computes"
        ) from None
    return parts_of(config, _Model(model, version_of(config.get("keras_version"))), output)


def version_of(given: Any) -> int:
    """Return the first number of a version of Keras; 3 where nothing says it."""
    first = str(given or "").split(".")[0]
    return int(first) if first.isdecimal() and len(first) < 4 else 3
