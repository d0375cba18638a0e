"""Layers as an ONNX model: an interpreter whose words are nodes, in the standard's own operators."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper

from xpnn._activations.activation import Activation
from xpnn._activations.exponential import SELU_ALPHA, SELU_SCALE
from xpnn._arrays.dtypes import computing_float, promote
from xpnn._arrays.transfer import to_numpy
from xpnn._arrays.types import Array
from xpnn._convert.parts import ASIDE, Parts
from xpnn._network.layers.layer import Shape, outputs_of, taken_by
from xpnn._network.layers.prelu import PReLU
from xpnn.errors import XpnnValueError

OPSET = 20
"""The first that has Gelu."""
IR_VERSION = 9


class _Nodes:
    """The words of layers as nodes, which each give the name of their output."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype
        self.width = 0
        """Of what the layer at hand takes."""
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[bytes, onnx.TensorProto] = {}

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node."""
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"/{name}", **attributes))
        return name

    def constant(self, value: Any, kind: str = "c") -> str:
        """Return the name of a tensor, of which there is one for each value."""
        a = np.asarray(value, self.dtype)
        key = f"{a.shape}".encode() + a.tobytes()
        if key not in self.tensors:
            name = f"{kind}_{len(self.tensors)}"
            self.tensors[key] = onnx.numpy_helper.from_array(np.ascontiguousarray(a), name)
        return str(self.tensors[key].name)

    # The words

    def linear(self, x: str, weight: Array, bias: Array | None, _: str | None = None, /) -> str:
        """x @ weight + bias."""
        rest = [] if bias is None else [self.constant(to_numpy(bias), "bias")]
        return self.node("Gemm", x, self.constant(to_numpy(weight), "weight"), *rest)

    def affine(
        self, x: str, scale: Array | None, shift: Array | None, _: str | None = None, /
    ) -> str:
        """x * scale + shift."""
        if scale is not None:
            x = self.node("Mul", x, self.constant(to_numpy(scale), "scale"))
        return x if shift is None else self.node("Add", x, self.constant(to_numpy(shift), "shift"))

    def normalize(self, x: str, epsilon: float, /) -> str:
        """(x - mean) / sqrt(variance + epsilon)."""
        if self.dtype == "float32":
            ones = self.constant(np.ones(self.width), "scale")
            return self.node("LayerNormalization", x, ones, axis=-1, epsilon=epsilon)
        # That operator computes in float32, and has its epsilon in that.
        axes = self.node("Constant", value_ints=[-1])
        d = self.node("Sub", x, self.node("ReduceMean", x, axes))
        square = self.node("ReduceMean", self.node("Mul", d, d), axes)
        return self.node("Div", d, self.node("Sqrt", self.by("Add", square, epsilon)))

    def add(self, x: str, y: str, /) -> str:
        """x + y."""
        return self.node("Add", x, y)

    def flatten(self, x: str, _: Shape, /) -> str:
        """The axes of a sample as one."""
        return self.node("Flatten", x)

    def activate(self, x: str, activation: Activation, /) -> str:
        """An activation of x."""
        if type(activation) is not Activation:  # that of a Function, whatever its name
            raise XpnnValueError("to_onnx: expected layers that are no code, got a Function")
        return ACTIVATIONS[activation.name](self, x, **dict(activation.options))

    # Parts of activations

    def by(self, op: str, x: str, number: float) -> str:
        """An operation on x and a number."""
        return self.node(op, x, self.constant(number))

    def clipped(self, x: str, least: float | None, most: float | None) -> str:
        """X between two numbers."""
        low, high = ("" if n is None else self.constant(n) for n in (least, most))
        return self.node("Clip", x, low, *([] if most is None else [high]))

    def exponential(self, x: str, alpha: float, width: float = 1.0) -> str:
        """relu(x) + alpha * (exp(min(x, 0) / width) - 1), with all digits near 0."""
        below = self.clipped(x, None, 0.0)
        below = below if width == 1 else self.by("Div", below, width)
        return self.node(
            "Add", self.node("Relu", x), self.by("Mul", self.node("Elu", below), alpha)
        )

    def softplus(self, x: str, beta: float, threshold: float | None) -> str:
        """log(1 + exp(beta * x)) / beta; x where beta * x is above a threshold."""
        scaled = x if beta == 1 else self.by("Mul", x, beta)
        y = self.node("Softplus", scaled)
        y = y if beta == 1 else self.by("Div", y, beta)
        if threshold is None:
            return y
        return self.node("Where", self.by("Greater", scaled, threshold), x, y)

    def shrunk(self, x: str, lambd: float, bias: float) -> str:
        """X nearer to 0 by bias where it is further from it than lambd, otherwise 0."""
        above, below = self.by("Greater", x, lambd), self.by("Less", x, -lambd)
        nearer = self.node("Where", below, self.by("Add", x, bias), self.constant(0.0))
        return self.node("Where", above, self.by("Sub", x, bias), nearer)


def _operator(op: str, **attributes: Any) -> Callable[..., str]:
    return lambda by, x: by.node(op, x, **attributes)


ACTIVATIONS: dict[str, Callable[..., str]] = {
    "identity": lambda _, x: x,
    "step": lambda by, x: by.node(
        "Cast", by.by("Greater", x, 0.0), to=helper.np_dtype_to_tensor_dtype(np.dtype(by.dtype))
    ),
    "relu": _operator("Relu"),
    "relu6": lambda by, x: by.clipped(x, 0.0, 6.0),
    "leaky_relu": lambda by, x, negative_slope: by.node(
        "Where", by.by("Greater", x, 0.0), x, by.by("Mul", x, negative_slope)
    ),
    "hard_sigmoid": lambda by, x: by.by("Div", by.clipped(by.by("Add", x, 3.0), 0.0, 6.0), 6.0),
    "hard_swish": lambda by, x: by.node("Mul", x, ACTIVATIONS["hard_sigmoid"](by, x)),
    "hard_tanh": lambda by, x: by.clipped(x, -1.0, 1.0),
    "sigmoid": _operator("Sigmoid"),
    "log_sigmoid": lambda by, x: by.node("Neg", by.node("Softplus", by.node("Neg", x))),
    "tanh": _operator("Tanh"),
    "softplus": lambda by, x, beta, threshold: by.softplus(x, beta, threshold),
    "softsign": lambda by, x: by.node("Div", x, by.by("Add", by.node("Abs", x), 1.0)),
    "elu": lambda by, x, alpha: by.exponential(x, alpha),
    "selu": lambda by, x: by.by("Mul", by.exponential(x, SELU_ALPHA), SELU_SCALE),
    "celu": lambda by, x, alpha: by.exponential(x, alpha, alpha),
    "exp": _operator("Exp"),
    "gelu": lambda by, x, approximate: by.node("Gelu", x, approximate=approximate),
    "silu": lambda by, x: by.node("Mul", x, by.node("Sigmoid", x)),
    "mish": lambda by, x: by.node("Mul", x, by.node("Tanh", by.node("Softplus", x))),
    "hard_shrink": lambda by, x, lambd: by.shrunk(x, lambd, 0.0),
    "softshrink": lambda by, x, lambd: by.shrunk(x, lambd, lambd),
    "threshold": lambda by, x, threshold, value: by.node(
        "Where", by.by("Greater", x, threshold), x, by.constant(value)
    ),
    "tanhshrink": lambda by, x: by.node("Sub", x, by.node("Tanh", x)),
    "erf": _operator("Erf"),
    "softmax": _operator("Softmax", axis=-1),
    "log_softmax": _operator("LogSoftmax", axis=-1),
}
"""Every activation of the table in operators; numbers are constants, as attributes would round them to float32."""


def _prelu(by: _Nodes, x: str, layer: PReLU) -> str:
    """The operator of its own, which others know."""
    return by.node("PRelu", x, by.constant(to_numpy(layer.slope), "slope"))


def model_of(parts: Parts) -> bytes:
    """Return layers as an ONNX model of one input and one output, of any number of rows."""
    layers = tuple(parts.layers)
    dtypes = set().union(*(layer.dtypes for layer in layers)) or {"float32"}
    dtype = promote(dtypes)
    if dtype == "bfloat16":
        raise XpnnValueError("to_onnx: expected float16, float32 or float64 weights, got bfloat16")
    by = _Nodes(computing_float(dtype))
    begin, end = _ends(parts)
    given, made = (helper.np_dtype_to_tensor_dtype(np.dtype(n)) for n in (dtype, by.dtype))
    x = begin if given == made else by.node("Cast", begin, to=made)
    sample = takes = taken_by(layers)
    for layer in layers:
        by.width = math.prod(sample or ())
        x = _prelu(by, x, layer) if isinstance(layer, PReLU) else layer.apply(x, by)
        sample = outputs_of((layer,), sample)
    by.node("Identity", x) if given == made else by.node("Cast", x, to=given)
    by.nodes[-1].output[0] = end
    ends = [
        helper.make_tensor_value_info(one, given, ["rows", *(shape or ["columns"])])
        for one, shape in ((begin, takes), (end, sample))
    ]
    graph = helper.make_graph(by.nodes, "xpnn", ends[:1], ends[1:], list(by.tensors.values()))
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="xpnn"
    )
    helper.set_model_props(model, {ASIDE: parts.names()})
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def _ends(parts: Parts) -> tuple[str, str]:
    """Return what the input and the output are called: as in the network, if there is one name for all."""
    begin, end = (
        names[0] if names and len(names) == 1 and not _OF_NODES.fullmatch(names[0]) else other
        for names, other in ((parts.inputs, "x"), (parts.outputs, "y"))
    )
    return (begin, end) if begin != end else ("x", "y")


_OF_NODES = re.compile(r"[a-z]+_[0-9]+|")
"""How what nodes give is called, which no end may be."""
