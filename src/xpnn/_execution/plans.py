"""PlanCache: how calls of a kind run, found at the first of them and kept for the others."""

import contextlib
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from xpnn._arrays.library import key_of
from xpnn._arrays.types import Array, Namespace

Plan = TypeVar("Plan")

MOST = 256
"""Plans for each type of array that a cache keeps."""


class PlanCache(Generic[Plan]):
    """Plans by keys, apart for each type of array; of too many, the oldest go.

    Threads may share it, as each step is one operation of a dictionary: two that plan the same at once
    make it twice. What has no hash is planned each time.
    """

    def __init__(self) -> None:
        self._plans: dict[type, dict[Hashable, Plan]] = {}

    def find(self, kind: type, key: Hashable) -> Plan | None:
        """Return the plan for a type of array and a key that has all else, if there is one."""
        plans = self._plans.get(kind)  # apart, as torch.compile cannot compare NumPy's dtypes
        if plans is None:
            return None
        try:
            return plans.get(key)
        except TypeError:  # an option without a hash
            return None

    def keep(self, kind: type, key: Hashable, plan: Plan) -> Plan:
        """Keep a plan, and return it."""
        plans = self._plans.setdefault(kind, {})
        with contextlib.suppress(TypeError):
            plans[key] = plan
        while len(plans) > MOST:
            plans.pop(list(plans)[0], None)  # noqa: RUF015 -- another thread may change it
        return plan

    def get(self, key: Hashable, make: Callable[[], Plan]) -> Plan:
        """Return the plan of a key that is the same for all arrays; make it if it is not there."""
        found = self.find(object, key)
        return self.keep(object, key, make()) if found is None else found

    def __len__(self) -> int:
        return sum(map(len, self._plans.values()))


def kind_of(x: Array, xp: Namespace | None) -> tuple[Any, ...]:
    """Return what a plan for rows depends on beside the type of the array."""
    device = getattr(x, "device", None)
    if type(device).__hash__ is None:
        device = key_of(device)
    shape = getattr(x, "shape", ())
    if not isinstance(shape, tuple):  # what is no array is an error elsewhere
        shape = ()
    # A namespace by its name, as torch.compile cannot compare modules; what has none is no namespace.
    name = getattr(xp, "__name__", (xp,))
    return (getattr(x, "dtype", None), len(shape), shape[-1:], device, name)
