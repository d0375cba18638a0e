"""Runs operations on the arrays of a library, so that every one has the same bits everywhere."""

import ast
import math
from collections.abc import Callable, Sequence
from typing import Any

from xpnn._arrays.axes import Slices
from xpnn._arrays.backends.protocol import Differentiable, Library
from xpnn._arrays.dtypes import computing_float, dtype_name
from xpnn._arrays.library import device_of
from xpnn._arrays.types import Array, Namespace
from xpnn._engine.recorder import Traced
from xpnn._engine.tuning import REPRODUCIBLE_ROWS, REPRODUCIBLE_TILE
from xpnn._execution.plans import PlanCache
from xpnn._reproducible.arithmetic.barrier import barriered, native
from xpnn._reproducible.arithmetic.conversions import to_low
from xpnn._reproducible.arithmetic.exact import Right, split_right
from xpnn._reproducible.arithmetic.reductions import matmul_split
from xpnn._reproducible.known_answer import check
from xpnn._reproducible.operations import OPERATIONS
from xpnn.errors import XpnnTypeError


class Engine:
    """Computes in binary64, behind the barriers of the library's compiler, and rounds once.

    It takes and gives the library's own arrays. `namespace` is what the derivatives are written in.
    """

    def __init__(self, of: Library, namespace: Namespace) -> None:
        self.of, self.name = of, namespace.__name__
        self.barrier = of.barrier if of.rearranges else None
        self._namespace = namespace
        self._operator: Any = of.operator(self._rule_of)
        self._planned: PlanCache[Callable[..., Array]] = PlanCache()
        self._rules: PlanCache[Differentiable] = PlanCache()
        self._checked: set[str] = set()

    def run(self, name: str, dtype: str, arrays: Sequence[Array], options: dict[str, Any]) -> Array:
        """Run an operation on arrays of one dtype; it has its derivatives."""
        if self.of.sees_no_values():
            return self._operator(list(arrays), f"{name} {dtype} {options}")
        key = (name, dtype, *options.items())
        make = lambda: self.of.with_vjp(self._rule(name, dtype, options))
        return self._planned.get(key, make)(*arrays)

    def _rule_of(self, text: str) -> Differentiable:
        """Return the rule that a compiler's operator knows by its text; see `run`."""
        name, dtype, plain = text.split(" ", 2)
        return self._rules.get(text, lambda: self._rule(name, dtype, ast.literal_eval(plain)))

    def _rule(self, name: str, dtype: str, options: dict[str, Any]) -> Differentiable:
        """Return an operation on arrays of a dtype, with its derivatives."""
        operation = OPERATIONS[name]

        def forward(*arrays: Array) -> Array:
            return self.compute(name, dtype, arrays, options)

        def backward(g: Array, *saved: Array) -> tuple[Array, ...]:
            wrapped = [self._namespace.boundary.wrap(a) for a in (g, *saved)]
            with self.of.exactly(dtype):
                gradients = operation.derivatives(self._namespace, *wrapped, **options)
            return tuple(d._native for d in gradients)

        def abstract_value(*arrays: Array) -> Array:
            return operation.abstract_value(self.of.xp, *arrays, **options)

        return Differentiable(forward, backward, abstract_value, _no_forward_mode)

    def compute(
        self,
        name: str,
        dtype: str,
        arrays: Sequence[Array],
        options: dict[str, Any],
        right: Right | None = None,
    ) -> Array:
        """Compute an operation without derivatives; of a product the right side may be split already."""
        xp, operation, first = self.of.xp, OPERATIONS[name], arrays[0]
        self._check(first)
        if "axes" in options:
            options = {**options, "slices": Slices(tuple(first.shape), options["axes"])}
            del options["axes"]

        def compute(*arrays: Array, kernel: Any = operation.kernel, **more: Any) -> Array:
            y = native(self._in_binary64(kernel, dtype, arrays, **options, **more))
            return y if computing_float(dtype) == dtype else to_low(y, dtype, xp, self.barrier)

        # What is recorded runs in tiles as a whole.
        is_recorded = isinstance(first, Traced)
        map_tiles = _at_once if is_recorded else self.of.map_tiles
        with self.of.exactly("float64"):
            if operation.is_conversion:
                return operation.kernel(first, xp, self.barrier, **options)
            if operation.is_elementwise and self.barrier is None and not is_recorded:
                flat = xp.reshape(first, (-1,))
                return xp.reshape(map_tiles(compute, flat, REPRODUCIBLE_TILE), first.shape)
            last = arrays[-1]
            if name == "matmul" and len(last.shape) == 2 and 0 not in last.shape:
                right = right or self._in_binary64(split_right, dtype, [last])
                size = max(REPRODUCIBLE_ROWS // max(math.prod(first.shape[1:]), 1), 16)
                return map_tiles(
                    lambda a: compute(a, kernel=matmul_split, right=right), first, size
                )
            return compute(*arrays)

    def split(self, b: Array) -> Right | None:
        """Return the right side of a product as `compute` takes it, or None where it is to be part of that.

        A compiler sees no arrays that were made before, and derivatives are those of b.
        """
        if self.barrier is not None or not self.of.is_known(b) or len(b.shape) != 2 or 0 in b.shape:
            return None
        with self.of.exactly("float64"):
            return self._in_binary64(split_right, dtype_name(b.dtype), [b])

    def _in_binary64(
        self, kernel: Callable[..., Any], dtype: str, arrays: Sequence[Array], **options: Any
    ) -> Any:
        """Run a kernel on arrays of a dtype, widened, behind the compiler's barrier."""
        xp, single = self.of.xp, dtype != "float64"
        wide = [xp.astype(a, xp.float64) if single else a for a in arrays]
        barriered_xp, given = barriered(xp, self.barrier, wide)
        return kernel(*given, single=single, xp=barriered_xp, **options)

    def _check(self, like: Array) -> None:
        """Raise NotReproducibleError on a device whose binary64 is not that of IEEE 754."""
        device = device_of(like)
        if str(device) not in self._checked:
            check(self, like, device)
            self._checked.add(str(device))


def _at_once(f: Callable[[Array], Array], x: Array, _: int) -> Array:
    return f(x)


def _no_forward_mode() -> XpnnTypeError:
    return XpnnTypeError(
        "the reproducible way has no forward-mode derivatives, only reverse mode, such as that of "
        "grad and vjp"
    )
