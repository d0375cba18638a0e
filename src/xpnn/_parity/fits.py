"""Faults with unknown numbers, which one fit finds: a temperature, a scale, other weights; and dropout.

A fit is by least squares with a damped Gauss-Newton method (D. W. Marquardt, 'An algorithm for
least-squares estimation of nonlinear parameters', SIAM J. Appl. Math. 11, 1963, doi:10.1137/0111030).
"""

import math
import random
from collections.abc import Callable
from dataclasses import replace

from xpnn._arrays.types import Array
from xpnn._parity.case import Candidates, Case, Step, in_layers, narrowed, replaced
from xpnn._parity.standard import host

_FEWEST = 3
"""A fit needs so many outputs for each number that it finds: otherwise it proves nothing."""

_COLUMNS = 32
"""Columns of an input that are each given a scale, or put in any order; more would take too long."""

_UNKNOWNS = 300

Family = Callable[[Array], Array]


def fitted(case: Case, family: Family, start: Array, steps: int = 10) -> tuple[Array, Array]:
    """Return the numbers with which `family` comes nearest to what came, and what it makes of them."""
    xp = host().xp
    theta = xp.asarray(start, dtype=xp.float64)
    y, damping = family(theta), 1e-6
    left = case.left(y)
    for _ in range(steps):
        if not math.isfinite(left) or left <= case.rounding:
            break
        columns = []
        for k in range(len(start)):
            h = 1e-6 * max(abs(float(theta[k])), 1e-2)
            moved = xp.asarray([float(t) + h * (i == k) for i, t in enumerate(theta)])
            columns.append(xp.reshape((family(moved) - y) / case.scale / h, (-1,)))
        jacobian = xp.stack(columns, axis=-1)
        error = xp.reshape((case.given - y) / case.scale, (-1,))
        square, slope = xp.matmul(jacobian.T, jacobian), xp.matmul(jacobian.T, error)
        diagonal = xp.linalg.diagonal(square)
        if not bool(xp.all(xp.isfinite(square))):
            break
        before = left
        for _ in range(6):
            ridge = damping * diagonal + 1e-14 * xp.max(diagonal) + 1e-300
            new = theta + xp.linalg.solve(square + ridge * xp.eye(len(start)), slope[:, None])[:, 0]
            other = family(new)
            size = case.left(other)
            if size < left:
                theta, y, left, damping = new, other, size, damping / 10
                break
            damping = max(damping, 1e-8) * 10
        if left > before * 0.8:
            break
    return theta, y


def _affine(words: str, factor: float, shift: float, size: float) -> str:
    parts = [f"times {factor:.3g}"] if abs(factor - 1) > 1e-6 else []
    if abs(shift) > 1e-5 * abs(factor) * size:
        parts.append(f"plus {shift:.3g}")
    return words + " ".join(parts)


def temperature(case: Case) -> Candidates:
    """The logits divided by a number."""
    name, activate = case.last.name, case.steps[-1].activate
    if name == "identity":
        return
    logits = case.some.sums(len(case.steps) - 1)
    for start in (1.0, 0.3, 3.0, 0.05, 20.0):
        theta, y = fitted(case, lambda t: activate(logits * t), [start])
        factor = float(theta[0])
        if factor > 0:
            yield f" of {1 / factor:.3g}", y


def scaled_result(case: Case) -> Candidates:
    """The result times a number, plus a number."""
    xp, right, given = host().xp, case.right, case.given
    middle, mean = xp.mean(right), xp.mean(given)
    square = float(xp.sum((right - middle) ** 2))
    if square and case.given.shape[0] * case.given.shape[1] >= 8:
        factor = float(xp.sum((right - middle) * (given - mean))) / square
        shift = float(mean) - factor * float(middle)
        size = float(xp.max(xp.abs(right)))
        proportional = float(xp.sum(right * given) / xp.sum(right * right))
        yield f": times {proportional:.3g}", proportional * right
        if (
            factor
            and abs(factor) * math.sqrt(square) > 1e-2 * float(xp.sum((given - mean) ** 2)) ** 0.5
        ):
            yield _affine(": ", factor, shift, size), factor * right + shift
            yield f": plus {float(mean - middle):.3g}", right + float(mean - middle)


def _starts(x: Array) -> list[tuple[float, float]]:
    """Factors and shifts that people give an input."""
    xp = host().xp
    mean, deviation = float(xp.mean(x)), float(xp.std(x)) or 1.0
    low, high = float(xp.min(x)), float(xp.max(x))
    width = (high - low) or 1.0
    known = [
        (1 / 255, 0.0), (255.0, 0.0), (1 / 256, 0.0), (256.0, 0.0), (1 / 127.5, -1.0), (127.5, 127.5),
        (-1.0, 0.0), (-1.0, 1.0), (-1.0, 255.0), (1 / 255 / 0.3081, -0.1307 / 0.3081),
        (1 / 0.3081, -0.1307 / 0.3081), (1 / deviation, -mean / deviation), (1.0, -mean),
        (1 / width, -low / width), (2 / width, -2 * low / width - 1), (deviation, mean), (2.0, -1.0),
        (0.5, 0.5), (1 / 255, -0.5), (1 / high if high else 1.0, 0.0),
    ]  # fmt: skip
    return known + [(sign * 2.0**k, 0.0) for k in range(-8, 9) for sign in (1, -1) if k]


def scaled_input(case: Case) -> Candidates:
    """The input times a number, plus a number."""
    xp, x = host().xp, case.some.x
    first, size = case.steps[0], float(xp.max(xp.abs(x)))
    product, ones = first.product(x), first.product(xp.ones((1, x.shape[-1])))
    bias = 0.0 if first.bias is None else first.bias

    def family(theta: Array) -> Array:
        z = first.activate(product * theta[0] + ones * theta[1] + bias)
        for step in case.steps[1:]:
            z = step(z)
        return z

    ways = []
    for factor, shift in _starts(case.x[case.rows, :]) + _starts(case.x):
        y = family(xp.asarray([factor, shift]))
        ways.append((case.left(y), factor, shift))
        yield _affine(": ", factor, shift, size), y
    for _, factor, shift in [*sorted(ways)[:4], (0.0, 1.0, 0.0)]:
        for alone in (True, False):
            if alone:

                def scaled(t: Array, shift: float = shift) -> Array:
                    return family(xp.stack([t[0], 0 * t[0] + shift]))

                theta, y = fitted(case, scaled, [factor])
                yield _affine(": ", float(theta[0]), shift, size), y
            else:
                theta, y = fitted(case, family, [factor, shift])
                yield _affine(": ", float(theta[0]), float(theta[1]), size), y


def other_input(case: Case) -> Candidates:
    """The input's columns in an order that people meet, and inputs made alike by rows or columns."""
    xp, x, whole = host().xp, case.some.x, case.x
    n = x.shape[-1]

    def reshaped(a: int, b: int) -> Array:
        return xp.reshape(xp.permute_dims(xp.reshape(x, (-1, a, b)), (0, 2, 1)), x.shape)

    orders = {": the columns reversed": xp.flip(x, axis=-1)}
    for a in [a for a in range(2, n) if n % a == 0]:
        orders[f": transposed as {a} x {n // a}"] = reshaped(a, n // a)
        square = xp.reshape(x, (-1, a, n // a))
        for axis in (1, 2):
            words = f": reversed along axis {axis} of {a} x {n // a}"
            orders[words] = xp.reshape(xp.flip(square, axis=axis), x.shape)
    root = round(math.sqrt(n))
    if root * root == n:
        turned = xp.permute_dims(xp.flip(xp.reshape(x, (-1, root, root)), axis=1), (0, 2, 1))
        orders[": turned by a quarter"] = xp.reshape(turned, x.shape)
    for by in (1, -1, 2, -2):
        orders[f": columns shifted by {by}"] = xp.roll(x, by, axis=-1)

    def along(a: Array, axis: int, of: Array) -> dict[str, Array]:
        mean, low = (f(of, axis=axis, keepdims=True) for f in (xp.mean, xp.min))
        high = xp.max(of, axis=axis, keepdims=True)
        found = {"less its mean": a - mean, "to 0 and 1": (a - low) / _not_zero(high - low)}
        for correction in (0, 1) if of.shape[axis] > 1 else (0,):
            deviation = _not_zero(xp.std(of, axis=axis, keepdims=True, correction=correction))
            found[f"standardised, n - {correction}" if correction else "standardised"] = (
                a - mean
            ) / deviation
            found["over its deviation"] = a / deviation
        return found

    for words, y in along(x, 0, whole).items():
        orders[f": each column {words}"] = y
    for words, y in along(x, -1, x).items():
        orders[f": each row {words}"] = y
    for words, size in (
        ("length", xp.sqrt(xp.sum(x * x, axis=-1, keepdims=True))),
        ("sum", xp.sum(x, axis=-1, keepdims=True)),
        ("largest", xp.max(xp.abs(x), axis=-1, keepdims=True)),
    ):
        orders[f": each row divided by its {words}"] = x / _not_zero(size)
    orders[": rounded to integers"] = xp.round(x)
    orders[": cut to integers"] = xp.trunc(x)
    orders[": cut to 0 and 1"] = xp.clip(x, 0, 1)
    orders[": cut to -1 and 1"] = xp.clip(x, -1, 1)
    orders[": 8-bit integers that wrap"] = xp.trunc(x) % 256
    orders[": the negative part lost"] = xp.clip(x, 0, None)
    orders[": absolute values"] = xp.abs(x)
    orders[": the logarithm of 1 + x"] = xp.log1p(xp.clip(x, 0, None))
    for words, z in orders.items():
        yield words, case.some.run(x=z)


def _not_zero(a: Array) -> Array:
    return host().xp.where(a == 0, 1.0, a)


def swapped_columns(case: Case) -> Candidates:
    """The input's columns in any order: the best exchange of two, again and again."""
    xp, x = host().xp, case.some.x
    n = x.shape[-1]
    if n > _COLUMNS or n < 2:
        return
    order = list(range(n))
    best, y = case.left(case.right), case.right
    for _ in range(n):
        ways = []
        for i in range(n):
            for j in range(i):
                new = list(order)
                new[i], new[j] = new[j], new[i]
                ways.append((case.left(case.some.run(x=xp.take(x, xp.asarray(new), axis=1))), new))
        size, new = min(ways)
        if not size < best:
            break
        best, order = size, new
        y = case.some.run(x=xp.take(x, xp.asarray(order), axis=1))
        if best <= 8 * case.rounding:
            break
    yield f": {', '.join(map(str, order))}", y


Made = Callable[[Case, Array], Array]
"""What a case gives with these numbers."""


def _proved(case: Case, start: Array, made: Made) -> Array | None:
    """Fit many numbers to every other row; return the result if they explain the rest, too."""
    first, second = (replace(case, rows=case.rows[i::2]) for i in (0, 1))
    outputs = first.given.shape[0] * first.given.shape[1]
    if len(start) > _UNKNOWNS or _FEWEST * len(start) > outputs or not len(second.rows):
        return None
    numbers, _ = fitted(first, lambda t: made(first, t), start)
    if second.left(made(second, numbers)) > second.left(second.right) / 8:
        return None
    return fitted(case, lambda t: made(case, t), numbers)[1]


def scaled_columns(case: Case) -> Candidates:
    """Each column of the input times a number, plus a number."""
    xp, n = host().xp, case.x.shape[-1]
    if n > _COLUMNS:
        return
    deviation, mean = _not_zero(xp.std(case.x, axis=0)), xp.mean(case.x, axis=0)
    for factor, shift in ((1.0 + 0 * mean, 0 * mean), (1 / deviation, -mean / deviation)):

        def made(case: Case, t: Array) -> Array:
            return case.some.run(x=case.some.x * t[:n] + t[n:])

        y = _proved(case, xp.concat([factor, shift]), made)
        if y is not None:
            yield "", y


def other_numbers(case: Case) -> Candidates:
    """Other biases, units times numbers, or other weights, in one layer."""
    xp = host().xp
    for i, step in enumerate(case.steps):
        _, m = step.widths
        bias = xp.zeros(m) if step.bias is None else step.bias

        def biased(t: Array, step: Step = step) -> Step:
            return step._replace(bias=t)

        def columns(t: Array, step: Step = step) -> Step:
            return step._replace(weight=step.weight * t)

        def units(t: Array, step: Step = step) -> Step:
            return step._replace(after=lambda z: z * t)

        def weights(t: Array, step: Step = step, m: int = m) -> Step:
            return step._replace(weight=xp.reshape(t[:-m], step.weight.shape), bias=t[-m:])

        start = xp.concat([xp.reshape(step.weight, (-1,)), bias])
        ways: dict[str, tuple[Callable[[Array], Step], Array]] = {
            "another bias": (biased, bias),
            "each column of the weight times a number": (columns, xp.ones(m)),
            "each unit's activation times a number": (units, xp.ones(m)),
            "other weights": (weights, start),
        }
        if step.whole is not None:
            ways = {words: way for words, way in ways.items() if way[0] is units}
        for words, (new, numbers) in ways.items():

            def made(case: Case, t: Array, i: int = i, new: Callable[[Array], Step] = new) -> Array:
                return case.some.run(replaced(case, {i: new(t)}))

            y = _proved(case, numbers, made)
            if y is not None:
                yield f": {words}{in_layers(i)}", y


def other_last_weights(case: Case) -> Candidates:
    """Other weights in the output layer, whose logits are linear in what goes in."""
    xp, step, inverse = host().xp, case.steps[-1], case.last.record.inverse
    if inverse is None or not step.is_matrix:
        return
    logits = inverse(case.given, xp)
    fine = xp.all(xp.isfinite(logits), axis=-1)
    if case.last.record.of_rows:
        logits = logits - xp.mean(logits, axis=-1, keepdims=True)
    z = case.some.input(len(case.steps) - 1)
    z = xp.concat([z, xp.ones((len(z), 1), dtype=z.dtype)], axis=-1)
    # Fitted to two thirds of the rows, the weights must explain all.
    fine = fine & (xp.arange(len(z)) % 3 > 0)
    if int(xp.sum(fine)) < 1.3 * z.shape[-1]:
        return
    found = xp.matmul(xp.linalg.pinv(z[fine, :], rtol=1e-10), logits[fine, :])
    yield in_layers(len(case.steps) - 1), step.activate(xp.matmul(z, found))


_DRAWS = 32
_RATES = (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_AT_LEAST = 40
"""Rows, so that the places of results among the draws show what they were drawn from."""
_FOLLOWS = 0.35
"""The slope of results over the draws' mean is 1 up to this; of what has nothing to do with them it is 0."""
_ALIKE = 1.9
"""Kolmogorov's statistic of the worst output: 1.9 is exceeded once in 700 times by chance."""


def dropout(case: Case) -> str:
    """Say in which layer dropout was left on, in words; empty if it does not look so.

    Dropout is drawn, so no pass gives what came. But what came must lie among the results of passes with
    dropout like one of them: its places among them, of all rows, are spread evenly.
    """
    xp = host().xp
    rows = case.rows
    if len(rows) < _AT_LEAST or len(case.steps) < 2:
        return ""
    as_given = narrowed(case.dtype) if case.dtype != "float64" else (lambda a: a)
    given, x = case.given, case.some.x
    numbers = random.Random(0)  # noqa: S311 -- masks, not secrets
    hidden = range(len(case.steps) - 1)
    best, words = _ALIKE, ""
    for those in [(i,) for i in hidden] + ([tuple(hidden)] if len(hidden) > 1 else []):
        for rate in _RATES:

            def dropped(z: Array, rate: float = rate) -> Array:
                count = z.shape[0] * z.shape[1]
                drawn = xp.reshape(xp.asarray(list(numbers.randbytes(count))), z.shape)
                return z * (drawn >= round(256 * rate)) / (1 - rate)

            z = x
            for i in range(those[0] + 1):
                z = case.steps[i](z)
            z = xp.concat([z] * _DRAWS, axis=0)
            z = dropped(z)
            for i in range(those[0] + 1, len(case.steps)):
                z = case.steps[i](z)
                z = dropped(z) if i in those else z
            draws = as_given(xp.reshape(z, (_DRAWS, len(rows), -1)))
            less, equal = (xp.mean(xp.astype(c, xp.float64), axis=0) for c in (
                draws < given, draws == given))  # fmt: skip
            even = (xp.arange(len(rows), dtype=xp.float64) + 0.5) / len(rows)
            far = xp.abs(xp.sort(less + equal / 2, axis=0) - even[:, None])
            score = float(xp.max(far)) * math.sqrt(len(rows))
            # Results of other weights may lie as evenly, but they do not follow the draws' mean.
            mean = xp.mean(draws, axis=0) / case.scale
            varied = mean - xp.mean(mean, axis=0)
            follows = float(xp.sum((given / case.scale - mean) * varied) / xp.sum(varied * varied))
            varies = _varies_alike(given / case.scale - mean, draws / case.scale)
            if score < best and abs(follows) < _FOLLOWS and varies:
                best, words = score, f"{in_layers(*those)}, of about {rate:g} of the units"
    return f"dropout left on{words}" if words else ""


def _varies_alike(errors: Array, draws: Array) -> bool:
    """Whether errors are large where the draws vary much: noise is as large in every row.

    By the likelihood of normal errors of the draws' variances beside that of one variance an output.
    """
    xp = host().xp
    own = xp.var(draws, axis=0)
    own = own + 1e-9 * xp.mean(own)
    one = xp.mean(errors * errors, axis=0)
    ratio = errors * errors * (1 / one - 1 / own) + xp.log(one / own)
    return bool(xp.mean(ratio) > 0)


FITS: dict[str, Callable[[Case], Candidates]] = {
    "a temperature": temperature,
    "another scale of the result": scaled_result,
    "another scale of the input": scaled_input,
    "another input": other_input,
}
"""Faults with one or two unknown numbers."""

MANY: dict[str, Callable[[Case], Candidates]] = {
    "the input's columns in another order": swapped_columns,
    "another scale of each column of the input": scaled_columns,
    "other weights": other_last_weights,
    "other numbers": other_numbers,
}
"""Faults with as many numbers as a layer has units or weights."""
