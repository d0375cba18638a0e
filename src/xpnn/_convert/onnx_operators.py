"""The operators of ONNX, each in operations of a graph: one table."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from xpnn._activations.exponential import SELU_ALPHA, SELU_SCALE
from xpnn._convert.graph import Graph, Value, pieces
from xpnn.errors import XpnnValueError

Made = Value | Sequence[Value]

FLOATS = {"float16", "float32", "float64"}


class Context(NamedTuple):
    """What the nodes of one model have in common."""

    graph: Graph
    opset: int
    fixed: int | None
    """How many rows the file has fixed."""
    folder: Path
    """In which the model's file lies."""
    classes: list[list[Any]]
    """What the nodes call classes."""


class Node(NamedTuple):
    """A node while its outputs are made."""

    context: Context
    where: str
    inputs: Sequence[Value | None]
    attributes: Mapping[str, Any]
    outputs: int
    """How many it has."""

    @property
    def graph(self) -> Graph:
        """The graph in which its outputs are made."""
        return self.context.graph

    def make(self, op: str, *args: Value, **options: Any) -> Value:
        return self.graph.make(op, *args, where=self.where, **options)

    def take(self, x: Value, indices: Iterable[int], axis: int) -> Value:
        """Return some of the entries along an axis."""
        return self.graph.take(x, indices, axis, self.where)

    def number(self, number: float, like: Value) -> Value:
        dtype = like.dtype if like.dtype in FLOATS else "float32"
        return self.graph.constant(np.asarray(number, dtype), self.where)

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def input(self, i: int) -> Value:
        found = self.get(i)
        if found is None:
            raise XpnnValueError(f"expected an input {i}, got none")
        return found

    def get(self, i: int) -> Value | None:
        return self.inputs[i] if i < len(self.inputs) else None

    def integers(self, i: int, name: str) -> list[int] | None:
        """Return integers that are an attribute in old opsets, an input in new ones; None if not given."""
        given = self.get(i)
        if given is None:
            found = self.attribute(name)
            return None if found is None else list(found)
        if given.array is None:
            raise XpnnValueError(f"expected {name} to be constant")
        return [int(n) for n in given.array.reshape(-1)]


def named_classes(node: Node, scores: Value, labels: Sequence[Any] | None = None) -> Value:
    """Return the label of the largest score of each row, which no layer gives; note what classes are called."""
    if labels is not None:
        node.context.classes.append(list(labels))
    return node.make("labels", scores, classes=None if labels is None else tuple(labels))


def _same(op: str, **options: Any) -> Callable[[Node], Made]:
    return lambda node: node.make(op, *(a for a in node.inputs if a is not None), **options)


def _with(op: str, **names: tuple[str, Any]) -> Callable[[Node], Made]:
    """An operation whose options are attributes: option=(attribute, default)."""

    def made(node: Node) -> Made:
        given = {o: node.attribute(name, default) for o, (name, default) in names.items()}
        return node.make(op, node.input(0), **given)

    return made


def _of_many(op: str) -> Callable[[Node], Made]:
    def made(node: Node) -> Made:
        y = node.input(0)
        for x in node.inputs[1:]:
            y = y if x is None else node.make(op, y, x)
        return y

    return made


def _gemm(node: Node) -> Made:
    a, b = node.input(0), node.input(1)
    a = node.make("transpose", a) if node.attribute("transA", 0) else a
    b = node.make("transpose", b) if node.attribute("transB", 0) else b
    y = node.make("matmul", a, b)
    alpha, beta, c = node.attribute("alpha", 1.0), node.attribute("beta", 1.0), node.get(2)
    if alpha != 1:
        y = node.make("multiply", y, node.number(alpha, y))
    if c is not None:
        c = c if beta == 1 else node.make("multiply", c, node.number(beta, c))
        y = node.make("add", y, c)
    return y


def _clip(node: Node) -> Made:
    x = node.input(0)
    for op, i, name in (("maximum", 1, "min"), ("minimum", 2, "max")):
        limit = node.get(i)
        if limit is None and name in node.attributes:
            limit = node.number(node.attributes[name], x)
        x = x if limit is None else node.make(op, x, limit)
    return x


def _hard_sigmoid(node: Node) -> Made:
    x = node.input(0)
    alpha, beta = node.attribute("alpha", 0.2), node.attribute("beta", 0.5)
    y = node.make("add", node.make("multiply", x, node.number(alpha, x)), node.number(beta, x))
    y = node.make("maximum", y, node.number(0.0, x))
    return node.make("minimum", y, node.number(1.0, x))


def _selu(node: Node) -> Made:
    x = node.input(0)
    y = node.make("elu", x, alpha=node.attribute("alpha", SELU_ALPHA))
    return node.make("multiply", y, node.number(node.attribute("gamma", SELU_SCALE), x))


def _thresholded(node: Node) -> Made:
    x = node.input(0)
    above = node.make("greater", x, node.number(node.attribute("alpha", 1.0), x))
    return node.make("where", above, x, node.number(0.0, x))


def _shrink(node: Node) -> Made:
    x = node.input(0)
    lambd, bias = (node.number(node.attribute(n, d), x) for n, d in (("lambd", 0.5), ("bias", 0.0)))
    above = node.make("greater", x, lambd)
    below = node.make("less", x, node.make("negative", lambd))
    y = node.make("where", below, node.make("add", x, bias), node.number(0.0, x))
    return node.make("where", above, node.make("subtract", x, bias), y)


def _swish(node: Node) -> Made:
    x, alpha = node.input(0), node.attribute("alpha", 1.0)
    y = x if alpha == 1 else node.make("multiply", x, node.number(alpha, x))
    return node.make("multiply", x, node.make("sigmoid", y))


def _of_rows(op: str) -> Callable[[Node], Made]:
    def made(node: Node) -> Made:
        x = node.input(0)
        axis = node.attribute("axis", -1 if node.context.opset >= 13 else 1)
        if axis not in {-1, len(x.shape) - 1}:
            raise XpnnValueError(f"expected the last axis, got axis {axis} of shape {x.shape}")
        return node.make(op, x)

    return made


def _reduced(op: str) -> Callable[[Node], Made]:
    def made(node: Node) -> Made:
        x, axes = node.input(0), node.integers(1, "axes")
        axis = None if axes is None else tuple(a % len(x.shape) for a in axes)
        y = node.make(op, x, axis=axis)
        if node.attribute("keepdims", 1):
            return y
        kept = tuple(n for i, n in enumerate(y.shape) if axis is not None and i not in axis)
        return node.make("reshape", y, shape=kept)

    return made


def _batch_norm(node: Node) -> Made:
    if node.attribute("training_mode", 0):
        raise XpnnValueError("expected a network that is trained, got training_mode 1")
    given = [node.input(i) for i in range(5)]
    return node.make("batch_norm", *given, epsilon=node.attribute("epsilon", 1e-5))


def _layer_norm(node: Node) -> Made:
    x = node.input(0)
    if node.attribute("axis", -1) not in {-1, len(x.shape) - 1}:
        raise XpnnValueError(f"expected the last axis, got axis {node.attribute('axis')}")
    y = node.make("normalize", x, epsilon=node.attribute("epsilon", 1e-5))
    y = node.make("multiply", y, node.input(1))
    bias = node.get(2)
    return y if bias is None else node.make("add", y, bias)


def _shape_of(node: Node, x: Value, asked: Sequence[int], *, copies: bool) -> tuple[int, ...]:
    """Return a shape that is asked for, of as many rows as there are."""
    shape = [x.shape[i] if copies and n == 0 else n for i, n in enumerate(asked)]
    return node.graph.shape(shape, None if x.is_constant else node.context.fixed, x)


def _reshape(node: Node) -> Made:
    if node.input(0).op == "labels":
        return node.input(0)
    x, asked = node.input(0), node.integers(1, "shape") or []
    copies = not node.attribute("allowzero", 0)
    return node.make("reshape", x, shape=_shape_of(node, x, asked, copies=copies))


def _flatten(node: Node) -> Made:
    x, axis = node.input(0), node.attribute("axis", 1)
    axis = axis % len(x.shape) if axis < 0 else axis
    shape = math.prod(x.shape[:axis]), math.prod(x.shape[axis:])
    return node.make("reshape", x, shape=shape)


def _squeeze(node: Node) -> Made:
    x, axes = node.input(0), node.integers(1, "axes")
    if axes is None:
        axes = [i for i, n in enumerate(x.shape) if n == 1]
    axes = [a % len(x.shape) for a in axes]
    if any(x.shape[a] != 1 for a in axes):
        raise XpnnValueError(f"expected axes of one entry, got {axes} of shape {x.shape}")
    return node.make("reshape", x, shape=tuple(n for i, n in enumerate(x.shape) if i not in axes))


def _unsqueeze(node: Node) -> Made:
    x, axes = node.input(0), node.integers(1, "axes") or []
    count = len(x.shape) + len(axes)
    rest = iter(x.shape)
    places = {a % count for a in axes}
    if len(places) < len(axes):
        raise XpnnValueError(f"expected different axes, got {axes}")
    return node.make(
        "reshape", x, shape=tuple(1 if i in places else next(rest) for i in range(count))
    )


def _transpose(node: Node) -> Made:
    x, perm = node.input(0), node.attribute("perm")
    axes = tuple(range(len(x.shape)))[::-1] if perm is None else tuple(perm)
    return x if axes == tuple(range(len(x.shape))) else node.make("transpose", x, axes=axes)


def _concat(node: Node) -> Made:
    x = node.input(0)
    axis = node.attribute("axis", 1)
    if len(node.inputs) == 1:
        return x
    return node.make("concat", *(a for a in node.inputs if a is not None), axis=axis)


def _split(node: Node) -> Made:
    x, axis = node.input(0), node.attribute("axis", 0)
    lengths, n = node.integers(1, "split"), x.shape[axis]
    if lengths is None:
        each = -(-n // node.outputs)
        lengths = [max(min(each, n - i * each), 0) for i in range(node.outputs)]
    return [node.take(x, part, axis) for part in pieces(lengths)]


_ALL_ROWS = 2**31 - 1
"""What exporters write for the end of an axis."""


def _slice(node: Node) -> Made:
    x = node.input(0)
    starts, ends = node.integers(1, "starts") or [], node.integers(2, "ends") or []
    axes = node.integers(3, "axes") or list(range(len(starts)))
    steps = node.integers(4, "steps") or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis % len(x.shape) == 0 and not x.is_constant:
            if (start, step) != (0, 1) or end < _ALL_ROWS:
                raise XpnnValueError(f"expected all rows, got those from {start} to {end}")
            continue
        indices = range(x.shape[axis])[
            slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
        ]
        x = node.take(x, indices, axis)
    return x


def _gather(node: Node) -> Made:
    x, axis, given = node.input(0), node.attribute("axis", 0), node.input(1)
    if given.array is None:
        raise XpnnValueError("expected constant indices")
    y = node.take(x, given.array.reshape(-1).tolist(), axis)
    axis = axis % len(x.shape)
    return node.make(
        "reshape", y, shape=(*x.shape[:axis], *given.array.shape, *x.shape[axis + 1 :])
    )


def _gather_nd(node: Node) -> Made:
    """Entries of the first axis, as x[:, [1, 0]] is written between two transpositions."""
    x, given = node.input(0), node.input(1).array
    if given is None or given.shape[1:] != (1,) or node.attribute("batch_dims", 0):
        raise XpnnValueError("expected constant indices of the first axis")
    return node.take(x, given.reshape(-1).tolist(), 0)


def _cast(node: Node) -> Made:
    if node.input(0).op == "labels":
        return node.input(0)
    return _as(node, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(node.attribute("to"))).name)


def _as(node: Node, dtype: str) -> Value:
    x = node.input(0)
    return x if dtype == x.dtype else node.make("astype", x, dtype=dtype)


def _dropout(node: Node) -> Made:
    training = node.get(2)
    if training is not None and (training.array is None or np.any(training.array)):
        raise XpnnValueError("expected a network that is trained, got training_mode 1")
    return node.input(0)


def _constant(node: Node) -> Made:
    for name, kind in (
        *(("value", None), ("value_float", "float32"), ("value_floats", "float32")),
        *(("value_int", "int64"), ("value_ints", "int64")),
    ):
        if name in node.attributes:
            return node.graph.constant(np.asarray(node.attributes[name], kind), node.where)
    raise XpnnValueError("expected a constant of numbers")


def _constant_of_shape(node: Node) -> Made:
    shape = tuple(node.integers(0, "shape") or ())
    one = np.asarray(node.attribute("value", np.zeros(1, "float32"))).reshape(())
    return node.make("broadcast_to", node.graph.constant(one, node.where), shape=shape)


def _expand(node: Node) -> Made:
    x, asked = node.input(0), node.integers(1, "shape") or []
    shape = np.broadcast_shapes(x.shape, _shape_of(node, x, asked, copies=False))
    return x if shape == x.shape else node.make("broadcast_to", x, shape=shape)


OPERATORS: dict[str, Callable[[Node], Made]] = {
    **{
        name: _same(name.lower())
        for name in "Add Exp Log Sqrt Reciprocal Abs Sign Floor Ceil".split()
    },
    **{
        name: _same(name.lower())
        for name in "Pow Greater Less Equal Where Relu Tanh Sigmoid".split()
    },
    **{
        name: _same(name.lower())
        for name in "Softsign Mish PRelu IsNaN IsInf Sinh Cosh Sin Cos Erf".split()
    },
    "Sub": _same("subtract"),
    "Mul": _same("multiply"),
    "Div": _same("divide"),
    "Neg": _same("negative"),
    "Round": _same("rint"),
    "GreaterOrEqual": _same("greater_equal"),
    "LessOrEqual": _same("less_equal"),
    "Not": _same("logical_not"),
    "And": _same("logical_and"),
    "Or": _same("logical_or"),
    "MatMul": _same("matmul"),
    "Gemm": _gemm,
    "Sum": _of_many("add"),
    "Max": _of_many("maximum"),
    "Min": _of_many("minimum"),
    "Clip": _clip,
    "LeakyRelu": _with("leaky_relu", negative_slope=("alpha", 0.01)),
    "Elu": _with("elu", alpha=("alpha", 1.0)),
    "Celu": _with("celu", alpha=("alpha", 1.0)),
    "Gelu": _with("gelu", approximate=("approximate", "none")),
    "HardSwish": _same("hard_swish"),
    "HardSigmoid": _hard_sigmoid,
    "Selu": _selu,
    "Softplus": _same("softplus"),
    "ThresholdedRelu": _thresholded,
    "Shrink": _shrink,
    "Swish": _swish,
    "ArgMax": lambda node: named_classes(node, node.input(0)),
    "Softmax": _of_rows("softmax"),
    "LogSoftmax": _of_rows("log_softmax"),
    "ReduceSum": _reduced("sum"),
    "ReduceMean": _reduced("mean"),
    "ReduceMax": _reduced("max"),
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "Cast": _cast,
    "Identity": lambda node: node.input(0),
    "Dropout": _dropout,
    "CastLike": lambda node: _as(node, node.input(1).dtype),
    "GatherND": _gather_nd,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Shape": lambda node: node.graph.constant(
        np.asarray(
            node.input(0).shape[node.attribute("start", 0) : node.attribute("end")], "int64"
        ),
        node.where,
    ),
}
"""What each operator of ONNX is in operations of a graph."""
