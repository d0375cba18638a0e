"""State dicts: arrays by name, and which layers the names are of; what kind each is, its arrays say."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from xpnn._activations.activation import Activation
from xpnn._arrays.dtypes import FLOATS, dtype_name
from xpnn._arrays.library import library
from xpnn._arrays.transfer import to_numpy
from xpnn._convert.graph import Graph, Numbers
from xpnn._convert.parts import Parts
from xpnn._convert.rules import joined, layers_of
from xpnn._network.layers.affine import Affine
from xpnn._network.layers.dense import Dense
from xpnn._network.layers.layer import Layer, outputs_of
from xpnn._network.layers.normalization import LayerNorm
from xpnn._network.layers.prelu import PReLU
from xpnn.errors import XpnnTypeError, XpnnValueError

Arrays = dict[str, Numbers]

ROLES = {
    **{name: name for name in ("weight", "kernel", "scale", "bias")},
    "gamma": "scale",
    "beta": "bias",
    **dict.fromkeys(("running_mean", "mean", "moving_mean"), "mean"),
    **dict.fromkeys(("running_var", "var", "moving_variance"), "variance"),
}
"""What the arrays of a layer are, by what PyTorch, Flax and Keras call them."""
_COUNT = "num_batches_tracked"
_COLLECTIONS = ("params.", "batch_stats.")
"""Under which names Flax has the arrays of a layer."""


def _batch_norm(arrays: Arrays, _: int, epsilon: float) -> list[Layer]:
    shapes = {a.shape for a in arrays.values()}
    if len(shapes) > 1 or len(shape := shapes.pop()) != 1:
        got = ", ".join(f"{role} {a.shape}" for role, a in arrays.items())
        raise XpnnValueError(f"expected one number a column, of one shape (n,), got {got}")
    graph, where = Graph(1), "batch_norm"
    x = graph.input("x", shape, np.result_type(*arrays.values()).name)
    given = {"scale": np.ones(shape, x.dtype), "bias": np.zeros(shape, x.dtype), **arrays}
    numbers = [graph.constant(given[role], where) for role in ("scale", "bias", "mean", "variance")]
    return layers_of(graph.make("batch_norm", x, *numbers, epsilon=epsilon, where=where), x)


def _dense(arrays: Arrays, _: int, __: float) -> list[Layer]:
    return [Dense(arrays["kernel"], arrays.get("bias"))]


def _layer_norm(arrays: Arrays, _: int, epsilon: float) -> list[Layer]:
    return [LayerNorm(arrays["scale"], arrays.get("bias"), epsilon)]


def _prelu(arrays: Arrays, width: int, _: float) -> list[Layer]:
    slope = arrays["weight"]
    return [PReLU(np.broadcast_to(slope, width) if slope.shape == (1,) and width else slope)]


KINDS: dict[str, tuple[set[str], set[str], Callable[[Arrays, int, float], list[Layer]]]] = {
    "mean": ({"mean", "variance"}, {"scale", "bias"}, _batch_norm),
    "variance": ({"mean", "variance"}, {"scale", "bias"}, _batch_norm),
    "kernel": ({"kernel"}, {"bias"}, _dense),
    "scale": ({"scale"}, {"bias"}, _layer_norm),
    "weight": ({"weight"}, set(), _prelu),
}
"""By an array that tells it: what a layer has, what it may have, and what makes it for so many columns."""


def _roles(arrays: Arrays) -> Arrays:
    """Return arrays by their roles: PyTorch's `weight` is a kernel turned, a scale, or the slope of a PReLU."""
    found = {ROLES[name]: a for name, a in arrays.items() if name in ROLES}
    if len(found) < len(arrays):
        raise XpnnValueError(f"expected some of {', '.join(ROLES)}, got {', '.join(arrays)}")
    weight = found.get("weight")
    if weight is not None and weight.ndim > 1:
        if weight.ndim > 2:
            raise XpnnValueError(
                f"expected a weight of shape (out, in) or (n,), got shape {weight.shape}"
            )
        found["kernel"] = found.pop("weight").T
    elif weight is not None and len(found) > 1:
        found["scale"] = found.pop("weight")
    return found


def _made(arrays: Arrays, width: int, epsilon: float) -> list[Layer]:
    """Return the layers that arrays are of."""
    roles = _roles(arrays)
    needed, possible, make = next(
        (KINDS[role] for role in KINDS if role in roles), (set[str](), set[str](), _dense)
    )
    if not needed or not needed <= roles.keys() <= needed | possible:
        raise XpnnValueError(
            "expected a weight and maybe a bias, or a mean and a variance with them, got "
            f"{', '.join(f'{name} of shape {a.shape}' for name, a in arrays.items())}"
        )
    return make(roles, width, epsilon)


def _flat(tensors: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tensors.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _array(name: str, a: Any) -> Numbers:
    library(a, f"tensor {name}", "from_state_dict")
    dtype = dtype_name(a.dtype)
    if dtype not in FLOATS or dtype == "bfloat16":
        raise XpnnTypeError(
            f"from_state_dict: tensor {name}: expected float16, float32 or float64, got {dtype}; "
            "convert it to float32"
        )
    return to_numpy(a)


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple | list) and [type(part) for part in pair] == [str, str]


def _pairs(layers: Any) -> list[tuple[str, str]]:
    """Return the names of layers, each with its activation."""
    given = layers.items() if isinstance(layers, Mapping) else layers
    pairs = list(given) if isinstance(given, Iterable) else []
    if not pairs or not all(map(_is_pair, pairs)):
        raise XpnnTypeError(
            "from_state_dict: expected layers to be the name of each and the activation after it, such "
            f"as {{'fc1': 'relu', 'fc2': 'identity'}}, got {layers!r}"
        )
    return pairs


def read(tensors: Any, layers: Any, epsilon: float = 1e-5, classes: Any = None) -> Parts:
    """Return the layers that tensors are of; an error names those that are missing, and those left over."""
    if not isinstance(tensors, Mapping):
        raise XpnnTypeError(
            "from_state_dict: expected a mapping of names to arrays, such as module.state_dict(), got "
            f"{type(tensors).__qualname__}"
        )
    given = dict(_flat(tensors))
    if given and all(name.startswith(_COLLECTIONS) for name in given):
        given = {name.partition(".")[2]: a for name, a in given.items()}
    owners: dict[str, dict[str, Any]] = {}
    for name, a in given.items():
        owner, _, own = name.rpartition(".")
        if own != _COUNT:
            owners.setdefault(owner, {})[own] = a
    pairs = _pairs(layers)
    there = ", ".join(map(repr, owners)) or "none"
    for name, _ in pairs:
        if name not in owners:
            raise XpnnValueError(
                f"from_state_dict: expected tensors of a layer {name!r}, got those of {there}"
            )
    rest = [name or ", ".join(owners[name]) for name in owners if name not in dict(pairs)]
    if rest:
        raise XpnnValueError(
            "from_state_dict: expected every tensor to be of a layer that has a name in layers, got "
            f"those of {', '.join(map(repr, rest))} besides; give those of the layers alone"
        )
    made: list[Layer] = []
    for name, activation in pairs:
        arrays = {own: _array(f"{name}.{own}", a) for own, a in owners[name].items()}
        width = (outputs_of(tuple(made)) or (0,))[0]
        try:
            made += _made(arrays, width, epsilon)
            if Activation.of(activation).name != "identity":
                made.append(Affine(activation=activation))
        except (XpnnTypeError, XpnnValueError) as error:
            raise type(error)(f"from_state_dict: layer {name!r}: {error}") from None
    return Parts(joined(made), classes)
