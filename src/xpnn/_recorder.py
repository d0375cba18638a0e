"""Formulas on NumPy arrays, recorded once as a list of operations and then run again and again.

NumPy takes new memory for the result of each operation, and Python finds out what to do each time. A
`Program` is a formula as calls of NumPy's functions, one after the other, that write into the same
few buffers: on small arrays it takes a fraction of the formula's time, on large ones, taken in tiles,
it stays in the processor's cache.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnn._operators import BINARY, COMPARISONS, UNARY
from xpnn._types import Values

Step = tuple[Callable[..., Any], tuple[Any, ...]]

_numbers = itertools.count()


class _Operation(NamedTuple):
    """How a result is made again."""

    steps: Callable[..., Any]
    """`steps(out, *inputs)`: the calls that write it to `out`. Of a view, `steps(input)` is it."""
    shares: tuple[int, ...] = ()
    """The inputs whose memory may be that of `out`."""
    is_view: bool = False
    is_elementwise: bool = False
    scratch: Callable[[Values], int] = lambda _: 0
    """Of a result, how many more buffers of its size the calls need: they come after the inputs."""


class Recorded:
    """An array in a formula that is being recorded: its value this time, and how it was made.

    The input of the formula and its constants were not made by an operation; constants never change.
    """

    __slots__ = ("inputs", "made", "number", "operation", "value")

    def __init__(
        self, value: Values, operation: _Operation | None = None, inputs: Sequence[Any] = ()
    ) -> None:
        self.value, self.operation, self.inputs = value, operation, inputs
        self.number = next(_numbers)
        self.made: dict[Any, Recorded] = {}
        """What elementwise operations made of this, and other inputs: not to be made again."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(self.value.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        """dtype of the elements."""
        return self.value.dtype

    @property
    def device(self) -> str:
        """NumPy's device."""
        return "cpu"

    def __array_namespace__(self, *, api_version: str | None = None) -> "RecordingNamespace":
        return namespace

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Values:
        return np.array(self.value, dtype=dtype, copy=copy)

    def __getitem__(self, key: Any) -> "Recorded":
        if all(isinstance(k, _VIEWING) for k in (key if isinstance(key, tuple) else (key,))):
            return _record(_Operation(lambda a: a[key], is_view=True), self.value[key], self)
        return _record_call(lambda a, key: a[key], (self, key), {})  # type: ignore[no-any-return]

    __hash__ = None  # type: ignore[assignment]


_VIEWING = (int, slice, type(None), type(...))
"""What indices are made of whose result lies in the array's own memory."""


class _Input(Recorded):
    """The array that a recorded formula is a function of."""

    __slots__ = ()


def _value(a: Any) -> Any:
    if isinstance(a, list | tuple):
        return type(a)(map(_value, a))
    return a.value if isinstance(a, Recorded) else a


def _varies(a: Any) -> bool:
    if isinstance(a, list | tuple):
        return any(map(_varies, a))
    return isinstance(a, Recorded) and (a.operation is not None or isinstance(a, _Input))


def _stand_in(shape: tuple[int, ...], dtype: Any) -> Values:
    return np.broadcast_to(np.zeros((), dtype), shape)


def _record(operation: _Operation, value: Values, *inputs: Any) -> Recorded:
    if any(map(_varies, inputs)):
        # Of what varies, shape and dtype count: zeros without memory stand in for the values.
        return Recorded(_stand_in(value.shape, value.dtype), operation, inputs)
    return Recorded(value)  # of constants


def _elementwise(ufunc: np.ufunc) -> Callable[..., Recorded]:
    operation = _Operation(
        lambda out, *inputs: [(ufunc, (*inputs, out))],
        shares=tuple(range(ufunc.nin)),
        is_elementwise=True,
    )

    def function(*args: Any) -> Recorded:
        made = next(a for a in args if isinstance(a, Recorded)).made
        key = (ufunc, *map(_same_if_equal, args))
        if key in made:
            return made[key]
        y = _record(operation, ufunc(*map(_value, args)), *args)
        if y.operation is not None:  # it holds its inputs, so nobody else gets their ids
            made[key] = y
        return y

    return function


def _same_if_equal(a: Any) -> Any:
    """Return what is equal for the same input only; 0.0 and -0.0, or 1 and 1.0, are not."""
    return repr(a) if isinstance(a, int | float) else id(a)


def _spread(constant: Any, inputs: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Return a constant as an array of the shape of a small result, which NumPy takes faster."""
    dtypes = {a.dtype for a in inputs if isinstance(a, Recorded)}
    if len(dtypes) > 1 or next(iter(dtypes)).kind != "f":
        return constant
    return np.array(np.broadcast_to(np.asarray(constant, next(iter(dtypes))), shape))


def _where(condition: Recorded, a: Any, b: Any, /) -> Recorded:
    return _record(_WHERE, np.where(*map(_value, (condition, a, b))), condition, a, b)


def _where_steps(out: Values, condition: Values, a: Any, b: Any, *scratch: Values) -> list[Step]:
    whole = np.shape(condition) == out.shape and np.shape(a) in ((), out.shape)
    if whole and scratch and np.shape(b) in ((), out.shape):
        return _select_bits(out, condition, a, b, *scratch)
    first: list[Step] = [] if _is_same(out, b) else [(np.copyto, (out, b))]
    if whole:  # twice as fast, but repeats what it should broadcast
        return [*first, (np.putmask, (out, condition, a))]
    return [*first, (np.copyto, (out, a, "same_kind", condition))]


_MANY = 2048
"""Elements from which on more, but faster, calls pay."""


def _is_large_single(out: Values) -> bool:
    return out.dtype == np.float32 and out.size > _MANY


def _select_bits(out: Values, condition: Values, a: Any, b: Any, *scratch: Values) -> list[Step]:
    """Choose by b ^ ((a ^ b) & mask), which processors do for many at once: half the time."""
    mask, mixed = (raw.view(np.int32) for raw in scratch)
    bits_of_a, bits_of_b = (np.asarray(v, np.float32).view(np.int32) for v in (a, b))
    return [
        (np.copyto, (mask, condition.view(np.int8))),
        (np.negative, (mask, mask)),
        (np.bitwise_xor, (bits_of_a, bits_of_b, mixed)),
        (np.bitwise_and, (mixed, mask, mixed)),
        (np.bitwise_xor, (mixed, bits_of_b, out.view(np.int32))),
    ]


def _reshape_steps(out: Values, x: Values) -> list[Step]:
    out = out.reshape(x.shape)
    return [] if _is_same(out, x) else [(np.copyto, (out, x))]


def _is_same(a: Values, b: Any) -> bool:
    """Whether both are the same piece of memory."""
    same = isinstance(b, np.ndarray) and a.ctypes.data == b.ctypes.data
    return same and (a.shape, a.strides) == (b.shape, b.strides)


_WHERE = _Operation(
    _where_steps, shares=(2,), scratch=lambda out: 2 if _is_large_single(out) else 0
)
_RESHAPE = _Operation(_reshape_steps, shares=(0,))
_ASTYPE = _Operation(lambda out, x: [(np.copyto, (out, x, "unsafe"))])
_TAKE = _Operation(lambda out, x, index: [(x.take, (index, 0, out, "clip"))])
_MATMUL = _Operation(lambda out, a, b: [(np.matmul, (a, b, out))])


def _astype(x: Recorded, dtype: Any, /) -> Recorded:
    return _record(_ASTYPE, x.value.astype(dtype), x)


def _take(x: Recorded, index: Recorded, /, *, axis: int = 0) -> Recorded:
    # Behind NaN, whose index is anything, the result is NaN whatever is found.
    if axis != 0:
        return _record_call(np.take, (x, index, axis, None, "clip"), {})  # type: ignore[no-any-return]
    return _record(_TAKE, np.take(x.value, index.value, 0, None, "clip"), x, index)


def _matmul(a: Recorded, b: Recorded, /) -> Recorded:
    return _record(_MATMUL, np.matmul(a.value, b.value), a, b)


def _clip(x: Recorded, /, min: Any = None, max: Any = None) -> Recorded:  # noqa: A002
    if not (isinstance(min, float | int) and isinstance(max, float | int)):
        return _record_call(np.clip, (x, min, max), {})  # type: ignore[no-any-return]
    operation = _Operation(lambda out, x: [(x.clip, (min, max, out))], shares=(0,))
    return _record(operation, np.clip(x.value, min, max), x)


def _reduction(ufunc: np.ufunc, name: str) -> Callable[..., Recorded]:
    whole, other = getattr(np, name), _any_other(name)

    def function(x: Recorded, /, *, axis: Any = None, keepdims: bool = False) -> Recorded:
        if x.dtype.kind != "f":
            found: Recorded = other(x, axis=axis, keepdims=keepdims)
            return found

        def steps(out: Values, x: Values) -> list[Step]:
            if axis == -1 and x.ndim == 2 and 1 < x.shape[1] <= _FEW and x.size > _MANY:
                return _by_columns(ufunc, out.reshape(-1), x)
            return [(ufunc.reduce, (x, axis, None, out, keepdims))]

        operation = _Operation(steps)
        return _record(operation, np.asarray(whole(x.value, axis=axis, keepdims=keepdims)), x)

    return function


_FEW = 16
"""Columns up to which a reduction goes column by column; NumPy's own takes each row by itself."""


def _by_columns(ufunc: np.ufunc, out: Values, x: Values) -> list[Step]:
    into = functools.partial(ufunc, out=out)
    return [(into, (x[:, 0] if i == 1 else out, x[:, i])) for i in range(1, x.shape[1])]


def _reshape(x: Recorded, shape: tuple[int, ...], /) -> Recorded:
    return _record(_RESHAPE, x.value.reshape(shape), x)


def _record_call(found: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Record any function as it is, its result, or each of several, copied into a buffer."""
    inputs, names = (*args, *options.values()), tuple(options)

    def call(inputs: Sequence[Any]) -> Any:
        count = len(inputs) - len(names)
        return found(*inputs[:count], **dict(zip(names, inputs[count:], strict=True)))

    def part(i: int | None) -> _Operation:
        def again(out: Values, *inputs: Any) -> None:
            y = call(inputs)
            np.copyto(out, y if i is None else y[i])

        return _Operation(lambda out, *inputs: [(again, (out, *inputs))])

    value = call([_value(a) for a in inputs])
    if isinstance(value, list | tuple):
        return [_record(part(i), v, *inputs) for i, v in enumerate(value)]
    if not isinstance(value, np.ndarray | np.generic):
        return value
    return _record(part(None), np.asarray(value), *inputs)


def _any_other(name: str) -> Callable[..., Any]:
    found = getattr(np, name)
    return lambda *args, **options: _record_call(found, args, options)


class RecordingNamespace:
    """The Array API namespace of `Recorded`."""

    __name__ = "xpnn.recorded(numpy)"

    def __init__(self) -> None:
        ufuncs = (
            "add subtract multiply divide negative positive abs floor ceil trunc isnan isfinite"
            " less less_equal greater greater_equal equal not_equal logical_and logical_or"
            " logical_not bitwise_and bitwise_or bitwise_xor log2 exp expm1 log log1p tanh sqrt"
        )
        for name in ufuncs.split():
            setattr(self, name, _elementwise(getattr(np, name)))
        self.round = _elementwise(np.rint)
        self.bitwise_invert = _elementwise(np.invert)
        self.where, self.astype, self.take, self.matmul = _where, _astype, _take, _matmul
        self.clip, self.reshape = _clip, _reshape
        self.max, self.min = _reduction(np.maximum, "max"), _reduction(np.minimum, "min")
        self.sum = _reduction(np.add, "sum")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name != "__array_namespace_info__":
            raise AttributeError(name)
        found = getattr(np, name)
        if isinstance(found, type) or not callable(found) or name.startswith("_"):
            return found
        setattr(self, name, _any_other(name))
        return getattr(self, name)


namespace = RecordingNamespace()


def _reflected(function: Callable[..., Recorded]) -> Callable[..., Recorded]:
    return lambda a, b: function(b, a)


for _operator, _name in (BINARY | COMPARISONS | UNARY).items():
    setattr(Recorded, f"__{_operator}__", getattr(namespace, _name))
for _operator, _name in BINARY.items():
    setattr(Recorded, f"__r{_operator}__", _reflected(getattr(namespace, _name)))


def _new(size: int) -> Values:
    return np.empty(size, np.uint8)


class Program:
    """A recorded formula of an array of this shape and dtype: fill `input`, run, read `result`.

    `take(size)` gives memory of so many bytes.
    """

    def __init__(
        self,
        formula: Callable[[Recorded], Recorded],
        shape: tuple[int, ...],
        dtype: Any,
        take: Callable[[int], Values] | None = None,
    ) -> None:
        given = _Input(_stand_in(shape, dtype))
        made = formula(given)
        self.steps: list[Step] = []
        self.nbytes = 0
        """Size of all buffers together."""
        self.input, self.result = self._laid_out(given, made, take or _new)

    def __call__(self) -> None:
        for function, args in self.steps:
            function(*args)

    def _laid_out(
        self, given: Recorded, made: Recorded, get: Callable[[int], Values]
    ) -> tuple[Values, Values]:
        """Give each value a buffer; one that is not needed any more is another's."""
        order = _in_order(made)
        last = {id(_memory(a)): n for n, x in enumerate(order) for a in _recorded(x.inputs)}
        last[id(_memory(made))] = last[id(given)] = len(order)  # what is read and written outside
        free: dict[int, list[Values]] = {}
        buffers: dict[int, Values] = {}
        places: dict[int, Values] = {}

        def place(a: Any) -> Any:
            if isinstance(a, list | tuple):
                return type(a)(map(place, a))
            if not isinstance(a, Recorded):
                return a
            return places.get(id(a), a.value)

        def placed(x: Recorded, operation: _Operation) -> tuple[Any, ...]:
            small = operation.is_elementwise and 0 < x.value.size <= _MANY
            return tuple(map(functools.partial(quicker, x) if small else place, x.inputs))

        def quicker(x: Recorded, a: Any) -> Any:
            """Return an input of a small result as NumPy takes it fastest."""
            if not _varies(a):
                return _spread(_value(a), x.inputs, x.shape)
            return place(a).reshape(()) if a.value.size == 1 else place(a)

        def take(size: int) -> Values:
            idle = free.get(size)
            if not idle:
                self.nbytes += size
            return idle.pop() if idle else get(size)

        def shaped(raw: Values, like: Any) -> Values:
            return raw[: like.nbytes].view(like.dtype).reshape(like.shape)  # type: ignore[no-any-return]

        def new(x: Recorded) -> Values:
            buffers[id(x)] = raw = take(max(x.value.nbytes, 1))
            return shaped(raw, x.value)

        def release(n: int, inputs: Sequence[Any]) -> None:
            for a in _recorded(inputs):
                memory = _memory(a)
                if last[id(memory)] == n and id(memory) in buffers:
                    raw = buffers.pop(id(memory))
                    free.setdefault(raw.nbytes, []).append(raw)

        places[id(given)] = new(given)
        for n, x in enumerate(order):
            if x is given:
                continue
            operation = x.operation
            assert operation is not None  # noqa: S101 -- constants are not in the order
            inputs = placed(x, operation)
            if operation.is_view:
                places[id(x)] = operation.steps(*inputs)
                continue
            release(n, _sharing(x, operation))
            places[id(x)] = out = new(x)
            spare = [take(out.nbytes) for _ in range(operation.scratch(out))]
            release(n, x.inputs)
            self.steps += operation.steps(out, *inputs, *(shaped(raw, out) for raw in spare))
            free.setdefault(out.nbytes, []).extend(spare)
        return places[id(given)], place(made)


def _sharing(x: Recorded, operation: _Operation) -> list[Recorded]:
    """Return the inputs of x whose memory its result may take."""
    may = _recorded(a for i, a in enumerate(x.inputs) if i in operation.shares)
    must_not = _recorded(a for i, a in enumerate(x.inputs) if i not in operation.shares)
    memories = [_memory(a) for a in must_not]
    return [a for a in may if not any(_memory(a) is m for m in memories)]


def _recorded(inputs: Any) -> list[Recorded]:
    """Return the inputs that are not constants."""
    found: list[Recorded] = []
    for a in inputs:
        if isinstance(a, list | tuple):
            found += _recorded(a)
        elif _varies(a):
            found.append(a)
    return found


def _memory(x: Recorded) -> Recorded:
    """Return the value whose memory this one lies in."""
    while x.operation is not None and x.operation.is_view:
        x = x.inputs[0]
    return x


def _in_order(made: Recorded) -> list[Recorded]:
    """Return all that goes into a result, in the order of making."""
    found, waiting = {}, [made]
    while waiting:
        x = waiting.pop()
        if x.number not in found:
            found[x.number] = x
            waiting += _recorded(x.inputs)
    return [found[n] for n in sorted(found)]
