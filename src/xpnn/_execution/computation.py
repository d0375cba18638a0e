"""Computations: a formula with its options and the dtypes around it, as written or compiled."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.library import Arguments, of_parts
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
        _, library, _, computing, result, _ = arguments
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

    def of_parts(self, arguments: Arguments, plan: Plan, *, of_rows: bool = False) -> Plan:
        """Return its plan for arguments of which processes may have parts.

        Arrays beside x are parted as that is, unless it is `of_rows`: then each process has them whole.
        """
        options = dict(self.options)
        one = (options["axis"],) if "axis" in options else ()
        axes = (-1,) if of_rows else options.get("axes", one)
        function, library, (x, *_) = arguments[:3]
        return of_parts(function, library, plan, axes, x, alike=not of_rows)

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
    """Return the formula of what `prepare` gave, and of the options; `kernel` is its name, if it is of rows."""
    computation = Computation.of(arguments, formula, options)
    plan = _with_kernel(arguments, kernel) or (as_written if arguments.plain else compiled)(
        computation
    )
    return computation.of_parts(arguments, plan, of_rows=kernel is not None)(*arguments.arrays)


def _with_kernel(arguments: Arguments, kernel: str | None) -> Plan | None:
    """Return the library's own function of this name, where it fits."""
    found, (*arrays, _) = arguments.library.kernels.get(kernel or ""), arguments.arrays
    if found is None or arguments.plain:
        return None
    dtypes = {dtype_name(a.dtype) for a in arrays if a is not None}
    if dtypes != {arguments.computing} or not found.fits(*arrays):
        return None
    return lambda *given: found.compute(*given[:-1])
