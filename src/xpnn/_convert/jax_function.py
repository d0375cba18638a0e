"""Functions of JAX, and the modules of Flax and Equinox that are some: the primitives of a jaxpr as values of a graph."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from xpnn._convert.graph import REFUSALS, Graph, Value, of_any_rows, pieces
from xpnn._convert.parts import Parts
from xpnn._convert.rules import layers_of
from xpnn.errors import XpnnTypeError, XpnnValueError

Made = Value | Sequence[Value]


class _Equation(NamedTuple):
    """One primitive: what it is given, and its parameters."""

    graph: Graph
    where: str
    given: Sequence[Value]
    params: dict[str, Any]
    shape: tuple[int, ...]
    """Of the first result."""

    def make(self, op: str, *args: Value, **options: Any) -> Value:
        return self.graph.make(op, *args, where=self.where, **options)

    def number(self, number: float, like: Value) -> Value:
        return self.graph.constant(np.asarray(number, like.dtype), self.where)


def _same(op: str) -> Callable[[_Equation], Made]:
    return lambda one: one.make(op, *one.given)


def _powered(one: _Equation) -> Made:
    (x,) = one.given
    return one.make("pow", x, one.number(one.params["y"], x))


def _chosen(one: _Equation) -> Made:
    which, *cases = one.given
    if len(cases) != 2 or which.dtype != "bool":
        raise XpnnValueError("expected a choice of two by truth values")
    return one.make("where", which, cases[1], cases[0])


def _clamped(one: _Equation) -> Made:
    least, x, most = one.given
    return one.make("minimum", one.make("maximum", x, least), most)


def _reduced(op: str) -> Callable[[_Equation], Made]:
    def made(one: _Equation) -> Made:
        (x,) = one.given
        axis = tuple(one.params["axes"])
        y = one.make(op, x, axis=axis)
        return one.make("reshape", y, shape=one.shape)

    return made


def _broadcast(one: _Equation) -> Made:
    """Give the axes that are there their places; how long the new ones are, what uses them shows."""
    x = one.given[0]
    places = one.params["broadcast_dimensions"]
    shape = [1] * len(one.params["shape"])
    for axis, place in enumerate(places):
        shape[place] = x.shape[axis]
    whole = tuple(shape)
    if x.shape == whole:
        return x
    return one.make("reshape", x, shape=whole)


def _product(one: _Equation) -> Made:
    a, b = one.given
    (of_a, of_b), batch = one.params["dimension_numbers"]
    if batch != ((), ()) or len(of_a) != 1 or max(len(a.shape), len(b.shape)) > 2:
        raise XpnnValueError("expected a product of two matrices")
    a = a if of_a[0] == len(a.shape) - 1 else one.make("transpose", a)
    b = b if of_b[0] == 0 else one.make("transpose", b)
    if a.is_constant and not b.is_constant:  # as a vmapped module has them
        y = one.make("matmul", one.make("transpose", b), one.make("transpose", a))
        return one.make("transpose", y)
    return one.make("matmul", a, b)


def _reshaped(one: _Equation) -> Made:
    return one.make("reshape", one.given[0], shape=one.shape)


def _transposed(one: _Equation) -> Made:
    (x,) = one.given
    axes = tuple(one.params["permutation"])
    if x.op == "transpose" and axes == (1, 0) and not x.options:
        return x.args[0]
    return one.make("transpose", x, axes=axes)


def _sliced(one: _Equation) -> Made:
    (x,) = one.given
    strides = one.params["strides"] or (1,) * len(x.shape)
    for axis, (start, end, step) in enumerate(
        zip(one.params["start_indices"], one.params["limit_indices"], strides, strict=True)
    ):
        x = one.graph.take(x, range(start, end, step), axis, one.where)
    return x


def _split(one: _Equation) -> Made:
    (x,), axis = one.given, one.params["axis"]
    parts = pieces(one.params["sizes"])
    return [one.graph.take(x, part, axis, one.where) for part in parts]


def _converted(one: _Equation) -> Made:
    (x,), dtype = one.given, np.dtype(one.params["new_dtype"]).name
    return x if dtype == x.dtype else one.make("astype", x, dtype=dtype)


def _root_below(one: _Equation) -> Made:
    return one.make("reciprocal", one.make("sqrt", *one.given))


def _itself(one: _Equation) -> Made:
    return one.given[0]


PRIMITIVES: dict[str, Callable[[_Equation], Made]] = {
    **{
        name: _same(name)
        for name in "add exp log log1p expm1 sqrt tanh erf abs sign floor ceil".split()
    },
    **{name: _same(name) for name in "sin cos sinh cosh erfc".split()},
    "add_any": _same("add"),
    "sub": _same("subtract"),
    "mul": _same("multiply"),
    "div": _same("divide"),
    "neg": _same("negative"),
    "max": _same("maximum"),
    "min": _same("minimum"),
    "gt": _same("greater"),
    "ge": _same("greater_equal"),
    "lt": _same("less"),
    "le": _same("less_equal"),
    "eq": _same("equal"),
    "ne": lambda one: one.make("logical_not", one.make("equal", *one.given)),
    "not": _same("logical_not"),
    "and": _same("logical_and"),
    "or": _same("logical_or"),
    "logistic": _same("sigmoid"),
    "pow": _same("pow"),
    "integer_pow": _powered,
    "square": lambda one: one.make("multiply", one.given[0], one.given[0]),
    "rsqrt": _root_below,
    "select_n": _chosen,
    "clamp": _clamped,
    "reduce_max": _reduced("max"),
    "reduce_sum": _reduced("sum"),
    "broadcast_in_dim": _broadcast,
    "dot_general": _product,
    "reshape": _reshaped,
    "squeeze": _reshaped,
    "expand_dims": _reshaped,
    "transpose": _transposed,
    "concatenate": lambda one: one.make("concat", *one.given, axis=one.params["dimension"]),
    "slice": _sliced,
    "split": _split,
    "convert_element_type": _converted,
    "stop_gradient": _itself,
    "copy": _itself,
    "copy_p": _itself,
    "optimization_barrier": _itself,
}
"""What each primitive of JAX is in operations of a graph."""

_INSIDE = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Under which names primitives hold what they call: jit, custom_jvp_call, remat and their kin."""


def read(function: Callable[[Any], Any], example: Any) -> Parts:
    """Return the layers of a function of rows; XpnnValueError names the primitive that is no layer's."""
    if not callable(function):
        raise XpnnTypeError(f"from_jax: expected a function, got {type(function).__qualname__}")
    shape = tuple(getattr(example, "shape", ()))
    if len(shape) < 2:
        raise XpnnTypeError(f"from_jax: expected an example of shape (rows, ...), got {example!r}")
    dtype = np.dtype(example.dtype).name

    def values(graph: Graph) -> tuple[Value, Value]:
        rows = jax.ShapeDtypeStruct((graph.rows, *shape[1:]), example.dtype)
        closed = jax.make_jaxpr(function)(rows)
        start = graph.input("x", shape[1:], dtype)
        results = _run(graph, closed.jaxpr, closed.consts, [start])
        if len(results) != 1:
            raise XpnnValueError(f"from_jax: expected one output, got {len(results)}")
        return start, results[0]

    start, value = of_any_rows(values)
    return Parts(layers_of(value, start))


def _constant(graph: Graph, a: Any, where: str) -> Value:
    array = np.asarray(a)
    if array.dtype.kind not in "biuf":
        raise XpnnValueError(f"from_jax: expected numbers of NumPy's own dtypes, got {array.dtype}")
    return graph.constant(array, where)


def _run(graph: Graph, jaxpr: Any, consts: Sequence[Any], given: Sequence[Value]) -> list[Value]:
    """Return what a jaxpr gives."""
    values: dict[Any, Value] = {}
    values.update(
        zip(jaxpr.constvars, (_constant(graph, c, "a constant") for c in consts), strict=True)
    )
    values.update(zip(jaxpr.invars, given, strict=True))

    def found(a: Any) -> Value:
        return _constant(graph, a.val, "a number") if hasattr(a, "val") else values[a]

    for equation in jaxpr.eqns:
        inputs = [found(a) for a in equation.invars]
        values.update(zip(equation.outvars, _results(graph, equation, inputs), strict=False))
    return [found(a) for a in jaxpr.outvars]


def _results(graph: Graph, equation: Any, inputs: Sequence[Value]) -> Sequence[Value]:
    """Return what a primitive gives, as far as there is a meaning for it here."""
    name, params = equation.primitive.name, equation.params
    where, count = f"primitive {name}", len(equation.outvars)
    refused = next((a for a in inputs if a.op == "refused"), None)
    if refused is not None:
        return [refused] * count
    inside = next((params[key] for key in _INSIDE if key in params), None)
    if inside is not None and name not in {"while", "scan", "cond"}:
        jaxpr = getattr(inside, "jaxpr", inside)
        return _run(graph, jaxpr, getattr(inside, "consts", ()), inputs)
    if name not in PRIMITIVES:
        known = ", ".join(sorted(PRIMITIVES))
        words = f"{name} is not among the primitives that xpnn has: {known}"
        return [graph.refused(words, where)] * count
    shape = tuple(equation.outvars[0].aval.shape)
    try:
        made = PRIMITIVES[name](_Equation(graph, where, inputs, params, shape))
    except REFUSALS as error:
        return [graph.refused(str(error), where)] * count
    return [made] if isinstance(made, Value) else made
