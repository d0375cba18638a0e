"""JSON files of lwtnn, as physics experiments have them: the sequential form, and graphs that are a chain of layers.

lwtnn computes in float64, whatever the network was trained in; so do its weights here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xpnn._activations.activation import Activation
from xpnn._convert.parts import Parts
from xpnn._convert.rules import gated, joined
from xpnn._files.model_file import parsed
from xpnn._network.layers.affine import Affine
from xpnn._network.layers.dense import Dense
from xpnn._network.layers.layer import Layer
from xpnn.errors import XpnnTypeError, XpnnValueError

_BROKEN = (
    AttributeError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    RecursionError,
    OverflowError,
)
"""What comes of a description that is not what it should be."""


def read(path: Path, output: object = None) -> Parts:
    """Return the layers of a network of lwtnn, and the names of its inputs and outputs."""
    try:
        return _parts(_sequential(parsed(path.read_bytes(), finite=True), output))
    except (XpnnTypeError, XpnnValueError):
        raise
    except KeyError as error:
        raise XpnnValueError(
            f"expected a network of lwtnn as JSON, got one without {error}"
        ) from None
    except _BROKEN as error:
        raise XpnnValueError(
            f"expected a network of lwtnn as JSON ({type(error).__name__}: {error})"
        ) from None


def _sequential(given: dict[str, Any], output: object) -> dict[str, Any]:
    """Return a graph in the sequential form, where layers lead from inputs beside each other to the output."""
    if "nodes" not in given:
        if output is not None:
            raise XpnnValueError(f"expected no output for a file of lwtnn, got {output!r}")
        return given
    nodes, outputs = given["nodes"], given["outputs"]
    name = next(iter(outputs)) if output is None and len(outputs) == 1 else output
    if name not in outputs:
        raise XpnnValueError(f"expected output to be one of {', '.join(outputs)}, got {output!r}")
    node, layers = nodes[outputs[name]["node_index"]], list[Any]()
    while node["type"] == "feed_forward" and len(layers) < len(nodes):  # a circle has no end
        layers.append(given["layers"][node["layer_index"]])
        (source,) = node["sources"]
        node = nodes[source]
    first = [nodes[i] for i in node["sources"]] if node["type"] == "concatenate" else [node]
    wrong = [one["type"] for one in first if one["type"] != "input"]
    numbers = [one["sources"][0] for one in first]
    if wrong or len(set(numbers)) < len(numbers):
        raise XpnnValueError(
            "expected a graph of lwtnn in which dense layers lead from the inputs, each once beside each "
            f"other, to the output, got {wrong[0] if wrong else 'an input twice'} at their beginning"
        )
    groups = [given["inputs"][i] for i in numbers]
    inputs = [(group, one) for group in groups for one in group["variables"]]
    if len({one["name"] for _, one in inputs}) < len(inputs):
        inputs = [(g, {**one, "name": f"{g['name']}.{one['name']}"}) for g, one in inputs]
    variables = [one for _, one in inputs]
    return {"inputs": variables, "layers": layers[::-1], "outputs": outputs[name].get("labels")}


def _parts(given: dict[str, Any]) -> Parts:
    if "layers" not in given:
        raise XpnnValueError(
            f"expected a network of lwtnn, with inputs, layers and outputs, got "
            f"{', '.join(given) or 'nothing'}"
        )
    names = [one["name"] for one in given["inputs"]]
    offset, scale = (
        _vector([one[what] for one in given["inputs"]]) for what in ("offset", "scale")
    )
    layers: list[Layer] = []
    if np.any(offset):
        layers.append(Affine(None, offset))
    if np.any(scale != 1):
        layers.append(Affine(scale))
    width = len(names)
    for i, one in enumerate(given["layers"]):
        kind = one["architecture"]
        if kind not in KINDS:
            raise XpnnValueError(
                f"layer {i}: {kind} is not among the layers that xpnn reads: {', '.join(KINDS)}"
            )
        made = KINDS[kind](one, width)
        width = next((la.weight.shape[1] for la in made if isinstance(la, Dense)), width)
        layers += [*made, *_activation(i, one.get("activation", "linear"), width)]
    outputs = list(given.get("outputs") or ()) or None
    layers = joined(layers)
    of_classes = outputs is not None and layers[-1].activate.name == "softmax"
    return Parts(layers, outputs if of_classes else None, names, outputs)


def _vector(numbers: list[float]) -> np.ndarray[Any, Any]:
    found = np.asarray(numbers, "float64")
    if found.ndim != 1:
        raise XpnnValueError(f"expected a list of numbers, got one of shape {found.shape}")
    return found


def _dense(one: dict[str, Any], width: int) -> list[Layer]:
    """The weight stands row by row, a row for each output; without one it is a bias or an activation alone."""
    weight, bias = _vector(one["weights"]), _vector(one.get("bias") or [])
    shift = bias if bias.size else None
    if weight.size % width:
        raise XpnnValueError(
            f"expected the weights of a dense layer in rows of {width}, one for each of its inputs, got "
            f"{weight.size} numbers"
        )
    if weight.size:
        return [Dense(weight.reshape(-1, width).T, shift)]
    return [] if shift is None else [Affine(None, shift)]


def _normalization(one: dict[str, Any], _: int) -> list[Layer]:
    """(x + bias) * weights."""
    return [Affine(None, _vector(one["bias"])), Affine(_vector(one["weights"]))]


KINDS: dict[str, Callable[[dict[str, Any], int], list[Layer]]] = {
    "dense": _dense,
    "normalization": _normalization,
}
"""What each layer of lwtnn is here; the others have no layer of their own."""

ACTIVATIONS: dict[str, Callable[[float], str]] = {
    "linear": lambda _: "identity",
    "none": lambda _: "identity",
    "rectified": lambda _: "relu",
    "sigmoid": lambda _: "sigmoid",
    "tanh": lambda _: "tanh",
    "softmax": lambda _: "softmax",
    "elu": lambda alpha: str(Activation("elu", {"alpha": alpha})),
    "leakyrelu": lambda alpha: str(Activation("leaky_relu", {"negative_slope": alpha})),
}
"""What each activation of lwtnn is here, with its alpha."""


def _activation(i: int, given: Any, width: int) -> list[Layer]:
    name, alpha = given, None
    if isinstance(given, dict):
        name, alpha = given["function"], given.get("alpha")
    if name in {"leakyrelu", "swish"} and alpha is None:
        raise XpnnValueError(f"layer {i}: expected {name} with its alpha, got {given!r}")
    alpha = 1.0 if alpha is None else float(alpha)
    if name == "hard_sigmoid":  # between 0 and 1, of slope 0.2
        half, slope = np.full(width, 0.5), np.full(width, 0.4)
        return [Affine(slope, activation="hard_tanh"), Affine(half, half)]
    if name == "swish":
        ones = np.ones(width)
        return [Affine(activation="silu")] if alpha == 1 else gated(alpha * ones, ones, 0 * ones)
    if name not in ACTIVATIONS:
        known = ", ".join([*ACTIVATIONS, "hard_sigmoid", "swish"])
        raise XpnnValueError(f"layer {i}: expected an activation of {known}, got {given}")
    activation = ACTIVATIONS[name](alpha)
    return [] if activation == "identity" else [Affine(activation=activation)]
