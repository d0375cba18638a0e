"""Faults of precision: products, values or weights that hold fewer digits than they should."""

import functools
from collections.abc import Callable, Iterator

from xpnn._arrays.dtypes import PRECISIONS
from xpnn._arrays.types import Array
from xpnn._network.interpreters.values import Plain
from xpnn._parity.case import (
    Candidates,
    Case,
    Change,
    Step,
    changed,
    cut,
    in_layers,
    narrowed,
    replaced,
    rounded,
)
from xpnn._parity.standard import host

DECIMALS = range(7)


class _Factors(Plain):
    """The words, with factors of products changed."""

    def __init__(self, change: Change) -> None:
        super().__init__(host().xp)
        self._change = change

    def linear(self, x: Array, weight: Array, bias: Array | None, _: str | None = None, /) -> Array:
        """Return x @ weight + bias of other factors."""
        return super().linear(self._change(x), self._change(weight), bias)


def _with_factors(case: Case, change: Change, i: int, step: Step) -> Step | None:
    """Return a layer in which the factors of each product with a matrix are changed; None if it has none."""
    if step.is_matrix:
        return step._replace(factor=change)
    return step.whole and case.by_words(i, _Factors(change), step.whole)


def _rounded_factors(bits: int) -> Callable[[Case], Candidates]:
    def run(case: Case) -> Candidates:
        if PRECISIONS[case.dtype].bits <= bits:
            return
        for words, how in (("", rounded), (", toward zero", _cut)):

            def low(a: Array, how: Callable[[Array, int], Array] = how) -> Array:
                return how(a, bits)

            made = {i: _with_factors(case, low, i, s) for i, s in enumerate(case.steps)}
            new = {i: step for i, step in made.items() if step is not None}
            yield words, case.some.run(replaced(case, new))
            for i, step in new.items():
                if len(new) > 1:
                    yield f"{in_layers(i)}{words}", case.some.run(replaced(case, {i: step}))

    return run


def _cut(a: Array, bits: int) -> Array:
    return cut(a, bits, host().xp)


def _low(dtype: str) -> Callable[[Case], Candidates]:
    """Everything computed in a dtype, in every layer or in one alone; and the result alone."""

    def run(case: Case) -> Candidates:
        if PRECISIONS[case.dtype].bits <= PRECISIONS[dtype].bits:
            return
        low = narrowed(dtype)

        def lowered(step: Step) -> Step:
            bias = None if step.bias is None else low(step.bias)
            return step._replace(
                weight=low(step.weight), bias=bias, factor=low, made=low, after=low
            )

        yield ": the result", low(case.right)
        yield from changed(case, lambda _, step: lowered(step))

        factors = functools.partial(_with_factors, case, low)
        yield from changed(case, factors, ": factors of the product")

        def made(_: int, step: Step) -> Step:
            return step._replace(after=low)

        yield from changed(case, made, ": its results")

    return run


def _coarse(case: Case) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """Yield the ways in which weights are made coarser."""
    xp = host().xp
    for dtype in ("float16", "bfloat16"):
        if PRECISIONS[dtype].bits < PRECISIONS[case.dtype].bits:
            yield dtype, narrowed(dtype)
    for bits in (8, 4):
        most = 2.0 ** (bits - 1) - 1

        def symmetric(a: Array, axis: int | None, most: float = most) -> Array:
            unit = xp.max(xp.abs(a), axis=axis, keepdims=axis is not None) / most
            unit = xp.where(unit == 0, 1.0, unit)
            return xp.round(a / unit) * unit

        def affine(a: Array, axis: int | None, levels: float = 2.0**bits - 1) -> Array:
            keep = axis is not None
            low, high = (f(a, axis=axis, keepdims=keep) for f in (xp.min, xp.max))
            low, high = xp.minimum(low, 0.0 * low), xp.maximum(high, 0.0 * high)
            unit = xp.where(high == low, 1.0, (high - low) / levels)
            zero = xp.round(-low / unit)
            return (xp.clip(xp.round(a / unit) + zero, 0, levels) - zero) * unit

        for how in (symmetric, affine):
            kind = " with a zero point" * (how is affine)
            for words, axis in (("per tensor", None), ("per output", 0), ("per input", -1)):
                yield f"int{bits} {words}{kind}", functools.partial(how, axis=axis)
        half = functools.partial(symmetric, axis=None, most=most + 1)
        yield f"int{bits} per tensor of {most + 1:.0f} steps", half
    for n in DECIMALS:
        yield f"{n} decimals", functools.partial(xp.round, decimals=n)
        yield f"{n} decimals, cut", functools.partial(_cut_decimals, 10.0**n)


def _cut_decimals(scale: float, a: Array) -> Array:
    return host().xp.trunc(a * scale) / scale


def _coarse_weights(case: Case) -> Candidates:
    for words, coarse in _coarse(case):

        def weights(_: int, step: Step, coarse: Change = coarse) -> Step:
            return step._replace(weight=coarse(step.weight))

        def both(_: int, step: Step, coarse: Change = coarse) -> Step | None:
            if step.bias is None:
                return None
            return step._replace(weight=coarse(step.weight), bias=coarse(step.bias))

        yield from changed(case, weights, f": {words}")
        if "per" not in words:
            yield from changed(case, both, f": {words}, with the bias")


def _coarse_values(case: Case) -> Candidates:
    for words, coarse in _coarse(case):
        yield f": the input in {words}", case.some.run(x=coarse(case.some.x))
        yield f": the result in {words}", coarse(case.right)


def _single(case: Case) -> Candidates:
    if case.dtype != "float64":
        return
    low = narrowed("float32")

    def weights(_: int, step: Step) -> Step:
        bias = None if step.bias is None else low(step.bias)
        return step._replace(weight=low(step.weight), bias=bias)

    every = tuple(weights(i, step) for i, step in enumerate(case.steps))
    x = low(case.some.x)
    yield ", the input", case.some.run(x=x)
    yield ", the weights", case.some.run(every)
    yield ", input and weights", case.some.run(every, x=x)
    yield from ((f", the weights{w}", y) for w, y in changed(case, weights))
    if bool(host().xp.all(low(case.given) == case.given)):
        yield "", case.given


PRECISION: dict[str, Callable[[Case], Candidates]] = {
    "float64 cut to float32": _single,
    "factors of products rounded to TF32": _rounded_factors(11),
    "factors of products rounded to bfloat16": _rounded_factors(8),
    "low precision: float16": _low("float16"),
    "low precision: bfloat16": _low("bfloat16"),
    "coarse weights": _coarse_weights,
    "coarse values": _coarse_values,
}
