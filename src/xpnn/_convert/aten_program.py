"""A program of ATen operations while it is run: what its nodes have made, by their names."""

from collections.abc import Sequence
from typing import Any

from xpnn._convert.aten_operations import OPERATIONS, Call, Made
from xpnn._convert.graph import REFUSALS, Graph, Value
from xpnn.errors import XpnnValueError

_VIEWS = {"reshape", "keep", "drop", "transpose", "take", "broadcast_to"}
"""What may share memory with what it is made of."""
WRONG = (*REFUSALS, AttributeError)


def _base(value: Value) -> Value:
    while value.op in _VIEWS:
        value = value.args[0]
    return value


class Run:
    """What the nodes of a program have made up to now, by name."""

    def __init__(self, graph: Graph, fixed: int | None = None) -> None:
        self.graph = graph
        self.fixed = fixed
        self.values: dict[str, Any] = {}

    def made(self, target: str, where: str, given: dict[str, Any], first: str | None) -> Made:
        """Return what an operation makes of arguments by name; `first` is what the first of them is called here."""
        library, _, rest = target.partition(".")
        op = rest.partition(".")[0] if library == "aten" else target
        tensors = (v for a in given.values() for v in (a if isinstance(a, list) else [a]))
        for value in tensors:
            if isinstance(value, Value) and value.op == "refused":
                return value
        in_place = op not in OPERATIONS and op.endswith("_")
        name = op[:-1] if in_place else op
        if name not in OPERATIONS:
            known = ", ".join(sorted(OPERATIONS))
            words = f"{op} is not among the operations that xpnn has: {known}"
            return self.graph.refused(words, where)
        call = Call(self.graph, where, given, self.fixed)
        try:
            made = OPERATIONS[name](call)
            if in_place:
                made = self._changed(first, made, call)
        except WRONG as error:
            return self.graph.refused(f"{op}: {error}", where)
        return made

    def outputs(self, names: Sequence[str | None], keys: Sequence[str] | None) -> dict[str, Value]:
        """Return what has these names and is a tensor; called by the keys of the dict that it is in, if it is."""
        called = names if keys is None or len(keys) != len(names) else keys
        found = {c: self.values.get(n) for c, n in zip(called, names, strict=True) if c and n}
        return {str(c): v for c, v in found.items() if isinstance(v, Value)}

    def _changed(self, name: str | None, made: Made, call: Call) -> Value:
        """Give a name another value; what may share memory with the old one is not known from then on."""
        old = call.x
        if name is None or not isinstance(made, Value):
            raise XpnnValueError("expected a tensor to change")
        if made is old:
            return old
        new = made if made.dtype == old.dtype else call.make("astype", made, dtype=old.dtype)
        words = "expected a value that stays, got one that is changed in place, or was part of it"
        lost = self.graph.refused(words, call.where)
        for other, value in self.values.items():
            parts = value if isinstance(value, list) else [value]
            if any(isinstance(v, Value) and _base(v) is _base(old) for v in parts):
                self.values[other] = lost
        self.values[name] = new
        return new
