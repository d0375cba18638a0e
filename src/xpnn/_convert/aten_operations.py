"""The operations of ATen, each in operations of a graph: one table, for programs of torch.export, live or in a file."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnn._convert.graph import Graph, Value, pieces
from xpnn.errors import XpnnValueError

Made = Value | int | Sequence[Value]


class RowCount(int):
    """The number of rows, where a program asks for it: part of a shape, and no number to compute with."""


class Call(NamedTuple):
    """A call of an operation, with the arguments by name that differ from their defaults; dtypes are names."""

    graph: Graph
    where: str
    given: dict[str, Any]
    fixed: int | None
    """How many rows the program has fixed."""

    def make(self, op: str, *args: Value, **options: Any) -> Value:
        return self.graph.make(op, *args, where=self.where, **options)

    def take(self, indices: Iterable[int], axis: int) -> Value:
        """Return some of the entries of the tensor along an axis."""
        return self.graph.take(self.x, indices, axis, self.where)

    def value(self, name: str, like: Value | None = None) -> Value:
        """Return an argument as a value: a number in the dtype of another one."""
        a = self.given[name]
        if isinstance(a, Value):
            return a
        if not isinstance(a, int | float) or isinstance(a, RowCount):
            raise XpnnValueError(f"expected {name} to be a tensor or a number, got {a!r}")
        return self.number(a, like)

    def number(self, number: float, like: Value | None = None) -> Value:
        floating = like is not None and like.dtype.startswith("float")
        dtype = like.dtype if like is not None and floating else "float64"
        return self.graph.constant(np.asarray(number, dtype), self.where)

    def shape(self, name: str, x: Value | None = None) -> tuple[int, ...]:
        """Return a shape that is asked for, of as many rows as there are."""
        fixed = None if x is not None and x.is_constant else self.fixed
        return self.graph.shape(self.given[name], fixed, x)

    def like(self, *names: str) -> Value | None:
        """Return the first of these arguments that is a tensor: numbers beside it have its dtype."""
        found = (self.given[name] for name in names)
        return next((a for a in found if isinstance(a, Value)), None)

    def converted(self, dtype: str | None) -> "Call":
        """Return a call with the tensor in a dtype, where one is asked for."""
        x = self.x
        if dtype is None or dtype == x.dtype:
            return self
        name = next(iter(self.given), None)
        if name is None:
            raise XpnnValueError("expected a tensor, got no argument")
        return self._replace(given={**self.given, name: self.make("astype", x, dtype=dtype)})

    @property
    def x(self) -> Value:
        """The tensor itself."""
        if not self.given:
            raise XpnnValueError("expected a tensor, got none")
        return self.value(next(iter(self.given)))


def _same(op: str, **defaults: Any) -> Callable[[Call], Made]:
    """An operation of one tensor; option=default."""
    return lambda call: call.make(
        op, call.x, **{o: call.given.get(o, default) for o, default in defaults.items()}
    )


def _of_two(op: str) -> Callable[[Call], Made]:
    def made(call: Call) -> Made:
        like = call.like("self", "other")
        x, y = call.value("self", like), call.value("other", like)
        alpha = call.given.get("alpha", 1)
        y = y if alpha == 1 else call.make("multiply", y, call.number(alpha, y))
        if call.given.get("rounding_mode") is not None:
            raise XpnnValueError("expected a division without rounding")
        return call.make(op, x, y)

    return made


def _turned(op: str) -> Callable[[Call], Made]:
    return lambda call: _of_two(op)(
        call._replace(given={**call.given, "self": call.given["other"], "other": call.x})
    )


def _linear(call: Call) -> Made:
    y = call.make("matmul", call.x, call.make("transpose", call.value("weight")))
    return y if call.given.get("bias") is None else call.make("add", y, call.value("bias"))


def _addmm(call: Call) -> Made:
    if (call.given.get("alpha", 1), call.given.get("beta", 1)) != (1, 1):
        raise XpnnValueError("expected alpha and beta of 1")
    return call.make("add", call.make("matmul", call.value("mat1"), call.value("mat2")), call.x)


def _matmul(call: Call) -> Made:
    return call.make("matmul", call.x, call.value("other" if "other" in call.given else "mat2"))


def _clamp(call: Call) -> Made:
    x = call.x
    for op, name in (("maximum", "min"), ("minimum", "max")):
        if call.given.get(name) is not None:
            x = call.make(op, x, call.value(name, x))
    return x


def _hard_tanh(call: Call) -> Made:
    limits = {"min": call.given.get("min_val", -1.0), "max": call.given.get("max_val", 1.0)}
    return _clamp(call._replace(given={"self": call.x, **limits}))


def _elu(call: Call) -> Made:
    if call.given.get("input_scale", 1) != 1:
        raise XpnnValueError("expected an input_scale of 1")
    y, scale = (
        call.make("elu", call.x, alpha=float(call.given.get("alpha", 1))),
        call.given.get("scale", 1),
    )
    return y if scale == 1 else call.make("multiply", y, call.number(scale, y))


def _of_rows(op: str) -> Callable[[Call], Made]:
    def made(call: Call) -> Made:
        x, axis = call.converted(call.given.get("dtype")).x, call.given["dim"]
        if axis not in {-1, len(x.shape) - 1}:
            raise XpnnValueError(f"expected the last axis, got {axis} of shape {x.shape}")
        return call.make(op, x)

    return made


def _reduced(op: str) -> Callable[[Call], Value]:
    def made(call: Call) -> Value:
        x, given = call.converted(call.given.get("dtype")).x, call.given.get("dim")
        axes = [given] if isinstance(given, int) else given
        axis = tuple(range(len(x.shape))) if not axes else tuple(a % len(x.shape) for a in axes)
        if 0 in axis and x.shape and x.shape[0] == call.graph.rows:
            raise XpnnValueError("expected rows apart from each other, got them put together")
        y = call.make(op, x, axis=axis)
        if not call.given.get("keepdim", False):
            y = call.make(
                "reshape", y, shape=tuple(n for i, n in enumerate(y.shape) if i not in axis)
            )
        return y

    return made


def _larger(call: Call) -> Made:
    if "other" in call.given:
        return _of_two("maximum")(call)
    y = _reduced("max")(call)
    place = call.graph.refused("the place of the largest entry is no layer's", call.where)
    return [y, place] if "dim" in call.given else y


def _batch_norm(call: Call) -> Value:
    x, width = call.x, call.x.shape[-1]
    if call.given.get("training"):
        raise XpnnValueError("expected a network that is trained, got one in training")
    names = (("weight", 1.0), ("bias", 0.0), ("running_mean", None), ("running_var", None))
    given = []
    for name, default in names:
        if call.given.get(name) is None and default is not None:
            given.append(call.graph.constant(np.full(width, default, x.dtype), call.where))
        else:
            given.append(call.value(name))
    return call.make("batch_norm", x, *given, epsilon=float(call.given["eps"]))


def _layer_norm(call: Call) -> Value:
    x = call.x
    if tuple(call.given["normalized_shape"]) != x.shape[-1:]:
        raise XpnnValueError(
            f"expected rows to be normalized, got axes of {call.given['normalized_shape']}"
        )
    y = call.make("normalize", x, epsilon=float(call.given.get("eps", 1e-5)))
    for op, name in (("multiply", "weight"), ("add", "bias")):
        if call.given.get(name) is not None:
            y = call.make(op, y, call.value(name))
    return y


def _first_of_three(made: Callable[[Call], Value]) -> Callable[[Call], Made]:
    """An operation that gives two things more, which a training needs."""

    def with_others(call: Call) -> Made:
        others = call.graph.refused("what only a training needs is no layer's", call.where)
        return [made(call), others, others]

    return with_others


def _reshaped(call: Call) -> Made:
    shape = call.shape("size" if "size" in call.given else "shape", call.x)
    return call.make("reshape", call.x, shape=shape)


def _expanded(call: Call) -> Made:
    x, asked = call.x, call.shape("size")
    ones = (1,) * (len(asked) - len(x.shape)) + x.shape
    shape = tuple(b if a == -1 else a for a, b in zip(asked, ones, strict=True))
    return x if shape == x.shape else call.make("broadcast_to", x, shape=shape)


def _broadcast(call: Call) -> Made:
    tensors = call.given["tensors"]
    shape = np.broadcast_shapes(*(x.shape for x in tensors))
    return [x if x.shape == shape else call.make("broadcast_to", x, shape=shape) for x in tensors]


def _filled(number: float | None = None) -> Callable[[Call], Made]:
    """A tensor of one number; of the shape and dtype of another one, if it is made of that."""

    def made(call: Call) -> Made:
        like = call.given.get("self")
        if "size" in call.given or like is None:
            shape = call.shape("size") if "size" in call.given else ()
        else:
            shape = call.x.shape
        fill = number
        if fill is None:
            fill = call.given["fill_value" if "fill_value" in call.given else "s"]
        if not isinstance(fill, int | float) or isinstance(fill, RowCount):
            raise XpnnValueError(f"expected a number, got {fill!r}")
        kinds = {bool: "bool", int: "int64", float: "float32"}
        dtype = call.given.get("dtype") or (kinds[type(fill)] if like is None else call.x.dtype)
        one = call.graph.constant(np.asarray(fill, dtype), call.where)
        return call.make("broadcast_to", one, shape=shape) if shape else one

    return made


def _flattened(call: Call) -> Made:
    x, start, end = call.x, call.given.get("start_dim", 0), call.given.get("end_dim", -1)
    start, end = start % len(x.shape), end % len(x.shape)
    shape = *x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]
    return call.make("reshape", x, shape=shape)


def _squeezed(call: Call) -> Made:
    x, given = call.x, call.given.get("dim")
    axes = range(len(x.shape)) if given is None else [given] if isinstance(given, int) else given
    gone = {a % len(x.shape) for a in axes if x.shape[a] == 1}
    return call.make("reshape", x, shape=tuple(n for i, n in enumerate(x.shape) if i not in gone))


def _unsqueezed(call: Call) -> Made:
    shape = list(call.x.shape)
    shape.insert(call.given["dim"] % (len(shape) + 1), 1)
    return call.make("reshape", call.x, shape=tuple(shape))


def _transposed(call: Call) -> Made:
    axes = list(range(len(call.x.shape)))
    a, b = (call.given.get(name, default) for name, default in (("dim0", 0), ("dim1", -1)))
    axes[a], axes[b] = axes[b], axes[a]
    return call.make("transpose", call.x, axes=tuple(axes))


def _selected(call: Call) -> Made:
    index = call.value("index").array
    if index is None:
        raise XpnnValueError("expected constant indices")
    return call.take(index.reshape(-1).tolist(), call.given["dim"])


def _one_of(call: Call) -> Made:
    axis = call.given["dim"] % len(call.x.shape)
    y = call.take([call.given["index"]], axis)
    return call.make("reshape", y, shape=(*y.shape[:axis], *y.shape[axis + 1 :]))


def _indexed(call: Call) -> Made:
    ((axis, index),) = ((i, a) for i, a in enumerate(call.given["indices"]) if a is not None)
    if index.array is None or len(index.shape) != 1 or index.array.dtype.kind != "i":
        raise XpnnValueError("expected a list of constant indices")
    return call.take(index.array.tolist(), axis)


def _sliced(call: Call) -> Made:
    axis, n = call.given.get("dim", 0), call.x.shape[call.given.get("dim", 0)]
    start, end, step = (call.given.get(name) for name in ("start", "end", "step"))
    if axis % len(call.x.shape) == 0 and not call.x.is_constant:
        if start or (end is not None and end < 2**62) or step not in {None, 1}:
            raise XpnnValueError(f"expected all rows, got those from {start} to {end}")
        return call.x
    return call.take(range(n)[slice(start, end, step)], axis)


def _length(call: Call) -> Made:
    axis = call.given["dim"] % len(call.x.shape)
    n = call.x.shape[axis]
    return RowCount(n) if axis == 0 and n == call.graph.rows else n


def _chunks(call: Call) -> Made:
    axis, n = call.given.get("dim", 0), call.x.shape[call.given.get("dim", 0)]
    sizes: Any = call.given.get("split_size", call.given.get("split_sizes"))
    if "chunks" in call.given:
        sizes = -(-n // call.given["chunks"])
    if isinstance(sizes, int):
        sizes = [min(sizes, n - i) for i in range(0, n, sizes)]
    return [call.take(part, axis) for part in pieces(sizes)]


def _concat(call: Call) -> Made:
    return call.make("concat", *call.given["tensors"], axis=call.given.get("dim", 0))


def _chosen(call: Call) -> Made:
    like = call.like("self", "other")
    parts = call.value("self", like), call.value("other", like)
    return call.make("where", call.value("condition"), *parts)


def _converted(call: Call) -> Made:
    other = call.given.get("other")
    return call.converted(call.given.get("dtype") if other is None else other.dtype).x


def _dropout(call: Call) -> Made:
    if call.given["train"]:
        raise XpnnValueError("expected a network that is trained, got dropout in training")
    return call.x


def _powered(call: Call) -> Made:
    like = call.like("self", "exponent")
    return call.make("pow", call.value("self", like), call.value("exponent", like))


def _weight_normed(call: Call) -> Made:
    """v / |v| * g, the length being that of all entries along the other axes."""
    v, g = call.value("v"), call.value("g")
    rest = tuple(i for i in range(len(v.shape)) if i != call.given.get("dim", 0))
    return call.make("multiply", v, call.make("divide", g, _root_of_squares(call, v, rest)))


def _root_of_squares(call: Call, x: Value, axes: tuple[int, ...]) -> Value:
    """Return the square root of the sum of squares along axes, which stay."""
    return call.make("sqrt", call.make("sum", call.make("multiply", x, x), axis=axes))


def _norm(call: Call) -> Made:
    axes = call.given.get("dim")
    if call.given.get("ord", 2) != 2 or not axes or not call.given.get("keepdim"):
        raise XpnnValueError("expected a norm of squares along axes that stay")
    return _root_of_squares(call, call.x, tuple(a % len(call.x.shape) for a in axes))


def _itself(call: Call) -> Made:
    return call.x


OPERATIONS: dict[str, Callable[[Call], Made]] = {
    **{
        name: _same(name) for name in "relu selu silu mish sigmoid tanh log_sigmoid exp erf".split()
    },
    **{name: _same(name) for name in "log log1p expm1 sqrt reciprocal sign floor ceil abs".split()},
    **{name: _same(name) for name in "relu6 sin cos sinh cosh logical_not".split()},
    "hardswish": _same("hard_swish"),
    "hardsigmoid": _same("hard_sigmoid"),
    "hardtanh": _hard_tanh,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "leaky_relu": _same("leaky_relu", negative_slope=0.01),
    "celu": _same("celu", alpha=1.0),
    "elu": _elu,
    "gelu": _same("gelu", approximate="none"),
    "softplus": _same("softplus", beta=1.0, threshold=20.0),
    "softshrink": _same("softshrink", lambd=0.5),
    "hardshrink": _same("hard_shrink", lambd=0.5),
    "threshold": _same("threshold", threshold=0.0, value=0.0),
    "prelu": lambda call: call.make("prelu", call.x, call.value("weight")),
    **dict.fromkeys(["softmax", "_softmax"], _of_rows("softmax")),
    **dict.fromkeys(["log_softmax", "_log_softmax"], _of_rows("log_softmax")),
    "neg": _same("negative"),
    "add": _of_two("add"),
    "sub": _of_two("subtract"),
    "rsub": _turned("subtract"),
    "mul": _of_two("multiply"),
    "div": _of_two("divide"),
    "maximum": _of_two("maximum"),
    "minimum": _of_two("minimum"),
    "gt": _of_two("greater"),
    "ge": _of_two("greater_equal"),
    "lt": _of_two("less"),
    "le": _of_two("less_equal"),
    "eq": _of_two("equal"),
    **{name: _of_two(name) for name in "greater greater_equal less less_equal".split()},
    "pow": _powered,
    "where": _chosen,
    "linear": _linear,
    "addmm": _addmm,
    "mm": _matmul,
    "matmul": _matmul,
    **dict.fromkeys(["t", "numpy_T"], _same("transpose")),
    "transpose": _transposed,
    "permute": lambda call: call.make("transpose", call.x, axes=tuple(call.given["dims"])),
    "_weight_norm": _weight_normed,
    "linalg_vector_norm": _norm,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "mean": _reduced("mean"),
    "sum": _reduced("sum"),
    "amax": _reduced("max"),
    "max": _larger,
    "_native_batch_norm_legit_no_training": _first_of_three(_batch_norm),
    "native_layer_norm": _first_of_three(_layer_norm),
    "sym_size": _length,
    **dict.fromkeys("full full_like new_full scalar_tensor".split(), _filled()),
    **dict.fromkeys("zeros zeros_like new_zeros".split(), _filled(0.0)),
    **dict.fromkeys("ones ones_like new_ones".split(), _filled(1.0)),
    "expand": _expanded,
    "broadcast_tensors": _broadcast,
    "view": _reshaped,
    "reshape": _reshaped,
    "flatten": _flattened,
    "squeeze": _squeezed,
    "unsqueeze": _unsqueezed,
    "cat": _concat,
    "chunk": _chunks,
    "split": _chunks,
    "split_with_sizes": _chunks,
    "slice": _sliced,
    "index_select": _selected,
    "index": _indexed,
    "select": _one_of,
    **dict.fromkeys("to _to_copy type_as".split(), _converted),
    **dict.fromkeys("dropout alpha_dropout feature_dropout".split(), _dropout),
    **dict.fromkeys("alias clone contiguous detach detach_ lift_fresh_copy".split(), _itself),
}
"""What each operation of ATen is in operations of a graph, by its name without the kind of arguments."""
