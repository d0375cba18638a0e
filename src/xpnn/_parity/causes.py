"""Why a result is wrong: what it looks like, or the fault that explains the most of its error.

The fault that leaves the least of the error is named, if it leaves an eighth or less; of those that leave about
as little, or no more than rounding does, the first in the tables, which is the simplest. A fault with one or two
numbers that are fitted must leave a 32nd or less, and one with many numbers no more than rounding does.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from xpnn._arrays.dtypes import PRECISIONS
from xpnn._arrays.types import Array, Values
from xpnn._parity.case import Candidates, Case, narrowed
from xpnn._parity.faults import FAULTS
from xpnn._parity.fits import FITS, MANY, dropout
from xpnn._parity.standard import Comparison, Reference, Standard, host, listed, spread

_LEFT = 1 / 8
_LEFT_BY_FITS = 1 / 32
_NOISE = 8.0
"""A sound result differs no more than this often the size of rounding, and a fit of many numbers must not."""
_ALL = 2.0
"""What leaves no more than this often the size of rounding explains everything: no need to search on."""
_PRODUCTS = 2**22
"""About so many products each candidate may take."""


class _Found(NamedTuple):
    left: float
    words: str


def likely(standard: Standard, y: Values, comparison: Comparison, lead: tuple[int, ...]) -> str:
    """Return the fault that explains the most of the error, in words, or 'unknown'."""
    xp, reference = host().xp, standard.reference
    with host().guard("float64"):
        y = xp.astype(y, xp.float64)
        bound = xp.all(xp.isfinite(standard.enclosure.errors[1, ...]), axis=-1)
        known = bound & xp.all(xp.isfinite(standard.expected), axis=-1)
        fine = known & xp.all(xp.isfinite(y), axis=-1)
        wrong = [i for i in comparison.far if fine[i]]
        sound = [i for i in reference.sample if fine[i]]
        rows = sorted({*spread(wrong, _count(reference)), *spread(sound, _count(reference))})
        x = xp.astype(reference.x, xp.float64)
        case = Case(
            reference.layers, x, reference.of, standard.dtype, y, standard.expected,
            xp.asarray(rows, dtype=xp.int64), lead,
        )  # fmt: skip
        if comparison.infinite:
            return _infinite(case, known, comparison)
        if comparison.lost and not wrong:
            return "NaN was filled in, or lost in a maximum or minimum that passes over it"
        if not rows:
            return "unknown"
        found = _looks(case) or _explained(case)
        if found or not wrong:
            return found or "unknown"
        return _part(case, wrong, int(xp.sum(fine)), _count(reference))


def _count(reference: Reference) -> int:
    """Return how many rows of each kind to judge by: those that are wrong, and all."""
    parameters = sum(layer.parameters for layer in reference.layers)
    return max(40, min(128, _PRODUCTS // max(parameters, 1) // 2))


def _infinite(case: Case, known: Array, comparison: Comparison) -> str:
    """Say how NaN and infinity may have come about."""
    xp, last = host().xp, case.last
    low = narrowed(case.dtype) if case.dtype != "float64" else (lambda a: a)
    bad = ~xp.isfinite(case.y)
    whole = case.whole.input(len(case.steps))
    if last.record.of_rows:
        e = low(xp.exp(low(case.whole.sums(len(case.steps) - 1))))
        naive = low(e / low(xp.sum(e, axis=-1, keepdims=True)))
        naive = xp.log(naive) if last.is_logarithm else naive
        if _alike(~xp.isfinite(naive), bad, known):
            return f"{last.name} without the largest logit taken off, so that exp overflows"
    if last.is_logarithm:
        p = low(xp.exp(whole))
        least = xp.abs(p) < 2.0**-126 if case.dtype == "float32" else p == 0
        for zero in (p == 0, least):
            if _alike(zero, bad, known):
                return "the logarithm of a probability that became 0"
    return comparison.infinite


def _alike(a: Array, b: Array, known: Array) -> bool:
    xp = host().xp
    return bool(xp.all(a[known, :] == b[known, :]))


def _looks(case: Case) -> str:
    """Say what the result is where it says nothing of the network."""
    xp, y, right = host().xp, case.given, case.right
    if _is_rest(case):
        return f"{REST}, which has lost the digits of what is smaller"
    if len(y) < 2 or case.size(right - right[:1, :]) <= _NOISE * case.rounding:
        return ""
    if bool(xp.all(y == y[0, 0])):
        return f"the result is {float(y[0, 0]):.6g} everywhere"
    if bool(xp.all(y == y[:1, :])):
        return "the result is the same in all rows"
    is_one = xp.sum(xp.astype(y == 1, xp.int64), axis=-1) == 1
    hot = bool(xp.all(is_one)) and bool(xp.all((y == 0) | (y == 1))) and y.shape[-1] > 1
    if hot and case.size(right - xp.round(right)) > 1e-4:
        same = xp.argmax(y, axis=-1) == xp.argmax(right, axis=-1)
        of = (
            "the right classes" if bool(xp.all(same)) else "classes that differ from the right ones"
        )
        return f"the result is one-hot, of {of}: 1 for one class and 0 for all others"
    return ""


REST = "1 - p in place of the other probability"


def _is_rest(case: Case) -> bool:
    """Whether one of two probabilities is 1 less the other, and all of them are right within the digits of 1."""
    xp, y = host().xp, case.given
    if case.of != "output" or case.last.name != "softmax" or y.shape[-1] != 2:
        return False
    low = narrowed(case.dtype) if case.dtype != "float64" else (lambda a: a)
    rest = xp.any(xp.all(y == low(1 - y[:, ::-1]), axis=0))
    return bool(rest) and bool(xp.all(xp.abs(y - case.right) <= 8 * PRECISIONS[case.dtype].unit))


def _explained(case: Case, deep: bool = True) -> str:
    """Return the best explanation of the tables; empty if there is none."""
    all_of_it = case.left(case.right)
    if all_of_it == 0:
        return ""
    found: list[_Found] = []
    for table, limit in (
        (FAULTS, _LEFT),
        (FITS, _LEFT_BY_FITS),
        (MANY, min(_LEFT_BY_FITS, _NOISE * case.rounding / all_of_it)),
    )[: 3 if deep else 1]:
        for words, y in _candidates(case, table):
            left = case.left(y)
            if left <= limit * all_of_it:
                found.append(_Found(left, words))
                if left <= _ALL * case.rounding:
                    return words
    if not found:
        return dropout(case) if deep else ""
    best = min(f.left for f in found)
    return next(f.words for f in found if f.left <= 1.5 * best)


def _candidates(
    case: Case, table: dict[str, Callable[[Case], Candidates]]
) -> Iterator[tuple[str, Array]]:
    for words, fault in table.items():
        for where, y in fault(case):
            yield words.strip() + where, y


def _part(case: Case, wrong: list[int], total: int, count: int) -> str:
    """Explain the rows, or the columns, that alone are wrong."""
    xp = host().xp
    if len(wrong) < total:
        rows = listed("row", wrong, len(case.y))
        if len(wrong) > 1:
            alone = replace(case, rows=xp.asarray(spread(wrong, count), dtype=xp.int64))
            found = _looks(alone) or _explained(alone, deep=False)
            if found:
                return f"{found}; in {rows} alone"
        return f"unknown; in {rows} alone, {len(wrong):,} of {total:,}"
    error = xp.max(xp.abs(case.given - case.right) / case.scale, axis=0)
    size = xp.max(case.expected[case.rows, :] / case.scale, axis=0)
    columns = xp.nonzero(error > 2 * _NOISE * size)[0]
    if 0 < len(columns) < len(error):
        return f"unknown; in {listed('column', columns, len(error))} alone"
    return "unknown"
