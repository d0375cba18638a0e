"""The functions of the standard that a reproducible namespace computes itself."""

import math
from collections.abc import Callable
from typing import Any

from xpnn._arrays.axes import slices_of
from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.dtypes import FLOATS, INTEGERS, dtype_name, python_number
from xpnn._arrays.library import device_of
from xpnn._arrays.types import Array, DType
from xpnn._reproducible.arithmetic.elementwise import ELEMENTWISE
from xpnn._reproducible.arithmetic.reductions import KERNELS
from xpnn._reproducible.engine import Engine
from xpnn._reproducible.operands import check_operands
from xpnn.errors import NotReproducibleError, XpnnTypeError, XpnnValueError


class Computed(Engine):
    """Arithmetic, elementary functions, sums and products."""

    def __init__(self, of: Library) -> None:
        super().__init__(of)
        for name in ELEMENTWISE:
            setattr(self, name, self._function_of_one(name))

    def _function_of_one(self, name: str) -> Callable[..., Any]:
        def function(x: Array, /) -> Array:
            return self._call(name, x)

        function.__name__ = name
        function.__doc__ = KERNELS[name].__doc__
        return function

    def _are_integers(self, *args: Any) -> bool:
        arrays = [a for a in args if self._is_array(a)]
        return all(dtype_name(a.dtype) not in FLOATS for a in arrays) and not any(
            isinstance(a, float) for a in args
        )

    def _of_two(self, name: str, a: Any, b: Any) -> Any:
        check_operands(self, name, (a, b), {})
        if self._are_integers(a, b):
            y = getattr(self.native_namespace, name)(self._native_of(a), self._native_of(b))
            return self._result(y, (a, b))
        return self._call(name, a, b)

    def add(self, x1: Any, x2: Any, /) -> Any:
        """x1 + x2."""
        return self._of_two("add", x1, x2)

    def subtract(self, x1: Any, x2: Any, /) -> Any:
        """x1 - x2."""
        return self._of_two("subtract", x1, x2)

    def multiply(self, x1: Any, x2: Any, /) -> Any:
        """x1 * x2."""
        return self._of_two("multiply", x1, x2)

    def divide(self, x1: Any, x2: Any, /) -> Any:
        """x1 / x2, correctly rounded."""
        return self._call("divide", x1, x2)

    def logaddexp(self, x1: Any, x2: Any, /) -> Any:
        """log(exp(x1) + exp(x2))."""
        return self._call("logaddexp", x1, x2)

    def negative(self, x: Any, /) -> Any:
        """-x; 0 for 0."""
        check_operands(self, "negative", (x,), {})
        if self._are_integers(x):
            return self._result(self.native_namespace.negative(self._native_of(x)), (x,))
        return self._call("negative", x)

    def reciprocal(self, x: Any, /) -> Any:
        """1 / x, correctly rounded."""
        return self._call("divide", 1.0, x)

    def square(self, x: Any, /) -> Any:
        """x * x."""
        return self.multiply(x, x)

    def copysign(self, x1: Any, x2: Any, /) -> Any:
        """abs(x1), negative where x2 is."""
        a, b = self._of_one_dtype("copysign", (x1, x2))
        size = self.abs(a)
        y = self.where(self.less(b, 0), self.negative(size), size)
        return self._result(y._native, (x1, x2))

    def positive(self, x: Any, /) -> Any:
        """A copy of x: all numbers are real here, and have no sign of zero."""
        return self._result(self.copied(self._native_of(x)), (x,))

    conj = real = positive

    def signbit(self, x: Any, /) -> Any:
        """x < 0: a zero and a NaN have no sign here."""
        return self.less(x, 0)

    def floor_divide(self, x1: Any, x2: Any, /) -> Any:
        """Integers: x1 / x2, rounded down; 0 where x2 is 0."""
        return self._of_two_integers("floor_divide", x1, x2)

    def remainder(self, x1: Any, x2: Any, /) -> Any:
        """Integers: x1 - floor_divide(x1, x2) * x2, of the sign of x2; 0 where x2 is 0."""
        return self._of_two_integers("remainder", x1, x2)

    def _of_two_integers(self, name: str, a: Any, b: Any) -> Any:
        check_operands(self, name, (a, b), {})
        if not self._are_integers(a, b):
            raise NotReproducibleError(
                f"{self.__name__}.{name}: expected integers, got floating values, for which "
                "libraries differ; x - floor(x / y) * y and floor(x / y) are rounded like any other"
            )
        xp = self.native_namespace
        divisor = self._native_of(b if self._is_array(b) else self.full_like(a, b))
        # Dividing the least integer by -1 is undefined in C.
        zero, one = divisor == 0, self._is_minus_one(divisor)
        y = getattr(xp, name)(self._native_of(a), xp.where(zero | one, 1, divisor))
        y = xp.where(one, -y if name == "floor_divide" else 0, y)
        return self._result(xp.where(zero, 0, y), (a, b))

    def _is_minus_one(self, x: Array) -> Array:
        return (x == -1) if dtype_name(x.dtype).startswith("int") else x != x

    def diff(
        self, x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None
    ) -> Any:
        """Differences of neighbours along an axis, n times."""
        if not (-x.ndim <= axis < x.ndim and n >= 0):
            raise XpnnValueError(
                f"{self.__name__}.diff: expected an axis of x and n of 0 or more, got axis {axis} of "
                f"{x.ndim} and n = {n}"
            )
        given = [part for part in (prepend, x, append) if part is not None]
        x = self.concat(given, axis=axis) if len(given) > 1 else x
        for _ in range(n):
            before: list[Any] = [slice(None)] * x.ndim
            after = list(before)
            # Not beyond the end of an empty axis, which array-api-strict refuses.
            count = x.shape[axis]
            before[axis] = slice(None, max(count - 1, 0))
            after[axis] = slice(min(1, count), None)
            later, earlier = x[tuple(after)], x[tuple(before)]
            boolean = dtype_name(x.dtype) == "bool"
            x = self.not_equal(later, earlier) if boolean else self.subtract(later, earlier)
        return x

    def pow(self, x1: Any, x2: Any, /) -> Any:
        """x1**x2 for integers, or an integer x2, of Python, or 1/2; or 2**x2, which is exp2(x2)."""
        x1, x2 = python_number(x1), python_number(x2)
        if not self._is_array(x1) and self._is_array(x2):
            if self._are_integers(x1, x2):
                return self.pow(self.full_like(x2, x1), x2)
            if x1 != 2:
                raise NotReproducibleError(
                    f"{self.__name__}.pow: expected 2 as the base of a power whose exponent is an "
                    f"array, got {x1!r}; write exp(x2 * log(base))"
                )
            return self.exp2(x2)
        if self._are_integers(x1, x2):
            return self._power_of_integers(x1, x2)
        if isinstance(x2, float) and x2 == 0.5:
            return self.sqrt(x1)
        if not isinstance(x2, int | float) or x2 != int(x2):
            raise NotReproducibleError(
                f"{self.__name__}.pow: expected an integer exponent, or 0.5, as a Python number, "
                f"got {x2!r}; for x1 > 0 write exp(x2 * log(x1))"
            )
        return self._call("power", x1, n=int(x2))

    def _power_of_integers(self, x1: Any, x2: Any) -> Any:
        check_operands(self, "pow", (x1, x2), {})
        xp, a = self.native_namespace, self._native_of(x1)
        if not self._is_array(x2):
            if x2 < 0:
                raise XpnnValueError(
                    f"{self.__name__}.pow: expected an exponent of 0 or more for integers, got {x2}; "
                    "convert them with astype"
                )
            return self._result(xp.pow(a, x2), (x1,))
        b = self._native_of(x2)
        if dtype_name(b.dtype).startswith("u"):
            return self._result(xp.pow(a, b), (x1, x2))
        # 1 / a**-b cut to an integer: of 1 and -1 the power itself, as the exponent's last bit has it.
        lost = (b < 0) & (a != 1) & ~self._is_minus_one(a)
        y = xp.pow(a, xp.where(b < 0, b & 1, b))
        return self._result(xp.where(lost, 0, y), (x1, x2))

    def astype(self, x: Any, dtype: DType, /, *, copy: bool = True, device: Any = None) -> Any:
        """Convert, rounding once; to integers, NaN becomes 0 and what is too large the largest."""
        xp, wrapped = self.native_namespace, self.wrap(x)
        if device is not None:
            wrapped = self.to_device(wrapped, device)
        source, name = dtype_name(wrapped.dtype), dtype_name(dtype)
        self.check_integer(name, "the dtype that was asked for")
        if source == name:
            y = wrapped._native
            return self._result(self.copied(y) if copy else y, (x,))
        with self.guard("float64"):
            if source in FLOATS and name not in FLOATS and name != "bool":
                y = self._to_integer(wrapped._native, dtype)
            elif FLOATS.get(name, 0) and source in FLOATS:
                y = self._run("astype", source, [wrapped._native], {"to": name})
            else:
                y = xp.astype(wrapped._native, dtype)
        return self._result(y, (x,))

    def _to_integer(self, x: Array, dtype: DType) -> Array:
        xp = self.native_namespace
        limits = xp.iinfo(dtype)
        # The largest integer of 64 bits is no number of binary64; the one below it that is.
        most = float(limits.max)
        most = most if limits.bits <= 32 else math.nextafter(most, 0.0)
        y = xp.where(xp.isnan(x), 0.0, xp.astype(x, xp.float64))
        return xp.astype(xp.trunc(xp.clip(y, float(limits.min), most)), dtype)

    # Sums and products

    def _reduce(self, name: str, x: Any, axis: Any, keepdims: bool, **options: Any) -> Any:
        slices = slices_of(f"{self.__name__}.{name}", axis, tuple(x.shape))
        y = self._call(name, x, axes=slices.axes, **options)
        return self.reshape(y, slices.kept) if keepdims else y

    def sum(
        self,
        x: Any,
        /,
        *,
        axis: Any = None,
        dtype: DType | None = None,
        keepdims: bool = False,
    ) -> Any:
        """Sum of the terms on a grid, exactly, rounded once."""
        check_operands(self, "sum", (x,), {})
        slices = slices_of(f"{self.__name__}.sum", axis, tuple(x.shape))
        if self._are_integers(x) and (dtype is None or dtype_name(dtype) not in FLOATS):
            count = math.prod([x.shape[i] for i in slices.axes])
            a, to = self._to_add_up("sum", x, dtype, count)
            y = self.native_namespace.sum(a, axis=axis, dtype=a.dtype, keepdims=keepdims)
            return self._result(self.native_namespace.astype(y, to), (x,))
        x = x if dtype is None else self.astype(x, dtype)
        return self._reduce("sum", x, axis, keepdims)

    def _to_add_up(self, name: str, x: Any, dtype: DType | None, count: int) -> tuple[Array, DType]:
        """Return integers in the dtype in which to add `count` of them, and that of the sum.

        Sums wrap alike with a sign and without. Where 64-bit types are switched off, what cannot
        leave 32 bits is added in those.
        """
        xp, a = self.native_namespace, self._native_of(x)
        signed = "int64" if dtype_name(a.dtype).startswith("int") else "uint64"
        given = dtype_name(a.dtype).lstrip("uint")
        asked = signed if dtype is None else dtype_name(dtype)
        if asked not in INTEGERS:
            raise XpnnTypeError(f"{self.__name__}.{name}: expected a numeric dtype, got {asked}")
        if dtype is None and not self.of.has_64_bits():
            if count * 2 ** int(given) > 2**31:
                self.check_integer(signed, f"the sum of {count} numbers of {dtype_name(a.dtype)}")
            asked = signed.replace("64", "32")
        added = asked.lstrip("u")
        return xp.astype(a, getattr(xp, added)), getattr(xp, asked)

    def mean(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Mean."""
        return self._reduce("mean", x, axis, keepdims)

    def var(
        self, x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False
    ) -> Any:
        """Variance."""
        return self._reduce("var", x, axis, keepdims, correction=float(correction))

    def std(
        self, x: Any, /, *, axis: Any = None, correction: float = 0, keepdims: bool = False
    ) -> Any:
        """Standard deviation."""
        return self._reduce("std", x, axis, keepdims, correction=float(correction))

    def cumulative_sum(
        self,
        x: Any,
        /,
        *,
        axis: int | None = None,
        dtype: DType | None = None,
        include_initial: bool = False,
    ) -> Any:
        """Sums of the first entries along an axis."""
        if axis is None and x.ndim != 1:
            raise XpnnValueError(f"{self.__name__}.cumulative_sum: expected an axis")
        axis = 0 if axis is None else axis
        check_operands(self, "cumulative_sum", (x,), {})
        slices = slices_of(f"{self.__name__}.cumulative_sum", axis, tuple(x.shape))
        if self._are_integers(x) and (dtype is None or dtype_name(dtype) not in FLOATS):
            a, to = self._to_add_up("cumulative_sum", x, dtype, x.shape[axis])
            y = self.native_namespace.cumulative_sum(a, axis=axis, dtype=a.dtype)
            y = self._result(self.native_namespace.astype(y, to), (x,))
        else:
            x = x if dtype is None else self.astype(x, dtype)
            y = self._call("cumulative_sum", x, axes=slices.axes)
        if include_initial:
            shape = tuple(1 if i == axis % y.ndim else n for i, n in enumerate(y.shape))
            first = self.zeros(shape, dtype=y.dtype, device=device_of(y))
            y = self.concat([first, y], axis=axis)
        return y

    def matmul(self, x1: Any, x2: Any, /) -> Any:
        """Matrix product: each entry an exact sum of products on a grid, rounded once."""
        if not (self._is_array(x1) and self._is_array(x2)):
            raise XpnnTypeError(
                f"{self.__name__}.matmul: expected two arrays, got {x1!r} and {x2!r}"
            )
        check_operands(self, "matmul", (x1, x2), {})
        if self._are_integers(x1, x2):
            y = self.native_namespace.matmul(self._native_of(x1), self._native_of(x2))
            return self._result(y, (x1, x2))
        if 0 in (x1.ndim, x2.ndim) or x1.shape[-1] != x2.shape[max(x2.ndim - 2, 0)]:
            raise XpnnValueError(
                f"{self.__name__}.matmul: expected x1 of shape (..., M, K) and x2 of shape "
                f"(..., K, N), got shapes {tuple(x1.shape)} and {tuple(x2.shape)}"
            )
        a = x1[None, :] if x1.ndim == 1 else x1
        b = x2[:, None] if x2.ndim == 1 else x2
        y = None
        if isinstance(a, self.Array) and isinstance(b, self.Array):
            y = self.multiply_remembering(a, b)
        y = self._call("matmul", a, b) if y is None else self.Array(y)
        if x2.ndim == 1:
            y = y[..., 0]
        return y[..., 0] if x1.ndim == 1 and x2.ndim == 1 else y[..., 0, :] if x1.ndim == 1 else y

    def vecdot(self, x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
        """Sum of products along an axis, as `matmul`."""
        x1, x2 = (self.moveaxis(x, axis, -1) for x in (x1, x2))
        return self.matmul(x1[..., None, :], x2[..., None])[..., 0, 0]

    def tensordot(self, x1: Any, x2: Any, /, *, axes: Any = 2) -> Any:
        """Sum of products over axes of both, as `matmul`."""
        if isinstance(axes, int):
            first, second = tuple(range(x1.ndim - axes, x1.ndim)), tuple(range(axes))
        else:
            first, second = (
                tuple(i % x.ndim for i in a) for a, x in zip(axes, (x1, x2), strict=True)
            )
        rest1 = [i for i in range(x1.ndim) if i not in first]
        rest2 = [i for i in range(x2.ndim) if i not in second]
        k = math.prod([x1.shape[i] for i in first])
        shape = tuple(x1.shape[i] for i in rest1) + tuple(x2.shape[i] for i in rest2)
        m = math.prod([x1.shape[i] for i in rest1])
        n = math.prod([x2.shape[i] for i in rest2])
        a = self.reshape(self.permute_dims(x1, (*rest1, *first)), (m, k))
        b = self.reshape(self.permute_dims(x2, (*second, *rest2)), (k, n))
        return self.reshape(self.matmul(a, b), shape)

    # Functions of the standard whose ties or order libraries settle differently

    def _first(self, x: Any, axis: int | None, keepdims: bool, largest: bool) -> Any:
        check_operands(self, "argmax", (x,), {"axis": axis})
        xp = self.native_namespace
        a = self._native_of(x)
        if axis is None:
            y = self._first(self.reshape(x, (-1,)), 0, False, largest)
            return self.reshape(y, (1,) * x.ndim) if keepdims else y
        best = (xp.max if largest else xp.min)(a, axis=axis, keepdims=True)
        found = (a == best) | (a != a)
        shape = [1] * a.ndim
        n = shape[axis] = a.shape[axis]
        index = xp.reshape(xp.arange(n, device=device_of(a)), tuple(shape))
        y = xp.min(xp.where(found, index, n), axis=axis, keepdims=keepdims)
        return self._result(y, (x,))

    def argmax(self, x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
        """Index of the first largest entry, or of the first NaN."""
        return self._first(x, axis, keepdims, largest=True)

    def argmin(self, x: Any, /, *, axis: int | None = None, keepdims: bool = False) -> Any:
        """Index of the first smallest entry, or of the first NaN."""
        return self._first(x, axis, keepdims, largest=False)
