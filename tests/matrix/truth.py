"""What may come out of a case: exact values, and how far from them a way may be.

Elementwise functions are held to mpmath at some entries, softmax and its kin to extended precision, networks to
their error bound. The reproducible way rounds once: it has half a unit in the last place for float32.
"""

import math
from typing import Any, NamedTuple

import numpy as np

import xpnn
from xpnn._activations.activation import Activation
from xpnn._arrays.dtypes import FLOATS, PRECISIONS, computing_float
from xpnn._network.interpreters.exact import exact
from xpnn._rounding.exact import context
from xpnn._rounding.slopes import ELEMENTARY

from . import arrays, calls
from .arrays import Values
from .calls import Problem
from .factors import ELEMENT, LIBRARIES, is_network

_SAMPLES, _MANY = 10, 2**15
"""Entries of an array that are held to mpmath, and to the plain way in float64, at most."""
_UNITS, _UNITS_OF_SLOPES = 32.0, 2048.0
"""Units in the last place that the plain way of a function may be off, and the reproducible one of float64; roundings of derivatives."""


class Expected(NamedTuple):
    """Exact values of one result, and how far off each may be; NaN of a tolerance: nothing is known."""

    exact: Values
    """In extended precision."""
    tolerance: Values
    at: Values | None = None
    """The entries of the flat result that these are; None for all."""

    def fault(self, y: Values, dtype: str) -> str | None:
        """Say what is wrong with a result."""
        y = y.astype(np.longdouble)
        y = y if self.at is None else y.reshape(-1)[self.at]
        if y.shape != self.exact.shape:
            return f"shape {y.shape}, expected {self.exact.shape}"
        known = ~np.isnan(self.tolerance)
        with np.errstate(all="ignore"):
            overflows = np.abs(self.exact) + self.tolerance >= PRECISIONS[dtype].largest
            near = np.abs(y - self.exact) <= self.tolerance
        same = np.isinf(y) & (np.sign(y) == np.sign(self.exact)) & overflows
        same |= (y == self.exact) | (np.isnan(y) & np.isnan(self.exact)) | near
        wrong = np.argwhere(~same & known)
        if not len(wrong):
            return None
        i = tuple(wrong[0])
        off = abs(y[i] - self.exact[i]) / self.tolerance[i] if self.tolerance[i] else math.inf
        of = "" if self.at is None else f", entry {self.at[i]}"
        return (
            f"{len(wrong)} of {y.size} off, first at {i}{of}: {y[i]!r}, expected {self.exact[i]!r} "
            f"to {self.tolerance[i]:.3g} ({float(off):.3g} times)"
        )


def _rounding(exact_values: Values, dtype: str, way: str, library: str) -> Values:
    """What rounding the result to its dtype may cost, and what flushing small numbers may."""
    wide = computing_float(dtype)
    size = np.abs(np.nan_to_num(exact_values, posinf=0, neginf=0)).astype(np.float64)
    size = np.minimum(size, PRECISIONS[dtype].largest)
    with np.errstate(all="ignore"):
        if dtype == "bfloat16":
            last = np.maximum(size * 2.0**-8, 2.0**-134)
        else:
            last = np.spacing(size.astype(dtype)).astype(np.float64)
            least = np.finfo(dtype).smallest_subnormal
            # Below the smallest normal number results have few digits.
            last = np.where(size < np.finfo(dtype).tiny, 2 * float(least), last / 2)
    flushes = library == "jax" or way != "plain" or dtype == "bfloat16"
    return last * (1 + 2.0**-10) + (4 * PRECISIONS[wide].tiny if flushes else 0.0)


def _sample(x: Values, rng: np.random.Generator) -> Values:
    flat = x.reshape(-1)
    odd = np.flatnonzero(~np.isfinite(flat) | (np.abs(flat) > 80))[:4]
    ends = [0, flat.size - 1, *rng.integers(0, flat.size, _SAMPLES)]
    return np.unique(np.concatenate([odd, ends]).astype(int))


# Functions of each element


def _formula(name: str, options: dict[str, Any], x: float) -> Any:
    """The function at x; at infinity, what it tends to."""
    mp = context()
    if math.isnan(x):
        return mp.mpf("nan")
    x_or_far = mp.mpf(x if math.isfinite(x) else math.copysign(1e300, x))
    (y,) = Activation(name, options).exact([x_or_far])
    return math.copysign(math.inf, y) if math.isinf(x) and abs(y) > 1e200 else y


def _extended(y: Any) -> np.longdouble:
    """A number of mpmath in extended precision."""
    if isinstance(y, float) or not context().isfinite(y):
        return np.longdouble(float(y))
    high = float(y)
    if math.isinf(high):
        return np.longdouble(math.copysign(math.inf, high))
    return np.longdouble(high) + np.longdouble(float(y - context().mpf(high)))


_known: dict[Any, Any] = {}


def _once(problem: Problem, what: str, compute: Any) -> Any:
    """Compute something of a problem's values once for all ways."""
    key = (id(problem.x), what)
    if key not in _known:
        if len(_known) > 16:
            _known.clear()
        _known[key] = (problem.x, compute())  # whose id is nobody else's while it is here
    return _known[key][1]


def _element(problem: Problem, way: str, library: str, dtype: str) -> list[Expected]:
    name, options, x = problem.case["function"], problem.options, problem.x.astype(np.float64)
    at = _sample(x, np.random.default_rng(1)) if x.size else np.zeros(0, int)
    some, every_at, whole = _once(problem, name, lambda: _exact_elements(name, options, x, at))
    tolerance = _element_tolerance(problem, x.reshape(-1)[at], some, way, library, dtype)
    every = _element_tolerance(problem, x.reshape(-1)[every_at], whole, way, library, dtype)
    every = every + 2 * _UNITS * 2.0**-52 * np.abs(np.nan_to_num(whole, posinf=0, neginf=0))
    return [Expected(some, tolerance, at), Expected(whole, every, every_at)]


def _exact_elements(
    name: str, options: dict[str, Any], x: Values, at: Values
) -> tuple[Values, ...]:
    """Exact values at some entries; many entries, and what the plain way gives there in float64."""
    values = [_extended(_formula(name, options, v)) for v in x.reshape(-1)[at].tolist()]
    many = (
        np.arange(x.size)
        if x.size <= _MANY
        else np.sort(np.random.default_rng(2).integers(0, x.size, _MANY))
    )
    whole = getattr(xpnn, name)(x.reshape(-1)[many], xp=np, **options)
    return np.array(values, np.longdouble), many, whole.astype(np.longdouble)


def _element_tolerance(
    problem: Problem, x: Values, y: Values, way: str, library: str, dtype: str
) -> Values:
    one, wide = Activation(problem.case["function"], problem.options), computing_float(dtype)
    t, size = (np.abs(np.nan_to_num(a, posinf=0, neginf=0)).astype(np.float64) for a in (x, y))
    unit, tiny = PRECISIONS[wide].unit, PRECISIONS[wide].tiny
    tolerance = _rounding(y, dtype, way, library)
    with np.errstate(all="ignore"):
        if problem.case["dtype"] not in FLOATS:  # the integer itself is rounded
            tolerance = tolerance + 2 * unit * size
        if way == "fast":
            roundings = one.record.errors.roundings(t, size, **dict(one.options))
            tolerance = tolerance + unit * roundings + 4 * tiny * (1 + t)
        elif way == "plain" or wide == "float64":
            # With options the argument of an exponential is rounded: as many units as it is large.
            argument = np.abs(np.log(np.where(size > 0, size, 1)))
            scaled = t + argument if problem.options else 0.0
            tolerance = tolerance + (_UNITS + scaled) * 2 * unit * size
            tolerance = tolerance + (4 * tiny * (1 + t) if library == "jax" else 0)
    tolerance = np.minimum(tolerance, np.finfo(np.float64).max)
    if one.record.errors.jump is None:
        return tolerance
    # What is below the smallest normal number may count as 0, where a function may jump.
    return np.where((t > 0) & (t < tiny), np.nan, tolerance)


def _element_slope(problem: Problem, dtype: str) -> Expected:
    """The derivative: anything between the slopes on both sides."""
    mp, name, options = context(), problem.case["function"], problem.options
    x = problem.x.astype(np.float64).reshape(-1)
    at = _sample(x, np.random.default_rng(1)) if x.size else np.zeros(0, int)
    c = calls.pattern(x.shape)[at]
    low, high = [], []
    for v in x[at].tolist():
        if not math.isfinite(v):
            low.append(math.nan)
            high.append(math.nan)
            continue
        near_0 = abs(v) < 2 * PRECISIONS[computing_float(dtype)].tiny
        h = mp.ldexp(max(1, abs(mp.mpf(v))), -120)
        around = [(0 if near_0 else mp.mpf(v)) + k * h for k in (-1, 0, 1)]
        y = Activation(name, options).exact(around)
        slopes = [float((y[1] - y[0]) / h), float((y[2] - y[1]) / h)]
        slopes = [0.0] * 2 if name == "step" else slopes
        low.append(min(slopes))
        high.append(max(slopes))
    low, high = c * np.asarray(low), c * np.asarray(high)
    unit = PRECISIONS[dtype].unit + 0 * low
    tolerance = (high - low) / 2 + 64 * unit * (1 + np.abs(low)) * 4
    return Expected(((low + high) / 2).astype(np.longdouble), tolerance.astype(np.float64), at)


# Functions of slices


class _Sums(NamedTuple):
    m: Values
    below: Values
    e: Values
    others: Values
    """Sum of the exponentials, less the largest, 1."""
    mean_below: Values
    n: float


def _sums(x: Values, taking: Values, axis: Any) -> _Sums:
    x = np.where(taking, x, -np.inf)
    m = np.max(x, axis=axis, keepdims=True)
    below = np.where(np.isinf(x) & np.isinf(m), 0, m - x)
    below = np.where(np.isnan(below), np.inf, below)
    e = np.exp(-below) * taking
    top = np.floor(e)
    ties = np.sum(top, axis=axis, keepdims=True) - 1
    others = np.sum(e - top, axis=axis, keepdims=True) + ties
    weighted = np.where(e > 0, e * np.where(np.isinf(below), 0, below), 0)
    mean = np.sum(weighted, axis=axis, keepdims=True) / np.maximum(
        np.sum(e, axis=axis, keepdims=True), 1e-300
    )
    return _Sums(m, below, e, others, mean, x.size / max(m.size, 1))


def _slices(problem: Problem, way: str, library: str, dtype: str) -> list[Expected]:
    case, x = problem.case, problem.x.astype(np.longdouble)
    axis = arrays.axis_of(case)
    taking = np.broadcast_to(True if problem.mask is None else problem.mask, x.shape)
    unit = PRECISIONS[computing_float(dtype)].unit
    once = way == "reproducible" and computing_float(dtype) == "float32"
    unit = 2.0**-52 if once else unit
    with np.errstate(all="ignore"):
        if case["function"] == "logsumexp" and (problem.b is not None):
            return _weighted(problem, x, taking, axis, unit, way, library, dtype)
        if x.size == 0 or 0 in np.max(x.shape, initial=1, keepdims=True):
            y = xpnn_plain(problem)
            return [Expected(y.astype(np.longdouble), np.zeros(y.shape))]
        s = _sums(x, taking, axis)
        few = 2 * ELEMENTARY + 8 + 2 * math.log2(max(s.n, 1))
        finite_below = np.where(np.isinf(s.below), 0, s.below)
        y: Values
        if case["function"] == "softmax":
            y = s.e / (1 + s.others)
            y = np.where(np.isinf(s.m) | np.isnan(s.m), np.nan, y)
            y = np.where(taking, y, 0)
            tolerance = (
                unit * (few + 1.1 * finite_below + 1.1 * s.mean_below) * np.abs(np.nan_to_num(y))
            )
        elif case["function"] == "log_softmax":
            log = np.log1p(s.others)
            y = np.where(
                taking, np.where(np.isnan(s.m) | np.isinf(s.m), np.nan, -s.below - log), -np.inf
            )
            near = np.minimum(np.maximum(s.others, 0), 1)
            tolerance = unit * (
                2 * finite_below
                + few * np.abs(log)
                + (few + 2 * s.mean_below / np.maximum(near, 1e-300)) * near
            )
            tolerance = tolerance + (
                unit * (few + 2 * finite_below + np.abs(np.nan_to_num(s.m))) if way == "fast" else 0
            )
        else:
            log = np.log1p(s.others)
            y = np.where(np.isinf(s.m) | np.isnan(s.m), s.m, s.m + log)
            y = np.where(np.any(np.isnan(x) & taking, axis=axis, keepdims=True), np.nan, y)
            near = np.minimum(np.maximum(s.others, 0), 1)
            tolerance = unit * (
                few * np.abs(log)
                + few * near
                + 2 * s.mean_below
                + 2 * np.abs(np.nan_to_num(y, posinf=0, neginf=0))
            )
            tolerance = tolerance + (
                4 * unit * (1 + np.abs(np.nan_to_num(s.m, posinf=0, neginf=0)))
                if way == "fast"
                else 0
            )
            y, tolerance = (np.squeeze(a, axis=axis) for a in (y, tolerance))
        if case["dtype"] not in FLOATS:
            tolerance = tolerance + 2 * PRECISIONS[dtype].unit * (
                np.abs(np.nan_to_num(y, posinf=0, neginf=0)) + _moved(x, axis, y)
            )
        tolerance = np.nan_to_num(tolerance, nan=np.nan, posinf=1e300).astype(
            np.float64
        ) + _rounding(y, dtype, way, library)
    return [Expected(y, tolerance)]


def _moved(x: Values, axis: Any, y: Values) -> Values:
    """How far rounding integers may move a result: not at all unless they are large."""
    large = np.max(np.abs(x), initial=0)
    return np.full(y.shape, np.nan if large > 2**24 else 0.0)


def xpnn_plain(problem: Problem) -> Values:
    """The case in the plain way on NumPy, in float64: for empty arrays."""
    wide = problem._replace(case={**problem.case, "dtype": "float64"})
    call = calls.ready(wide, calls.Place("numpy", "plain"))
    return np.asarray(call.function(problem.x.astype(np.float64))[0])


def _weighted(
    problem: Problem,
    x: Values,
    taking: Values,
    axis: Any,
    unit: float,
    way: str,
    library: str,
    dtype: str,
) -> list[Expected]:
    b = np.where(taking, problem.b.astype(np.longdouble), 0)  # type: ignore[union-attr]
    if x.size == 0:
        y = xpnn_plain(problem).astype(np.longdouble)
        return [Expected(y, np.zeros(y.shape))]
    s = _sums(x, taking & (b != 0), axis)
    total = np.sum(b * s.e, axis=axis, keepdims=True)
    y = s.m + np.log(np.abs(total))
    sign = np.sign(total)
    if problem.case["weighted"] == "positive":
        y = np.where(sign < 0, np.nan, y)
    bad = np.any(np.isnan(x) & (b != 0), axis=axis, keepdims=True)
    infinite = np.isposinf(s.m)
    y = np.where(bad, np.nan, np.where(infinite, np.inf, np.where(np.isneginf(s.m), -np.inf, y)))
    loss = np.sum(
        np.abs(b) * s.e * (1 + np.where(np.isinf(s.below), 0, s.below)), axis=axis, keepdims=True
    ) / np.abs(total)
    few = 2 * ELEMENTARY + 8 + 2 * math.log2(max(s.n, 1))
    tolerance = unit * (
        few * loss
        + 4 * np.abs(np.nan_to_num(y, posinf=0, neginf=0))
        + 4 * np.abs(np.nan_to_num(s.m, posinf=0, neginf=0))
        + 8
    )
    unknown = (
        (loss * unit > 2.0**-6) | infinite & (problem.case["weighted"] == "mixed") | (total == 0)
    )
    unknown |= problem.case["dtype"] not in FLOATS and bool(np.max(np.abs(x), initial=0) > 2**24)
    tolerance = np.where(unknown & ~bad, np.nan, tolerance)
    y, tolerance, sign, bad = (np.squeeze(a, axis=axis) for a in (y, tolerance, sign, bad))
    with np.errstate(all="ignore"):
        rounding = _rounding(y, dtype, way, library)
    expected = [Expected(y, tolerance.astype(np.float64) + rounding)]
    if problem.case["weighted"] == "mixed":
        sign = np.where(bad, np.nan, np.where(np.isneginf(y), 0, sign))
        expected.append(Expected(sign, np.where(np.isnan(tolerance), np.nan, 0.0)))
    return expected


# Networks


def _networks(problem: Problem) -> list[tuple[xpnn.Network, str]]:
    """The networks whose outputs are the results of the case, and of what each."""
    layers = [xpnn.Dense(w, b, a) for w, b, a in problem.layers]
    if problem.case["function"] != "layer_outputs":
        return [
            (
                xpnn.Network(layers),
                {"logits": "logits", "log_proba": "log_proba"}.get(
                    problem.case["function"], "output"
                ),
            )
        ]
    pairs = []
    for i, (w, b, _) in enumerate(problem.layers):
        pairs.append((xpnn.Network([*layers[:i], xpnn.Dense(w, b)]), "output"))
        pairs.append((xpnn.Network(layers[: i + 1]), "output"))
    return pairs


def _network(problem: Problem, way: str, library: str, dtype: str) -> list[Expected]:
    x = problem.x.astype(np.float64) if problem.case["dtype"] in FLOATS else problem.x
    if problem.case["function"] == "classify":
        network, _ = _networks(problem)[0]
        given = problem.x if dtype != "float64" else x
        classes, sure = network.classify(given, certain=True, xp=np)
        return [Expected(classes.astype(np.longdouble), np.where(sure, 0.0, np.nan))]
    given = x.astype(np.float32) if problem.case["dtype"] in ("float32", "bfloat16") else x
    results = []
    for network, of in _networks(problem):
        if way == "reproducible" and problem.case["values"] == "wide":
            # Relative to the largest products, not to each.
            results.append(
                _of_the_largest(problem, dtype)
                if problem.case["function"] == "linear"
                else Expected(*(np.full(_shape(network, x), np.nan),) * 2)
            )
            continue
        method = {"output": network, "logits": network.logits, "log_proba": network.log_proba}[of]
        wide = network.to(np, dtype="float64")
        method = {"output": wide, "logits": wide.logits, "log_proba": wide.log_proba}[of]
        centre = method(x.astype(np.float64), xp=np)
        with np.errstate(all="ignore"):
            bound = xpnn.error_bound(network, given, of=of, dtype=dtype, xp=np)
            own = xpnn.error_bound(wide, x, of=of, dtype="float64", xp=np)
            bound = np.where(np.isfinite(bound + own), bound + own, np.nan)
        results.append(Expected(centre.astype(np.longdouble), bound))
        results[-1] = _with_exact_rows(results[-1], wide, x, of, bound - own)
    return results


def _shape(network: xpnn.Network, x: Values) -> tuple[int, ...]:
    return (*x.shape[:-1], network.layers[-1].weight.shape[1])


def _with_exact_rows(
    found: Expected, network: xpnn.Network, x: Values, of: str, bound: Values
) -> Expected:
    """Put the exact result of the first and the last row in place, where that is quick."""
    if x.size == 0 or network.parameters > 2000:
        return found
    rows = x.reshape(-1, x.shape[-1])
    y, tolerance = (
        found.exact.reshape(len(rows), -1).copy(),
        found.tolerance.reshape(len(rows), -1).copy(),
    )
    for i in {0, len(rows) - 1}:
        if np.isfinite(tolerance[i]).all():
            values = exact(network.layers, rows[i : i + 1].astype(np.float64), of)[0]
            y[i] = [_extended(v) for v in values]
            tolerance[i] = bound.reshape(len(rows), -1)[i]
    return Expected(y.reshape(found.exact.shape), tolerance.reshape(found.exact.shape))


def _of_the_largest(problem: Problem, dtype: str) -> Expected:
    """linear, to the accuracy that the definition of reproducible products gives."""
    weight, bias, _ = (
        a if a is None or isinstance(a, str) else a.astype(np.longdouble) for a in problem.layers[0]
    )
    x = problem.x.astype(np.longdouble)
    y = x @ weight + (0 if bias is None else bias)
    column = np.max(np.abs(weight), axis=0, initial=0)
    row = np.max(np.abs(weight) / np.where(column == 0, 1, column), axis=1, initial=0)
    size = np.max(np.abs(x) * row, axis=-1, keepdims=True, initial=0) * column
    wide = computing_float(dtype)
    unit, tiny = PRECISIONS[wide].unit, PRECISIONS[wide].tiny
    tolerance = x.shape[-1] * 16 * unit * size + 4 * unit * np.abs(y) + 16 * tiny
    tolerance = np.where(
        np.abs(y) + size * x.shape[-1] > PRECISIONS[wide].largest / 8, np.nan, tolerance
    )
    rounding = _rounding(y, dtype, "reproducible", "numpy")
    return Expected(y, np.minimum(tolerance, 1e308).astype(np.float64) + rounding)


def expected(problem: Problem, way: str, library: str, dtype: str) -> list[list[Expected]]:
    """What each result of a case is held to."""
    name = problem.case["function"]
    if name in ELEMENT:
        return [_element(problem, way, library, dtype)]
    found = _network if is_network(name) or name == "linear" else _slices
    return [[one] for one in found(problem, way, library, dtype)]


def expected_gradient(problem: Problem, dtype: str) -> list[list[Expected]]:
    """What the derivative of a case is held to; nothing where nothing is known."""
    case = problem.case
    if case["function"] in ELEMENT:
        return [[_element_slope(problem, dtype)]]
    if case["values"] not in ("normal", "certain") or "torch" not in LIBRARIES:
        return []
    # Of many sums: as torch finds it for the formula as it is written, in float64.
    weights = case["weights"] if case["weights"] == "-" else "float64"
    wide = problem._replace(case={**case, "dtype": "float64", "weights": weights})
    there = calls.Place("torch", "plain", "torch.backward")
    x = there.asarray(problem.x.astype(np.float64), "float64")
    slope = arrays.native(calls.ready(wide, there).function(x)).astype(np.longdouble)
    largest = np.max(np.abs(slope), initial=0, where=np.isfinite(slope)) + 1
    # An exponential is as large as that because of its argument, whose roundings count as often as that is large.
    roundings = _UNITS_OF_SLOPES * max(1.0, float(np.log(largest)))
    units = PRECISIONS[dtype].unit + PRECISIONS[computing_float(dtype)].unit * roundings
    return [[Expected(slope, np.full(slope.shape, float(units * largest)))]]
