"""Faults in the words that layers are made of, wherever in a layer they stand: of layers inside of layers, too."""

import functools
import itertools
from collections.abc import Callable

from xpnn._activations.activation import Activation
from xpnn._activations.table import ELEMENTWISE, RECORDS
from xpnn._arrays.types import Array
from xpnn._network.interpreters.values import Plain
from xpnn._network.layers.normalization import normalized
from xpnn._parity.case import Candidates, Case, Change, Step, changed
from xpnn._parity.standard import host

EPSILONS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15, 1e-16)

OTHERS: dict[str, Change] = {
    "hard_sigmoid as clip(x / 5 + 1 / 2, 0, 1)": lambda x: host().xp.clip(x / 5 + 0.5, 0, 1),
    "hard_swish with clip(x / 5 + 1 / 2, 0, 1)": lambda x: x * host().xp.clip(x / 5 + 0.5, 0, 1),
    "x * sigmoid(1.702 x)": lambda x: x / (1 + host().xp.exp(-1.702 * x)),
    "the negative part": lambda x: host().xp.clip(x, None, 0),
    "relu(x)**2": lambda x: host().xp.clip(x, 0, None) ** 2,
}
"""Forms that are in use elsewhere and not in the table of activations."""


def other_functions() -> dict[str, Change]:
    return {f.__name__: functools.partial(f, xp=host().xp) for f in ELEMENTWISE} | OTHERS


Part = Callable[[Array | None], Array | None]


def _unchanged(a: Array | None) -> Array | None:
    return a


Activate = Callable[[Array, Activation], Array | None]


class Other(Plain):
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


def other_rows_normalized(case: Case) -> Candidates:
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
    found = [
        one
        for words, way in ways.items()
        for one in _by_words(case, Other(normalize=way), f": {words}")
    ]
    # Small epsilons differ by little: the nearest is named, of those that are as near the first.
    left = [case.left(y) for _, y in found]
    near = 1.1 * min(left, default=0.0)
    order = sorted(range(len(found)), key=lambda i: max(left[i], near))
    yield from (found[i] for i in order)


def activations_inside(case: Case) -> Candidates:
    """Activations of layers inside of layers; those around them are `_activations`."""
    found: dict[str, None] = {}

    def note(_: Array, activation: Activation) -> None:
        if type(activation) is Activation:  # a Function has one that is its own
            found[activation.name] = None

    noted = Other(activate=note)
    for i, layer in enumerate(case.layers):
        layer.preactivation(case.some.input(i), noted)
    forms: dict[str, Change] = {
        f"gelu(approximate={form!r})": functools.partial(
            RECORDS["gelu"].function, approximate=form, xp=host().xp
        )
        for form in ("tanh", "none")
    }
    for own, (name, function) in itertools.product(found, (other_functions() | forms).items()):
        if name != own:

            def other(
                x: Array, activation: Activation, own: str = own, function: Change = function
            ) -> Array | None:
                is_own = type(activation) is Activation and activation.name == own
                return function(x) if is_own else None

            yield from _by_words(case, Other(activate=other), f": {name} in place of {own} inside")


def not_added(case: Case) -> Candidates:
    yield from _by_words(case, Other(add=lambda _, y: y))


def missing(of: Callable[[Part], Plain]) -> Callable[[Case], Candidates]:
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


def times_bias(case: Case) -> Candidates:
    for times, words in ((2.0, ": twice"), (-1.0, ": subtracted")):

        def multiplied(a: Array | None, times: float = times) -> Array | None:
            return None if a is None else times * a

        yield from _by_words(case, Other(bias=multiplied), words)
