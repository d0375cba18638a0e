"""What may be wrong with a result: a table of faults that people meet, from simple to rare.

A fault is a function that yields what a network with this fault gives, computed in binary64, for the rows to
judge by, with words that say where the fault is.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator

from xpnn._activations.table import ELEMENTWISE
from xpnn._arrays.types import Array
from xpnn._parity.case import (
    Candidates,
    Case,
    Change,
    Step,
    changed,
    in_layers,
    replaced,
)
from xpnn._parity.coarse import PRECISION
from xpnn._parity.standard import host
from xpnn._parity.words import (
    EPSILONS,
    Other,
    activations_inside,
    missing,
    not_added,
    other_functions,
    other_rows_normalized,
    times_bias,
)

SLOPES = (0.01, 0.1, 0.2, 0.25, 0.3, 1 / 3, 5.5)
ALPHAS = (0.1, 0.2, 0.3, 0.5, 1.0, 1.5, 2.0)


def _activations(case: Case) -> Candidates:
    for name, function in other_functions().items():

        def change(
            i: int, step: Step, name: str = name, function: Change = function
        ) -> Step | None:
            is_result = i == len(case.layers) - 1 and case.of != "output"
            changes_width = step.whole is not None and len(set(step.whole)) > 1
            none = step.name == name or is_result or changes_width
            return None if none else step._replace(activate=function)

        for where, y in changed(case, change):
            numbers = [int(n) for n in where.split("layer")[1].lstrip("s ").split(", ")]
            own = dict.fromkeys(case.steps[i].name for i in numbers)
            yield f"{where}: {name} in place of {', '.join(own)}", y


def _options(case: Case, name: str, options: dict[str, object]) -> Iterator[tuple[str, Array]]:
    """Give another option to the layers of one activation."""
    function = next(f for f in ELEMENTWISE if f.__name__ == name)

    def change(_: int, step: Step) -> Step | None:
        if step.name != name:
            return None
        return step._replace(activate=functools.partial(function, xp=host().xp, **options))

    yield from changed(case, change)


def _other_gelu(case: Case) -> Candidates:
    for form in ("tanh", "none"):
        yield from _options(case, "gelu", {"approximate": form})


def _other_slope(case: Case) -> Candidates:
    for slope in SLOPES:
        for where, y in _options(case, "leaky_relu", {"negative_slope": slope}):
            yield f"{where}: {slope:.3g}", y


def _other_alpha(case: Case) -> Candidates:
    for name in ("elu", "celu"):
        for alpha in ALPHAS:
            for where, y in _options(case, name, {"alpha": alpha}):
                yield f"{where}: {name} with {alpha:g}", y


def _other_beta(case: Case) -> Candidates:
    for beta in (0.5, 1.0, 2.0, 3.0):
        for where, y in _options(case, "softplus", {"beta": beta}):
            yield f"{where}: {beta:g}", y


def _transposed(case: Case) -> Candidates:
    def change(_: int, step: Step) -> Step | None:
        n, m = step.widths
        return step._replace(weight=step.weight.T) if n == m and step.is_matrix else None

    yield from changed(case, change)


def _other_order(case: Case) -> Candidates:
    def change(_: int, step: Step) -> Step | None:
        if not step.is_matrix:
            return None
        return step._replace(weight=host().xp.reshape(step.weight.T, step.widths))

    yield from changed(case, change)


def _other_layers(case: Case) -> Candidates:
    steps = case.steps
    for i, j in itertools.permutations(range(len(steps)), 2):
        a, b = steps[i], steps[j]
        if a.weight.shape == b.weight.shape:
            where = f": the weight of layer {j} in layer {i}"
            yield where, case.some.run(replaced(case, {i: a._replace(weight=b.weight)}))
            both = a._replace(weight=b.weight, bias=b.bias)
            yield f"{where}, with its bias", case.some.run(replaced(case, {i: both}))
        if a.whole is None and a.widths[1] == b.widths[1] and b.bias is not None:
            where = f": the bias of layer {j} in layer {i}"
            yield where, case.some.run(replaced(case, {i: a._replace(bias=b.bias)}))


def _fits(steps: tuple[Step, ...]) -> bool:
    pairs = itertools.pairwise(steps)
    return all(a.widths[1] == b.widths[0] for a, b in pairs)


def _swapped(case: Case) -> Candidates:
    ends = case.steps[0].widths[0], case.steps[-1].widths[1]
    for i, j in itertools.combinations(range(len(case.steps)), 2):
        a, b = case.steps[i], case.steps[j]
        ways = {"": (b, a)}
        width, are_products = a.widths[1], a.whole is None is b.whole
        if are_products:
            ways |= {
                ": their weights": (a._replace(weight=b.weight), b._replace(weight=a.weight)),
                ": weights and biases": (
                    a._replace(weight=b.weight, bias=b.bias),
                    b._replace(weight=a.weight, bias=a.bias),
                ),
                ": their biases": (a._replace(bias=b.bias), b._replace(bias=a.bias)),
            }
        # What is no product takes the width that it has, and no other.
        fit = b.widths[1] == width and {a.whole, b.whole} <= {None, (width, width)}
        if are_products or fit:
            exchanged = a._replace(activate=b.activate), b._replace(activate=a.activate)
            ways[": their activations"] = exchanged
        for words, (first, second) in ways.items():
            steps = replaced(case, {i: first, j: second})
            sound = all(s.bias is None or s.bias.shape[0] == s.widths[1] for s in steps)
            whole = (steps[0].widths[0], steps[-1].widths[1]) == ends
            if sound and whole and _fits(steps):
                yield f" {i} and {j}{words}", case.some.run(steps)


def _skipped(case: Case) -> Candidates:
    for i, step in enumerate(case.steps):
        n, m = step.widths
        if n == m and len(case.steps) > 1:
            steps = case.steps[:i] + case.steps[i + 1 :]
            yield f"{in_layers(i)}: left out", case.some.run(steps)
            yield f"{in_layers(i)}: applied twice", case.some.run(replaced_twice(case, i))
            unit = host().xp.eye(n) if step.is_matrix else 1.0
            residual = step._replace(weight=step.weight + unit)
            yield (
                f"{in_layers(i)}: its input added to the sum",
                case.some.run(replaced(case, {i: residual})),
            )
    for i in range(len(case.steps)):
        off = case.steps[i]._replace(weight=0 * case.steps[i].weight)
        yield f"{in_layers(i)}: the weight is zero", case.some.run(replaced(case, {i: off}))


def replaced_twice(case: Case, i: int) -> tuple[Step, ...]:
    """Return the layers, one of them applied twice."""
    again = case.steps[i]._replace()
    return (*case.steps[: i + 1], again, *case.steps[i + 1 :])


def _result(case: Case) -> Candidates:
    made_by, name = case.last, case.last.name
    xp, last = host().xp, len(case.steps) - 1
    logits, right = case.some.sums(last), case.right
    if name != "identity":
        yield f": {name} left out", logits
        yield f": {name} twice", made_by(right, xp=xp)
    if made_by.is_probability:
        yield f": the logarithm of {name}", xp.log(right)
        yield f": 1 less {name}", 1 - right
    if made_by.is_logarithm:
        yield f": the exponential of {name}", xp.exp(right)
    for base, number in ((2, math.log(2)), (10, math.log(10))):
        if made_by.is_logarithm:
            yield f": {name} with the logarithm to base {base}", right / number
    of_rows, of_each = (
        made_by.record.of_rows,
        made_by.log_probability and not made_by.record.of_rows,
    )
    if of_rows and made_by.is_probability:
        e = xp.exp(logits)
        yield ": exp without the sum", e
        yield (
            ": softmax to base 2",
            xp.exp(_log_softmax(logits * math.log(2))),
        )
        yield ": softmax of the negative", xp.exp(_log_softmax(-logits))
        for other, p in (("sigmoid", 1 / (1 + xp.exp(-logits))), ("softplus", xp.log1p(e))):
            yield (
                f": {other} divided by its sum in place of softmax",
                p / xp.sum(p, axis=-1, keepdims=True),
            )
        clipped = xp.clip(logits, 0, None)
        yield ": softmax after relu", xp.exp(_log_softmax(clipped))
        yield ": softmax after tanh", xp.exp(_log_softmax(xp.tanh(logits)))
    if of_rows:
        yield ": sigmoid in place of softmax", 1 / (1 + xp.exp(-logits))
    if of_each and right.shape[-1] > 1:
        yield ": softmax in place of sigmoid", xp.exp(_log_softmax(logits))


def _log_softmax(a: Array) -> Array:
    xp = host().xp
    a = a - xp.max(a, axis=-1, keepdims=True)
    return a - xp.log(xp.sum(xp.exp(a), axis=-1, keepdims=True))


def _wrong_axis(case: Case) -> Candidates:
    function = case.last.function
    if case.last.record.of_rows:
        logits = case.whole.sums(len(case.steps) - 1)
        yield "", case.whole.chosen(function(logits, axis=0))
        shaped = host().xp.reshape(logits, (*case.lead, logits.shape[-1]))
        for axis in range(len(case.lead)) if len(case.lead) > 1 else ():
            y = host().xp.reshape(function(shaped, axis=axis), logits.shape)
            yield f": {axis}", case.whole.chosen(y)
        yield (
            ": over all values",
            case.whole.chosen(
                host().xp.reshape(function(host().xp.reshape(logits, (-1,))), logits.shape)
            ),
        )


def _permuted(case: Case) -> Candidates:
    xp, y = host().xp, case.right
    # For each class that came, the one that it is most like.
    order = [int(xp.argmin(xp.sum((y - c[:, None]) ** 2, axis=0))) for c in case.given.T]
    if sorted(order) == list(range(len(order))) and order != sorted(order):
        yield f": {', '.join(map(str, order))}", y[:, order]


def _epsilon(case: Case) -> Candidates:
    xp, logarithm = host().xp, case.last.is_logarithm
    if case.last.log_probability is None:
        return
    p = xp.exp(case.right) if logarithm else case.right
    for e in EPSILONS:
        ways = {"added to": p + e, "limiting": xp.clip(p, e, 1 - e)}
        if case.last.record.of_rows:
            logits = case.some.sums(len(case.steps) - 1)
            total = xp.sum(xp.exp(logits - xp.max(logits, axis=-1, keepdims=True)), axis=-1)
            ways["added to the sum of"] = p / (1 + e / total[:, None])
        for way, new in ways.items():
            yield f" of {e:g} {way} the probabilities", xp.log(new) if logarithm else new


def _normalised(case: Case) -> Candidates:
    """Batch normalisation of a layer by the batch at hand, and of a row by itself."""
    xp = host().xp

    def by(axis: int, epsilon: float) -> Change:
        def change(a: Array) -> Array:
            a = a - xp.mean(a, axis=axis, keepdims=True)
            return a / xp.sqrt(xp.mean(a * a, axis=axis, keepdims=True) + epsilon)

        return change

    for words, axis in (("over the batch", 0), ("over the units of a row", -1)):
        for epsilon in (1e-5, 1e-3, 0.0):
            for i, step in enumerate(case.steps):
                new = step._replace(made=by(axis, epsilon))
                where = f" {words}{in_layers(i)}, epsilon {epsilon:g}"
                yield f"{where}: before the activation", case.whole.run(replaced(case, {i: new}))
                new = step._replace(after=by(axis, epsilon))
                yield f"{where}: after the activation", case.whole.run(replaced(case, {i: new}))
            hidden = range(len(case.steps) - 1)
            if len(hidden) > 1:
                new_steps = {i: case.steps[i]._replace(made=by(axis, epsilon)) for i in hidden}
                where = f" {words}{in_layers(*hidden)}, epsilon {epsilon:g}"
                yield (
                    f"{where}: before the activation",
                    case.whole.run(replaced(case, new_steps)),
                )


def _other_rows(case: Case) -> Candidates:
    xp = host().xp
    right = case.whole.input(len(case.steps)) / case.scale
    squares = xp.sum(right * right, axis=-1)
    given = case.given / case.scale
    distance = squares[None, :] - 2 * xp.matmul(given, right.T)
    nearest = xp.argmin(distance, axis=-1)
    n, back = len(right), case.rows - nearest
    y = case.whole.input(len(case.steps))[nearest, :]
    shift = int(back[0]) % n
    if bool(xp.all(back % n == shift)):
        yield f": shifted by {shift if shift <= n // 2 else shift - n}", y
    elif bool(xp.all(nearest == n - 1 - case.rows)):
        yield ": reversed", y
    elif len(set(nearest.tolist())) > len(case.rows) // 2:
        yield "", y


FAULTS: dict[str, Callable[[Case], Candidates]] = {
    "the output layer's activation": _result,
    "the classes in another order": _permuted,
    "rows in another order": _other_rows,
    "softmax over the wrong axis": _wrong_axis,
    "an epsilon": _epsilon,
    "a missing bias": missing(lambda part: Other(bias=part)),
    "a missing scale": missing(lambda part: Other(scale=part)),
    "an input that is not added": not_added,
    "another bias": times_bias,
    "a transposed weight": _transposed,
    "a weight read in the other memory order": _other_order,
    "layers swapped:": _swapped,
    "another layer's weights": _other_layers,
    "a layer": _skipped,
    "gelu's other form": _other_gelu,
    "another slope of leaky_relu": _other_slope,
    "another alpha": _other_alpha,
    "another beta of softplus": _other_beta,
    "rows normalized in another way": other_rows_normalized,
    "another activation": _activations,
    "an activation": activations_inside,
    **PRECISION,
    "normalisation": _normalised,
}
