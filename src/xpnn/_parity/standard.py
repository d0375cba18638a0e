"""What results are held to: exact values of some rows, and for all rows a bound and an expected size."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.dtypes import PRECISIONS
from xpnn._arrays.library import own_library
from xpnn._arrays.types import Namespace, Values
from xpnn._network.copies import layer_dtypes
from xpnn._network.interpreters.bounds import Pass, certain, enclose
from xpnn._network.interpreters.exact import exact
from xpnn._network.interpreters.expectation import expect
from xpnn._network.interpreters.values import Plain, ending
from xpnn._network.interpreters.values import classes as classes_of
from xpnn._network.layers.layer import Layers
from xpnn._network.network import Network
from xpnn._rounding.enclosure import Enclosure
from xpnn._rounding.exact import BITS, Number, context
from xpnn._rounding.expected import FACTOR, LEAST
from xpnn.errors import XpnnValueError

ANY_ROW = 16.0
"""No row of a sound result errs more than this often as much as expected, taking a row for itself.

A root mean square may be `FACTOR` times the expected one. A single row has what sums of some thousand
normal numbers have at most, twice their standard deviations with what sound libraries showed, and the
`FACTOR` of an activation's evaluation.
"""

_PRODUCTS = 2**22
"""About so many products are done exactly, which takes a second."""


@functools.cache
def host() -> Library:
    """Return the library in which everything here is computed, whatever is held to it."""
    return own_library()


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
        layers = network.to(host().xp, dtype="float64").layers
        ending(layers, of)  # an error where there is none of this kind
        finite = [i for i, fine in enumerate(guarded(_stays_finite, layers, x).tolist()) if fine]
        count = min(len(finite), max(8, min(128, _PRODUCTS // max(network.parameters, 1))))
        sample = spread(finite, count)
        names = layer_dtypes(network.layers)
        values = exact(layers, x[sample, :], of) if sample else []
        return Reference(layers, names, x, of, sample, values)

    def required(self) -> "Reference":
        """Return itself; XpnnValueError if not even one row has an exact result."""
        if not self.sample:
            rows = f"got none in {len(self.x)} rows"
            raise XpnnValueError(f"x: expected at least one row of finite numbers, {rows}")
        return self

    @property
    def words(self) -> str:
        """What the reference is."""
        if not self.sample:
            return f"of none of {len(self.x):,} rows: none of them stays finite in binary64"
        rows = f"{len(self.sample):,} of {len(self.x):,} rows"
        return (
            f"exact integers for products, mpmath with {BITS} bits for activations, on {rows}"
            + ("" if len(self.sample) == len(self.x) else ", evenly spread")
        )


def spread(rows: list[int], count: int) -> list[int]:
    """Return so many of the rows, evenly spread, or all of them."""
    count = min(count, len(rows))
    return [rows[i * (len(rows) - 1) // max(count - 1, 1)] for i in range(count)]


def _stays_finite(layers: Layers, x: Values, xp: Namespace) -> Values:
    """Return the rows all of whose values are finite in binary64, with finite weights."""
    x = xp.astype(x, xp.float64)
    fine: Values = xp.all(xp.isfinite(x), axis=-1)
    for layer in layers:
        if not all(bool(xp.all(xp.isfinite(a))) for a in layer.arrays.values()):
            fine = xp.zeros_like(fine)
            break
        a = layer.preactivation(x, Plain(xp))
        x = layer.activated(a, Plain(xp))
        fine = fine & xp.all(xp.isfinite(a) & xp.isfinite(x), axis=-1)
    return fine


class Comparison(NamedTuple):
    """How far a result is from the exact one."""

    dtype: str
    """Name of the dtype of the result."""
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
    infinite: str
    """Where it has NaN or infinity although the exact values are finite, in words; empty: nowhere."""
    far: list[int]
    """The rows that are outside the bound, or further off than is expected of any row."""
    beyond: int
    """How many rows are inside the bound and further off than is expected of any row."""
    lost: str
    """Where it is not NaN although the input is, in words; empty: nowhere."""
    held: int
    """Rows that are held to anything, of all rows."""

    @property
    def faults(self) -> list[str]:
        """What is wrong with it, in words; nothing if it is sound."""
        faults = []
        if self.infinite:
            faults.append(self.infinite)
        if self.lost:
            faults.append(self.lost)
        if not self.held:
            faults.append("no row can be held to anything, so that nothing is known to be right")
        if self.beyond:
            faults.append(
                f"{self.beyond:,} rows inside the bound with errors more than {ANY_ROW:.0f} times those "
                f"expected of {self.dtype}"
            )
        if self.outside:
            faults.append(f"{self.outside:,} rows outside the bound")
        if self.of_expected > FACTOR:
            faults.append(too_large(self.of_expected, self.dtype))
        if self.wrong:
            faults.append(f"{self.wrong:,} rows of another class than the certain one")
        return faults


def too_large(ratio: float, dtype: str) -> str:
    """Say that errors are inside the bound, but not of this precision."""
    times = f"{ratio:,.0f}" if ratio < 1e12 else f"{ratio:.0e}"
    return f"errors {times} times those expected of {dtype}, sound ones stay below {FACTOR:.0f}"


class Standard(NamedTuple):
    """What a result of one dtype is held to."""

    reference: Reference
    dtype: str
    enclosure: Enclosure
    expected: Values
    any_row: Values
    """No row of a sound result is further off, as far as the model goes."""
    smooth: Values
    """Where no argument is near a kink or a jump."""
    classes: Values | None
    certain: Values | None

    @staticmethod
    def make(reference: Reference, dtype: str) -> "Standard":
        """Find bound and expected error of a pass in `dtype`, for every row."""
        layers, x = reference.layers, reference.x
        one = Pass(layers, reference.weights, dtype, reference.of)
        variance = guarded(expect, one, x).variance
        classes, sure = None, None
        if layers[-1].activate.log_probability is not None:
            classes = guarded(lambda xp: classes_of(layers, xp.astype(x, xp.float64), Plain(xp)))
            sure = guarded(certain, one, x)
        enclosure = guarded(enclose, one, x)
        own = 2.0 if dtype == "float64" else 1.0  # the centre's errors are like those of y
        widest = guarded(lambda xp: expect(one, x, xp, ANY_ROW).variance)
        any_row = ANY_ROW * host().xp.maximum((own * widest) ** 0.5, LEAST)
        smooth = is_smooth(variance, widest)
        return Standard(reference, dtype, enclosure, variance**0.5, any_row, smooth, classes, sure)

    def compare(self, y: Values, classes: Values | None) -> Comparison:
        """Hold a result, of all rows, to it; `classes` are those that came with it."""
        xp, sample = host().xp, self.reference.sample
        y = xp.astype(y, xp.float64)
        own, bound = self.enclosure.errors
        known = xp.isfinite(bound)
        distance = guarded(lambda xp: xp.abs(y - self.enclosure.centre))
        inside = distance <= own + bound
        near = (distance <= self.any_row) | ~xp.isfinite(self.any_row)
        ulps, points, ratios = 0.0, list[tuple[float, float, float]](), list[float]()
        for i, values in zip(sample, self.reference.exact, strict=True):
            errors = [_distance(v, e) for v, e in zip(y[i].tolist(), values, strict=True)]
            inside[i] = errors <= bound[i]
            numbers = zip(errors, bound[i].tolist(), self.expected[i].tolist(), strict=True)
            flags = zip(known[i].tolist(), self.smooth[i].tolist(), strict=True)
            for point, value, (sure, smooth) in zip(numbers, values, flags, strict=True):
                if sure:
                    points.append(point)
                    ulps = max(ulps, point[0] / ulp(value, self.dtype))
                if sure and smooth:
                    ratios.append(point[0] / max(point[2], LEAST))
        inside = xp.all(inside | ~known, axis=-1)
        near = xp.all(near | ~known, axis=-1)
        held = xp.any(known, axis=-1)
        agreement, wrong = None, 0
        if classes is not None and self.classes is not None:
            same = classes == self.classes
            agreement, wrong = float(xp.mean(same)), int(xp.sum(self.certain & ~same))
        return Comparison(
            self.dtype,
            ulps,
            max((_ratio(error, most) for error, most, _ in points), default=0.0),
            root_mean_square(ratios),
            int(xp.sum(~inside)),
            int(xp.sum(~held)),
            agreement,
            wrong,
            points,
            not_finite("y", y, known, ", where exact values are finite"),
            xp.nonzero(~(inside & near))[0].tolist(),
            int(xp.sum(inside & ~near)),
            _lost(y, self.missing),
            int(xp.sum(held | xp.any(self.missing, axis=-1))),
        )

    @property
    def missing(self) -> Values:
        """Where a result is NaN because the input is; an infinity beside it may make anything of that."""
        xp, x = host().xp, self.reference.x
        if x.dtype.kind != "f":
            return xp.zeros(self.expected.shape, dtype=xp.bool)
        rows = xp.any(xp.isnan(x), axis=-1) & ~xp.any(xp.isinf(x), axis=-1)
        return rows[:, None] & xp.isnan(self.enclosure.centre)


def is_smooth(variance: Values, widest: Values) -> Values:
    """Return where no kink or jump is within `ANY_ROW` deviations: of others no mean is made."""
    return ~(widest > ANY_ROW**2 * host().xp.maximum(variance, LEAST**2))


def _lost(y: Values, missing: Values) -> str:
    xp = host().xp
    rows, columns = xp.nonzero(missing & ~xp.isnan(y))
    if not len(rows):
        return ""
    where = f"{listed('row', rows, len(y))}, {listed('column', columns, y.shape[1])}"
    return f"y is a number at {len(rows):,} place{'s' * (len(rows) > 1)} where x is NaN: {where}"


def not_finite(name: str, values: Values, where: Values | bool = True, why: str = "") -> str:
    """Say where values are NaN or infinite: how many, in which rows and columns; empty if nowhere."""
    xp, parts = host().xp, []
    if values.dtype.kind != "f":
        return ""
    for word, those in (("NaN", xp.isnan(values)), ("infinity", xp.isinf(values))):
        rows, columns = xp.nonzero(those & where)
        if len(rows):
            parts.append(
                f"{word} at {len(rows):,} place{'s' * (len(rows) > 1)}: {listed('row', rows, len(values))}, "
                f"{listed('column', columns, values.shape[1])}"
            )
    return f"{name} has {'; '.join(parts)}{why}" if parts else ""


def listed(what: str, numbers: Values | list[int], total: int) -> str:
    """Name rows or columns, the first few of many, as 'rows 3, 9 and 5 more'."""
    those = sorted({int(n) for n in numbers})
    if len(those) == total > 1:
        return f"all {total:,} {what}s"
    more = f" and {len(those) - 6:,} more" if len(those) > 6 else ""
    return f"{what}{'s' * (len(those) > 1)} {', '.join(map(str, those[:6]))}{more}"


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
    return math.ldexp(1.0, precision.last_place(math.frexp(float(value) or precision.tiny)[1] - 1))
