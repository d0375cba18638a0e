"""Cases that together reach every pair of levels of two factors, in few and quick cases; or any cases.

Levels are numbered through all factors, so that rules of two factors, and the pairs that no case has
reached yet, are matrices of booleans.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .factors import FACTORS, RULES, Case, cost, refusal

NAMES = list(FACTORS)
_LEVELS = [(f, level) for f in NAMES for level in FACTORS[f]]
_NUMBERS = {(f, level, type(level)): i for i, (f, level) in enumerate(_LEVELS)}
_BEGIN = dict(zip(NAMES, itertools.accumulate([0, *map(len, FACTORS.values())]), strict=False))
_STARTS = [_BEGIN[f] for f in NAMES]
_SLICES = [slice(_BEGIN[f], _BEGIN[f] + len(FACTORS[f])) for f in NAMES]
_CANDIDATES, _TRIES = 3, 4
"""Cases among which the best for its time is taken; times that a pair is tried before it is impossible."""


def _agreement() -> np.ndarray:
    """Which levels rules of two factors allow together, and no third factor forbids."""
    may = np.ones((len(_LEVELS), len(_LEVELS)), bool)
    for one in _SLICES:
        may[one, one] = np.eye(one.stop - one.start, dtype=bool)
    for rule in RULES:
        if len(rule.factors) == 2:
            first, second = rule.factors
            for i, a in enumerate(FACTORS[first], _BEGIN[first]):
                for j, b in enumerate(FACTORS[second], _BEGIN[second]):
                    may[i, j] = may[j, i] = may[i, j] and rule.holds(a, b)
    before = -1
    while may.sum() != before:
        before = may.sum()
        for one in _SLICES:
            some = may[:, one].astype(np.int32)
            may &= some @ some.T > 0
    return may


_MAY = _agreement()
_WIDER = [rule for rule in RULES if len(rule.factors) > 2]
_IN_WIDER = {factor for rule in _WIDER for factor in rule.factors}


class Cover:
    """Draws cases, and knows which pairs they have reached."""

    def __init__(self, seed: int) -> None:
        self.rng, self.hurry = np.random.default_rng(seed), 2.0
        self.missing = np.triu(_MAY, 1)
        for one in _SLICES:
            self.missing[one, one] = False
        self.missing |= self.missing.T
        self.possible = int(self.missing.sum()) // 2

    def complete(self, *fixed: int) -> Case | None:
        """Return a case with these levels, of others that reach most; None if rules forbid all."""
        case, may = {}, np.ones(len(_LEVELS), bool)
        gain = self.rng.random(len(_LEVELS))
        for i in fixed:
            case[_LEVELS[i][0]] = _LEVELS[i][1]
            may, gain = may & _MAY[i], gain + self.missing[i]
        for factor, levels in zip(NAMES, _SLICES, strict=True):
            if factor in case:
                continue
            for k in np.argsort(self.hurry * _delay(factor, case) - gain[levels]).tolist():
                i = levels.start + k
                left = may & _MAY[i]
                if may[i] and _some_everywhere(left) and _wider(case, factor, _LEVELS[i][1]):
                    break
            else:
                return None
            case[factor] = _LEVELS[i][1]
            may, gain = left, gain + self.missing[i]
        return {factor: case[factor] for factor in NAMES}

    def reached(self, case: Case) -> "_Pairs":
        """Return the missing pairs in a case; of one that is refused, those alone that are why."""
        refused = refusal(case)
        all_of_them = [_number(f, case[f]) for f in NAMES]
        why = all_of_them if refused is None else [_number(f, case[f]) for f in refused.factors]
        pairs = np.ix_(why, all_of_them if len(why) == 1 else why)
        return _Pairs(pairs, self.missing[pairs])

    def take(self, case: Case) -> None:
        """Count the pairs in a case as reached."""
        first, second = self.reached(case).at
        self.missing[first, second] = self.missing[second.T, first.T] = False

    def covering(self) -> Iterator[Case]:
        """Yield cases until every pair is reached that any case has."""
        order = np.argwhere(np.triu(self.missing))
        for first, second in self.rng.permutation(order).tolist():
            if not self.missing[first, second]:
                continue
            best, value = None, 0.0
            for n in range(_TRIES):
                case = self.complete(first, second)
                reached = None if case is None else self.reached(case)
                if reached is not None and reached.has(first, second):
                    worth = reached.new.sum() / (cost(case) + 0.2)
                    best, value = max((best, value), (case, worth), key=lambda pair: pair[1])
                if best is not None and n + 1 >= _CANDIDATES:
                    break
            if best is None:
                self.missing[first, second] = self.missing[second, first] = False
                self.possible -= 1
            else:
                self.take(best)
                yield best

    def endless(self) -> Iterator[Case]:
        """Yield any cases, for ever."""
        self.missing[...], self.hurry = False, 0.05
        while True:
            case = self.complete()
            if case is not None:
                yield case


class _Pairs(NamedTuple):
    """Pairs of levels: their places among all, and which of them no case before has reached."""

    at: tuple[np.ndarray, np.ndarray]
    new: np.ndarray

    def has(self, a: int, b: int) -> bool:
        rows, columns = (side.ravel().tolist() for side in self.at)
        return (a in rows and b in columns) or (b in rows and a in columns)


def _number(factor: str, level: object) -> int:
    return _NUMBERS[factor, level, type(level)]


def _some_everywhere(may: np.ndarray) -> bool:
    return bool(np.logical_or.reduceat(may, _STARTS).all())


def _delay(factor: str, case: Case) -> np.ndarray | float:
    """What levels that take long lose against others."""
    if factor not in ("way", "transform", "constant"):
        return 0.0
    others = {"library": "numpy", "way": "fast", "transform": "none", "dtype": "float32"}
    others |= {"constant": "1", "side": 0, "unit": "elements", "depth": 1} | case
    seconds = [cost({**others, factor: level}) for level in FACTORS[factor]]
    return np.asarray(seconds)


def _wider(case: Case, new: str, level: object) -> bool:
    if new not in _IN_WIDER:
        return True
    known = {**case, new: level}
    return all(
        rule.holds(*(known[f] for f in rule.factors))
        for rule in _WIDER
        if new in rule.factors and all(f in known for f in rule.factors)
    )
