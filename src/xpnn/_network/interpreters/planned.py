"""Planned: a pass as the calls that it made the first time, without what chose them."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from xpnn._activations.activation import Activation
from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.types import Array
from xpnn._network.interpreters.values import Fast, Forward
from xpnn._network.layers.layer import Layers


class _Noted(NamedTuple):
    """An array of the first pass, and the number by which later ones know it."""

    array: Array
    number: int


class _Call(NamedTuple):
    f: Callable[..., Array]
    given: tuple[int | None, ...]
    """The numbers of the arrays that it takes; None for one that is not there."""
    last: tuple[int, ...]
    """Those that no later call takes."""


class Planned:
    """A forward pass for arrays of one kind: the first call plans, later ones run."""

    def __init__(self, found: Library, forward: Forward, layers: Layers, *, plain: bool) -> None:
        self._found, self._forward, self._layers = found, forward, layers
        self._words = Fast(found, plain=plain)
        self._calls: list[_Call] = []

    def __call__(self, x: Array) -> Array:
        """Compute it."""
        with self._found.guard(self._forward.computing):
            if not self._calls:
                return self._first(x)
            arrays: dict[int | None, Array] = {None: None, 0: x}
            for number, (f, given, last) in enumerate(self._calls, 1):
                arrays[number] = f(*map(arrays.__getitem__, given))
                for done in last:
                    del arrays[done]
            return arrays[len(self._calls)]

    def _first(self, x: Array) -> Array:
        found, forward, words = self._found, self._forward, _Noting(self._words)
        given = _Noted(x, 0)
        entered = words.note_if_other(lambda x: forward.enter(found, x), given)
        y = forward.part(self._layers, entered, cast("Any", words))
        y = words.note_if_other(lambda y, x: forward.leave(found, x, y), y, given)
        last_use = {number: n for n, (_, used) in enumerate(words.calls) for number in used}
        self._calls = [
            _Call(f, used, tuple({i for i in used if i is not None and last_use[i] == n}))
            for n, (f, used) in enumerate(words.calls)
        ]
        return y.array


class _Noting:
    """The words of layers, each of which computes its result and notes down how."""

    def __init__(self, words: Fast) -> None:
        self._words, self.xp = words, words.xp
        self.calls: list[tuple[Callable[..., Array], tuple[int | None, ...]]] = []

    def note(self, f: Callable[..., Array], *given: _Noted | None) -> _Noted:
        """Call f, and note it."""
        y = f(*[None if a is None else a.array for a in given])
        self.calls.append((f, tuple([None if a is None else a.number for a in given])))
        return _Noted(y, len(self.calls))

    def note_if_other(self, f: Callable[..., Array], x: _Noted, *given: _Noted) -> _Noted:
        """Call f, and note it unless it gives the first array itself, as it will for all of a kind."""
        y = self.note(f, x, *given)
        if y.array is not x.array:
            return y
        self.calls.pop()
        return x

    def activate(self, x: _Noted, activation: Activation) -> _Noted:
        """Note the plan of the function, unless that gives x itself."""
        plan = self._words.plan_of(activation, x.array)
        return self.note_if_other(lambda x: plan(x, None), x)

    def linear(self, x: _Noted, weight: Array, bias: Array | None, *_: Any) -> _Noted:
        """Note the library's own step, where it has one."""
        return self.note(self._words.plan_of_linear(x.array, weight, bias), x)

    def __getattr__(self, word: str) -> Callable[..., _Noted]:
        run = getattr(self._words, word)

        def noted(*given: Any) -> _Noted:
            arrays = [a for a in given if isinstance(a, _Noted)]  # which come first
            rest = given[len(arrays) :]
            return self.note(lambda *own: run(*own, *rest), *arrays)

        return noted
