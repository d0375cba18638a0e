"""Columns of tables, found by their names."""

from collections.abc import Sequence

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


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN])) or "none"
    return shown if len(names) <= _SHOWN else f"{shown}, ... ({len(names)})"
