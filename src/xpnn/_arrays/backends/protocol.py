"""The protocol: all that xpnn asks of an array library beside the functions of the standard.

`Library` has an answer for each question that is right where a library does nothing of its own: it
calls its functions one by one, as they are written. An adapter overrides what its library does
otherwise. Adapters import nothing of xpnn but each other.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple, TypeAlias, TypeVar

import numpy as np

Array: TypeAlias = Any
"""An array of any library that follows the Array API standard."""
Namespace: TypeAlias = Any
"""The module of functions that goes with an array: `array_api_compat.array_namespace(x)`."""
DType: TypeAlias = Any
Device: TypeAlias = Any
Values: TypeAlias = np.ndarray[Any, Any]
"""An array of NumPy."""

Function = Callable[..., Any]
Axes = Sequence[int]
"""The axes of an array by numbers; arrays that share one have the same length there, or 1."""
T = TypeVar("T")


class Differentiable(NamedTuple):
    """A function of arrays and its derivatives."""

    f: Function
    backward: Function
    """`backward(g, y, *arrays)`: derivatives with respect to the arrays, a tuple."""
    abstract_value: Function
    """`abstract_value(*arrays)`: some array of the shape and dtype of f's result."""
    no_forward_mode: Callable[[], Exception]
    """Makes what is raised where derivatives by forward mode are asked for."""


def always(*_: Array | None, **__: object) -> bool:
    """Say yes."""
    return True


_MOST = {"float32": 2.0**126, "float64": 2.0**1022}
"""Numbers whose reciprocals are the smallest normal ones."""


class Kernel(NamedTuple):
    """A library's own function in the place of one of xpnn's formulas, in the fast way alone.

    Where it is within the error bound, has the formula's values at NaN, infinities and in slices without
    an answer, and derivatives that are finite and as right: `tests/execution/test_kernels.py`.
    """

    compute: Callable[..., Array]
    """`compute(*arrays, **options)`, as the public function takes them."""
    fits: Callable[..., bool] = always
    """Whether it does for these arrays and options."""
    dtypes: tuple[str, ...] = ("float32", "float64")
    """The dtypes for which it does."""

    def takes(self, dtype: str, options: Mapping[str, Any]) -> bool:
        """Whether it does for a dtype in whose range options are, and their reciprocals."""
        most = _MOST[dtype]
        sizes = [abs(v) for v in options.values() if type(v) is float and v != 0]
        return dtype in self.dtypes and all(1 / most <= size <= most for size in sizes)


class Node(NamedTuple):
    """A class that holds arrays (its children, by name), and what does not change (the rest)."""

    cls: type
    children: tuple[str, ...]
    flatten: Callable[[Any], tuple[tuple[Any, ...], Any]]
    unflatten: Callable[[Any, tuple[Any, ...]], Any]


class Library:
    """An array library: its namespace, and what it does in its own way."""

    xp: Namespace
    """The standard's functions on its arrays."""
    name: str
    """The name that a person knows it by, such as `numpy` or `jax.numpy`."""

    def __init__(self, xp: Namespace) -> None:
        self.xp = xp
        self.name = str(xp.__name__).removeprefix("array_api_compat.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"

    # Which arrays are its own

    def refusal(self, x: Array) -> str | None:
        """Return why an array of this library cannot be taken, and what mends it; None if it can."""
        return None

    @property
    def raw(self) -> "Library":
        """The library that the memory belongs to: another one below a namespace that wraps arrays."""
        return self

    def over(self, below: "Library") -> "Library":
        """Return the library of this kind over another one: that itself, where nothing wraps arrays."""
        return below

    def enter(self, x: Array) -> Array:
        """Return an array of this library or of `raw` as one of this library."""
        return x

    def leave(self, y: Array, given: Array) -> Array:
        """Return an array of this library as one of the kind of `given`."""
        return y

    def to_raw(self, x: Array) -> Array:
        """Return an array of this library or of `raw` as one of `raw`."""
        return x

    def returned(self, y: Array) -> Array:
        """Return a result as the library's own functions give one."""
        return y

    def of_parts(
        self,
        f: Function,
        axes: tuple[int, ...],
        like: Array,
        refuse: Callable[[str], Exception],
        *,
        alike: bool = True,
    ) -> Function:
        """Return f for arrays like one of which each of several processes has a part; f for others.

        It calls f with this process's part, which must be whole along `axes`; what `refuse` makes is
        raised where it is not. Other arrays must be parted in the same way, or, unless `alike`, not at all.
        """
        return f

    # Devices and dtypes

    more_dtypes: ClassVar[str] = ""
    """Where dtypes come from that the library itself lacks, as the end of an error."""

    def device_of(self, x: Array) -> Device | None:
        """Return the device of an array, or what else says where those go that are to be with it; None for anywhere."""
        return getattr(x, "device", None)

    def beside(self, x: Array) -> Device | None:
        """Return the device for a constant in one operation with an array; None where it may be anywhere."""
        return self.device_of(x)

    def place_of(self, x: Array) -> str:
        """Return where an array lies, for people."""
        return str(self.device_of(x))

    def meet(self, x: Array, y: Array) -> bool:
        """Whether two arrays lie where one call may take them."""
        here, there = self.device_of(x), self.device_of(y)
        return here is None or there is None or here == there

    def find_device(self, name: Any) -> Device:
        """Return a device by its name; an error of the library's own if it is not there."""
        raise NotImplementedError

    def to_device(self, x: Array, device: Device) -> Array:
        """Move an array to another device."""
        raise NotImplementedError

    def lacks(self, dtype: str) -> str | None:
        """Return why arrays of a dtype that the library has cannot be made now; None if they can."""
        return None

    def has_64_bits(self) -> bool:
        """Whether there are integers and floating values of 64 bits now."""
        return True

    def enable_64_bits(self) -> None:
        """Switch 64-bit types on for the whole program."""

    # Values from and to NumPy

    def to_numpy(self, x: Array) -> Any:
        """Return what NumPy makes an array of: off any device and any gradient's record."""
        return x

    def from_numpy(self, values: Values, dtype: str, device: Device | None) -> Array:
        """Copy an array of NumPy, as a dtype of the standard's."""
        return self.xp.asarray(values, dtype=getattr(self.xp, dtype), device=device)

    def from_numpy_like(self, values: Values, rows: Array) -> Array:
        """Copy an array of NumPy that holds something for each row to where the rows are."""
        return self.from_numpy(values, values.dtype.name, self.device_of(rows))

    def to_host(self, x: Array) -> Values | None:
        """Return the same memory as an array of NumPy.

        Only where its values are known and nobody sees that NumPy computes in the library's stead.
        """
        return None

    def from_host(self, values: Values) -> Array:
        """Return the same memory as an array of the library; the opposite of `to_host`."""
        return values

    def analysed_on_host(self, arrays: list[Array]) -> list[Values] | None:
        """Return the values of arrays where NumPy is to analyse them in the library's stead."""
        return None

    # What is known while others are at work: compilers, transforms, modes, the record of derivatives

    def is_known(self, x: Array) -> bool:
        """Whether the values of an array can be looked at now, and what is made of them be kept."""
        return True

    def is_traced(self, x: Array) -> bool:
        """Whether a compiler, a transform or the record of derivatives is at work on an array."""
        return False

    def sees_no_values(self) -> bool:
        """Whether something stands in for all values now, so that `operator` is to be called."""
        return False

    def lastingly(self, make: Callable[[], T], dtype: str) -> T:
        """Return make(), arrays that may be used later, by whoever: outside any trace or mode."""
        return make()

    def mark_constant(self, x: Array) -> None:
        """Tell the compiler that no shape of an array varies with the input."""

    # How formulas run

    def guard(self, dtype: str) -> AbstractContextManager[Any]:
        """Return what goes around a formula that computes in a dtype."""
        return nullcontext()

    def exactly(self, dtype: str) -> AbstractContextManager[Any]:
        """Return what goes around a formula that must be computed as it is written."""
        return self.guard(dtype)

    def check_default_float(self, function: str) -> None:
        """Raise an error where it depends on settings what floating dtype integers become."""

    def computing(self, function: str, dtype: str) -> str:
        """Return the dtype to compute a function in, whose arguments ask for `dtype`."""
        return dtype

    def gathered(self, x: Array, axes: tuple[int, ...]) -> Array:
        """Return x whole along axes, counted from the end: each device has all of them."""
        return x

    def around(self, f: Function) -> Function:
        """Return f, written for arrays of this library, for what callers may give."""
        return f

    def plan_rows(self, formula: Any, constants: Any, *, lasting: bool) -> Function | None:
        """Return a function of x that is formula(library, constants, x), whose rows depend on those of x.

        None where the library has no way of its own for that. `constants` is a tree of arrays;
        whether they stay as they are says `lasting`.
        """
        return None

    in_chunks: ClassVar[bool] = False
    """Whether arrays come in chunks, so that functions are computed chunk by chunk, by `by_chunks`."""

    def is_cut(self, x: Array, axes: Collection[int]) -> bool:
        """Whether there are several chunks along one of the axes."""
        return False

    def is_full(self, x: Array) -> bool:
        """Whether it is known of every chunk how long it is, and that it is not empty."""
        return True

    def by_chunks(
        self,
        f: Function,
        result: Axes,
        *given: tuple[Array, Axes],
        whole: Collection[int] = (),
        exact: bool = False,
        name: str = "xpnn",
        shared: Any = None,
    ) -> Any:
        """Return f of each chunk, or f(shared, *chunks), as an array in chunks or a tuple of them.

        `result` has the axes of the result, others are new; there is one chunk along those that are
        `whole`. f is tried on no rows, whose `whole` axes are as long as they are if that is `exact`.
        """
        raise NotImplementedError

    compiles: ClassVar[bool] = False
    """Whether formulas run faster compiled, by `compile` and `compile_rows`."""

    def compile(self, f: Function, dtype: str) -> Function:
        """Compile f, which computes in a dtype; it is a part of what is traced already."""
        return f

    def compile_anew(self, f: Function, **options: Any) -> Function | None:
        """Compile f as a user would, for a test of it; None where there is no such compiler."""
        return None

    def adds_in_pairs(self, x: Array, axis: int) -> bool:
        """Whether its own sum adds in pairs, in lanes or exactly, and not one term after the other."""
        raise NotImplementedError

    kernels: Mapping[str, Kernel] = {}
    """By the name of the function that they compute."""

    def matmul_of_integers(self, a: Array, b: Array) -> Array:
        """Return the product of integer matrices, in their dtype."""
        return self.xp.matmul(a, b)

    # What the same bits need

    rearranges: ClassVar[bool] = False
    """Whether its compiler changes what is written, so that operations need `barrier`."""

    def barrier(self, x: Array) -> Array:
        """Return x behind what leaves the operation that made it as it is written."""
        return x

    def loop(
        self, f: Function, y: Any, start: int, stop: int, parts: list[tuple[Array, int, int]]
    ) -> Any:
        """Return y after y = f(y, *one) for step after step, as a loop of the compiler's.

        `parts` are arrays, how many entries a step takes, and along which axis.
        """
        raise NotImplementedError

    def step(self, f: Function) -> Function:
        """Make one step of a function of arrays."""
        return f

    def with_vjp(self, rule: Differentiable) -> Function:
        """Make a function of a rule's f that has its derivatives."""
        return rule.f

    def operator(self, rule_of: Callable[[str], Differentiable]) -> Function | None:
        """Make `operator(arrays, text)`, the function of the rule that a text stands for.

        A compiler at work calls it and does not look into it. None where no compiler is like that.
        """
        return None

    def opaque(self, f: Function) -> Function:
        """Make one step of a function that computes in binary64, so that no such array leaves it."""
        return f

    def map_tiles(self, f: Function, x: Array, size: int) -> Array:
        """Return f(x), which takes row by row, computed for `size` rows at a time."""
        return f(x)

    def compile_rows(self, f: Function, size: int) -> Function:
        """Compile f(constants, x), whose rows depend on those of x alone.

        About `size` elements of x are computed at a time.
        """
        return f

    def item(self, x: Array, key: Any) -> Array:
        """Return x[key].

        Where a compiler knows no values of key, what is beyond x is NaN or, of integers, the least.
        """
        return x[key]

    # Trees of arrays

    @staticmethod
    def register_pytree(node: Node) -> None:
        """Make a class a tree of arrays for the library's transforms."""
