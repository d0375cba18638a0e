"""The record of an activation: all that xpnn knows of one, in one place, beside its formula."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from xpnn._arrays.types import Array
from xpnn._rounding.slopes import Errors

Function = TypeVar("Function", bound=Callable[..., Array])


class Record(NamedTuple):
    """What there is to know of an activation; its options stand in `arguments.options_of(name)`."""

    function: Callable[..., Array]
    """The public function."""
    exact: Callable[..., Any]
    """`exact(mpmath, x, **options)`: the textbook formula at a finite x; of a list x where `of_rows`."""
    errors: Errors
    """How it carries errors, and adds its own."""
    of_rows: bool
    """Whether every value of a row depends on the whole row."""
    log_probability: str | None
    """Where its values are probabilities, or their logarithms: the name of what gives the logarithms."""
    inverse: Callable[..., Array] | None = None
    """`inverse(y, xp)`: the argument, or what differs from it by a number a row where `of_rows`."""


MADE: dict[str, Record] = {}
"""Every record, by name, in the order in which the files were imported; `table` has them in order."""


def record(
    *,
    exact: Callable[..., Any],
    errors: Errors,
    of_rows: bool = False,
    log_probability: str | None = None,
    inverse: Callable[..., Array] | None = None,
) -> Callable[[Function], Function]:
    """Make a public function an activation, by its name."""

    def keep(function: Function) -> Function:
        known = (exact, errors, of_rows, log_probability, inverse)
        MADE[function.__name__] = Record(function, *known)
        return function

    return keep
