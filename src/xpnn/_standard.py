"""What results are held to: exact values of some rows, and for all rows a bound and an expected size."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn import _forward
from xpnn._analysis import Enclosure, Pass, certain, enclose
from xpnn._arrays import Library
from xpnn._backends import backend_library
from xpnn._dtypes import PRECISIONS
from xpnn._expectation import FACTOR, expect
from xpnn._forward import LOG_PROBA, Layers, output_of
from xpnn._network import Network
from xpnn._placement import layer_dtypes
from xpnn._reference import BITS, Number, context, exact
from xpnn._types import Values
from xpnn.errors import XpnnValueError

_PRODUCTS = 2**22
"""About so many products are done exactly, which takes a second."""


@functools.cache
def host() -> Library:
    """Return the library in which everything here is computed, whatever is held to it."""
    return backend_library("numpy")


def guarded(f: Callable[..., Any], *arguments: Any) -> Any:
    """Return f(*arguments), computed in binary64 by `host`."""
    with host().guard("float64"):
        return f(*arguments, host().xp)


class Reference(NamedTuple):
    """A network, its input, and the exact result of some of the rows."""

    layers: Layers
    """In binary64."""
    weights: set[str]
    """The dtypes that the weights have."""
    x: Values
    of: str
    sample: list[int]
    """The rows whose exact result is known."""
    exact: list[list[Number]]

    @staticmethod
    def make(network: Network, x: Values, of: str) -> "Reference":
        """Compute the exact results."""
        x = x.reshape(-1, x.shape[-1])
        finite = [i for i, row in enumerate(x.tolist()) if all(map(math.isfinite, row))]
        if not finite:
            raise XpnnValueError(
                f"x: expected at least one row of finite numbers, got none in {len(x)} rows"
            )
        count = min(len(finite), max(8, min(128, _PRODUCTS // network.parameters)))
        sample = [finite[i * (len(finite) - 1) // max(count - 1, 1)] for i in range(count)]
        layers = network.to(host().xp, dtype="float64").layers
        names = layer_dtypes(network.layers)
        return Reference(layers, names, x, of, sample, exact(layers, x[sample, :], of))

    @property
    def words(self) -> str:
        """What the reference is."""
        rows = f"{len(self.sample):,} of {len(self.x):,} rows"
        return (
            f"exact integers for products, mpmath with {BITS} bits for activations, on {rows}"
            + ("" if len(self.sample) == len(self.x) else ", evenly spread")
        )


class Comparison(NamedTuple):
    """How far a result is from the exact one."""

    dtype: str
    ulps: float
    """Largest error, in units in the last place of the exact value."""
    of_bound: float
    """Largest error, as a fraction of the bound."""
    of_expected: float
    """Root mean square of error over expected error."""
    outside: int
    """Rows outside the bound, of all rows."""
    unbounded: int
    """Rows of which the bound says nothing."""
    agreement: float | None
    """Share of rows that have the class of the binary64 logits; None where there are no classes."""
    wrong: int
    """Rows whose class differs although it is certain."""
    points: list[tuple[float, float, float]]
    """(error, bound, expected error) for the outputs of the rows with exact values."""

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, in words; nothing if it is sound."""
        faults = []
        if self.outside:
            faults.append(f"{self.outside:,} rows outside the bound")
        if self.of_expected > FACTOR:
            faults.append(too_large(self.of_expected, self.dtype))
        if self.wrong:
            faults.append(f"{self.wrong:,} rows of another class than the certain one")
        return faults


def too_large(ratio: float, dtype: str) -> str:
    """Say that errors are inside the bound, but not of this precision."""
    return (
        f"errors {ratio:,.0f} times those expected of {dtype}, sound ones stay below {FACTOR:.0f}"
    )


class Standard(NamedTuple):
    """What a result of one dtype is held to."""

    reference: Reference
    dtype: str
    enclosure: Enclosure
    expected: Values
    classes: Values | None
    certain: Values | None

    @staticmethod
    def make(reference: Reference, dtype: str) -> "Standard":
        """Find bound and expected error of a pass in `dtype`, for every row."""
        layers, x = reference.layers, reference.x
        one = Pass(layers, reference.weights, dtype, reference.of)
        variance = guarded(expect, one, x).variance
        classes, sure = None, None
        if output_of(layers) in LOG_PROBA:
            classes = guarded(_forward.classes, layers, host().xp.astype(x, host().xp.float64))
            sure = guarded(certain, one, x)
        enclosure = guarded(enclose, one, x)
        return Standard(reference, dtype, enclosure, variance**0.5, classes, sure)

    def compare(self, y: Values, classes: Values | None) -> Comparison:
        """Hold a result, of all rows, to it; `classes` are those that came with it."""
        xp, sample = host().xp, self.reference.sample
        y = xp.astype(y, xp.float64)
        own, bound = self.enclosure.errors
        known = xp.all(xp.isfinite(bound), axis=-1)
        inside = xp.abs(y - self.enclosure.centre) <= own + bound
        ulps, points = 0.0, list[tuple[float, float, float]]()
        for i, values in zip(sample, self.reference.exact, strict=True):
            errors = [_distance(v, e) for v, e in zip(y[i].tolist(), values, strict=True)]
            inside[i] = errors <= bound[i]
            if known[i]:
                points += zip(errors, bound[i].tolist(), self.expected[i].tolist(), strict=True)
                ulps = max(
                    ulps, *(e / ulp(v, self.dtype) for e, v in zip(errors, values, strict=True))
                )
        agreement, wrong = None, 0
        if classes is not None and self.classes is not None:
            same = classes == self.classes
            agreement, wrong = float(xp.mean(same)), int(xp.sum(self.certain & ~same))
        return Comparison(
            self.dtype,
            ulps,
            max((_ratio(error, most) for error, most, _ in points), default=0.0),
            root_mean_square([_ratio(error, size) for error, _, size in points]),
            int(xp.sum(known & ~xp.all(inside, axis=-1))),
            int(xp.sum(~known)),
            agreement,
            wrong,
            points,
        )


def _distance(y: float, value: Number) -> float:
    return float(abs(context().mpf(y) - value)) if math.isfinite(y) else math.inf


def _ratio(error: float, size: float) -> float:
    return error / size if size else math.inf if error else 0.0


def root_mean_square(values: list[float]) -> float:
    """Return the root mean square, 0 of nothing."""
    return math.hypot(*values) / math.sqrt(max(len(values), 1))


def ulp(value: Number, dtype: str) -> float:
    """Return the unit in the last place of a dtype at an exact value."""
    precision = PRECISIONS[dtype]
    exponent = max(math.frexp(float(value))[1], math.frexp(precision.tiny)[1])
    return math.ldexp(1.0, exponent - precision.bits)
