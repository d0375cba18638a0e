"""The reproducible namespace over a library, as an array library of its own: one more adapter."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from xpnn._arrays.backends.protocol import Function, Library
from xpnn._arrays.types import Array, Device, Namespace
from xpnn._engine.tuning import REPRODUCIBLE_ROWS
from xpnn._execution.plans import PlanCache
from xpnn._reproducible.array import ReproducibleArray
from xpnn._reproducible.rows import RowsPlan

T = TypeVar("T")


class ReproducibleLibrary(Library):
    """What is done in the namespace's own way; the library below answers for all that lies in memory."""

    def __init__(self, xp: Namespace, below: Library) -> None:
        super().__init__(xp)
        self._below = below
        self._compiled: PlanCache[Function] = PlanCache()

    # Which arrays are its own

    @property
    def raw(self) -> Library:
        """The library below."""
        return self._below

    def over(self, below: Library) -> Library:
        """Return the reproducible namespace over another library."""
        return type(self.xp).over(below).__xpnn_library__

    def enter(self, x: Array) -> Array:
        """Wrap an array of the library below."""
        return self.xp.boundary.wrap(x)

    def leave(self, y: Array, given: Array) -> Array:
        """Unwrap a result, unless the caller gave a wrapped array."""
        return y if isinstance(given, ReproducibleArray) else self.xp.boundary.unwrap(y)

    def to_raw(self, x: Array) -> Array:
        """Unwrap an array that is wrapped."""
        return self.xp.boundary.unwrap(x) if isinstance(x, ReproducibleArray) else x

    def returned(self, y: Array) -> Array:
        """Return a result as the functions of the library below give one."""
        return self._below.returned(y)

    # What the library below knows

    def device_of(self, x: Array) -> Device | None:
        """Return the device of the memory."""
        return self._below.device_of(_raw(x))

    def beside(self, x: Array) -> Device | None:
        """Return the device for a constant beside the memory."""
        return self._below.beside(_raw(x))

    def place_of(self, x: Array) -> str:
        """Return where the memory lies, for people."""
        return self._below.place_of(_raw(x))

    def meet(self, x: Array, y: Array) -> bool:
        """Whether the memory of two arrays lies where one call may take them."""
        return self._below.meet(_raw(x), _raw(y))

    def find_device(self, name: Any) -> Device:
        """Return a device of the library below."""
        return self._below.find_device(name)

    def lacks(self, dtype: str) -> str | None:
        """Return why the library below has no arrays of a dtype now."""
        return self._below.lacks(dtype)

    def to_device(self, x: Array, device: Device) -> Array:
        """Move an array, wrapped as it is."""
        return self.xp.to_device(x, device)

    def is_traced(self, x: Array) -> bool:
        """Whether what is wrapped is traced."""
        return self._below.is_traced(_raw(x))

    def lastingly(self, make: Callable[[], T], dtype: str) -> T:
        """Return make(), outside of the traces of the library below."""
        return self._below.lastingly(make, dtype)

    # How formulas run

    def guard(self, dtype: str) -> AbstractContextManager[Any]:
        """Return what the library below needs to compute as written."""
        return self._below.exactly(dtype)

    def check_default_float(self, function: str) -> None:
        """Raise an error unless integers become float64, as they do everywhere here."""
        self.xp.boundary.check_bits("float64", f"{function} of integers")

    def computing(self, function: str, dtype: str) -> str:
        """Return binary64 for all formulas that are not rounded once in their own dtype."""
        return dtype if function in self.xp.rounded_once else "float64"

    def around(self, f: Function) -> Function:
        """Wrap what a formula is given and unwrap its result."""
        return functools.partial(self.xp.boundary.run, f)

    def plan_rows(self, formula: Any, constants: Any, *, lasting: bool) -> Function:
        """Return a formula of rows compiled, in tiles of NumPy, or as it is written."""
        compiled = None
        if self._below.compiles:
            whole = functools.partial(formula, self)
            make = lambda: self._below.compile_rows(whole, REPRODUCIBLE_ROWS)
            compiled = self._compiled.get(formula, make)
        return RowsPlan(self, formula, constants, compiled, lasting=lasting)

    def adds_in_pairs(self, x: Array, axis: int) -> bool:
        """It adds exactly."""
        return True


def _raw(x: Array) -> Array:
    return x._native if isinstance(x, ReproducibleArray) else x
