"""Computations: a formula with its options and the dtypes around it, as written or compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.library import Arguments
from xpnn._arrays.types import Array, DType
from xpnn._execution.plans import PlanCache

Plan = Callable[..., Any]
"""How a computation runs: called with the arrays of the formula and the mask, None where there is none."""


class Computation(NamedTuple):
    """A formula as it is written, with its options, and the dtypes around it."""

    library: Library
    formula: Callable[..., Any]
    options: tuple[tuple[str, Any], ...]
    computing: str
    """Name of the dtype to compute in."""
    result: DType

    @classmethod
    def of(
        cls, arguments: Arguments, formula: Callable[..., Any], options: dict[str, Any]
    ) -> "Computation":
        """Return the computation of a formula for arguments, whatever their values."""
        library, _, computing, result, _ = arguments
        return cls(library, formula, tuple(options.items()), computing, result)

    def __call__(self, *given: Array | None) -> Any:
        """Return formula(*arrays, mask, xp=..., **options), rounded once; a tuple where that is one."""
        *arrays, mask = given
        xp = self.library.xp
        with self.library.guard(self.computing):
            dtype = getattr(xp, self.computing)
            arrays = [a if a is None else self._as(a, dtype) for a in arrays]
            y = self.formula(*arrays, mask, xp=xp, **dict(self.options))
            if isinstance(y, tuple):
                return tuple(self._returned(part) for part in y)
            return self._returned(y)

    def _returned(self, y: Array) -> Array:
        y = self._as(y, self.result)
        return y if y.ndim else self.library.returned(y)

    def _as(self, y: Array, dtype: DType) -> Array:
        return y if y.dtype == dtype else self.library.xp.astype(y, dtype)


def as_written(computation: Computation) -> Plan:
    """Return the plan that calls the library's functions one by one."""
    return computation.library.around(cast("Plan", computation))


_compiled: PlanCache[Plan] = PlanCache()


def compiled(computation: Computation) -> Plan:
    """Return the plan of the library's compiler, made once; as written where there is none."""
    library = computation.library
    if not library.compiles:
        return as_written(computation)
    return _compiled.get(
        computation, lambda: library.compile(computation.__call__, computation.computing)
    )


def compute(
    arguments: Arguments, formula: Callable[..., Any], kernel: str | None = None, **options: Any
) -> Any:
    """Return the formula of what `prepare` gave, and of the options; `kernel` is its name."""
    computation = Computation.of(arguments, formula, options)
    if arguments.plain:
        return as_written(computation)(*arguments.arrays)
    if kernel is not None:
        found, (*arrays, _) = arguments.library.kernels.get(kernel), arguments.arrays
        dtypes = {dtype_name(a.dtype) for a in arrays if a is not None}
        if dtypes == {arguments.computing} and found is not None and found.fits(*arrays):
            return found.compute(*arrays)
    return compiled(computation)(*arguments.arrays)
