"""Formulas recorded as operations of NumPy's, by a namespace whose arrays remember what made them.

What an operation is made of here is how fast a program runs that is laid out of it: `program`.
"""

import functools
import itertools
import operator
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from xpnn._arrays.backends.standard import Standard
from xpnn._arrays.operators import BINARY, COMPARISONS, UNARY
from xpnn._arrays.types import Values
from xpnn._engine import tuning
from xpnn._engine.shorter import KERNELS

Step = tuple[Callable[..., Any], tuple[Any, ...]]

_numbers = itertools.count()

compiling: ContextVar[bool] = ContextVar("compiling", default=False)
"""Whether what is recorded will be compiled: sums are then made in lanes and blocks along any axis."""


class Operation(NamedTuple):
    """How a result is made again."""

    steps: Callable[..., Any]
    """`steps(out, *inputs)`: the calls that write it to `out`. Of a view, `steps(input)` is it."""
    shares: tuple[int, ...] = ()
    """The inputs whose memory may be that of `out`."""
    is_view: bool = False
    is_elementwise: bool = False
    scratch: int = 0
    """How many more buffers of the size of the result the calls need: they come after the inputs."""
    name: str = ""
    """What it does, by the name of NumPy's function."""


class Traced:
    """An array in a formula that is being recorded: its value this time, and how it was made.

    The input of the formula and its constants were not made by an operation; constants never change.
    """

    __slots__ = ("inputs", "made", "number", "operation", "value")

    def __init__(
        self, value: Values, operation: Operation | None = None, inputs: Sequence[Any] = ()
    ) -> None:
        self.value, self.operation, self.inputs = value, operation, inputs
        self.number = next(_numbers)
        self.made: dict[Any, Traced] = {}
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
    def strides(self) -> tuple[int, ...]:
        """Bytes between neighbours along each axis, in memory of its own; 0 in another's.

        Where the formula will be compiled, any axis is as good as the last: see `compiling`.
        """
        if compiling.get():
            return (self.dtype.itemsize,) * self.ndim
        if self.operation is None or self.operation.is_view:
            return (0,) * self.ndim
        sizes = itertools.accumulate(
            reversed(self.shape), operator.mul, initial=self.dtype.itemsize
        )
        return tuple(sizes)[-2::-1]

    @property
    def device(self) -> str:
        """NumPy's device."""
        return "cpu"

    def __array_namespace__(self, *, api_version: str | None = None) -> "RecordingNamespace":
        return namespace

    __array_ufunc__ = None
    """NumPy's arrays and scalars leave an operator with this on its right to this class."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Values:
        return np.array(self._fixed("an array"), dtype=dtype, copy=copy)

    def __bool__(self) -> bool:
        return bool(self._fixed("a truth value"))

    def __int__(self) -> int:
        return int(self._fixed("an int"))

    def __float__(self) -> float:
        return float(self._fixed("a float"))

    def __index__(self) -> int:
        return int(self._fixed("an index").__index__())

    def _fixed(self, what: str) -> Values:
        """Return the value of a constant: that of all else is another in each run."""
        if varies(self):
            raise TypeError(
                f"a formula that is recorded made {what} of values that each call computes anew; "
                "write it with functions of its namespace"
            )
        return self.value

    def __getitem__(self, key: Any) -> "Traced":
        if all(isinstance(k, _VIEWING) for k in (key if isinstance(key, tuple) else (key,))):
            operation = Operation(lambda a: a[key], is_view=True, name="item")
            return record(operation, self.value[key], self)
        return _record_call(lambda a, key: a[key], (self, key), {})

    __hash__ = None  # type: ignore[assignment]


_VIEWING = (int, slice, type(None), type(...))
"""What indices are made of whose result lies in the array's own memory."""


class Input(Traced):
    """The array that a recorded formula is a function of."""

    __slots__ = ()


def value_of(a: Any) -> Any:
    if isinstance(a, list | tuple):
        return type(a)(map(value_of, a))
    return a.value if isinstance(a, Traced) else a


def varies(a: Any) -> bool:
    if isinstance(a, list | tuple):
        return any(map(varies, a))
    return isinstance(a, Traced) and (a.operation is not None or isinstance(a, Input))


def abstract_value(shape: tuple[int, ...], dtype: Any) -> Values:
    return np.broadcast_to(np.zeros((), dtype), shape)


def recorded_in(inputs: Any) -> list[Traced]:
    """Return the inputs that are not constants."""
    found: list[Traced] = []
    for a in inputs:
        if isinstance(a, list | tuple):
            found += recorded_in(a)
        elif varies(a):
            found.append(a)
    return found


def in_order(made: Traced) -> list[Traced]:
    """Return all that goes into a result, in the order of making."""
    found, waiting = {}, [made]
    while waiting:
        x = waiting.pop()
        if x.number not in found:
            found[x.number] = x
            waiting += recorded_in(x.inputs)
    return [found[n] for n in sorted(found)]


def record(operation: Operation, value: Values, *inputs: Any) -> Traced:
    """Return what an operation makes of inputs, whose value this time is this."""
    if any(map(varies, inputs)):
        # Of what varies, shape and dtype count: zeros without memory stand in for the values.
        return Traced(abstract_value(value.shape, value.dtype), operation, inputs)
    return Traced(value)  # of constants


_ufuncs: dict[np.ufunc, Operation] = {}


def _maximum(a: Any, b: Any, out: Values) -> None:
    np.maximum(a, b, out=out)


def _minimum(a: Any, b: Any, out: Values) -> None:
    np.minimum(a, b, out=out)


INTO: dict[np.ufunc, Callable[..., Any]] = {np.maximum: _maximum, np.minimum: _minimum}
"""What writes into its last argument, where NumPy wants that by its name."""


def _elementwise(ufunc: np.ufunc) -> Callable[..., Traced]:
    into: Callable[..., Any] = INTO.get(ufunc, ufunc)
    operation = _ufuncs[ufunc] = Operation(
        lambda out, *inputs: [(into, (*inputs, out))],
        shares=tuple(range(ufunc.nin)),
        is_elementwise=True,
        name=ufunc.__name__,
    )

    def function(*args: Any) -> Traced:
        made = next(a for a in args if isinstance(a, Traced)).made
        key = (ufunc, *map(_same_if_equal, args))
        if key in made:
            return made[key]
        y = record(operation, ufunc(*map(value_of, args)), *args)
        if y.operation is not None:  # it holds its inputs, so nobody else gets their ids
            made[key] = y
        return y

    return function


def _same_if_equal(a: Any) -> Any:
    """Return what is equal for the same input only; 0.0 and -0.0, or 1 and 1.0, are not."""
    return repr(a) if isinstance(a, int | float) else id(a)


def spread(constant: Any, inputs: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Return a constant as an array of the shape of a small result, which NumPy takes faster.

    Only where it takes the dtype of the other input: a scalar of NumPy's has a dtype of its own.
    """
    dtypes = {a.dtype for a in inputs if isinstance(a, Traced)}
    own = {np.asarray(constant).dtype} if type(constant) not in (int, float) else set()
    if len(dtypes | own) > 1 or next(iter(dtypes)).kind != "f":
        return constant
    return np.array(np.broadcast_to(np.asarray(constant, next(iter(dtypes))), shape))


def _where(condition: Traced, a: Any, b: Any, /) -> Traced:
    if _is_magnitude(condition, a, b):
        return namespace.abs(a)
    value = np.where(*map(value_of, (condition, a, b)))
    # What is chosen from is converted by an operation of its own, or it would be here, once for all.
    a, b = (_astype(v, value.dtype) if varies(v) and v.dtype != value.dtype else v for v in (a, b))
    whole = condition.shape == value.shape and {np.shape(a), np.shape(b)} <= {(), value.shape}
    bits = _BITS.get(value.dtype)
    if not whole or not varies(condition) or bits is None or value.size <= tuning.MANY:
        return record(_WHERE, value, condition, a, b)
    mask = condition.made.get(bits)
    if mask is None:
        mask = condition.made[bits] = record(_MASK, abstract_value(value.shape, bits), condition)
    return record(_SELECT_BITS, value, mask, a, b)


def _is_magnitude(condition: Traced, a: Any, b: Any) -> bool:
    """Whether this is where(a >= 0, a, -a), which is abs(a) but for derivatives."""
    return (
        condition.operation is _ufuncs[np.greater_equal]
        and condition.inputs[0] is a
        and isinstance(condition.inputs[1], int | float)
        and condition.inputs[1] == 0
        and isinstance(b, Traced)
        and b.operation is _ufuncs[np.negative]
        and b.inputs[0] is a
    )


def _where_steps(out: Values, condition: Values, a: Any, b: Any) -> list[Step]:
    first: list[Step] = [] if _is_same(out, b) else [(np.copyto, (out, b))]
    if np.shape(condition) == out.shape and np.shape(a) in ((), out.shape):
        return [*first, (np.putmask, (out, condition, a))]  # twice as fast, but does not broadcast
    return [*first, (np.copyto, (out, a, "same_kind", condition))]


_BITS = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}
"""Integers as long as numbers."""


def _select_bits(out: Values, mask: Values, a: Any, b: Any, scratch: Values) -> list[Step]:
    """Choose by b ^ ((a ^ b) & mask), which processors do for many at once: half the time."""
    mixed = scratch.view(mask.dtype)
    bits_of_a, bits_of_b = (np.asarray(v, out.dtype).view(mask.dtype) for v in (a, b))
    return [
        (np.bitwise_xor, (bits_of_a, bits_of_b, mixed)),
        (np.bitwise_and, (mixed, mask, mixed)),
        (np.bitwise_xor, (mixed, bits_of_b, out.view(mask.dtype))),
    ]


def _reshape_steps(out: Values, x: Values) -> list[Step]:
    out = out.reshape(x.shape)
    return [] if _is_same(out, x) else [(np.copyto, (out, x))]


def _is_same(a: Values, b: Any) -> bool:
    """Whether both are the same piece of memory."""
    same = isinstance(b, np.ndarray) and a.ctypes.data == b.ctypes.data
    return same and (a.shape, a.strides) == (b.shape, b.strides)


_WHERE = Operation(_where_steps, shares=(2,), name="where")
# All bits of an element of the mask are those of the condition.
_MASK = Operation(
    lambda out, condition: [(np.copyto, (out, condition.view(np.int8))), (np.negative, (out, out))],
    name="mask",
)
_SELECT_BITS = Operation(_select_bits, shares=(2,), scratch=1, name="select_by_mask")
_RESHAPE = Operation(_reshape_steps, shares=(0,), name="reshape")
_ASTYPE = Operation(lambda out, x: [(np.copyto, (out, x, "unsafe"))], name="astype")
_CLIP = Operation(
    lambda out, x, least, most: [(x.clip, (least, most, out))], shares=(0,), name="clip"
)
_TAKE = Operation(lambda out, x, index: [(x.take, (index, 0, out, "clip"))], name="take")
_MATMUL = Operation(lambda out, a, b: [(np.matmul, (a, b, out))], name="matmul")


def _astype(x: Traced, dtype: Any, /, *, copy: bool = True) -> Traced:
    if not copy and x.dtype == dtype:
        return x
    return record(_ASTYPE, x.value.astype(dtype), x)


def _take(x: Traced, index: Traced, /, *, axis: int = 0) -> Traced:
    # Behind NaN, whose index is anything, the result is NaN whatever is found.
    if axis != 0:
        return _record_call(np.take, (x, index, axis, None, "clip"), {})
    return _take_any(x, index)


def _take_any(x: Traced, index: Traced) -> Traced:
    return record(_TAKE, np.take(x.value, index.value, 0, None, "clip"), x, index)


def _matmul(a: Traced, b: Traced, /) -> Traced:
    return record(_MATMUL, np.matmul(a.value, b.value), a, b)


def _clip(x: Traced, /, min: Any = None, max: Any = None) -> Traced:  # noqa: A002
    if not (isinstance(min, float | int) and isinstance(max, float | int)):
        return _record_call(np.clip, (x, min, max), {})
    return record(_CLIP, np.clip(x.value, min, max), x, min, max)


def _reduction(ufunc: np.ufunc, name: str) -> Callable[..., Traced]:
    whole, other = getattr(np, name), _any_other(name)

    def function(x: Traced, /, *, axis: Any = None, keepdims: bool = False) -> Traced:
        if x.dtype.kind != "f" or not isinstance(axis, int):
            found: Traced = other(x, axis=axis, keepdims=keepdims)
            return found

        def steps(out: Values, x: Values) -> list[Step]:
            if (
                axis in {-1, 1}
                and x.ndim == 2
                and 1 < x.shape[1] <= tuning.BY_COLUMNS
                and x.size > tuning.MANY
            ):
                return _by_columns(ufunc, out.reshape(-1), x)
            if x.size == x.shape[axis]:
                return [(ufunc.reduce, (x.reshape(-1), 0, None, out.reshape(())))]
            return [(ufunc.reduce, (x, axis, None, out, keepdims))]

        operation = Operation(steps, name=name)
        return record(operation, np.asarray(whole(x.value, axis=axis, keepdims=keepdims)), x)

    return function


def _by_columns(ufunc: np.ufunc, out: Values, x: Values) -> list[Step]:
    into = functools.partial(ufunc, out=out)
    return [(into, (x[:, 0] if i == 1 else out, x[:, i])) for i in range(1, x.shape[1])]


def _reshape(x: Traced, shape: tuple[int, ...], /) -> Traced:
    return record(_RESHAPE, x.value.reshape(shape), x)


def _record_call(found: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Record any function as it is, its result, or each of several, copied into a buffer."""
    inputs, names = (*args, *options.values()), tuple(options)

    def call(inputs: Sequence[Any]) -> Any:
        count = len(inputs) - len(names)
        return found(*inputs[:count], **dict(zip(names, inputs[count:], strict=True)))

    def part(i: int | None) -> Operation:
        def again(out: Values, *inputs: Any) -> None:
            y = call(inputs)
            np.copyto(out, y if i is None else y[i])

        name = "" if i is not None else str(getattr(found, "__name__", ""))
        return Operation(lambda out, *inputs: [(again, (out, *inputs))], name=name)

    value = call([value_of(a) for a in inputs])
    if isinstance(value, list | tuple):
        return [record(part(i), v, *inputs) for i, v in enumerate(value)]
    if not isinstance(value, np.ndarray | np.generic):
        return value
    return record(part(None), np.asarray(value), *inputs)


def _any_other(name: str) -> Callable[..., Any]:
    found = getattr(np, name)
    return lambda *args, **options: _record_call(found, args, options)


class Recorded(Standard):
    """The library of recorded arrays: NumPy's, with shorter formulas."""

    kernels = KERNELS


class RecordingNamespace:
    """The Array API namespace of `Traced`."""

    __name__ = "xpnn.recorded(numpy)"

    def __init__(self) -> None:
        self.__xpnn_library__ = Recorded(self)
        ufuncs = (
            "add subtract multiply divide negative positive abs floor ceil trunc isnan isfinite"
            " less less_equal greater greater_equal equal not_equal logical_and logical_or"
            " logical_not copysign maximum minimum bitwise_and bitwise_or bitwise_xor log2 exp expm1 log log1p tanh cosh sqrt"
        )
        for name in ufuncs.split():
            setattr(self, name, _elementwise(getattr(np, name)))
        self.round = _elementwise(np.rint)
        self.bitwise_invert = _elementwise(np.invert)
        self.where, self.astype, self.take, self.matmul = _where, _astype, _take, _matmul
        self.take_any, self.clip, self.reshape = _take_any, _clip, _reshape
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


def _reflected(function: Callable[..., Traced]) -> Callable[..., Traced]:
    return lambda a, b: function(b, a)


for _operator, _name in (BINARY | COMPARISONS | UNARY).items():
    setattr(Traced, f"__{_operator}__", getattr(namespace, _name))
for _operator, _name in BINARY.items():
    setattr(Traced, f"__r{_operator}__", _reflected(getattr(namespace, _name)))
