"""Kernels run on the arrays of a library, and whole formulas of rows."""

import ast
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from xpnn._arrays import pytree
from xpnn._arrays.axes import Slices
from xpnn._arrays.backends.protocol import Differentiable, Library, Node
from xpnn._arrays.dtypes import computing_float, dtype_name, dtype_named
from xpnn._arrays.library import device_of, library_of_namespace, remember
from xpnn._arrays.transfer import to_numpy
from xpnn._arrays.types import Array, Namespace
from xpnn._execution import tuning
from xpnn._execution.plans import PlanCache
from xpnn._execution.recorder import namespace as recording
from xpnn._execution.tiles import Tiled
from xpnn._reproducible.adapter import ReproducibleLibrary
from xpnn._reproducible.arithmetic.barrier import barriered, native
from xpnn._reproducible.arithmetic.double import LEAST_SINGLE
from xpnn._reproducible.arithmetic.elementwise import ELEMENTWISE
from xpnn._reproducible.arithmetic.exact import split_right
from xpnn._reproducible.arithmetic.reductions import KERNELS, matmul_split
from xpnn._reproducible.array import ReproducibleArray
from xpnn._reproducible.boundary import Wrapping, natives_of
from xpnn._reproducible.derivatives import RULES
from xpnn._reproducible.known_answer import check
from xpnn.errors import XpnnTypeError

RowFormula = Callable[[Library, Any, Array], Array]
"""A formula of (library, constants, x) that gives a row for each row of x."""

_TILE, _ROWS = 2**16, 2**19
"""Elements that are computed at a time, by functions and in products: they stay in the cache."""


class Engine(Wrapping):
    """What a reproducible namespace has beside the functions of the standard."""

    made: ClassVar[dict[str, Self]] = {}

    @classmethod
    def over(cls, of: Library) -> Self:
        """Return the one namespace of this kind over a library."""
        if of.name not in cls.made:
            cls.made[of.name] = cls(of)
        return cls.made[of.name]

    def __init__(self, of: Library) -> None:
        self.of = of
        self.guard = of.exactly
        self.native_namespace = of.xp
        self.__name__ = f"xpnn.reproducible({of.name})"
        self.__xpnn_library__ = ReproducibleLibrary(self, of)
        self.Array: type[ReproducibleArray] = type(
            "ReproducibleArray", (ReproducibleArray,), {"_namespace": self}
        )
        pytree.register(
            Node(
                self.Array,
                ("_native",),
                lambda x: ((x._native,), None),
                lambda _, children: self.Array(children[0]),
            )
        )
        remember(self.__xpnn_library__, self.Array)
        self._operator: Any = of.operator(self._rule_of)
        self._kernels: PlanCache[Callable[..., Array]] = PlanCache()
        self._rules: PlanCache[Differentiable] = PlanCache()
        self._compiled: PlanCache[Callable[..., Array]] = PlanCache()
        self._checked: set[str] = set()
        self.writes = 0
        """How often an array was written to: views share memory, so each may have changed with it."""
        self.pi, self.e, self.inf, self.nan, self.newaxis = (
            math.pi,
            math.e,
            math.inf,
            math.nan,
            None,
        )

    rounded_once = frozenset({"linear", *ELEMENTWISE})
    """The formulas that are not computed in binary64 and then rounded, but here as they stand."""

    def run(self, formula: Callable[..., Any], *given: Array | None) -> Any:
        """Return formula(*given) on arrays of this namespace; arrays of the library in, and out."""
        arrays = [None if a is None else self.wrap(a) for a in given]

        def whole(*natives: Array | None) -> Any:
            return natives_of(formula(*(None if a is None else self.Array(a) for a in natives)))

        step = self.of.opaque(whole)
        y = formula(*arrays) if step is whole else step(*map(natives_of, arrays))
        return self.returned(natives_of(y), any(isinstance(a, ReproducibleArray) for a in given))

    # Kernels

    def as_step(self, f: Callable[..., Array]) -> Callable[..., Array]:
        """Return f as one step of the library, where it compiles what it computes."""
        return self.of.step(f)

    @property
    def barrier(self) -> Callable[[Array], Array] | None:
        """The barrier of the library's compiler."""
        return self.of.barrier if self.of.rearranges else None

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        """Compute a kernel on arrays of one dtype."""
        arrays = self._of_one_dtype(name, args)
        natives = [a._native for a in arrays]
        return self._result(self._run(name, dtype_name(natives[0].dtype), natives, options), args)

    def _run(
        self, name: str, dtype: str, natives: Sequence[Array], options: dict[str, Any]
    ) -> Array:
        if self.of.sees_no_values():
            return self._operator(list(natives), f"{name} {dtype} {options}")
        key = (name, dtype, *options.items())
        make = lambda: self.of.with_vjp(self._rule(name, dtype, options))
        return self._kernels.get(key, make)(*natives)

    def _rule_of(self, text: str) -> Differentiable:
        """Return the rule that a compiler's operator knows by its text; see `_run`."""
        name, dtype, plain = text.split(" ", 2)
        return self._rules.get(text, lambda: self._rule(name, dtype, ast.literal_eval(plain)))

    def _rule(self, name: str, dtype: str, options: dict[str, Any]) -> Differentiable:
        """Return a kernel for arrays of a dtype, with its derivatives."""

        def forward(*natives: Array) -> Array:
            return self._compute(name, dtype, natives, options)

        def backward(g: Array, *saved: Array) -> tuple[Array, ...]:
            wrapped = [self.wrap(a) for a in (g, *saved)]
            with self.guard(dtype):
                gradients = RULES[name](self, *wrapped, **options)
            return tuple(d._native for d in gradients)

        def abstract_value(*natives: Array) -> Array:
            return _ABSTRACT_VALUES.get(name, _broadcast)(
                self.native_namespace, *natives, **options
            )

        return Differentiable(forward, backward, abstract_value, _no_forward_mode)

    def _compute(
        self, name: str, dtype: str, natives: Sequence[Array], options: dict[str, Any]
    ) -> Array:
        xp = self.native_namespace
        if "axes" in options:
            options = {**options, "slices": Slices(tuple(natives[0].shape), options["axes"])}
            del options["axes"]
        device = device_of(natives[0])
        if str(device) not in self._checked:
            check(self, natives[0], device)
            self._checked.add(str(device))
        if name in _NO_ARITHMETIC:
            with self.guard("float64"):
                return getattr(self, _NO_ARITHMETIC[name])(*natives, **options)

        def compute(*natives: Array, kernel: Any = KERNELS[name], **more: Any) -> Array:
            y = native(self._in_binary64(kernel, dtype, natives, **more))
            return y if computing_float(dtype) == dtype else self._to_low(y, dtype)

        map_tiles = self.of.map_tiles
        with self.guard("float64"):
            if name in ELEMENTWISE and self.barrier is None:
                flat = xp.reshape(natives[0], (-1,))
                return xp.reshape(map_tiles(compute, flat, _TILE), natives[0].shape)
            a, b = natives[0], natives[-1]
            if name == "matmul" and len(b.shape) == 2 and 0 not in b.shape:
                right = options.get("right") or self._in_binary64(split_right, dtype, [b])
                size = max(_ROWS // max(math.prod(a.shape[1:]), 1), 16)
                return map_tiles(lambda a: compute(a, kernel=matmul_split, right=right), a, size)
            return compute(*natives, **options)

    def _in_binary64(
        self, kernel: Callable[..., Any], dtype: str, natives: Sequence[Array], **options: Any
    ) -> Any:
        """Run a kernel on arrays of a dtype, widened, behind the compiler's barrier."""
        xp, single = self.native_namespace, dtype != "float64"
        wide = [xp.astype(a, xp.float64) if single else a for a in natives]
        barriered_xp, arrays = barriered(xp, self.barrier, wide)
        return kernel(*arrays, single=single, xp=barriered_xp, **options)

    def multiply_remembering(self, a: ReproducibleArray, b: ReproducibleArray) -> Array | None:
        """a @ b with the right side split once, for as long as it lives; None where that cannot be.

        Not for the compilers, that see no arrays, nor where gradients are recorded.
        """
        natives = (a._native, b._native)
        if self.barrier is not None or not self.of.is_known(natives[1]):
            return None
        if any(getattr(x, "requires_grad", False) for x in natives) or a.dtype != b.dtype:
            return None
        if len(b.shape) != 2 or 0 in b.shape:
            return None
        dtype = dtype_name(b.dtype)
        writes, known = self.writes, b._split
        if known is None or known[0] != writes:
            with self.guard("float64"):
                known = (writes, self._in_binary64(split_right, dtype, natives[1:]))
            b._split = known
        return self._compute("matmul", dtype, natives, {"right": known[1]})

    # Formulas of rows

    def plan_rows(self, formula: RowFormula, constants: Any, *, lasting: bool) -> "RowsPlan":
        """Return the plan of formula(library, constants, x), whose rows depend on those of x alone.

        constants is a tree of arrays; where they stay as they are, the formula is recorded with them.
        """
        compiled = None
        if self.of.compiles:
            whole = functools.partial(formula, self.__xpnn_library__)
            compiled = self._compiled.get(formula, lambda: self.of.compile_rows(whole, _ROWS))
        return RowsPlan(self, formula, constants, compiled, lasting=lasting)

    def _to_dtype(self, x: Array, to: str) -> Array:
        xp = self.native_namespace
        if to == "float64":
            return xp.astype(x, xp.float64)
        y = self._rounded(xp.where(xp.abs(x) < LEAST_SINGLE, 0.0, x), "float32")
        return y if to == "float32" else self._to_low(y, to)

    def _rounded(self, x: Array, dtype: str) -> Array:
        """Return x in a narrower dtype, behind the compiler's barrier.

        XLA leaves out a rounding whose result is widened again: float64 to float32 on GPUs.
        """
        xp, barrier = self.native_namespace, self.barrier
        y = xp.astype(x, dtype_named(xp, dtype))
        return y if barrier is None else barrier(y)

    def _negative(self, x: Array) -> Array:
        return self._choose(x == 0, 0.0, -x)

    def _to_low(self, y: Array, dtype: str) -> Array:
        """Round binary32 to a dtype of 16 bits."""
        xp = self.native_namespace
        if dtype == "float16":
            # To a multiple of the least subnormal number here, so that the library's own conversion
            # has nothing to round there: not all processors' would.
            normal = xp.abs(y) >= 2.0**-14
            small = xp.round(self._choose(normal, 0.0, y) * 2.0**24) * 2.0**-24
            y = xp.where(normal, y, small)
        return self._clean(self._rounded(y, dtype))


class RowsPlan:
    """How a formula of rows runs: compiled, by NumPy in tiles, or as it is written; the bits are the same."""

    def __init__(
        self,
        namespace: Engine,
        formula: RowFormula,
        constants: Any,
        compiled: Callable[[Any, Array], Array] | None,
        *,
        lasting: bool,
    ) -> None:
        self._namespace, self._below = namespace, namespace.of
        self._formula, self._constants = formula, constants
        self._compiled, self._lasting = compiled, lasting
        self._tiled: Tiled | None = None

    def __call__(self, x: Array) -> Array:
        """Compute it, of arrays of one width and dtype."""
        wrapped = isinstance(x, ReproducibleArray)
        y = self._fast(x._native if wrapped else x) if math.prod(x.shape) > 0 else None
        if y is None:
            return self._formula(self._namespace.__xpnn_library__, self._constants, x)
        return self._namespace.Array(y) if wrapped else y

    def _fast(self, x: Array) -> Array | None:
        if self._compiled is not None:
            return self._compiled(self._constants, x)
        values = self._below.to_host(x) if self._lasting else None
        if values is None:
            return None
        if self._tiled is None:
            self._tiled = self._recorded()
        if values.ndim == 2:
            return self._below.from_host(self._tiled(values))
        y = self._tiled(values.reshape(-1, values.shape[-1]))
        y = self._below.from_host(y.reshape((*values.shape[:-1], *y.shape[1:])))
        return self._below.returned(y)

    def _recorded(self) -> Tiled:
        there = self._namespace.over(library_of_namespace(recording))
        constants = pytree.mapped(lambda a: there.asarray(to_numpy(a)), self._constants)
        whole = functools.partial(self._formula, there.__xpnn_library__, constants)
        matrices = [a for a in pytree.leaves(self._constants) if len(a.shape) == 2]
        product = max((math.prod(a.shape) for a in matrices), default=0)
        return Tiled(whole, tuning.REPRODUCIBLE_CACHE, tuning.REPRODUCIBLE_LEAST, product=product)


def _no_forward_mode() -> XpnnTypeError:
    return XpnnTypeError(
        "the reproducible way has no forward-mode derivatives, only reverse mode, such as that of "
        "grad and vjp"
    )


def _broadcast(xp: Namespace, *arrays: Array, **_: Any) -> Array:
    return functools.reduce(xp.add, arrays)


# Kernels that only move or select, with rules of their own: clean has derivative 1 at 0.
_NO_ARITHMETIC = {"astype": "_to_dtype", "clean": "_clean", "negative": "_negative"}

# Of a kernel's result, the shape: from the library's own function of the same meaning.
_ABSTRACT_VALUES: dict[str, Any] = {
    "matmul": lambda xp, a, b: xp.matmul(a, b),
    "astype": lambda xp, x, to: xp.astype(x, dtype_named(xp, to)),
    **dict.fromkeys(
        ("sum", "mean", "var", "std"), lambda xp, x, axes, **_: xp.sum(x, axis=axes) if axes else x
    ),
}
