"""Functions of JAX, and the modules of Flax and Equinox that are some: the primitives of a jaxpr as values of a graph."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from xpnn._convert.graph import OF_ONE, REFUSALS, Graph, Value, pieces
from xpnn._convert.parts import Parts, same_for_any_rows
from xpnn._convert.rules import layers_of
from xpnn.errors import XpnnTypeError, XpnnValueError

Made = Value | Sequence[Value]


def _is_turned(x: Value) -> bool:
    """Whether it is a matrix on its side, with rows as columns, as `vmap` leaves products of a module."""
    return x.op == "transpose" and not x.options and not x.is_constant


class _Equation(NamedTuple):
    """One primitive: what it is given, and its parameters."""

    graph: Graph
    where: str
    given: Sequence[Value]
    params: dict[str, Any]
    shape: tuple[int, ...]
    """Of the first result."""

    def make(self, op: str, *args: Value, **options: Any) -> Value:
        """Return what an operation gives; of matrices on their side, on its side."""
        sides = [_is_turned(a) or a.is_constant for a in args]
        if op in OF_ONE and all(sides) and any(map(_is_turned, args)):
            return self.turned(self.make(op, *map(self.turned, args), **options))
        return self.graph.make(op, *args, where=self.where, **options)

    def turned(self, x: Value) -> Value:
        """Return a matrix with its axes the other way round, a vector as it is."""
        return x.args[0] if _is_turned(x) else self.make("transpose", x)

    def number(self, number: float, like: Value) -> Value:
        return self.graph.constant(np.asarray(number, like.dtype), self.where)


def _same(op: str) -> Callable[[_Equation], Made]:
    return lambda one: one.make(op, *one.given)


def _multiplied(one: _Equation) -> Made:
    """Take x * (y * weight), as Flax normalizes, for (x * y) * weight."""
    for x, y in (one.given, one.given[::-1]):
        if y.op == "multiply" and not x.is_constant and not y.is_constant:
            for z, weight in (y.args, y.args[::-1]):
                if weight.is_constant and math.prod(weight.shape) > 1:
                    return one.make("multiply", one.make("multiply", x, z), weight)
    return one.make("multiply", *one.given)


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
        (x,), axis = one.given, tuple(one.params["axes"])
        if _is_turned(x):
            x, axis = x.args[0], tuple(1 - a for a in axis)
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
    if len(x.shape) == 1 and len(whole) == 2 and places == (1,):
        return one.turned(one.make("reshape", x, shape=whole[::-1]))
    return one.make("reshape", x, shape=whole)


def _product(one: _Equation) -> Made:
    a, b = one.given
    (of_a, of_b), batch = one.params["dimension_numbers"]
    if batch != ((), ()) or len(of_a) != 1 or max(len(a.shape), len(b.shape)) > 2:
        raise XpnnValueError("expected a product of two matrices")
    a = a if of_a[0] == len(a.shape) - 1 else one.turned(a)
    b = b if of_b[0] == 0 else one.turned(b)
    if a.is_constant and not b.is_constant:  # as a vmapped module has them
        return one.turned(one.make("matmul", one.turned(b), one.turned(a)))
    return one.make("matmul", a, b)


def _reshaped(one: _Equation) -> Made:
    return one.make("reshape", one.given[0], shape=one.shape)


def _transposed(one: _Equation) -> Made:
    (x,) = one.given
    axes = tuple(one.params["permutation"])
    return one.turned(x) if axes == (1, 0) else one.make("transpose", x, axes=axes)


def _sliced(one: _Equation) -> Made:
    (x,) = one.given
    strides = one.params["strides"] or (1,) * len(x.shape)
    for axis, (start, end, step) in enumerate(
        zip(one.params["start_indices"], one.params["limit_indices"], strides, strict=True)
    ):
        x = one.graph.take(x, range(start, end, step), axis, one.where)
    return x


def _reversed(one: _Equation) -> Made:
    (x,) = one.given
    for axis in one.params["dimensions"]:
        x = one.graph.take(x, range(x.shape[axis])[::-1], axis, one.where)
    return x


def _split(one: _Equation) -> Made:
    (x,), axis = one.given, one.params["axis"]
    parts = pieces(one.params["sizes"])
    return [one.graph.take(x, part, axis, one.where) for part in parts]


def _converted(one: _Equation) -> Made:
    (x,), dtype = one.given, _checked(np.dtype(one.params["new_dtype"]), "a conversion")
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
    "mul": _multiplied,
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
    "rev": _reversed,
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

_OF_WHOLE = {"dot_general", "concatenate"}
"""The primitives that do not show how long axes are which `_broadcast` left at 1."""

_INSIDE = ("jaxpr", "call_jaxpr", "fun_jaxpr")
"""Under which names primitives hold what they call: jit, custom_jvp_call, remat and their kin."""


def read(function: Callable[[Any], Any], example: Any, name: str = "from_jax") -> Parts:
    """Return the layers of a function of rows; XpnnValueError names the primitive that is no layer's."""
    if not callable(function):
        raise XpnnTypeError(f"{name}: expected a function, got {type(function).__qualname__}")
    shape = tuple(getattr(example, "shape", ()))
    if len(shape) < 2:
        given = f"shape {shape}" if hasattr(example, "shape") else type(example).__qualname__
        raise XpnnTypeError(f"{name}: expected an example of shape (rows, ...), got {given}")
    dtype = _checked(np.dtype(example.dtype), f"{name}: the example")

    def parts(graph: Graph) -> Parts:
        rows = jax.ShapeDtypeStruct((graph.rows, *shape[1:]), example.dtype)
        try:
            closed = jax.make_jaxpr(function)(rows)
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            said = str(error).strip().partition("\n")[0] or type(error).__name__
            raise XpnnValueError(
                f"{name}: expected a function of any number of rows, which JAX can trace; with rows of shape "
                f"{shape[1:]}, {dtype}, {graph.rows} of them, it says: {said}"
            ) from error
        start = graph.input("x", shape[1:], dtype)
        results = _run(graph, closed.jaxpr, closed.consts, [start])
        if len(results) != 1:
            raise XpnnValueError(f"{name}: expected one output, got {len(results)}")
        return Parts(layers_of(results[0], start))

    return same_for_any_rows(parts)


def _checked(dtype: Any, where: str) -> str:
    """Return the name of a dtype; XpnnValueError unless it is one of NumPy's own."""
    if dtype.kind not in "biuf":
        raise XpnnValueError(
            f"{where}: expected numbers of NumPy's own dtypes, got {dtype}; convert them to float32"
        )
    return str(dtype.name)


def _constant(graph: Graph, a: Any, where: str) -> Value:
    array = np.asarray(a)
    _checked(array.dtype, where)
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
    if name in _OF_WHOLE:
        inputs = [
            a
            if a.shape == of.aval.shape
            else graph.make("broadcast_to", a, shape=of.aval.shape, where=where)
            for a, of in zip(inputs, equation.invars, strict=True)
        ]
    try:
        made = PRIMITIVES[name](_Equation(graph, where, inputs, params, shape))
    except REFUSALS as error:
        return [graph.refused(str(error), where)] * count
    return [made] if isinstance(made, Value) else made
