"""The layers of Keras and its activations, each in operations of a graph: one table."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnn._convert.graph import Graph, Numbers, Value
from xpnn.errors import XpnnValueError

Config = Mapping[str, Any]
Shape = tuple[int, ...]

_LEAST_DEVIATION = 1e-7
"""By which Normalization divides where it would by less."""


class Call(NamedTuple):
    """A call of a layer, while its output is made."""

    graph: Graph
    where: str
    config: Config
    given: Sequence[Any]
    """Values, and numbers, in their order."""
    weights: Callable[..., dict[str, Numbers]]
    """Of the layer, by their names; takes the shape that each must have."""
    version: int
    """Of Keras, by which its numbers are to be taken."""

    def make(self, op: str, *args: Value, **options: Any) -> Value:
        return self.graph.make(op, *args, where=self.where, **options)

    def constant(self, numbers: Any, like: Value) -> Value:
        with np.errstate(over="raise"):  # of numbers that the dtype does not hold
            return self.graph.constant(np.asarray(numbers, like.dtype), self.where)

    @property
    def epsilon(self) -> float:
        """What is added to a variance."""
        found = float(self.config.get("epsilon", 1e-3))
        if not 0 <= found < math.inf:
            raise XpnnValueError(f"expected an epsilon of 0 or more, got {found}")
        return found

    @property
    def x(self) -> Value:
        """The input, of a layer that has one."""
        if len(self.given) != 1 or not isinstance(self.given[0], Value):
            raise XpnnValueError(f"expected one input, got {len(self.given)}")
        return self.given[0]

    @property
    def rows(self) -> Value:
        """The input, of a layer that takes rows of numbers."""
        if len(self.x.shape) != 2:
            raise XpnnValueError(f"expected rows of one axis, got a shape of {_shown(self.x)}")
        return self.x

    def shaped(self, x: Value, sample: Shape) -> Value:
        shape = (x.shape[0], *sample)
        return x if shape == x.shape else self.make("reshape", x, shape=shape)

    def by_column(self, op: str, x: Value, *arrays: Any, **options: Any) -> Value:
        """Return what an operation makes of each number of a sample and numbers of its own, or one for all."""
        sample = x.shape[1:]
        numbers = [np.asarray(a) for a in arrays]
        numbers = [a if a.ndim == 0 else np.broadcast_to(a, sample).reshape(-1) for a in numbers]
        flat = self.shaped(x, (math.prod(sample),))
        y = self.make(op, flat, *(self.constant(a, x) for a in numbers), **options)
        return self.shaped(y, sample)

    def last_axis(self) -> int:
        """Return the length of the last axis, if that is the one along which the layer works."""
        axis = self.config.get("axis", -1)
        axes = [axis] if isinstance(axis, int) else list(axis)
        if axes not in ([-1], [len(self.x.shape) - 1]):
            raise XpnnValueError(f"expected the last axis, got axis {axis} of {_shown(self.x)}")
        return self.x.shape[-1]


def _shown(x: Value) -> str:
    return f"(rows, {', '.join(map(str, x.shape[1:]))})"


def class_of(entry: Config) -> str:
    """Return the name of a class of Keras; XpnnValueError for one of somebody else."""
    name = entry["class_name"]
    module = entry.get("module", "keras")
    if not isinstance(name, str):
        raise XpnnValueError(f"expected the name of a class, got {name!r:.80}")
    if ">" in name or str(module).split(".")[0] not in {"keras", "tf_keras"}:
        raise XpnnValueError(
            f"{entry.get('registered_name') or name} is no layer of Keras; from_jax, or an export to "
            "ONNX, reads what it computes"
        )
    return name


# Activations

ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        name: (name, {})
        for name in """
        relu relu6 selu elu celu gelu silu mish tanh sigmoid hard_sigmoid log_sigmoid softmax log_softmax
        softplus softsign hard_tanh hard_shrink
        """.split()
    },
    "linear": ("", {}),
    "exponential": ("exp", {}),
    "swish": ("silu", {}),
    "hard_silu": ("hard_swish", {}),
    "hard_swish": ("hard_swish", {}),
    "leaky_relu": ("leaky_relu", {"negative_slope": 0.2}),
    "soft_shrink": ("softshrink", {}),
    "tanh_shrink": ("tanhshrink", {}),
}
"""The activation of xpnn for each of Keras, and options where the defaults are others."""


def _activated(call: Call, x: Value) -> Value:
    """Return what the activation of a layer makes: a name, or a layer."""
    given = call.config.get("activation")
    if isinstance(given, dict):
        if "class_name" not in given or given["class_name"] == "__lambda__":
            raise XpnnValueError("expected an activation by name, got code")
        name = class_of(given) if given["class_name"] != "function" else given["config"]
        if name in LAYERS and name not in VARIABLES:
            return LAYERS[name](call._replace(config=given["config"], given=[x]))
        given = name
    if given is None:
        return x
    if not isinstance(given, str) or given not in ACTIVATIONS:
        raise XpnnValueError(
            f"the activation {given!r:.80} is not among those that xpnn reads: {', '.join(ACTIVATIONS)}"
        )
    if given == "hard_sigmoid" and call.version < 3:  # clip(0.2 x + 0.5, 0, 1)
        y = call.make("hard_tanh", call.make("multiply", x, call.constant(0.4, x)))
        half = call.constant(0.5, x)
        return call.make("add", call.make("multiply", y, half), half)
    op, options = ACTIVATIONS[given]
    return call.make(op, x, **options) if op else x


def _relu(call: Call) -> Value:
    x = call.x
    most = call.config.get("max_value")
    slope, threshold = (call.config.get(n) or 0.0 for n in ("negative_slope", "threshold"))
    if sum([most is not None, slope != 0, threshold != 0]) > 1:
        raise XpnnValueError("expected one of max_value, negative_slope and threshold, got several")
    if slope:
        return call.make("leaky_relu", x, negative_slope=slope)
    if threshold:
        return call.make("threshold", x, threshold=threshold, value=0.0)
    if most is None or most == 6:
        return call.make("relu" if most is None else "relu6", x)
    y = call.make("relu6", call.make("multiply", x, call.constant(6 / most, x)))
    return call.make("multiply", y, call.constant(most / 6, x))


def _option(op: str, option: str, *names: str, default: float) -> Callable[[Call], Value]:
    """An activation with an option, under the names that it has had."""

    def made(call: Call) -> Value:
        given = next((call.config[n] for n in names if n in call.config), default)
        return call.make(op, call.x, **{option: given})

    return made


def _softmax(call: Call) -> Value:
    call.last_axis()
    return call.make("softmax", call.x)


def _prelu(call: Call) -> Value:
    x = call.x
    shared = {a % len(x.shape) for a in call.config.get("shared_axes") or ()}
    shape = tuple(1 if i in shared else n for i, n in enumerate(x.shape))[1:]
    return call.by_column("prelu", x, call.weights(alpha=shape)["alpha"])


# Layers with weights


def _dense(call: Call) -> Value:
    for option in ("lora_rank", "quantization_config"):
        if call.config.get(option) is not None:
            raise XpnnValueError(f"expected a layer without {option}, which changes its weights")
    x, units = call.rows, call.config["units"]
    weights = call.weights(kernel=(x.shape[-1], units), bias=(units,))
    y = call.make("matmul", x, call.constant(weights["kernel"], x))
    if "bias" in weights:
        y = call.make("add", y, call.constant(weights["bias"], x))
    return _activated(call, y)


def _batch_norm(call: Call) -> Value:
    if call.config.get("renorm"):
        raise XpnnValueError("expected no renorm")
    shape = (call.last_axis(),)
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    found = call.weights(**dict.fromkeys(names, shape))
    given = [found.get(n, np.full(shape, float(n == "gamma"))) for n in names]
    return call.by_column("batch_norm", call.x, *given, epsilon=call.epsilon)


def _layer_norm(call: Call) -> Value:
    if call.config.get("rms_scaling"):
        raise XpnnValueError("expected no rms_scaling")
    shape = (call.last_axis(),)
    y = call.make("normalize", call.rows, epsilon=call.epsilon)
    found = call.weights(gamma=shape, beta=shape)
    for op, name in (("multiply", "gamma"), ("add", "beta")):
        y = call.by_column(op, y, found[name]) if name in found else y
    return y


def _normalization(call: Call) -> Value:
    x, config = call.x, call.config
    axis = config.get("axis", -1)
    given = [axis] if isinstance(axis, int) else list(axis or ())
    axes = sorted(a % len(x.shape) for a in given)
    if 0 in axes:
        raise XpnnValueError(f"expected axes of a sample, got axis {axis}")
    shape = tuple(x.shape[a] for a in axes)
    found = call.weights(mean=shape, variance=shape, count=()) or {
        n: np.asarray(config[n], x.dtype) for n in ("mean", "variance")
    }
    whole = [1] * len(x.shape)
    for i, n in enumerate(reversed(found["mean"].shape), 1):
        whole[axes[-i]] = n
    mean, variance = (found[n].astype("float64").reshape(whole[1:]) for n in ("mean", "variance"))
    with np.errstate(invalid="ignore"):
        deviation = np.maximum(np.sqrt(variance), _LEAST_DEVIATION)
    if config.get("invert"):
        return call.by_column("add", call.by_column("multiply", x, deviation), mean)
    return call.by_column("multiply", call.by_column("subtract", x, mean), 1 / deviation)


def numbers_of(given: Any) -> Numbers:
    """Return numbers as a configuration has them: one, a list, or an array."""
    if isinstance(given, dict):
        if given.get("class_name") not in {"__numpy__", "__tensor__", "__ndarray__"}:
            raise XpnnValueError(f"expected numbers, got {given.get('class_name')!r:.80}")
        given = given["config"]["value"]
    found = np.asarray(given)
    if found.dtype.kind not in "iuf":
        raise XpnnValueError(f"expected numbers, got {given!r:.80}")
    return found


def _rescaling(call: Call) -> Value:
    scale, offset = (numbers_of(call.config.get(n, 0.0)) for n in ("scale", "offset"))
    y = call.by_column("multiply", call.x, scale)
    return call.by_column("add", y, offset) if offset.any() else y


# Axes, and several inputs


def _flatten(call: Call) -> Value:
    x = call.x
    if call.config.get("data_format") == "channels_first" and len(x.shape) > 2:
        raise XpnnValueError("expected data_format 'channels_last', got 'channels_first'")
    return call.shaped(x, (math.prod(x.shape[1:]),))


def _reshape(call: Call) -> Value:
    x, asked = call.x, [int(n) for n in call.config["target_shape"]]
    known = math.prod(n for n in asked if n != -1)
    if -1 in asked and known > 0:
        asked[asked.index(-1)] = math.prod(x.shape[1:]) // known
    if min(asked, default=0) < 1 or math.prod(asked) != math.prod(x.shape[1:]):
        raise XpnnValueError(f"expected a shape of {_shown(x)}, got {tuple(asked)}")
    return call.shaped(x, tuple(asked))


def _operands(call: Call) -> list[Value]:
    """Return all that is given, numbers as constants."""
    like = next((a for a in call.given if isinstance(a, Value)), None)
    if like is None:
        raise XpnnValueError("expected an input, got none")
    return [a if isinstance(a, Value) else call.constant(a, like) for a in call.given]


def _merged(op: str) -> Callable[[Call], Value]:
    def made(call: Call) -> Value:
        y, *others = _operands(call)
        for x in others:
            y = call.make(op, y, x)
        return y

    return made


def _average(call: Call) -> Value:
    y = _merged("add")(call)
    return call.make("divide", y, call.constant(len(call.given), y))


def _subtract(call: Call) -> Value:
    a, b = _operands(call)
    if a.is_constant or b.is_constant:
        return call.make("subtract", a, b)
    # A sum of what comes first and what is made of it, which a residual layer is.
    if a.number < b.number:
        return call.make("add", a, call.make("negative", b))
    return call.make("negative", call.make("add", b, call.make("negative", a)))


def _columns(x: Value) -> tuple[Value, Sequence[int]]:
    """Return the value of which columns are taken, and which."""
    if x.op == "take" and x.options["axis"] == 1:
        return x.args[0], x.options["indices"]
    return x, range(x.shape[1])


def _concatenate(call: Call) -> Value:
    given = _operands(call)
    if {len(x.shape) for x in given} != {2} or call.config.get("axis", -1) not in {-1, 1}:
        raise XpnnValueError("expected rows of one axis, beside each other")
    taken = [_columns(x) for x in given]
    if len({x.number for x, _ in taken}) == 1:
        indices = [i for _, part in taken for i in part]
        return call.graph.take(taken[0][0], indices, 1, call.where)
    return call.make("concat", *given, axis=1)


LAYERS: dict[str, Callable[[Call], Value]] = {
    "Dense": _dense,
    "Activation": lambda call: _activated(call, call.x),
    "ReLU": _relu,
    "LeakyReLU": _option("leaky_relu", "negative_slope", "negative_slope", "alpha", default=0.3),
    "ThresholdedReLU": lambda call: call.make(
        "threshold", call.x, threshold=call.config.get("theta", 1.0), value=0.0
    ),
    "ELU": _option("elu", "alpha", "alpha", default=1.0),
    "PReLU": _prelu,
    "Softmax": _softmax,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Concatenate": _concatenate,
    "Add": _merged("add"),
    "Subtract": _subtract,
    "Multiply": _merged("multiply"),
    "Maximum": _merged("maximum"),
    "Minimum": _merged("minimum"),
    "Average": _average,
    **dict.fromkeys(
        # What does nothing once a network is trained.
        """
        Identity Dropout GaussianNoise GaussianDropout AlphaDropout ActivityRegularization
        SpatialDropout1D SpatialDropout2D SpatialDropout3D
        """.split(),
        lambda call: call.x,
    ),
}
"""What each layer of Keras is in operations of a graph; models, which hold layers, are apart."""


def _scale_and_centre(config: Config) -> list[str]:
    given = (("gamma", "scale"), ("beta", "center"))
    return [name for name, option in given if config.get(option, True)]


VARIABLES: dict[str, Callable[[Config], list[str]]] = {
    "Dense": lambda config: ["kernel", "bias"] if config.get("use_bias", True) else ["kernel"],
    "PReLU": lambda _: ["alpha"],
    "BatchNormalization": lambda config: [
        *_scale_and_centre(config),
        "moving_mean",
        "moving_variance",
    ],
    "LayerNormalization": _scale_and_centre,
    "Normalization": lambda config: (
        ["mean", "variance", "count"] if config.get("mean") is None else []
    ),
}
"""The names of a layer's variables, in their order, of those that have some."""

NOT_TRAINED = {"moving_mean", "moving_variance", "mean", "variance", "count"}
"""The variables that training does not change by gradients."""
