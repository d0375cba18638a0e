"""The graph that each format becomes: values made of values by operations, what is constant among them computed.

A reader makes one `Graph` of what it reads, in the order in which it computes; `rules` makes layers of a value
of it. There are rows in the first axis of all that is not constant, as many as in the input: a number that no other
axis has, so that it tells rows from the rest.
"""

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from xpnn._activations.table import RECORDS
from xpnn.errors import XpnnError, XpnnValueError

ROWS = (97, 101, 103, 107)
"""Numbers of rows to try, until one is that of no other axis."""
_MOST_AXES = 8
"""Of a sample."""
MOST = 2**25
"""Numbers in what an operation makes of some rows, and in all that is computed of constants together."""

Numbers = np.ndarray[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Value:
    """What an operation gives; the same operation on the same values is the same object."""

    number: int
    """Later than those of all that it is made of."""
    op: str
    args: "tuple[Value, ...]"
    options: dict[str, Any]
    shape: tuple[int, ...]
    dtype: str
    array: Numbers | None
    """Of a constant."""
    where: str
    """What its node is called, for people."""

    @property
    def is_constant(self) -> bool:
        """Whether nothing in it depends on the input."""
        return self.array is not None


def _where(condition: Numbers, a: Numbers, b: Numbers) -> Numbers:
    return np.where(condition.astype(bool), a, b)


OPERATIONS: dict[str, Callable[..., Any]] = {
    f.__name__: f
    for f in (
        *(
            np.add,
            np.subtract,
            np.multiply,
            np.divide,
            np.negative,
            np.exp,
            np.log,
            np.log1p,
        ),
        *(np.expm1, np.sqrt, np.reciprocal, np.sign, np.floor, np.ceil, np.maximum, np.minimum),
        *(np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.logical_not),
        *(
            np.logical_and,
            np.logical_or,
            np.isnan,
            np.isinf,
            np.rint,
            np.sinh,
            np.cosh,
            np.sin,
            np.cos,
        ),
        *(np.matmul, np.transpose, np.broadcast_to),
    )
} | {
    "abs": np.abs,
    "erfc": lambda x: np.vectorize(math.erfc, otypes=[x.dtype])(x),
    "pow": np.power,
    "where": _where,
    "astype": lambda x, *, dtype: x.astype(dtype),
    "reshape": lambda x, *, shape: np.reshape(x, shape),
    # An axis of one entry at the end, without it and with it again: whatever the number of rows.
    "drop": lambda x: x[..., 0],
    "keep": lambda x: x[..., None],
    "concat": lambda *arrays, axis: np.concatenate(arrays, axis=axis),
    "take": lambda x, *, indices, axis: np.take(x, indices, axis=axis),
    "sum": lambda x, *, axis: np.sum(x, axis=axis, keepdims=True),
    "mean": lambda x, *, axis: np.mean(x, axis=axis, keepdims=True),
    "max": lambda x, *, axis: np.max(x, axis=axis, keepdims=True),
    # What has a layer of its own, or none; here its shape counts.
    "labels": lambda x, **_: np.zeros(x.shape[:1], "int64"),
    "batch_norm": lambda x, *_, **__: x,
    "normalize": lambda x, **_: x,
    "prelu": lambda x, slope: np.where(x < 0, slope * x, x),
}
"""What the operations of a graph compute. Every activation of the table is one, too, with its options."""

OF_ONE = frozenset(
    """
    add subtract multiply divide negative abs exp log log1p expm1 sqrt reciprocal sign floor ceil
    maximum minimum greater greater_equal less less_equal equal logical_not logical_and logical_or
    erfc isnan isinf rint sinh cosh sin cos pow where astype
    """.split()
) | {name for name, record in RECORDS.items() if not record.of_rows}
"""The operations that go element by element."""
OF_ROWS = frozenset(["sum", "mean", "max", "drop", "keep"]) | (RECORDS.keys() - OF_ONE)
"""The operations that put the elements of a row together."""


def operation(name: str) -> Callable[..., Any]:
    """Return what an operation computes, of arrays of NumPy."""
    return OPERATIONS[name] if name in OPERATIONS else RECORDS[name].function


REFUSALS = (
    *(ArithmeticError, IndexError, KeyError, MemoryError),
    *(RuntimeError, TypeError, ValueError),
)
"""How NumPy, and a reader, refuse what does not fit."""


class Graph:
    """Values that are made of one input, of so many rows."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.lengths: set[int] = set()
        """Of all axes but those of rows."""
        self._known: dict[Any, Value] = {}
        self._count = self._computed = 0

    def _add(
        self,
        op: str,
        args: tuple[Value, ...],
        options: dict[str, Any],
        found: Numbers,
        where: str,
        *,
        keep: bool,
    ) -> Value:
        self._count += 1
        array = found if keep else None
        return Value(self._count, op, args, options, found.shape, found.dtype.name, array, where)

    def input(self, name: str, shape: tuple[int, ...], dtype: str) -> Value:
        """Return the input, of rows of this shape."""
        if len(shape) > _MOST_AXES or self.rows * math.prod(shape) > MOST:
            raise XpnnValueError(
                f"expected rows of at most {MOST // self.rows} numbers and {_MOST_AXES} axes, got an "
                f"input of shape {shape[: _MOST_AXES + 1]}"
            )
        self.lengths.update(shape)
        return self._add("input", (), {}, _zeros((self.rows, *shape), dtype), name, keep=False)

    def constant(self, array: Any, where: str) -> Value:
        """Return a constant."""
        array = np.asarray(array)
        key = ("constant", array.dtype.str, array.shape, array.tobytes())
        if key not in self._known:
            self._known[key] = self._add("constant", (), {}, array, where, keep=True)
            self.lengths.update(array.shape)
        return self._known[key]

    def refused(self, words: str, where: str) -> Value:
        """Return what nobody may ask for, which the words say of its node."""
        return Value(0, "refused", (), {"words": words}, (), "", None, where)

    def shape(
        self, asked: Sequence[int], fixed: int | None, x: Value | None = None
    ) -> tuple[int, ...]:
        """Return a shape that is asked for, of as many rows as there are; -1 by the number of entries of x.

        A file may have fixed the number of rows, which its shapes then begin with.
        """
        shape = [int(n) for n in asked]
        if len(shape) > 1 - (x is not None) and shape[0] == fixed and self.rows not in shape:
            shape[0] = self.rows
        known = math.prod(n for n in shape if n != -1)
        if x is not None and -1 in shape and known and math.prod(x.shape) % known == 0:
            shape[shape.index(-1)] = math.prod(x.shape) // known
        return tuple(shape)

    def take(self, x: Value, indices: Iterable[int], axis: int, where: str) -> Value:
        """Return some of the entries along an axis; the value itself where they are all of them."""
        if isinstance(indices, range) and len(indices) > x.shape[axis]:
            return self.refused(f"expected {indices} inside of {x.shape[axis]} entries", where)
        axis, chosen = axis % len(x.shape), tuple(int(i) for i in indices)
        if chosen == tuple(range(x.shape[axis])):
            return x
        return self.make("take", x, indices=chosen, axis=axis, where=where)

    def make(self, op: str, *args: Value, where: str, **options: Any) -> Value:
        """Return what an operation gives of values."""
        for a in args:
            if a.op == "refused":
                return a
        if op == "reshape":
            op, options = _last_axis(args[0].shape, options["shape"])
        known = None if args[0].is_constant else _known(op, args, options)
        if known is not None:
            return known if isinstance(known, Value) else self.take(*known, where)
        if op in OF_ONE:
            args = _narrow(args)
        key = (op, tuple(a.number for a in args), repr(sorted(options.items())))
        if key not in self._known:
            try:
                given = [_zeros(a.shape, a.dtype) if a.array is None else a.array for a in args]
                _check_size(op, given, options)
                with np.errstate(all="ignore"):
                    found = np.asarray(operation(op)(*given, **options))
            except REFUSALS as error:
                if isinstance(error, XpnnError):
                    raise
                return self.refused(str(error), where)
            keep = all(a.is_constant for a in args)
            self._computed += found.size if keep else 0
            # A matrix on its side has the axes of the one that it is made of.
            turned = any(self.rows in a.shape[1:] for a in args) or op == "transpose"
            self.lengths.update(() if keep or turned else found.shape[1:])
            if self._computed > MOST:
                return self.refused(f"more than {MOST} numbers are made of constants", where)
            self._known[key] = self._add(op, args, options, found, where, keep=keep)
        return self._known[key]


def of_any_rows(read: Callable[[Graph], T], numbers: Sequence[int] = ROWS) -> T:
    """Return what a reader finds with the first number of rows that says what is a row."""
    for rows in numbers:
        graph = Graph(rows)
        found = read(graph)
        if rows not in graph.lengths:
            return found
    raise XpnnValueError(
        "expected operations on any number of rows, got constants of as many entries as there are rows"
    )


def _known(
    op: str, args: tuple[Value, ...], options: dict[str, Any]
) -> Value | tuple[Value, Any, int] | None:
    """Return an earlier value, or of which entries, that an operation gives; None if it gives something new."""
    if op == "keep" and args[0].op == "drop":
        return args[0].args[0]
    if op == "transpose":
        return _turned(args[0], options.get("axes"))
    return _same_columns(args, options["axis"]) if op == "concat" else None


def _turned(x: Value, axes: Any) -> Value | tuple[Value, Any, int] | None:
    """Return what a matrix is that is transposed again, or some columns of it; None of others."""
    if len(x.shape) != 2 or axes not in {None, (1, 0)}:
        return None
    if x.op == "transpose":
        return x.args[0]
    inside = x.args[0] if x.op == "take" else x
    if inside is x or inside.op != "transpose":
        return None
    return inside.args[0], x.options["indices"], 1 - x.options["axis"]


def _same_columns(parts: tuple[Value, ...], axis: int) -> tuple[Value, list[int], int] | None:
    """Return of which value parts beside each other are entries, and which; None if of several."""
    first = parts[0].args[0] if parts[0].op == "take" else parts[0]
    axis, indices = axis % len(first.shape), list[int]()
    for part in parts:
        if part is first:
            indices += range(first.shape[axis])
        elif part.op == "take" and part.args[0] is first and part.options["axis"] == axis:
            indices += part.options["indices"]
        else:
            return None
    return first, indices, axis


def chosen(
    graph: Graph, made: dict[str, Value], output: str | Sequence[str] | None
) -> tuple[Value, list[str]]:
    """Return the output of a name, or the columns of several beside each other; and what they are called.

    By default the only one that has numbers: the labels of classes are none.
    """
    numbers = [name for name, value in made.items() if not value.dtype.startswith("int")]
    if output is None and numbers and all(made[name].op == "refused" for name in numbers):
        numbers = numbers[:1]  # what is wrong says more
    asked = numbers if output is None else [output] if isinstance(output, str) else list(output)
    if not set(asked) <= set(made) or not asked or (output is None and len(asked) != 1):
        names = ", ".join(map(repr, made))
        raise XpnnValueError(f"expected output to be one of {names}, got {output!r}")
    if len(asked) == 1:
        return made[asked[0]], asked
    where = "the outputs"
    values = [
        v if len(v.shape) != 1 else graph.make("keep", v, where=where)
        for v in (made[name] for name in asked)
    ]
    return graph.make("concat", *values, axis=1, where=where), named(asked, values)


def named(names: Iterable[str], values: Iterable[Value]) -> list[str]:
    """Return names for the columns of values that stand beside each other."""
    each = ((n, v.shape[-1] if v.shape else 1) for n, v in zip(names, values, strict=True))
    return [n if w == 1 else f"{n}.{i}" for n, w in each for i in range(w)]


def _last_axis(
    given: tuple[int, ...], asked: tuple[int, ...]
) -> tuple[str, dict[str, tuple[int, ...]]]:
    """Return how an array gets a shape: by its last axis alone, if that does."""
    if given == (*asked, 1):
        return "drop", {}
    return ("keep", {}) if asked == (*given, 1) else ("reshape", {"shape": asked})


def pieces(lengths: Iterable[int]) -> list[range]:
    """Return the indices of parts of these lengths, one after the other."""
    ends = [0, *itertools.accumulate(lengths)]
    return [range(a, b) for a, b in itertools.pairwise(ends)]


def _narrow(args: tuple[Value, ...]) -> tuple[Value, ...]:
    """Return what goes element by element: constants as they were before they got as many rows as the rest has."""
    small = tuple(a.args[0] if a.op == "broadcast_to" and a.is_constant else a for a in args)
    with suppress(ValueError):
        shapes = [np.broadcast_shapes(*(a.shape for a in each)) for each in (args, small)]
        return small if shapes[0] == shapes[1] else args
    return args


def _zeros(shape: tuple[int, ...], dtype: str) -> Numbers:
    """Return zeros that take no memory, of which an operation tells the shape of its result."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def _check_size(op: str, given: list[Numbers], options: dict[str, Any]) -> None:
    """Raise ValueError before an operation takes memory beyond reason."""
    shapes = [a.shape for a in given]
    if op == "matmul":
        size = int(np.prod(shapes[0][:-1], dtype=float) * np.prod(shapes[1][-1:], dtype=float))
    elif op in {"broadcast_to", "reshape"}:
        size = int(np.prod([max(n, 1) for n in options["shape"]], dtype=float))
    elif op == "concat":
        size = sum(a.size for a in given)
    elif op == "take":
        length = max(shapes[0][options["axis"]], 1)
        size = given[0].size // length * np.size(options["indices"])
    else:
        size = int(np.prod(np.broadcast_shapes(*shapes), dtype=float))
    if size > MOST:
        raise XpnnValueError(f"expected at most {MOST} numbers in one array, got {size} of {op}")


def values_below(value: Value, until: Collection[Value] = ()) -> Iterator[Value]:
    """Yield the values that one is made of and that are not constant, the latest first; itself among them.

    What those in `until` are made of is left out.
    """
    waiting, seen = {value.number: value}, set()
    while waiting:
        number = max(waiting)
        one = waiting.pop(number)
        if number not in seen:
            seen.add(number)
            yield one
            if one not in until:
                waiting |= {a.number: a for a in one.args if not a.is_constant}


def evaluated(value: Value, given: dict[Value, Numbers]) -> Numbers:
    """Return a value where others are given, in binary64 and with constants in it."""
    found = dict(given)
    for one in reversed([v for v in values_below(value, given) if v not in given]):
        args = [found[a] if a.array is None else _wide(a.array) for a in one.args]
        options = dict(one.options)
        if one.op == "astype" and one.dtype.startswith("float"):
            options["dtype"] = "float64"
        with np.errstate(all="ignore"):
            found[one] = operation(one.op)(*args, **options)
    return found[value]


def number(array: Numbers) -> float:
    """Return a constant of one entry as people write it: 0.01 for its neighbour in float32."""
    one = array.reshape(())
    return float(str(one)) if array.dtype.kind == "f" else float(one)


def _wide(array: Numbers) -> Numbers:
    if array.size == 1 and array.dtype.kind == "f":
        return np.full(array.shape, number(array))
    return array.astype("float64") if array.dtype.kind in "iuf" else array
