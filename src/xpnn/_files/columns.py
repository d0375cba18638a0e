"""Columns of tables, found by their names."""

from collections.abc import Iterable, Sequence

from xpnn.errors import XpnnValueError

_SHOWN = 8
"""How many names an error lists."""


def places(where: str, wanted: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return where wanted columns stand among those of a table; ValueError if one is missing or doubled."""
    for what, wrong in (
        ("missing", [name for name in wanted if name not in names]),
        ("there more than once", [name for name in wanted if names.count(name) > 1]),
    ):
        if wrong:
            raise XpnnValueError(
                f"{where}: {_listed(wrong)} {'is' if len(wrong) == 1 else 'are'} {what}: expected the "
                f"columns {_listed(wanted)}, got {_listed(names)}"
            )
    return [names.index(name) for name in wanted]


def holding(dtype: str, names: Iterable[str]) -> str:
    """Return the dtype of rows whose columns of floats have this one, beside all the columns' own dtypes.

    Integers follow them, but not into infinity.
    """
    beyond = any("int" in name and not name.endswith("int8") for name in names)
    return "float32" if dtype == "float16" and beyond else dtype


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN])) or "none"
    return shown if len(names) <= _SHOWN else f"{shown}, ... ({len(names)})"
