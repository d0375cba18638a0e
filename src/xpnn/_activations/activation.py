"""An activation of the table with its options: what a layer has."""

import ast
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xpnn._activations.record import Record
from xpnn._activations.table import RECORDS
from xpnn._arrays.arguments import check, check_names, options_of
from xpnn._arrays.types import Array, Namespace
from xpnn._execution.computation import Plan
from xpnn._rounding.exact import Number, context
from xpnn.errors import XpnnTypeError, XpnnValueError


@dataclass(frozen=True, init=False, repr=False)
class Activation:
    """An activation by name, with all of its options; its `str` is the shortest text for it."""

    name: str
    options: tuple[tuple[str, Any], ...]
    """All of them, as Python's own numbers and words."""
    function: Callable[..., Array] = field(compare=False)
    """Its function, with the options."""
    text: str = field(compare=False)
    """The shortest text that means it."""

    def __init__(
        self, name: str, options: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()
    ) -> None:
        if name not in RECORDS:
            raise XpnnValueError(f"activation: expected one of {', '.join(RECORDS)}, got {name!r}")
        given = dict(options)
        check_names(name, given, XpnnValueError)
        defaults = {called: option.default for called, option in options_of(name).items()}
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "options", tuple({**defaults, **check(name, given)}.items()))
        function = functools.partial(RECORDS[name].function, **dict(self.options))
        object.__setattr__(self, "function", function)
        changed = [f"{n}={v!r}" for n, v in self.options if v != defaults[n]]
        object.__setattr__(self, "text", f"{name}({', '.join(changed)})" if changed else name)

    @staticmethod
    def of(given: "str | Activation") -> "Activation":
        """Return what a text such as `leaky_relu(negative_slope=0.2)` means, or the activation itself."""
        if isinstance(given, Activation):
            return given
        if not isinstance(given, str):
            raise XpnnTypeError(
                "activation: expected the name of an activation such as 'relu' or "
                f"'leaky_relu(negative_slope=0.2)', got {type(given).__qualname__}"
            )
        if given not in _of_texts:  # no functools.cache, of which torch.compile warns
            if len(_of_texts) >= _MOST:
                _of_texts.clear()
            _of_texts[given] = _parsed(given)
        return _of_texts[given]

    def __call__(self, x: Array, *, xp: Namespace | None = None) -> Array:
        return self.function(x, xp=xp)

    def plan(self, x: Array, xp: Namespace | None = None) -> Plan:
        """Return what computes it for arrays like x, called with the array and None for a mask."""
        function: Any = self.record.function
        return function.plan(x, xp, **dict(self.options))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Activation({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return Activation, (self.name, self.options)

    @property
    def record(self) -> Record:
        """All that is known of it."""
        return RECORDS[self.name]

    @property
    def log_probability(self) -> "Activation | None":
        """What gives the logarithm of its values, if they are probabilities or that already."""
        name = self.record.log_probability
        return None if name is None else Activation.of(name)

    @property
    def is_logarithm(self) -> bool:
        """Whether its values are logarithms of probabilities."""
        return self.log_probability == self

    @property
    def is_probability(self) -> bool:
        """Whether its values are probabilities."""
        return self.log_probability not in {None, self}

    def exact(self, row: Sequence[Number]) -> list[Number]:
        """Return the exact values at a row of finite numbers, as mpmath has them."""
        exact, mp = self.record.exact, context()
        if self.record.of_rows:
            return exact(mp, row, **dict(self.options))
        return [exact(mp, x, **dict(self.options)) for x in row]


_MOST = 256
_of_texts: dict[str, Activation] = {}
"""Texts that were read before, at most `_MOST`."""


def _parsed(text: str) -> Activation:
    name, bracket, _ = text.partition("(")
    if not bracket:
        return Activation(name.strip())
    try:
        call = ast.parse(text.strip(), mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError  # noqa: TRY301 -- worded below
        given = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        if len(given) < len(call.keywords):  # one of them stands there twice
            raise ValueError  # noqa: TRY301
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise XpnnValueError(
            f"activation: expected a form like 'leaky_relu(negative_slope=0.2)', got {text!r}"
        ) from None
    return Activation(name.strip(), given)
