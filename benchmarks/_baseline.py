"""Ratios held to those of an earlier run."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FALL = 0.25
"""How much of a ratio may be lost."""

Result = dict[str, Any]


@dataclass(frozen=True)
class Fall:
    """A ratio that fell."""

    id: str
    peer: str
    before: float
    now: float

    def __str__(self) -> str:
        lost = 100 * (1 - self.now / self.before)
        return (
            f"{self.id} against {self.peer}: {self.before:.3g} -> {self.now:.3g}, {lost:.0f} % less"
        )


def _ratios(results: Iterable[Result]) -> dict[tuple[str, str], float]:
    return {
        (result["id"], peer): found["ratio"]
        for result in results
        for peer, found in result.get("ratios", {}).items()
    }


def compared(before: Iterable[Result], now: Iterable[Result]) -> int:
    """How many ratios both have."""
    return len(_ratios(before).keys() & _ratios(now).keys())


def fallen(before: Iterable[Result], now: Iterable[Result]) -> list[Fall]:
    """All ratios that are less than 75 % of what they were, in the order of the earlier run."""
    found = _ratios(now)
    return [
        Fall(*key, ratio, found[key])
        for key, ratio in _ratios(before).items()
        if key in found and found[key] < (1 - FALL) * ratio
    ]


def missing(before: Iterable[Result], now: Iterable[Result]) -> list[str]:
    """What the earlier run had, and this one has not."""
    lost = _ratios(before).keys() - _ratios(now).keys()
    return sorted(f"{name} against {peer}" for name, peer in lost)
