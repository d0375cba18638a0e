"""The namespace that `reproducible` gives: the standard's functions, the same bits everywhere."""

import importlib
import math
from typing import Any, ClassVar, Self

from xpnn._arrays import pytree
from xpnn._arrays.backends.protocol import Library, Node
from xpnn._arrays.dtypes import FLOATS, INTEGERS
from xpnn._arrays.library import library_of_namespace, remember
from xpnn._arrays.types import Device, DType
from xpnn._reproducible import computed, creation, indexed, reduced
from xpnn._reproducible.adapter import ReproducibleLibrary
from xpnn._reproducible.array import ReproducibleArray
from xpnn._reproducible.boundary import Boundary
from xpnn._reproducible.creation import CREATION, created
from xpnn._reproducible.engine import Engine
from xpnn._reproducible.operations import ELEMENTWISE
from xpnn._reproducible.passed_through import EXACT, EXACT_BUT_ZERO, PLAIN, passed_through, plain
from xpnn.errors import NotReproducibleError

_FUNCTIONS = {
    name: f for room in (computed, creation, indexed, reduced) for name, f in room.FUNCTIONS.items()
}
"""The methods of a namespace: functions of (xp, ...)."""
_CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan, "newaxis": None}
_DTYPES = frozenset(["bool", *INTEGERS, *FLOATS])


class ReproducibleNamespace:
    """An Array API namespace over that of a library; see `reproducible`.

    `engine` computes on the library's own arrays, `boundary` takes and gives them.
    """

    made: ClassVar[dict[str, Self]] = {}

    @classmethod
    def over(cls, of: Library) -> Self:
        """Return the one namespace of this kind over a library."""
        if of.name not in cls.made:
            cls.made[of.name] = cls(of)
        return cls.made[of.name]

    rounded_once = frozenset({"linear", *ELEMENTWISE})
    """The formulas that are not computed in binary64 and then rounded, but here as they stand."""
    item, index = indexed.item, indexed.index

    def __init__(self, of: Library) -> None:
        self.of, self.native_namespace = of, of.xp
        self.__name__ = f"xpnn.reproducible({of.name})"
        kind = type("ReproducibleArray", (ReproducibleArray,), {"_namespace": self})
        self.Array: type[ReproducibleArray] = kind
        pytree.register(
            Node(
                kind, ("_native",), lambda x: ((x._native,), None), lambda _, given: kind(given[0])
            )
        )
        self.engine = Engine(of, self)
        self.boundary = Boundary(self.engine, kind)
        self.__xpnn_library__ = remember(ReproducibleLibrary(self, of), kind)
        self.writes = 0
        """How often an array was written to: views share memory, so each may have changed with it."""

    def __repr__(self) -> str:
        return self.__name__

    def __copy__(self) -> Self:
        return self  # there is one for each library: it knows of all writes

    def __deepcopy__(self, _: Any) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _over_named, (self.native_namespace.__name__,)

    def __array_namespace_info__(self) -> Any:
        return _RealInfo(self.native_namespace.__array_namespace_info__(), self)

    @property
    def __array_api_version__(self) -> str:
        return str(getattr(self.native_namespace, "__array_api_version__", "2024.12"))

    def __dir__(self) -> list[str]:
        """Names of the standard that are here."""
        own = {*_FUNCTIONS, *_CONSTANTS, *EXACT, *EXACT_BUT_ZERO, *CREATION, *PLAIN}
        return sorted(own | {name for name in _DTYPES if hasattr(self.native_namespace, name)})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in {"of", "native_namespace", "engine", "boundary"}:
            raise AttributeError(name)
        found: Any = getattr(self.native_namespace, name, None)
        if found is None and not name.startswith("_"):
            raise NotReproducibleError(f"{self.__name__} has no {name}: the library has none")
        if name in EXACT or name in EXACT_BUT_ZERO:
            value = passed_through(self, name, found)
        elif name in CREATION:
            value = created(self, name, found)
        elif name in PLAIN:
            value = plain(self, found)
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


for _name, _value in {**_FUNCTIONS, **_CONSTANTS}.items():
    setattr(ReproducibleNamespace, _name, _value)


def _over_named(module: str) -> ReproducibleNamespace:
    """Return the namespace over a module of that name, as pickles hold it."""
    return ReproducibleNamespace.over(library_of_namespace(importlib.import_module(module)))


class _RealInfo:
    """What a library says of itself, without its complex dtypes; the defaults are the same everywhere."""

    def __init__(self, info: Any, xp: ReproducibleNamespace) -> None:
        self._info, self._xp = info, xp

    def __getattr__(self, name: str) -> Any:
        return getattr(self._info, name)

    def dtypes(
        self, *, device: Device | None = None, kind: str | tuple[str, ...] | None = None
    ) -> dict[str, DType]:
        found = self._info.dtypes(device=device, kind=kind)
        return {name: dtype for name, dtype in found.items() if name in _DTYPES}

    def default_dtypes(self, *, device: Device | None = None) -> dict[str, DType]:
        index = self._xp.boundary.index_dtype
        floating = self._xp.native_namespace.float64
        return {"real floating": floating, "integral": index, "indexing": index}
