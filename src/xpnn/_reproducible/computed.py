"""The functions of the standard that are computed here, element by element.

A function of the namespace is a function of (xp, ...) that the namespace has as a method.
"""

import math
from collections.abc import Callable
from typing import Any

from xpnn._arrays.dtypes import FLOATS, dtype_name, python_number
from xpnn._arrays.types import Array, DType, Namespace
from xpnn._reproducible.operands import (
    are_integers,
    call,
    check_operands,
    natively,
    of_one_dtype,
    plain_numbers,
)
from xpnn._reproducible.operations import ELEMENTWISE, OPERATIONS
from xpnn.errors import NotReproducibleError, XpnnValueError


def _function_of_one(name: str) -> Callable[..., Any]:
    def function(xp: Namespace, x: Array, /) -> Array:
        return call(xp, name, x)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = OPERATIONS[name].kernel.__doc__
    return function


def _of_two(xp: Namespace, name: str, a: Any, b: Any) -> Any:
    a, b = plain_numbers(xp, (a, b))
    if are_integers(xp, a, b):
        check_operands(xp, name, (a, b))
        natives = map(xp.boundary.native_of, (a, b))
        y = natively(xp, name, getattr(xp.native_namespace, name), *natives)
        return xp.boundary.result(y, (a, b))
    return call(xp, name, a, b)


def add(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """x1 + x2."""
    return _of_two(xp, "add", x1, x2)


def subtract(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """x1 - x2."""
    return _of_two(xp, "subtract", x1, x2)


def multiply(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """x1 * x2."""
    return _of_two(xp, "multiply", x1, x2)


def divide(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """x1 / x2, correctly rounded."""
    return call(xp, "divide", x1, x2)


def logaddexp(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """log(exp(x1) + exp(x2))."""
    return call(xp, "logaddexp", x1, x2)


def negative(xp: Namespace, x: Any, /) -> Any:
    """-x; 0 for 0."""
    check_operands(xp, "negative", (x,))
    if are_integers(xp, x):
        return xp.boundary.result(xp.native_namespace.negative(xp.boundary.native_of(x)), (x,))
    return call(xp, "negative", x)


def reciprocal(xp: Namespace, x: Any, /) -> Any:
    """1 / x, correctly rounded."""
    return call(xp, "divide", 1.0, x)


def square(xp: Namespace, x: Any, /) -> Any:
    """x * x."""
    return xp.multiply(x, x)


def copysign(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """abs(x1), negative where x2 is."""
    a, b = of_one_dtype(xp, "copysign", (x1, x2))
    size = xp.abs(a)
    y = xp.where(xp.less(b, 0), xp.negative(size), size)
    return xp.boundary.result(y._native, (x1, x2))


def positive(xp: Namespace, x: Any, /) -> Any:
    """A copy of x: all numbers are real here, and have no sign of zero."""
    return xp.boundary.result(xp.boundary.copied(xp.boundary.native_of(x)), (x,))


def conj(xp: Namespace, x: Any, /) -> Any:
    """A copy of x: all numbers are real here."""
    return positive(xp, x)


def real(xp: Namespace, x: Any, /) -> Any:
    """A copy of x: all numbers are real here."""
    return positive(xp, x)


def signbit(xp: Namespace, x: Any, /) -> Any:
    """x < 0: a zero and a NaN have no sign here."""
    return xp.less(x, 0)


def floor_divide(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """Integers: x1 / x2, rounded down; 0 where x2 is 0."""
    return _of_two_integers(xp, "floor_divide", x1, x2)


def remainder(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """Integers: x1 - floor_divide(x1, x2) * x2, of the sign of x2; 0 where x2 is 0."""
    return _of_two_integers(xp, "remainder", x1, x2)


def _of_two_integers(xp: Namespace, name: str, a: Any, b: Any) -> Any:
    a, b = plain_numbers(xp, (a, b))
    check_operands(xp, name, (a, b))
    if not are_integers(xp, a, b):
        raise NotReproducibleError(
            f"{xp.__name__}.{name}: expected integers, got floating values, for which "
            "libraries differ; x - floor(x / y) * y and floor(x / y) are rounded like any other"
        )
    own = xp.native_namespace
    divisor = xp.boundary.native_of(b if xp.boundary.is_array(b) else xp.full_like(a, b))
    # Dividing the least integer by -1 is undefined in C.
    zero, one = divisor == 0, _is_minus_one(divisor)
    y = getattr(own, name)(xp.boundary.native_of(a), own.where(zero | one, 1, divisor))
    y = own.where(one, -y if name == "floor_divide" else 0, y)
    return xp.boundary.result(own.where(zero, 0, y), (a, b))


def _is_minus_one(x: Array) -> Array:
    return (x == -1) if dtype_name(x.dtype).startswith("int") else x != x


def diff(
    xp: Namespace, x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
) -> Any:
    """Differences of neighbours along an axis, n times."""
    if not (-x.ndim <= axis < x.ndim and n >= 0):
        raise XpnnValueError(
            f"{xp.__name__}.diff: expected an axis of x and n of 0 or more, got axis {axis} of "
            f"{x.ndim} and n = {n}"
        )
    given = [part for part in (prepend, x, append) if part is not None]
    x = xp.concat(given, axis=axis) if len(given) > 1 else x
    for _ in range(n):
        before: list[Any] = [slice(None)] * x.ndim
        after = list(before)
        # Not beyond the end of an empty axis, which array-api-strict refuses.
        count = x.shape[axis]
        before[axis] = slice(None, max(count - 1, 0))
        after[axis] = slice(min(1, count), None)
        later, earlier = x[tuple(after)], x[tuple(before)]
        boolean = dtype_name(x.dtype) == "bool"
        x = xp.not_equal(later, earlier) if boolean else xp.subtract(later, earlier)
    return x


def pow(xp: Namespace, x1: Any, x2: Any, /) -> Any:
    """x1**x2 for integers, or an integer x2, of Python, or 1/2; or 2**x2, which is exp2(x2)."""
    x1, x2 = python_number(x1), python_number(x2)
    if not xp.boundary.is_array(x1) and xp.boundary.is_array(x2):
        if are_integers(xp, x1, x2):
            return xp.pow(xp.full_like(x2, x1), x2)
        if x1 != 2:
            raise NotReproducibleError(
                f"{xp.__name__}.pow: expected 2 as the base of a power whose exponent is an "
                f"array, got {x1!r}; write exp(x2 * log(base))"
            )
        return xp.exp2(x2)
    if are_integers(xp, x1, x2):
        return _power_of_integers(xp, x1, x2)
    if isinstance(x2, float) and x2 == 0.5:
        return xp.sqrt(x1)
    if not isinstance(x2, int | float) or x2 != int(x2):
        raise NotReproducibleError(
            f"{xp.__name__}.pow: expected an integer exponent, or 0.5, as a Python number, "
            f"got {x2!r}; for x1 > 0 write exp(x2 * log(x1))"
        )
    return call(xp, "power", x1, n=int(x2))


def _power_of_integers(xp: Namespace, x1: Any, x2: Any) -> Any:
    check_operands(xp, "pow", (x1, x2))
    own, a = xp.native_namespace, xp.boundary.native_of(x1)
    if not xp.boundary.is_array(x2):
        if x2 < 0:
            raise XpnnValueError(
                f"{xp.__name__}.pow: expected an exponent of 0 or more for integers, got {x2}; "
                "convert them with astype"
            )
        return xp.boundary.result(own.pow(a, x2), (x1,))
    b = xp.boundary.native_of(x2)
    if dtype_name(b.dtype).startswith("u"):
        return xp.boundary.result(own.pow(a, b), (x1, x2))
    # 1 / a**-b cut to an integer: of 1 and -1 the power itself, as the exponent's last bit has it.
    lost = (b < 0) & (a != 1) & ~_is_minus_one(a)
    y = own.pow(a, own.where(b < 0, b & 1, b))
    return xp.boundary.result(own.where(lost, 0, y), (x1, x2))


def astype(xp: Namespace, x: Any, dtype: DType, /, *, copy: bool = True, device: Any = None) -> Any:
    """Convert, rounding once; to integers, NaN becomes 0 and what is too large the largest."""
    own, wrapped = xp.native_namespace, xp.boundary.wrap(x)
    if device is not None:
        wrapped = xp.to_device(wrapped, device)
    source, name = dtype_name(wrapped.dtype), dtype_name(dtype)
    xp.boundary.check_integer(name, "the dtype that was asked for")
    if source == name:
        y = wrapped._native
        return xp.boundary.result(xp.boundary.copied(y) if copy else y, (x,))
    with xp.of.exactly("float64"):
        if source in FLOATS and name not in FLOATS and name != "bool":
            y = _to_integer(xp, wrapped._native, dtype)
        elif FLOATS.get(name, 0) and source in FLOATS:
            y = xp.engine.run("astype", source, [wrapped._native], {"to": name})
        else:
            y = own.astype(wrapped._native, dtype)
    return xp.boundary.result(y, (x,))


def _to_integer(xp: Namespace, x: Array, dtype: DType) -> Array:
    own = xp.native_namespace
    limits = own.iinfo(dtype)
    # The largest integer of 64 bits is no number of binary64; the one below it that is.
    most = float(limits.max)
    most = most if limits.bits <= 32 else math.nextafter(most, 0.0)
    y = own.where(own.isnan(x), 0.0, own.astype(x, own.float64))
    return own.astype(own.trunc(own.clip(y, float(limits.min), most)), dtype)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: _function_of_one(name) for name in ELEMENTWISE},
    **{
        f.__name__: f
        for f in (
            *(add, subtract, multiply, divide, logaddexp, negative, reciprocal, square, pow),
            *(copysign, positive, conj, real, signbit, floor_divide, remainder, diff, astype),
        )
    },
}
