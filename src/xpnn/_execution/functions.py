"""Public functions of one array: checked, planned at the first call of a kind, then only run."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast, overload

import numpy as np

from xpnn._arrays.arguments import Choice, Number, check_or_trace, declare
from xpnn._arrays.backends.protocol import Kernel, always
from xpnn._arrays.backends.tracing import is_compiling
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.library import Arguments, common_library, in_native_order, prepare
from xpnn._arrays.types import Array, Namespace
from xpnn._engine import shorter
from xpnn._execution.chunks import by_chunks
from xpnn._execution.computation import Computation, Plan, as_written, compiled, compute
from xpnn._execution.on_numpy import OnHost, on_numpy
from xpnn._execution.plans import PlanCache

NUMPY = frozenset((np.ndarray, np.memmap))
"""Types of NumPy's arrays; classes that others made of them may mean something else by an operation."""


class Planner:
    """Plans the calls of a public function of one array and no mask: once for each kind."""

    def __init__(self, function: str, formula: Callable[..., Any]) -> None:
        self._function, self._formula = function, formula
        self._plans: PlanCache[Plan] = PlanCache()

    def find(self, x: Array, xp: Namespace | None, *kind: Any) -> Plan | None:
        """Return the plan for arrays like x, xp and all else that it depends on, if there is one."""
        # A namespace by its name, as torch.compile cannot compare modules; what has none is none.
        name = getattr(xp, "__name__", (xp,))
        return self._plans.find(type(x), (getattr(x, "dtype", None), name, *kind))

    def plan(
        self, x: Array, xp: Namespace | None, *kind: Any, arguments: Arguments, **options: Any
    ) -> Plan:
        """Return the plan for x, of which `prepare` made the arguments; remember it for `find`."""
        formula = self._formula
        if not arguments.plain:
            kernel = self._kernel(arguments)
            if kernel is not None and kernel.takes(arguments.computing, options):
                formula = _ByKernel(kernel, formula)
        computation = Computation.of(arguments, formula, options)
        native: Any = arguments.arrays[0]
        # What integers become depends on the device, too.
        passing = computation.result != native.dtype or is_compiling()
        if passing and type(native) in NUMPY and not is_compiling():
            # As floats of the same values are computed.
            floats = native.astype(computation.result)
            arguments = arguments._replace(arrays=[floats, *arguments.arrays[1:]])
            plan = self.plan(floats, xp, *kind, arguments=arguments, **options)
            return _OfIntegers(plan, computation.result)
        if passing:
            plan = (as_written if arguments.plain else compiled)(computation)
        else:
            plan = self._chosen(computation, native, plain=arguments.plain)
        plan = computation.of_parts(arguments, plan)
        if native is not x:
            plan = _InNativeOrder(plan)
        if passing or arguments.library.in_chunks:  # which is right for how this array is cut alone
            return plan
        return self._plans.keep(type(x), (x.dtype, getattr(xp, "__name__", (xp,)), *kind), plan)

    def _kernel(self, arguments: Arguments) -> Kernel | None:
        library = arguments.library
        recorded = type(arguments.arrays[0]) in NUMPY and library.raw is library
        return (shorter.KERNELS if recorded else library.kernels).get(self._function)

    def _chosen(self, computation: Computation, x: Array, *, plain: bool) -> Plan:
        library = computation.library
        reproducible = library.raw is not library
        if plain and not reproducible:
            return as_written(computation)
        if type(x) in NUMPY:
            return on_numpy(computation)
        if reproducible:
            return (as_written if library.raw.compiles else OnHost)(computation)
        if library.compiles:
            return compiled(computation)
        formula = computation.formula
        if isinstance(formula, _ByKernel) and dtype_name(x.dtype) == computation.computing:
            return formula.plan(library.xp, dict(computation.options))
        return as_written(computation)


@dataclass(frozen=True)
class _InNativeOrder:
    """A plan for arrays that come in another byte order."""

    plan: Plan

    def __call__(self, x: Array, mask: None) -> Array:
        return self.plan(in_native_order(x), mask)


@dataclass(frozen=True)
class _OfIntegers:
    """A plan for floats, of integers."""

    plan: Plan
    dtype: Any

    def __call__(self, x: Array, mask: None) -> Array:
        return self.plan(x.astype(self.dtype), mask)


@dataclass(frozen=True)
class _ByKernel:
    """A kernel where it fits, and the formula where not, as a formula."""

    kernel: Kernel
    formula: Callable[..., Any]

    def __call__(self, x: Array, mask: None, *, xp: Namespace, **options: Any) -> Any:
        if self.kernel.fits(x, **options):
            return self.kernel.compute(x, **options)
        return self.formula(x, mask, xp=xp, **options)

    def plan(self, xp: Namespace, options: dict[str, Any]) -> Plan:
        """Return the plan for arrays that are computed in their own dtype: with no call between, if it may be."""
        if self.kernel.fits is not always:
            return functools.partial(self, xp=xp, **options)
        compute = (
            functools.partial(self.kernel.compute, **options) if options else self.kernel.compute
        )
        return lambda x, _: compute(x)


Formula = TypeVar("Formula", bound=Callable[..., Array])


@overload
def elementwise(formula: Formula, /) -> Formula: ...


@overload
def elementwise(**kinds: Number | Choice) -> Callable[[Formula], Formula]: ...


def elementwise(formula: Any = None, /, **kinds: Number | Choice) -> Any:
    """Make a public function of a formula of one array: `formula(x, /, *, ..., xp)`.

    The formula gets a floating array, 32 bits or more, and its namespace; the public function
    takes any real array, infers the namespace, and returns the dtype that it got. `kinds` says what
    the options may be: the formula gets them as Python's own numbers and strings, whatever they were
    given as, or as arrays without an axis where they are traced or differentiated.
    """
    return functools.partial(_elementwise, kinds) if formula is None else _elementwise({}, formula)


def _elementwise(kinds: dict[str, Number | Choice], formula: Formula) -> Formula:
    name = formula.__name__
    declare(formula, kinds)

    @functools.wraps(formula)
    def function(x: Array, /, *, xp: Namespace | None = None, **options: Any) -> Array:
        traced: dict[str, Array] = {}
        if options:
            options, traced = check_or_trace(name, options)
        if traced:
            ready = prepare(name, xp, x=x)
            common_library(name, xp, {"x": x, **traced})
            ready = ready._replace(arrays=[x, *traced.values(), None])
            return compute(ready, _OfOptions(run, tuple(traced)), **options)
        found = planner.find(x, xp, *options.items())
        if found is None:
            y = by_chunks(function, x, xp, **options)
            if y is not None:
                return y
            found = plan(x, xp, **options)
        return found(x, None)

    def plan(x: Array, xp: Namespace | None = None, **options: Any) -> Plan:
        found = planner.find(x, xp, *options.items())
        if found is None:
            ready = prepare(name, xp, x=x)
            found = planner.plan(x, xp, *options.items(), arguments=ready, **options)
        return found

    def run(x: Array, _: None, *, xp: Namespace, **options: Any) -> Array:
        # Where the namespace has the function itself, such as the correctly rounded tanh.
        own = hasattr(xp, "rounded_once") and name in xp.rounded_once
        return getattr(xp, name)(x) if own else formula(x, xp=xp, **options)

    planner = Planner(name, run)
    function.plan = plan  # type: ignore[attr-defined]
    return cast("Formula", function)


@dataclass(frozen=True)
class _OfOptions:
    """A formula of options that are arrays, too: formula(x, *options, mask)."""

    formula: Callable[..., Array]
    names: tuple[str, ...]

    def __call__(self, x: Array, *given: Any, xp: Namespace, **options: Any) -> Array:
        *values, mask = given
        return self.formula(x, mask, xp=xp, **dict(zip(self.names, values, strict=True)), **options)
