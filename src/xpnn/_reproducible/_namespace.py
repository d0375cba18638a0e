"""The namespace that `reproducible` gives: the standard's functions, the same bits everywhere."""

import ast
import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnn import _pytree
from xpnn._arrays import Library, device_of, library
from xpnn._axes import Slices, slices_of
from xpnn._compilers import Rule, compiler_of
from xpnn._dtypes import FLOATS, INTEGERS, computing_float, dtype_name
from xpnn._reproducible._array import ReproducibleArray
from xpnn._reproducible._double import LEAST_DOUBLE, LEAST_SINGLE
from xpnn._reproducible._exact import split_right
from xpnn._reproducible._functions import ELEMENTWISE
from xpnn._reproducible._kept import kept, native
from xpnn._reproducible._kernels import KERNELS
from xpnn._reproducible._rules import RULES
from xpnn._transfer import check_dtype, to_device
from xpnn._types import Array, Device, DType, Namespace
from xpnn.errors import NotReproducibleError, XpnnTypeError, XpnnValueError

# Handed through to the library: moves, compares, selects or counts, and rounds nothing.
_EXACT = frozenset(
    """
    abs all any argsort bitwise_and bitwise_invert bitwise_left_shift bitwise_or
    bitwise_right_shift bitwise_xor broadcast_arrays broadcast_to clip concat count_nonzero
    equal expand_dims flip greater greater_equal isfinite isin isinf isnan less less_equal
    logical_and logical_not logical_or logical_xor matrix_transpose max maximum meshgrid min
    minimum moveaxis nonzero not_equal permute_dims positive repeat reshape roll searchsorted
    sign signbit sort squeeze stack take take_along_axis tile tril triu unique_all
    unique_counts unique_inverse unique_values unstack where
    """.split()
)
# The same, but a result may be -0, which becomes 0.
_EXACT_BUT_ZERO = frozenset(["ceil", "floor", "round", "trunc"])
_CREATION = frozenset(
    "arange empty empty_like eye full full_like ones ones_like zeros zeros_like".split()
)
_PLAIN = frozenset("broadcast_shapes can_cast isdtype finfo iinfo result_type".split())
_DTYPES = frozenset(["bool", *INTEGERS, *FLOATS, "complex64", "complex128"])
_SMALLEST = {"float16": 2.0**-14, "bfloat16": LEAST_SINGLE, "float32": LEAST_SINGLE}


class ReproducibleNamespace:
    """An Array API namespace over `native`; see `reproducible`."""

    def __init__(self, of: Library) -> None:
        self.of = of
        self.native_namespace = of.xp
        self.__name__ = f"xpnn.reproducible({of.name})"
        self.__xpnn_library__ = Library(self, of.guard, self)
        self.Array = type("ReproducibleArray", (ReproducibleArray,), {"_namespace": self})
        self._compiler = compiler_of(of.xp)
        _pytree.register(
            _pytree.Node(
                self.Array,
                ("_native",),
                lambda x: ((x._native,), None),  # noqa: SLF001
                lambda _, children: self.Array(children[0]),
            )
        )
        self._operator: Any = self._compiler.operator(self._rule_of)
        self._made: dict[tuple[Any, ...], Callable[..., Array]] = {}
        self._rules: dict[str, Rule] = {}
        for name in ELEMENTWISE:
            setattr(self, name, self._function_of_one(name))
        self.pi, self.e, self.inf, self.nan, self.newaxis = math.pi, math.e, math.inf, math.nan, None

    def __repr__(self) -> str:
        return self.__name__

    def __reduce__(self) -> tuple[Any, ...]:
        from xpnn._reproducible import reproducible

        return reproducible, (self.native_namespace,)

    def __array_namespace_info__(self) -> Any:
        return self.native_namespace.__array_namespace_info__()

    @property
    def __array_api_version__(self) -> str:
        return str(getattr(self.native_namespace, "__array_api_version__", "2024.12"))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in {"of", "native_namespace"}:
            raise AttributeError(name)
        found = getattr(self.native_namespace, name, None)
        if name in _EXACT or name in _EXACT_BUT_ZERO:
            value = self._passed_through(found, clean=name in _EXACT_BUT_ZERO)
        elif name in _CREATION:
            value = self._creation(found)
        elif name in _PLAIN:
            value = self._plain(found)
        elif name in _DTYPES and found is not None:
            value = found
        else:
            raise NotReproducibleError(
                f"{name} has no definition in {self.__name__} that would give the same bits on "
                "every library; write it with functions that are there, or leave the "
                "reproducible way for it: x.native is the library's own array"
            )
        setattr(self, name, value)
        return value

    # Arrays in and out

    def takes(self, value: Any) -> bool:
        """Whether an operator of an array of this namespace takes `value`."""
        return isinstance(value, bool | int | float) or self._is_array(value)

    def _is_array(self, value: Any) -> bool:
        return isinstance(value, self.Array) or self._is_native(value)

    def _is_native(self, value: Any) -> bool:
        if isinstance(value, ReproducibleArray | type) or not hasattr(value, "dtype"):
            return False
        return library(value, "an argument", self.__name__).xp is self.native_namespace

    def wrap(self, x: Array) -> ReproducibleArray:
        """Take an array of the library; its subnormal numbers and -0 become 0."""
        if isinstance(x, ReproducibleArray):
            if not isinstance(x, self.Array):
                raise XpnnTypeError(
                    f"{self.__name__}: expected arrays of one library, got one of "
                    f"{type(x)._namespace.__name__}; convert it, e.g. asarray(x.native)"  # noqa: SLF001
                )
            return x
        name = dtype_name(x.dtype)
        if name in FLOATS:
            x = self._run("clean", name, [x], {})
        elif name.startswith("complex"):
            raise XpnnTypeError(f"{self.__name__}: expected real values, got dtype {name}")
        return self.Array(x)

    def unwrap(self, x: ReproducibleArray) -> Array:
        """Give the library's own array, with NaN of one kind."""
        y = x._native  # noqa: SLF001
        if dtype_name(y.dtype) not in FLOATS:
            return y
        return self.native_namespace.where(y == y, y, math.nan)  # noqa: PLR0124

    def _clean(self, x: Array) -> Array:
        """Make subnormal numbers and -0 of a floating array 0."""
        least = _SMALLEST.get(dtype_name(x.dtype), LEAST_DOUBLE)
        xp = self.native_namespace
        # What is neither as large as the least normal number nor NaN.
        return xp.where((xp.abs(x) >= least) | (x != x), x, 0.0)  # noqa: PLR0124

    def index(self, key: Any) -> Any:
        """Return an index with the library's arrays in place of those of this namespace."""
        if isinstance(key, tuple):
            return tuple(self.index(k) for k in key)
        return key._native if isinstance(key, ReproducibleArray) else key  # noqa: SLF001

    def _native_of(self, x: Any, like: Sequence[Any] = ()) -> Any:
        if isinstance(x, ReproducibleArray) or self._is_native(x):
            return self.wrap(x)._native  # noqa: SLF001
        if isinstance(x, float):
            double = any(dtype_name(a.dtype) == "float64" for a in like)
            return 0.0 if abs(x) < (LEAST_DOUBLE if double else LEAST_SINGLE) else x
        if isinstance(x, list | tuple):
            return type(x)(self._native_of(v) for v in x)
        return x

    def _result(self, y: Any, given: Sequence[Any]) -> Any:
        """Wrap results, unless only arrays of the library itself were given."""
        wrapped = any(_holds(v, ReproducibleArray) for v in given) or not any(
            _holds_native(self, v) for v in given
        )
        return self._wrapped(y, wrapped)

    def _wrapped(self, y: Any, wrapped: bool) -> Any:
        if isinstance(y, tuple) and hasattr(y, "_fields"):
            return type(y)(*(self._wrapped(v, wrapped) for v in y))
        if isinstance(y, list | tuple):
            return type(y)(self._wrapped(v, wrapped) for v in y)
        if not hasattr(y, "dtype"):
            return y
        return self.Array(y) if wrapped else self.unwrap(self.Array(y))

    rounded_once = frozenset({"linear", *ELEMENTWISE})
    """The formulas that are not computed in binary64 and then rounded, but here as they stand."""

    def run(self, formula: Callable[..., Any], given: Sequence[Array | None]) -> Any:
        """Return formula(*given) on arrays of this namespace; arrays of the library in, and out."""
        natives = [None if a is None else self.wrap(a)._native for a in given]  # noqa: SLF001

        def whole(*natives: Array | None) -> Any:
            y = formula(*(None if a is None else self.Array(a) for a in natives))
            return tuple(v._native for v in y) if isinstance(y, tuple) else y._native  # noqa: SLF001

        y = self._compiler.as_one(whole)(*natives)
        return self._wrapped(y, any(isinstance(a, ReproducibleArray) for a in given))

    # Functions that are handed through

    def _passed_through(self, found: Callable[..., Any], *, clean: bool) -> Callable[..., Any]:
        def function(*args: Any, **options: Any) -> Any:
            given = [*args, *options.values()]
            arrays = [a for a in given if hasattr(a, "dtype") and hasattr(a, "shape")]
            y = found(
                *(self._native_of(a, arrays) for a in args),
                **{k: self._native_of(v, arrays) for k, v in options.items()},
            )
            if clean and dtype_name(y.dtype) in FLOATS:
                y = self.native_namespace.where(y == 0, 0.0, y)
            return self._result(y, given)

        function.__name__ = getattr(found, "__name__", "function")
        return function

    def _creation(self, found: Callable[..., Any]) -> Callable[..., Any]:
        def function(*args: Any, **options: Any) -> Any:
            self._check_dtype(options.get("dtype"))
            args = tuple(self._native_of(a) for a in args)
            return self.wrap(found(*args, **options))

        return function

    def _plain(self, found: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **options: found(*(self._native_of(a) for a in args), **options)

    def _check_dtype(self, dtype: DType | None) -> None:
        if dtype is not None:
            check_dtype(self.of, dtype_name(dtype))

    def asarray(
        self,
        obj: Any,
        /,
        *,
        dtype: DType | None = None,
        device: Device | None = None,
        copy: bool | None = None,
    ) -> ReproducibleArray:
        """Return an array of this namespace; subnormal numbers and -0 become 0."""
        self._check_dtype(dtype)
        if isinstance(obj, ReproducibleArray) or self._is_native(obj):
            x = self.wrap(obj)
            if device is not None and device != device_of(x):
                x = self.to_device(x, device)
            if dtype is not None and dtype != x.dtype:
                return self.astype(x, dtype)  # type: ignore[no-any-return]
            return self.Array(self.native_namespace.asarray(x._native, copy=True)) if copy else x  # noqa: SLF001
        if isinstance(obj, list | tuple):
            obj = _unwrapped(obj)
        made = self.native_namespace.asarray(obj, dtype=dtype, device=device, copy=copy)
        return self.wrap(made)

    def to_device(self, x: ReproducibleArray, device: Device) -> ReproducibleArray:
        """Move to another device of the library."""
        return self.Array(to_device(x._native, device))  # noqa: SLF001

    # Functions that are computed here

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        """Compute a kernel on arrays of one dtype."""
        arrays = self._of_one_dtype(name, args)
        natives = [a._native for a in arrays]  # noqa: SLF001
        return self._result(self._run(name, dtype_name(natives[0].dtype), natives, options), args)

    def _run(
        self, name: str, dtype: str, natives: Sequence[Array], options: dict[str, Any]
    ) -> Array:
        if self._compiler.is_at_work():
            plain = {k: tuple(v) if isinstance(v, tuple) else v for k, v in options.items()}
            return self._operator(list(natives), f"{name} {dtype} {plain}")
        key = (name, dtype, *options.items())
        if key not in self._made:
            self._made[key] = self._compiler.with_rule(self._rule(name, dtype, options))
        return self._made[key](*natives)

    def _rule_of(self, text: str) -> Rule:
        """Return the rule that a compiler's operator knows by its text; see `_run`."""
        if text not in self._rules:
            name, dtype, plain = text.split(" ", 2)
            options = ast.literal_eval(plain)
            if "slices" in options:
                options["slices"] = Slices(*options["slices"])
            self._rules[text] = self._rule(name, dtype, options)
        return self._rules[text]

    def _rule(self, name: str, dtype: str, options: dict[str, Any]) -> Rule:
        """Return a kernel for arrays of a dtype, with its derivatives."""
        known = {"axes" if k == "slices" else k: v.axes if k == "slices" else v for k, v in options.items()}

        def forward(*natives: Array) -> Array:
            return self._compute(name, dtype, natives, options)

        def backward(g: Array, *saved: Array) -> tuple[Array, ...]:
            wrapped = [self.wrap(a) for a in (g, *saved)]
            with self.of.guard(dtype):
                gradients = RULES[name](self, *wrapped, **known)
            return tuple(d._native for d in gradients)  # noqa: SLF001

        def like(*natives: Array) -> Array:
            return _STAND_INS.get(name, _broadcast)(self.native_namespace, *natives, **known)

        return Rule(forward, backward, like)

    def _compute(
        self, name: str, dtype: str, natives: Sequence[Array], options: dict[str, Any]
    ) -> Array:
        xp = self.native_namespace
        if name in _NO_ARITHMETIC:
            with self.of.guard("float64"):
                return getattr(self, _NO_ARITHMETIC[name])(*natives, **options)
        single = dtype != "float64"
        with self.of.guard("float64"):
            if single:
                natives = [xp.astype(a, xp.float64) for a in natives]
            kxp, arrays = kept(xp, self._compiler.keep, natives)
            y = native(KERNELS[name](*arrays, single, kxp, **options))
            return y if computing_float(dtype) == dtype else self._to_low(y, dtype)

    def _to_dtype(self, x: Array, to: str) -> Array:
        xp = self.native_namespace
        if to == "float64":
            return xp.astype(x, xp.float64)
        y = xp.astype(xp.where(xp.abs(x) < LEAST_SINGLE, 0.0, x), xp.float32)
        return y if to == "float32" else self._to_low(y, to)

    def _negative(self, x: Array) -> Array:
        return self.native_namespace.where(x == 0, 0.0, -x)

    def _to_low(self, y: Array, dtype: str) -> Array:
        """Round binary32 to a dtype of 16 bits; numbers below its least normal one are 0."""
        xp = self.native_namespace
        return self._clean(xp.astype(y, getattr(xp, dtype)))

    def _of_one_dtype(self, name: str, args: Sequence[Any]) -> list[ReproducibleArray]:
        """Wrap arrays and Python numbers, as the dtype that they promote to."""
        arrays = [self.wrap(a) for a in args if self._is_array(a)]
        if not arrays:
            raise XpnnTypeError(
                f"{self.__name__}.{name}: expected an array, got {type(args[0]).__qualname__}; "
                "make one with asarray"
            )
        if len({a.dtype for a in arrays}) == 1:
            dtype = arrays[0].dtype
        else:
            dtype = self.native_namespace.result_type(*(a._native for a in arrays))  # noqa: SLF001
        if dtype_name(dtype) not in FLOATS:
            raise XpnnTypeError(
                f"{self.__name__}.{name}: expected floating values, got dtype {dtype_name(dtype)}; "
                "convert them with astype"
            )
        rest = iter(arrays)
        device = device_of(arrays[0])
        result = []
        for a in args:
            x = next(rest) if self._is_array(a) else self.asarray(a, dtype=dtype, device=device)
            result.append(x if x.dtype == dtype else self.astype(x, dtype))
        return result

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
        if self._are_integers(x):
            return self._result(self.native_namespace.negative(self._native_of(x)), (x,))
        return self._call("negative", x)

    def reciprocal(self, x: Any, /) -> Any:
        """1 / x, correctly rounded."""
        return self._call("divide", 1.0, x)

    def square(self, x: Any, /) -> Any:
        """x * x."""
        return self.multiply(x, x)

    def pow(self, x1: Any, x2: Any, /) -> Any:
        """x1**x2 for an integer x2, of Python, or 1/2."""
        if isinstance(x2, float) and x2 == 0.5:
            return self.sqrt(x1)
        if not isinstance(x2, int | float) or x2 != int(x2):
            raise NotReproducibleError(
                f"{self.__name__}.pow: expected an integer exponent, or 0.5, as a Python number, "
                f"got {x2!r}; for x1 > 0 write exp(x2 * log(x1))"
            )
        if self._are_integers(x1, x2):
            return self._result(self.native_namespace.pow(self._native_of(x1), x2), (x1,))
        return self._call("power", x1, n=int(x2))

    def astype(self, x: Any, dtype: DType, /, *, copy: bool = True, device: Any = None) -> Any:
        """Convert, rounding once; to integers, NaN becomes 0 and what is too large the largest."""
        xp, wrapped = self.native_namespace, self.wrap(x)
        if device is not None:
            wrapped = self.to_device(wrapped, device)
        source, name = dtype_name(wrapped.dtype), dtype_name(dtype)
        if source == name:
            return self._result(wrapped._native, (x,))  # noqa: SLF001
        with self.of.guard("float64"):
            if source in FLOATS and name not in FLOATS and name != "bool":
                y = self._to_integer(wrapped._native, dtype)  # noqa: SLF001
            elif FLOATS.get(name, 0) and source in FLOATS:
                y = self._run("astype", source, [wrapped._native], {"to": name})  # noqa: SLF001
            else:
                y = xp.astype(wrapped._native, dtype)  # noqa: SLF001
        return self._result(y, (x,))

    def _to_integer(self, x: Array, dtype: DType) -> Array:
        xp = self.native_namespace
        limits = xp.iinfo(dtype)
        # The largest integer of 64 bits is no number of binary64; the one below it that is.
        largest = float(limits.max) if limits.bits <= 32 else limits.max - limits.max % 1024 - 0
        y = xp.where(xp.isnan(x), 0.0, xp.astype(x, xp.float64))
        return xp.astype(xp.trunc(xp.clip(y, float(limits.min), float(largest))), dtype)

    # Sums and products

    def _reduce(self, name: str, x: Any, axis: Any, keepdims: bool, **options: Any) -> Any:
        slices = slices_of(f"{self.__name__}.{name}", axis, tuple(x.shape))
        y = self._call(name, x, slices=slices, **options)
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
        if self._are_integers(x) and (dtype is None or dtype_name(dtype) not in FLOATS):
            y = self.native_namespace.sum(
                self._native_of(x), axis=axis, dtype=dtype, keepdims=keepdims
            )
            return self._result(y, (x,))
        x = x if dtype is None else self.astype(x, dtype)
        return self._reduce("sum", x, axis, keepdims)

    def mean(self, x: Any, /, *, axis: Any = None, keepdims: bool = False) -> Any:
        """Mean."""
        return self._reduce("mean", x, axis, keepdims)

    def var(
        self, x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
    ) -> Any:
        """Variance."""
        return self._reduce("var", x, axis, keepdims, correction=float(correction))

    def std(
        self, x: Any, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
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
        if self._are_integers(x) and (dtype is None or dtype_name(dtype) not in FLOATS):
            y = self.native_namespace.cumulative_sum(self._native_of(x), axis=axis, dtype=dtype)
            y = self._result(y, (x,))
        else:
            x = x if dtype is None else self.astype(x, dtype)
            slices = slices_of(f"{self.__name__}.cumulative_sum", axis, tuple(x.shape))
            y = self._call("cumulative_sum", x, slices=slices)
        if include_initial:
            shape = tuple(1 if i == axis % y.ndim else n for i, n in enumerate(y.shape))
            first = self.zeros(shape, dtype=y.dtype, device=device_of(y))
            y = self.concat([first, y], axis=axis)
        return y

    def matmul(self, x1: Any, x2: Any, /) -> Any:
        """Matrix product: each entry an exact sum of products on a grid, rounded once."""
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
        y = self._call("matmul", a, b)
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
            first, second = (tuple(i % x.ndim for i in a) for a, x in zip(axes, (x1, x2), strict=True))
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
        xp = self.native_namespace
        a = self._native_of(x)
        if axis is None:
            y = self._first(self.reshape(x, (-1,)), 0, False, largest)
            return self.reshape(y, (1,) * x.ndim) if keepdims else y
        best = (xp.max if largest else xp.min)(a, axis=axis, keepdims=True)
        found = (a == best) | (a != a)  # noqa: PLR0124
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


def _broadcast(xp: Namespace, *arrays: Array, **_: Any) -> Array:
    return xp.broadcast_arrays(*arrays)[0]


# Kernels that only move or select, with rules of their own: clean has derivative 1 at 0.
_NO_ARITHMETIC = {"astype": "_to_dtype", "clean": "_clean", "negative": "_negative"}

# Of a kernel's result, the shape: from the library's own function of the same meaning.
_STAND_INS: dict[str, Callable[..., Array]] = {
    "matmul": lambda xp, a, b: xp.matmul(a, b),
    "astype": lambda xp, x, to: xp.astype(x, getattr(xp, to)),
    **dict.fromkeys(
        ("sum", "mean", "var", "std"), lambda xp, x, axes, **_: xp.sum(x, axis=axes) if axes else x
    ),
}


def _holds(value: Any, kind: type) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds(v, kind) for v in value)
    return isinstance(value, kind)


def _holds_native(xp: ReproducibleNamespace, value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_native(xp, v) for v in value)
    return xp._is_native(value)  # noqa: SLF001


def _unwrapped(obj: Any) -> Any:
    if isinstance(obj, list | tuple):
        return [_unwrapped(v) for v in obj]
    return obj._native if isinstance(obj, ReproducibleArray) else obj  # noqa: SLF001
