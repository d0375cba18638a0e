"""What may be wrong with a result: a table of faults that people meet, from simple to rare.

A fault is a function that yields what a network with this fault gives, computed in binary64, for the rows to
judge by, with words that say where the fault is.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator

from xpnn._activations.activation import Activation
from xpnn._activations.table import ELEMENTWISE
from xpnn._arrays.types import Array
from xpnn._network.interpreters.values import Plain
from xpnn._network.layers.normalization import normalized
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

EPSILONS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16)

SLOPES = (0.01, 0.1, 0.2, 0.25, 0.3, 1 / 3, 5.5)
ALPHAS = (0.1, 0.2, 0.3, 0.5, 1.0, 1.5, 2.0)
OTHERS: dict[str, Change] = {
    "hard_sigmoid as clip(x / 5 + 1 / 2, 0, 1)": lambda x: host().xp.clip(x / 5 + 0.5, 0, 1),
    "hard_swish with clip(x / 5 + 1 / 2, 0, 1)": lambda x: x * host().xp.clip(x / 5 + 0.5, 0, 1),
    "x * sigmoid(1.702 x)": lambda x: x / (1 + host().xp.exp(-1.702 * x)),
    "the negative part": lambda x: host().xp.clip(x, None, 0),
    "relu(x)**2": lambda x: host().xp.clip(x, 0, None) ** 2,
}
"""Forms that are in use elsewhere and not in the table of activations."""


def _other_functions() -> dict[str, Change]:
    return {f.__name__: functools.partial(f, xp=host().xp) for f in ELEMENTWISE} | OTHERS


def _activations(case: Case) -> Candidates:
    for name, function in _other_functions().items():

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


Part = Callable[[Array | None], Array | None]


def _unchanged(a: Array | None) -> Array | None:
    return a


Activate = Callable[[Array, Activation], Array | None]


class _Other(Plain):
    """The words, with other biases or scales, another activation, or another way to normalize or add."""

    def __init__(
        self,
        bias: Part = _unchanged,
        scale: Part = _unchanged,
        normalize: Callable[[Array, float], Array] | None = None,
        activate: Activate = lambda *_: None,
        add: Callable[[Array, Array], Array] | None = None,
    ) -> None:
        super().__init__(host().xp)
        self._bias, self._scale, self._activate = bias, scale, activate
        self._normalize, self._add = normalize or super().normalize, add or super().add

    def linear(self, x: Array, weight: Array, bias: Array | None, _: str | None = None, /) -> Array:
        """Return x @ weight + another bias."""
        return super().linear(x, weight, self._bias(bias))

    def affine(
        self, x: Array, scale: Array | None, shift: Array | None, _: str | None = None, /
    ) -> Array:
        """Return x * another scale + another shift."""
        return super().affine(x, self._scale(scale), self._bias(shift))

    def normalize(self, x: Array, epsilon: float, /) -> Array:
        """Return what the other way gives."""
        return self._normalize(x, epsilon)

    def activate(self, x: Array, activation: Activation, /) -> Array:
        """Return what the other activation gives; this one where there is none."""
        y = self._activate(x, activation)
        return super().activate(x, activation) if y is None else y

    def add(self, x: Array, y: Array, /) -> Array:
        """Return what the other way gives."""
        return self._add(x, y)


def _by_words(case: Case, by: Plain, where: str = "") -> Candidates:
    """Run by other words the layers in which these make a difference."""
    xp, plain = host().xp, Plain(host().xp)

    def change(i: int, step: Step) -> Step | None:
        x, layer = case.some.input(i), case.layers[i]
        same = layer.preactivation(x, by) == layer.preactivation(x, plain)
        return None if bool(xp.all(same)) else case.by_words(i, by, step.widths)

    yield from changed(case, change, where)


def _other_rows_normalized(case: Case) -> Candidates:
    xp = host().xp

    def by(added: float) -> Callable[[Array, float], Array]:
        return lambda x, _: normalized(x, added, xp)

    def unbiased(x: Array, epsilon: float) -> Array:
        share = 1 - 1 / max(x.shape[-1], 2)
        return share**0.5 * normalized(x, epsilon * share, xp)

    def of_deviation(x: Array, epsilon: float) -> Array:
        d = x - xp.mean(x, axis=-1, keepdims=True)
        return d / (xp.sqrt(xp.mean(d * d, axis=-1, keepdims=True)) + epsilon)

    def of_squares(x: Array, epsilon: float) -> Array:
        return x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + epsilon)

    ways = {f"epsilon {e:g}": by(e) for e in (0.0, *EPSILONS)} | {
        "the variance divided by n - 1": unbiased,
        "epsilon added to the deviation": of_deviation,
        "the mean not taken off": of_squares,
        "left out": lambda x, _: x,
    }
    for words, way in ways.items():
        yield from _by_words(case, _Other(normalize=way), f": {words}")


def _activations_inside(case: Case) -> Candidates:
    """Activations of layers inside of layers; those around them are `_activations`."""
    found: dict[str, None] = {}
    noted = _Other(activate=lambda _, activation: found.setdefault(activation.name))
    for i, layer in enumerate(case.layers):
        layer.preactivation(case.some.input(i), noted)
    for own, (name, function) in itertools.product(found, _other_functions().items()):
        if name != own:

            def other(
                x: Array, activation: Activation, own: str = own, function: Change = function
            ) -> Array | None:
                return function(x) if activation.name == own else None

            yield from _by_words(case, _Other(activate=other), f": {name} in place of {own} inside")


def _not_added(case: Case) -> Candidates:
    yield from _by_words(case, _Other(add=lambda _, y: y))


def _missing(of: Callable[[Part], Plain]) -> Callable[[Case], Candidates]:
    """Every bias or scale, of layers inside of layers one alone, too."""

    def run(case: Case) -> Candidates:
        yield from _by_words(case, of(lambda _: None))
        for layer in case.layers:
            for name, array in layer.arrays.items():
                if "." in name:

                    def without(a: Array | None, array: Array = array) -> Array | None:
                        return None if a is array else a

                    yield from _by_words(case, of(without), f": {name}")

    return run


def _times_bias(case: Case) -> Candidates:
    for times, words in ((2.0, ": twice"), (-1.0, ": subtracted")):

        def multiplied(a: Array | None, times: float = times) -> Array | None:
            return None if a is None else times * a

        yield from _by_words(case, _Other(bias=multiplied), words)


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
    "a missing bias": _missing(lambda part: _Other(bias=part)),
    "a missing scale": _missing(lambda part: _Other(scale=part)),
    "an input that is not added": _not_added,
    "another bias": _times_bias,
    "a transposed weight": _transposed,
    "a weight read in the other memory order": _other_order,
    "layers swapped:": _swapped,
    "another layer's weights": _other_layers,
    "a layer": _skipped,
    "gelu's other form": _other_gelu,
    "another slope of leaky_relu": _other_slope,
    "another alpha": _other_alpha,
    "another beta of softplus": _other_beta,
    "rows normalized in another way": _other_rows_normalized,
    "another activation": _activations,
    "an activation": _activations_inside,
    **PRECISION,
    "normalisation": _normalised,
}
