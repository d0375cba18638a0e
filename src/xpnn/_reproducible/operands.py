"""The operands of a function, brought to one dtype; where libraries promote differently, an error says so."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from xpnn._arrays.arguments import Count, Option
from xpnn._arrays.axes import as_index, slices_of
from xpnn._arrays.dtypes import FLOATS, INTEGERS, PRECISIONS, dtype_name, promote, python_number
from xpnn._arrays.library import device_beside
from xpnn._arrays.types import Namespace
from xpnn._execution.chunks import check_lengths
from xpnn._reproducible.array import ReproducibleArray
from xpnn.errors import XpnnError, XpnnTypeError, XpnnValueError

T = TypeVar("T")

_REFUSALS = (TypeError, ValueError, IndexError, RuntimeError, ZeroDivisionError)
"""How libraries refuse shapes, axes and dtypes that do not fit."""


def call(xp: Namespace, name: str, *args: Any, **options: Any) -> Any:
    """Run an operation on arrays and Python numbers, brought to one dtype."""
    arrays = [a._native for a in of_one_dtype(xp, name, args)]
    dtype = dtype_name(arrays[0].dtype)
    run = lambda *arrays: xp.engine.run(name, dtype, arrays, options)
    y = natively(xp, name, run, *arrays)
    return xp.boundary.result(y, args)


def natively(xp: Namespace, name: str, f: Callable[..., T], *args: Any, **options: Any) -> T:
    """Return f(*args, **options) of the library's arrays; what it refuses, `name` refuses.

    What stops a trace, and what a device reports, stay what they are: others know them by their class.
    """
    try:
        return f(*args, **options)
    except XpnnError:
        raise
    except (AttributeError, *_REFUSALS) as error:
        for a in args:
            check_lengths(f"{xp.__name__}.{name}", a, range(len(getattr(a, "shape", ()))))
        if isinstance(error, AttributeError):
            raise
        reported = isinstance(error, RuntimeError) and type(error) is not RuntimeError
        if reported or any(hasattr(a, "dtype") and xp.of.is_traced(a) for a in args):
            raise
        kind = XpnnTypeError if isinstance(error, TypeError) else XpnnValueError
        raise kind(f"{xp.__name__}.{name}: {error}") from error


def of_one_dtype(xp: Namespace, name: str, args: Sequence[Any]) -> list[ReproducibleArray]:
    """Wrap arrays and Python numbers, as the dtype that they promote to."""
    args = plain_numbers(xp, args)
    arrays = [xp.boundary.wrap(a) for a in args if xp.boundary.is_array(a)]
    if not arrays:
        check_arrays(xp, name, args[0])
    names = {dtype_name(a.dtype) for a in arrays}
    if not names <= FLOATS.keys():
        raise XpnnTypeError(
            f"{xp.__name__}.{name}: expected floating values, got dtype "
            f"{', '.join(sorted(names))}; convert them with astype"
        )
    check_operands(xp, name, args, operands=args)
    dtype = arrays[0].dtype if len(names) == 1 else xp.boundary.dtype_named(promote(names))
    rest = iter(arrays)
    device = device_beside(arrays[0])
    result = []
    with xp.boundary.wide(*arrays):
        for a in args:
            x = next(rest) if xp.boundary.is_array(a) else xp.asarray(a, dtype=dtype, device=device)
            result.append(x if x.dtype == dtype else xp.astype(x, dtype))
    return result


def check_arrays(xp: Namespace, name: str, *arrays: Any) -> None:
    """Raise TypeError unless all are arrays."""
    for a in arrays:
        if not xp.boundary.is_array(a):
            raise XpnnTypeError(
                f"{xp.__name__}.{name}: expected {'an array' if len(arrays) == 1 else 'arrays'}, got "
                f"{type(a).__qualname__}; make one with asarray"
            )


def plain_numbers(xp: Namespace, operands: Sequence[Any]) -> list[Any]:
    """Return NumPy's scalars beside arrays as Python's numbers, which have no dtype of their own."""
    numbers = [python_number(a) for a in operands]
    pairs = list(zip(operands, numbers, strict=True))
    if all(a is n for a, n in pairs) or any(a is n and xp.boundary.is_array(a) for a, n in pairs):
        return numbers
    return list(operands)


def are_integers(xp: Namespace, *args: Any) -> bool:
    """Whether there are only integers and truth values among arrays and Python numbers."""
    arrays = [a for a in args if xp.boundary.is_array(a)]
    return all(dtype_name(a.dtype) not in FLOATS for a in arrays) and not any(
        isinstance(a, float) for a in args
    )


_KINDS = {
    "floating integer": """
        add subtract multiply divide floor_divide remainder pow abs negative positive sign square round
        ceil floor trunc isnan isfinite isinf signbit less less_equal greater greater_equal maximum minimum
        clip max min argmax argmin sort argsort searchsorted sum cumulative_sum matmul
        """,
    "integer": "bitwise_left_shift bitwise_right_shift isin",
    "integer bool": "bitwise_and bitwise_or bitwise_xor bitwise_invert",
    "bool": "logical_and logical_or logical_xor logical_not",
}
_TAKES = {name: kinds.split() for kinds, names in _KINDS.items() for name in names.split()}
"""The kinds of dtypes that a function takes by the standard; those that are not here take all."""
_UNIQUE = ("unique_all", "unique_counts", "unique_inverse", "unique_values")
_OF_ALL = frozenset([*_TAKES, *_UNIQUE, "equal", "not_equal"])
_OF_MANY = frozenset(["where", "concat", "stack", "broadcast_arrays", "meshgrid"])
"""Functions all of whose arguments are operands; those of `where` follow the condition."""
_SHIFTS = frozenset(["bitwise_left_shift", "bitwise_right_shift"])


def check_first(xp: Namespace, name: str, args: Sequence[Any]) -> None:
    """Raise TypeError where a function of an array is given something else; operands are checked apart."""
    if name not in _OF_ALL | _OF_MANY:
        check_arrays(xp, name, *args[:1])


def change_operands(
    name: str, args: Sequence[Any], options: Mapping[str, Any], change: Callable[[Any], Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments of a function with each operand changed."""
    args, options = list(args), dict(options)
    if name == "where":
        args[1:] = map(change, args[1:])
    elif name in _OF_ALL:
        args = list(map(change, args))
        for option in ("min", "max"):
            if name == "clip" and option in options:
                options[option] = change(options[option])
    elif name in {"concat", "stack"}:
        args[0] = list(map(change, args[0]))
    return args, options


def operands_of(name: str, args: Sequence[Any], options: Mapping[str, Any]) -> list[Any]:
    """Return the operands of a function."""
    operands: list[Any] = []
    change_operands(name, args, options, operands.append)
    return operands


def check_operands(
    xp: Namespace,
    name: str,
    args: Sequence[Any],
    options: Mapping[str, Any] | None = None,
    operands: Sequence[Any] | None = None,
) -> None:
    """Refuse operands whose common dtype, or value in it, depends on the library."""
    options = options or {}
    operands = operands_of(name, args, options) if operands is None else operands
    called = f"{xp.__name__}.{name}"
    for a in operands:
        _check_operand(xp, called, a)
    # torch.compile cannot ask a float that it traces for attributes.
    arrays = [a for a in operands if type(a) not in {float, int} and hasattr(a, "dtype")]
    dtypes = {dtype_name(a.dtype) for a in arrays}
    kinds = set(map(kind_of, dtypes))
    _check_condition(called, name, args, arrays)
    _check_axes(called, name, args, options)
    if name == "repeat":
        _check_repeats(xp, called, options.get("repeats", args[-1]))
    if name == "roll":
        _check_roll(called, options.get("shift", args[-1]), options.get("axis"))
    wrong = kinds - set(_TAKES.get(name, kinds))
    if wrong:
        raise XpnnTypeError(
            f"{called}: expected {' or '.join(_TAKES[name])} values, got dtype "
            f"{', '.join(sorted(dtypes))}; convert them with astype"
        )
    if dtypes and not are_of_a_kind(dtypes):
        raise XpnnTypeError(
            f"{called}: expected arrays of one kind, got dtypes {', '.join(sorted(dtypes))}, "
            "which libraries promote differently; convert them with astype"
        )
    if name == "clip" and len(dtypes) > 1:
        raise XpnnTypeError(
            f"{called}: expected min and max of the dtype of x, got dtypes "
            f"{', '.join(sorted(dtypes))}; convert them with astype"
        )
    if kinds == {"integer"} and common_dtype(dtypes) not in dtypes:
        xp.boundary.check_integer(common_dtype(dtypes), f"{name} of {' and '.join(sorted(dtypes))}")
    for dtype in dtypes:
        for number in operands:
            if type(number) in {bool, int, float}:
                check_number(called, number, dtype)
    if name in _SHIFTS and type(args[1]) is int:
        bits = min((int(dtype.lstrip("uint")) for dtype in dtypes), default=64)
        if not 0 <= args[1] < bits:
            raise XpnnValueError(
                f"{called}: expected to shift by 0 to {bits - 1} bits, got {args[1]}"
            )


def _check_operand(xp: Namespace, called: str, a: Any) -> None:
    """Raise TypeError unless it is an array of the library or a number; None is no limit of `clip`."""
    if type(a) in {bool, int, float} or xp.boundary.is_array(a):
        return
    if hasattr(a, "dtype") and hasattr(a, "shape") and python_number(a) is a:
        raise XpnnTypeError(
            f"{called}: expected arrays of one library, got a {type(a).__module__}."
            f"{type(a).__qualname__}; convert it, e.g. asarray(...)"
        )
    # Lengths that a compiler leaves open are numbers of its own.
    if not (hasattr(a, "__float__") or hasattr(a, "__index__")) and not (
        a is None and called.endswith(".clip")
    ):
        raise XpnnTypeError(
            f"{called}: expected arrays and numbers, got {a!r}; make an array of it with asarray"
        )


def _check_condition(called: str, name: str, args: Sequence[Any], arrays: Sequence[Any]) -> None:
    if name != "where":
        return
    dtype = dtype_name(args[0].dtype) if hasattr(args[0], "dtype") else type(args[0]).__name__
    if dtype != "bool" or not hasattr(args[0], "dtype"):
        raise XpnnTypeError(f"{called}: expected a condition, an array of dtype bool, got {dtype}")
    if not arrays:
        raise XpnnTypeError(
            f"{called}: expected an array to choose from, got two numbers, to which libraries give "
            "dtypes of their own; make one an array, e.g. with asarray(..., dtype=...)"
        )


def _check_repeats(xp: Namespace, called: str, repeats: Any) -> None:
    """Refuse fractions and less than nothing, of which libraries make other results."""
    if not xp.boundary.is_array(repeats):
        Option(1, Count()).taken(f"{called}: expected repeats", repeats)
        return
    dtype = dtype_name(repeats.dtype)
    native = xp.boundary.native_of(repeats)
    own = xp.native_namespace
    if kind_of(dtype) != "integer" or (xp.of.is_known(native) and bool(own.any(native < 0))):
        raise XpnnValueError(
            f"{called}: expected repeats to be integers of 0 or more, got {repeats!r}"
        )


def _check_roll(called: str, shift: Any, axis: Any) -> None:
    """Refuse fractions, and as many shifts as axes alone are taken everywhere."""
    shifts = shift if isinstance(shift, tuple) else (shift,)
    for one in shifts:
        try:
            as_index(one)
        except TypeError:
            raise XpnnTypeError(
                f"{called}: expected each shift to be an integer, got {one!r}"
            ) from None
    if isinstance(shift, tuple) and len(shifts) != (len(axis) if isinstance(axis, tuple) else 1):
        raise XpnnValueError(f"{called}: expected as many shifts as axes, got {shift} and {axis}")


_OF_SOME = frozenset(["max", "min", "argmax", "argmin"])
"""Functions that have no result where there is nothing."""
_LENGTHS = {"broadcast_to": ("shape", 0), "tile": ("repetitions", 0), "reshape": ("shape", -1)}
"""The option of a function that is a tuple of lengths, and the least of them; -1 is what is left."""
_LEAST_AXES = {"sort": 1, "argsort": 1, "tril": 2, "triu": 2}


def _check_axes(called: str, name: str, args: Sequence[Any], options: Mapping[str, Any]) -> None:
    least = _LEAST_AXES.get(name, 0)
    if least and len(args[0].shape) < least:
        raise XpnnValueError(
            f"{called}: expected an array of {least} axes or more, got shape {tuple(args[0].shape)}"
        )
    if name in _OF_SOME:
        shape = tuple(args[0].shape)
        if any(shape[axis] == 0 for axis in slices_of(called, options.get("axis"), shape).axes):
            raise XpnnValueError(f"{called}: expected some entries along axis, got shape {shape}")
    if name == "meshgrid" and (
        any(len(a.shape) != 1 for a in args) or len({dtype_name(a.dtype) for a in args}) > 1
    ):
        raise XpnnValueError(
            f"{called}: expected arrays of one axis and of one dtype, got shapes "
            f"{[tuple(a.shape) for a in args]} and dtypes {[dtype_name(a.dtype) for a in args]}"
        )
    if name in _LENGTHS:
        option, least = _LENGTHS[name]
        lengths = options.get(option, args[-1])
        if not isinstance(lengths, Sequence) or any(n < least for n in lengths):
            raise XpnnValueError(
                f"{called}: expected {option} to be a tuple of lengths of {least} or more, got {lengths}"
            )


def common_dtype(dtypes: set[str]) -> str:
    """Return the name of the dtype that dtypes of one kind promote to, by the standard."""
    if dtypes <= FLOATS.keys():
        return promote(dtypes)
    if len(dtypes) == 1:
        return next(iter(dtypes))
    bits = {
        sign: max((int(d.lstrip("uint")) for d in dtypes if d.startswith(sign)), default=0)
        for sign in ("int", "uint")
    }
    if bits["int"] == 0:
        return f"uint{bits['uint']}"
    return f"int{max(bits['int'], 2 * bits['uint'])}"


def kind_of(dtype: str) -> str:
    """Return floating, integer or bool."""
    return "floating" if dtype in FLOATS else "integer" if dtype in INTEGERS else "bool"


def are_of_a_kind(dtypes: set[str]) -> bool:
    """Whether there is one dtype of their kind to which all promote, by the standard."""
    signed = any(dtype.startswith("int") for dtype in dtypes)
    return len(set(map(kind_of, dtypes))) == 1 and not (signed and "uint64" in dtypes)


_NUMBERS: dict[str, tuple[type, ...]] = {
    "floating": (int, float),
    "integer": (int,),
    "bool": (bool,),
}


def check_number(called: str, number: float, dtype: str) -> None:
    """Refuse a Python number of another kind than a dtype, or that an integer dtype does not hold."""
    kind = kind_of(dtype)
    if type(number) not in _NUMBERS[kind]:
        raise XpnnTypeError(
            f"{called}: expected a Python number of the kind of {dtype}, {kind}, got {number!r}, "
            "which libraries convert differently; convert the array with astype, or name another dtype"
        )
    if kind == "integer":
        check_fits(called, int(number), dtype)
    if kind == "floating" and type(number) is int and abs(number) > PRECISIONS["float64"].largest:
        raise XpnnValueError(
            f"{called}: expected a number that float64 holds, got a larger integer"
        )


def check_fits(called: str, number: int, dtype: str) -> None:
    """Raise ValueError for an integer that an integer dtype does not hold."""
    signed, bits = dtype.startswith("int"), int(dtype.lstrip("uint"))
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    if not least <= number <= most:
        raise XpnnValueError(
            f"{called}: expected a number that {dtype} holds, got {number}; convert the "
            "array with astype, or name another dtype"
        )
