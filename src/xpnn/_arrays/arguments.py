"""Options of functions, such as the alpha of elu: what each may be, and how it is taken.

There is one record for each option, made beside its function's formula. The function, a layer's text
and a model file all check by it, so they refuse the same with the same words.
"""

import inspect
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from xpnn._arrays.axes import as_index
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.library import library
from xpnn._arrays.types import Array
from xpnn.errors import XpnnTypeError, XpnnValueError

Options = dict[str, Any]


class Number(NamedTuple):
    """An option that is a finite number; made a Python float."""

    range: str = ""
    """What more it must be, in words that follow 'a finite number'."""
    holds: Callable[[float], bool] = lambda _: True
    """Whether a finite number is that."""

    @property
    def words(self) -> str:
        """What it must be."""
        return f"a finite number{self.range and ' '}{self.range}"

    def take(self, value: Any) -> float | None:
        """Return it as a Python float; None if it is no number."""
        if type(value) is float:  # also one that torch.compile has no value of
            return value + 0.0  # -0.0 is 0.0, as the memory of earlier calls has it
        dtype = None if type(value) is int else getattr(value, "dtype", None)  # nor of an integer
        if dtype is None:
            real = isinstance(value, numbers.Real) and not isinstance(value, bool)
        else:
            kinds = ("float", "bfloat", "int", "uint")
            real = tuple(value.shape) == () and dtype_name(dtype).startswith(kinds)
        try:
            return float(value) + 0.0 if real else None
        except OverflowError:  # an integer such as 10**400
            return math.inf

    def allows(self, value: float) -> bool:
        """Whether the number is in the range."""
        return -math.inf < value < math.inf and self.holds(value)


class Count(NamedTuple):
    """An option that is an integer from some number on; made Python's own."""

    least: int = 0
    """The smallest that there is."""

    @property
    def words(self) -> str:
        """What it must be."""
        return f"an integer of {self.least} or more"

    def take(self, value: Any) -> int | None:
        """Return it as a Python integer; None if it is none."""
        try:
            return as_index(value)
        except TypeError:
            return None

    def allows(self, value: int) -> bool:
        """Whether there are so many."""
        return value >= self.least


class Choice:
    """An option that is one of a few words."""

    def __init__(self, *names: str) -> None:
        self.names = names

    @property
    def words(self) -> str:
        """What it must be."""
        return " or ".join(map(repr, self.names))

    def take(self, value: Any) -> str | None:
        """Return it as a Python string; None if it is none."""
        if getattr(value, "shape", None) == () and hasattr(value, "item"):
            value = value.item()  # of an array without an axis
        return str(value) if isinstance(value, str) else None

    def allows(self, value: str) -> bool:
        """Whether it is one of the words."""
        return value in self.names


class Option(NamedTuple):
    """What an option is when it is not given, and what it may be."""

    default: Any
    kind: Number | Count | Choice

    def taken(self, called: str, value: Any) -> Any:
        """Return the value as Python's own; TypeError or ValueError if it cannot be one."""
        if value is None and self.default is None:
            return None
        found = self.kind.take(value)
        if found is None or not self.kind.allows(found):  # type: ignore[arg-type]
            error = XpnnTypeError if found is None else XpnnValueError
            raise error(f"{called} to be {self.kind.words}, got {_shown(value)}")
        return found


_options: dict[str, dict[str, Option]] = {}


def declare(formula: Callable[..., Any], kinds: dict[str, Number | Choice]) -> None:
    """Keep what the options of a formula may be; their defaults are those of its signature."""
    parameters = inspect.signature(formula).parameters
    _options[formula.__name__] = {
        name: Option(parameters[name].default, kind) for name, kind in kinds.items()
    }


def options_of(function: str) -> dict[str, Option]:
    """Return the options of a function by its name."""
    return _options.get(function, {})


def check_names(function: str, given: Options, error: type[Exception] = XpnnTypeError) -> None:
    """Raise an error unless the function has all of these options."""
    check_known(function, given, options_of(function), error)


def check_known(
    function: str,
    given: Iterable[str],
    known: Iterable[str],
    error: type[Exception] = XpnnTypeError,
) -> None:
    """Raise an error unless all names that were given are known."""
    for name in given:
        if name not in known:
            expected = ", ".join(known) or "none"
            raise error(f"{function}: expected options {expected}, got {name!r}")


def check(function: str, given: Options) -> Options:
    """Return options as Python numbers and strings; TypeError or ValueError if one cannot be."""
    check_names(function, given)
    known = options_of(function)
    return {n: known[n].taken(f"{function}: expected {n}", v) for n, v in given.items()}


def check_or_trace(function: str, given: Options) -> tuple[Options, dict[str, Array]]:
    """Return options as `check` does, and apart from them those whose values are not to be read.

    A compiler traces these, or derivatives are taken by them: they are arrays of a formula like any
    other, and what they hold is not checked.
    """
    check_names(function, given)
    traced = {n: v for n, v in given.items() if type(v) is not float and is_traced(v)}
    for name, value in traced.items():
        if tuple(value.shape) != () or not isinstance(options_of(function)[name].kind, Number):
            raise XpnnTypeError(
                f"{function}: expected {name} to be {options_of(function)[name].kind.words}, got a "
                f"traced array of shape {tuple(value.shape)}"
            )
    return check(function, {n: v for n, v in given.items() if n not in traced}), traced


def is_traced(a: Any) -> bool:
    """Whether a compiler, a transform or the record of derivatives is at work on an array."""
    if not hasattr(a, "dtype"):
        return False
    try:
        return library(a).is_traced(a)
    except XpnnTypeError:  # no array
        return False


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        text = "an integer of too many digits"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


_LONGEST = 60
"""Characters of a value in an error."""
