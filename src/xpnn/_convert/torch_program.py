"""Modules of PyTorch, through torch.export: the operations of ATen as values of a graph."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from xpnn._convert.graph import REFUSALS, Graph, Value, of_any_rows, pieces
from xpnn._convert.parts import Parts
from xpnn._convert.rules import layers_of
from xpnn.errors import XpnnTypeError, XpnnValueError

Made = Value | Sequence[Value]


class _Call(NamedTuple):
    """A call of an operation, with its arguments by name."""

    graph: Graph
    where: str
    given: dict[str, Any]

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
        if not isinstance(a, int | float):
            raise XpnnValueError(f"expected {name} to be a tensor or a number, got {a!r}")
        return self.number(a, like)

    def number(self, number: float, like: Value | None = None) -> Value:
        floating = like is not None and like.dtype.startswith("float")
        dtype = like.dtype if like is not None and floating else "float64"
        return self.graph.constant(np.asarray(number, dtype), self.where)

    @property
    def x(self) -> Value:
        """The tensor itself."""
        name = next(iter(self.given))
        return self.value(name)


def _same(op: str, **options: str) -> Callable[[_Call], Made]:
    """An operation of one tensor; option=argument."""
    return lambda call: call.make(op, call.x, **{o: call.given[a] for o, a in options.items()})


def _of_two(op: str) -> Callable[[_Call], Made]:
    def made(call: _Call) -> Made:
        a, b = call.given["self"], call.given["other"]
        like = a if isinstance(a, Value) else b
        x, y = call.value("self", like), call.value("other", like)
        alpha = call.given.get("alpha", 1)
        y = y if alpha == 1 else call.make("multiply", y, call.number(alpha, y))
        if call.given.get("rounding_mode") is not None:
            raise XpnnValueError("expected a division without rounding")
        return call.make(op, x, y)

    return made


def _turned(op: str) -> Callable[[_Call], Made]:
    return lambda call: _of_two(op)(
        call._replace(given={**call.given, "self": call.given["other"], "other": call.x})
    )


def _linear(call: _Call) -> Made:
    y = call.make("matmul", call.x, call.make("transpose", call.value("weight")))
    return y if call.given.get("bias") is None else call.make("add", y, call.value("bias"))


def _addmm(call: _Call) -> Made:
    if (call.given.get("alpha", 1), call.given.get("beta", 1)) != (1, 1):
        raise XpnnValueError("expected alpha and beta of 1")
    return call.make("add", call.make("matmul", call.value("mat1"), call.value("mat2")), call.x)


def _matmul(call: _Call) -> Made:
    return call.make("matmul", call.x, call.value("other" if "other" in call.given else "mat2"))


def _clamp(call: _Call) -> Made:
    x = call.x
    for op, names in (("maximum", ("min", "min_val")), ("minimum", ("max", "max_val"))):
        for name in names:
            if call.given.get(name) is not None:
                x = call.make(op, x, call.value(name, x))
    return x


def _elu(call: _Call) -> Made:
    if (call.given.get("scale", 1), call.given.get("input_scale", 1)) != (1, 1):
        raise XpnnValueError("expected scales of 1")
    return call.make("elu", call.x, alpha=float(call.given.get("alpha", 1.0)))


def _of_rows(op: str) -> Callable[[_Call], Made]:
    def made(call: _Call) -> Made:
        x, axis = call.x, call.given["dim"]
        if axis not in {-1, len(x.shape) - 1}:
            raise XpnnValueError(f"expected the last axis, got {axis} of shape {x.shape}")
        return call.make(op, x)

    return made


def _reduced(op: str) -> Callable[[_Call], Made]:
    def made(call: _Call) -> Made:
        x, given = call.x, call.given.get("dim")
        axes = [given] if isinstance(given, int) else given
        axis = tuple(range(len(x.shape))) if not axes else tuple(a % len(x.shape) for a in axes)
        y = call.make(op, x, axis=axis)
        if not call.given.get("keepdim", False):
            y = call.make(
                "reshape", y, shape=tuple(n for i, n in enumerate(y.shape) if i not in axis)
            )
        if op != "max" or "dim" not in call.given:
            return y
        return [y, call.graph.refused("the place of the largest entry is no layer's", call.where)]

    return made


def _batch_norm(call: _Call) -> Made:
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


def _layer_norm(call: _Call) -> Made:
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


def _reshaped(call: _Call) -> Made:
    x = call.x
    shape = list(call.given["size" if "size" in call.given else "shape"])
    if -1 in shape:
        known = math.prod(n for n in shape if n != -1)
        shape[shape.index(-1)] = math.prod(x.shape) // max(known, 1)
    return call.make("reshape", x, shape=tuple(shape))


def _flattened(call: _Call) -> Made:
    x, start, end = call.x, call.given.get("start_dim", 0), call.given.get("end_dim", -1)
    start, end = start % len(x.shape), end % len(x.shape)
    shape = *x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :]
    return call.make("reshape", x, shape=shape)


def _squeezed(call: _Call) -> Made:
    x, given = call.x, call.given.get("dim")
    axes = range(len(x.shape)) if given is None else [given] if isinstance(given, int) else given
    gone = {a % len(x.shape) for a in axes if x.shape[a] == 1}
    return call.make("reshape", x, shape=tuple(n for i, n in enumerate(x.shape) if i not in gone))


def _unsqueezed(call: _Call) -> Made:
    shape = list(call.x.shape)
    shape.insert(call.given["dim"] % (len(shape) + 1), 1)
    return call.make("reshape", call.x, shape=tuple(shape))


def _transposed(call: _Call) -> Made:
    axes = list(range(len(call.x.shape)))
    a, b = (call.given.get(name, default) for name, default in (("dim0", 0), ("dim1", -1)))
    axes[a], axes[b] = axes[b], axes[a]
    return call.make("transpose", call.x, axes=tuple(axes))


def _selected(call: _Call) -> Made:
    index = call.value("index").array
    if index is None:
        raise XpnnValueError("expected constant indices")
    return call.take(index.reshape(-1).tolist(), call.given["dim"])


def _sliced(call: _Call) -> Made:
    axis, n = call.given.get("dim", 0), call.x.shape[call.given.get("dim", 0)]
    start, end, step = (call.given.get(name) for name in ("start", "end", "step"))
    return call.take(range(n)[slice(start, end, step)], axis)


def _chunks(call: _Call) -> Made:
    axis, n = call.given.get("dim", 0), call.x.shape[call.given.get("dim", 0)]
    sizes: Any = call.given.get("split_size", call.given.get("split_sizes"))
    if "chunks" in call.given:
        sizes = -(-n // call.given["chunks"])
    if isinstance(sizes, int):
        sizes = [min(sizes, n - i) for i in range(0, n, sizes)]
    return [call.take(part, axis) for part in pieces(sizes)]


def _concat(call: _Call) -> Made:
    return call.make("concat", *call.given["tensors"], axis=call.given.get("dim", 0))


def _chosen(call: _Call) -> Made:
    x, y = call.given["self"], call.given["other"]
    like = x if isinstance(x, Value) else y if isinstance(y, Value) else None
    parts = call.value("self", like), call.value("other", like)
    return call.make("where", call.value("condition"), *parts)


def _converted(call: _Call) -> Made:
    dtype = call.given.get("dtype")
    name = call.x.dtype if dtype is None else str(dtype).removeprefix("torch.")
    return call.x if name == call.x.dtype else call.make("astype", call.x, dtype=name)


def _dropout(call: _Call) -> Made:
    if call.given["train"]:
        raise XpnnValueError("expected a network that is trained, got dropout in training")
    return call.x


def _powered(call: _Call) -> Made:
    return call.make("pow", call.x, call.value("exponent", call.x))


def _itself(call: _Call) -> Made:
    return call.x


OPERATIONS: dict[str, Callable[[_Call], Made]] = {
    **{
        name: _same(name) for name in "relu selu silu mish sigmoid tanh log_sigmoid exp erf".split()
    },
    **{name: _same(name) for name in "log log1p expm1 sqrt reciprocal sign floor ceil abs".split()},
    **{name: _same(name) for name in "relu6 sin cos sinh cosh logical_not".split()},
    "hardswish": _same("hard_swish"),
    "hardsigmoid": _same("hard_sigmoid"),
    "hardtanh": _clamp,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "leaky_relu": _same("leaky_relu", negative_slope="negative_slope"),
    "celu": _same("celu", alpha="alpha"),
    "elu": _elu,
    "gelu": _same("gelu", approximate="approximate"),
    "softplus": _same("softplus", beta="beta", threshold="threshold"),
    "softshrink": _same("softshrink", lambd="lambd"),
    "hardshrink": _same("hard_shrink", lambd="lambd"),
    "threshold": _same("threshold", threshold="threshold", value="value"),
    "prelu": lambda call: call.make("prelu", call.x, call.value("weight")),
    "softmax": _of_rows("softmax"),
    "log_softmax": _of_rows("log_softmax"),
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
    "t": lambda call: call.make("transpose", call.x),
    "transpose": _transposed,
    "permute": lambda call: call.make("transpose", call.x, axes=tuple(call.given["dims"])),
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "mean": _reduced("mean"),
    "sum": _reduced("sum"),
    "amax": _reduced("max"),
    "max": _reduced("max"),
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
    "to": _converted,
    "_to_copy": _converted,
    "dropout": _dropout,
    **dict.fromkeys(
        "alias clone contiguous detach detach_ lift_fresh_copy identity".split(), _itself
    ),
}
"""What each operation of ATen is in operations of a graph, by its name without the kind of arguments."""


def read(module: Any, example: Any = None) -> Parts:
    """Return the layers of a module; XpnnValueError names the operation that is no layer's."""
    if not isinstance(module, torch.nn.Module):
        raise XpnnTypeError(
            f"from_torch: expected a torch.nn.Module, got {type(module).__qualname__}"
        )
    row = _row_for(module, example)

    def values(graph: Graph) -> tuple[Value, Value]:
        rows = row.new_zeros((graph.rows, *row.shape))
        return _values(torch.export.export(module.eval(), (rows,)), rows, graph)

    was = {part: part.training for part in module.modules()}
    try:
        start, value = of_any_rows(values)
    finally:
        for part, training in was.items():
            part.training = training
    return Parts(layers_of(value, start))


def _row_for(module: Any, example: Any) -> Any:
    """Return a row that the module takes: of the shape of the example's, or of its first linear layer's inputs."""
    like = next(module.parameters(), torch.zeros(()))
    if example is None:
        first = next((m for m in module.modules() if isinstance(m, torch.nn.Linear)), None)
        if first is None:
            raise XpnnTypeError(
                "from_torch: expected an example of the input, as the module has no Linear that says "
                "how many columns there are"
            )
        return torch.zeros(first.in_features, dtype=like.dtype, device=like.device)
    if not isinstance(example, torch.Tensor) or example.ndim < 2:
        raise XpnnTypeError(
            f"from_torch: expected an example of shape (rows, ...), got {type(example).__qualname__}"
        )
    return example.new_zeros(example.shape[1:])


def _values(program: Any, rows: Any, graph: Graph) -> tuple[Value, Value]:
    """Return the input and the output of an exported program."""
    values: dict[str, Any] = {}
    tensors = {**program.state_dict, **program.constants}
    start = None
    for spec in program.graph_signature.input_specs:
        name = spec.arg.name
        if spec.target in tensors:
            array = tensors[spec.target].detach().cpu()
            if array.dtype is torch.bfloat16:
                raise XpnnValueError(
                    "from_torch: expected no bfloat16; convert the module with .float()"
                )
            values[name] = graph.constant(array.numpy(), str(spec.target))
        elif start is None:
            dtype = str(rows.dtype).removeprefix("torch.")
            start = values[name] = graph.input(name, tuple(rows.shape[1:]), dtype)
    for node in program.graph.nodes:
        if node.op == "call_function":
            values[node.name] = _value_of(node, graph, values)
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    results = [values[a.name] for a in output.args[0] if hasattr(a, "name")]
    if len(results) != 1 or not isinstance(results[0], Value) or start is None:
        raise XpnnValueError(f"from_torch: expected one output, got {len(results)}")
    return start, results[0]


def _value_of(node: Any, graph: Graph, values: dict[str, Any]) -> Any:
    """Return what a node gives: a value, or several in a tuple."""

    def found(a: Any) -> Any:
        return values[a.name] if isinstance(a, torch.fx.Node) else a

    args = torch.fx.node.map_arg(node.args, found)
    schema = getattr(node.target, "_schema", None)
    if schema is None:  # operator.getitem of several
        made, index = args
        return made if isinstance(made, Value) else made[index]
    name = str(node.target).split(".")[1]
    where = f"node {node.name}"
    if name == "_assert_tensor_metadata":
        return None
    given = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    given = {a.name: v for a, v in zip(schema.arguments, args, strict=False)} | {
        **{
            n: v
            for n, v in given.items()
            if n not in {a.name for a in schema.arguments[: len(args)]}
        },
        **torch.fx.node.map_arg(node.kwargs, found),
    }
    refused = [v for v in given.values() if isinstance(v, Value) and v.op == "refused"]
    if refused:
        return refused[0]
    if name not in OPERATIONS:
        known = ", ".join(sorted(OPERATIONS))
        return graph.refused(f"{name} is not among the operations that xpnn has: {known}", where)
    try:
        made = OPERATIONS[name](_Call(graph, where, given))
    except REFUSALS as error:
        return graph.refused(f"{name}: {error}", where)
    return made
