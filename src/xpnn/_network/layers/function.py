"""Function: a function of the user's own as a layer, of which is known what the user says."""

import inspect
from collections.abc import Callable, Hashable
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, NamedTuple

from xpnn._activations.activation import Activation
from xpnn._activations.record import Record
from xpnn._arrays.arguments import Count, Number, Option
from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.dtypes import dtype_name
from xpnn._arrays.library import library
from xpnn._arrays.types import Array, Namespace
from xpnn._network.layers.layer import Interpreter, Layer, Shape, V
from xpnn._rounding.enclosure import Enclosure, Rounding
from xpnn._rounding.expected import Expectation
from xpnn._rounding.slopes import Slope
from xpnn.errors import XpnnTypeError, XpnnValueError

_BOUND = Option(None, Number("that is 0 or more", lambda n: n >= 0))
_WIDTH = Option(None, Count())


@dataclass(frozen=True, eq=False, repr=False)
class Function(Layer, stored=False):
    """Layer of a network, f(x): any function of arrays, such as one in terms of the Array API standard.

    Parameters
    ----------
    f : callable
        ``f(x)`` gives an array of x's library and dtype, and of its shape but for the last axis. Where
        it has a parameter `xp`, it is called ``f(x, xp=xp)`` with the namespace to compute with.
    name : str, optional
        What it is called in words. Default: the name of `f`.
    inputs : int, optional
        Number of columns that it takes. Default: any.
    outputs : int, optional
        Number of columns that it gives. Default: as many as it takes if it is `elementwise`, otherwise
        what the next layer of a network takes.
    elementwise : bool, optional
        Whether each value depends on the same value of `x` alone. Default False.
    slope : float, optional
        The largest slope: where x changes by d, f(x) changes by at most slope * d. Where it is not
        elementwise, d is the largest change of a row, and f(x) any value of that row.
    roundings : float or callable, optional
        Error of the evaluation, in units of the relative error of one rounding: a number of them,
        relative to the result; or ``roundings(t, y)``, absolute, of arrays that hold the size of the
        argument (if not elementwise, the largest of the row) and of the result.
    exact : callable, optional
        ``exact(mpmath, t)``, the exact value at a number of mpmath; where it is not elementwise, the
        list of the exact values at a list of them, a row.

    Raises
    ------
    TypeError
        If f, exact or roundings cannot be called or has no hash, or slope is no number.
    ValueError
        If slope, roundings, inputs or outputs is negative, or an elementwise function is to give
        another number of columns than it takes.

    Notes
    -----
    Without `slope` and `roundings` there is no bound of a network that has it, and no expected error;
    without `exact` no `parity` and no `explain`: an error says which is missing. What is given is
    believed. No file holds a function, `Network.save` refuses it; a pickle does if `f` is importable.

    Its networks run as they are written: they are not compiled, as `f` may look at values, and not cut
    into tiles, as its rows may depend on each other. If neither is so, `jax.jit` and `torch.compile`
    take the network. 16-bit networks call `f` with float32. In the reproducible way `f` gets
    reproducible arrays, whose operators and functions, those of ``x.__array_namespace__()``, give the
    same bits everywhere.

    Frozen, and a pytree for JAX and PyTorch without leaves: `f` is part of its structure.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> square = xpnn.Function(lambda x: x * x, name="square", elementwise=True)
    >>> network = xpnn.Network([square, xpnn.Dense(np.ones((2, 1)))])
    >>> network(np.asarray([[3.0, 4.0]]))
    array([[25.]])

    A bound needs the largest slope, here on [-8, 8], and one rounding:

    >>> square = xpnn.Function(square.f, elementwise=True, slope=16, roundings=1)
    >>> xpnn.error_bound(xpnn.Network([square]), np.asarray([3.0])) < 1e-14
    array([ True])
    """

    _options = ("f", "name", "inputs", "outputs", "elementwise", "slope", "roundings", "exact")
    kind = "function"
    formula = "f(x)"
    is_recordable = False

    f: Callable[..., Array]
    _: KW_ONLY
    name: str | None = None
    inputs: int | None = None
    outputs: int | None = None
    elementwise: bool = False
    slope: float | None = None
    roundings: float | Callable[..., Any] | None = None
    exact: Callable[..., Any] | None = None
    _takes_xp: bool = field(init=False)
    _own: Activation = field(init=False)

    def __post_init__(self) -> None:
        for called in ("f", "exact", "roundings"):
            given = getattr(self, called)
            needed = called == "f" or given is not None
            if needed and not (
                isinstance(given, Hashable) and (callable(given) or called[0] == "r")
            ):
                raise XpnnTypeError(
                    f"Function: expected {called} to be callable, and to have a hash, got {given!r}"
                )
        name = self.name or getattr(self.f, "__name__", type(self.f).__name__)
        inputs = _WIDTH.taken("Function: expected inputs", self.inputs)
        outputs = _WIDTH.taken("Function: expected outputs", self.outputs)
        if self.elementwise and outputs is not None is not inputs and outputs != inputs:
            raise XpnnValueError(
                f"Function: expected an elementwise function to give the {inputs} columns that it "
                f"takes, got {outputs} outputs"
            )
        if self.elementwise:
            inputs = outputs = outputs if inputs is None else inputs
        slope = _BOUND.taken("Function: expected slope", self.slope)
        roundings = self.roundings
        if not callable(roundings):
            roundings = _BOUND.taken("Function: expected roundings", roundings)
        own = (inputs, outputs, bool(self.elementwise), slope, roundings, self.exact)
        self._set((self.f, str(name), *own), ())

    def _set(self, options: tuple[Any, ...], children: tuple[Any, ...]) -> None:
        super()._set(options, children)
        try:
            takes_xp = "xp" in inspect.signature(self.f).parameters
        except (TypeError, ValueError):  # one of C that does not say
            takes_xp = False
        object.__setattr__(self, "_takes_xp", takes_xp)
        object.__setattr__(self, "_own", _Own(self))

    def preactivation(self, x: V, interpreter: Interpreter[V]) -> V:
        """Return f(x), as the interpreter has an activation."""
        return interpreter.activate(x, self._own)

    @property
    def takes(self) -> Shape | None:
        """What was said of the inputs."""
        return None if self.inputs is None else (self.inputs,)

    def gives(self, sample: Shape | None, /) -> Shape | None:
        """Return what was said of the outputs."""
        if self.outputs is None and self.elementwise:
            return sample
        return None if self.outputs is None else (self.outputs,)

    def giving(self, sample: Shape | None, /) -> Layer:
        """Return the function with what the next layer takes, which its results are held to."""
        if sample is None or self.elementwise or self.outputs is not None:
            return self
        return replace(self, outputs=sample[0])

    @property
    def words(self) -> list[str]:
        """The name, and the widths where one is known."""
        widths = [("any" if n is None else str(n)) for n in (self.inputs, self.outputs)]
        return [f"{self.name}(x)", *([] if widths == ["any"] * 2 else [" -> ".join(widths)])]

    def fields(self) -> dict[str, Any]:
        """Say that no file holds it."""
        raise XpnnValueError(
            f"Function {self.name!r} is code, of which model files hold none; save the layers beside "
            "it, and make a Network of these and of it after load"
        )

    def compute(self, x: Array, xp: Namespace | None) -> Array:
        """Return f(x); an error if that is not what a layer gives."""
        found = library(x)
        with found.guard(dtype_name(x.dtype)):
            y = self.f(x, xp=found.xp if xp is None else xp) if self._takes_xp else self.f(x)
        self._check(found, x, y)
        return y

    def _check(self, found: Library, x: Array, y: Any) -> None:
        function = f"Function {self.name!r}"
        own, given = library(y, "its result", function), (dtype_name(y.dtype), dtype_name(x.dtype))
        if own.raw is not found.raw or given[0] != given[1]:
            raise XpnnTypeError(
                f"{function}: expected a result of {found.name} and {given[1]}, as x is, got "
                f"{own.name} and {given[0]}"
            )
        expected = (*x.shape[:-1], *(self.gives(tuple(x.shape[-1:])) or y.shape[-1:]))
        sizes = zip(y.shape, expected, strict=False)
        # A size is None or NaN while it is not known.
        known = (pair for pair in sizes if all(n is not None and n == n for n in pair))
        if len(y.shape) != len(expected) or any(a != b for a, b in known):
            raise XpnnValueError(
                f"{function}: expected a result of shape {expected} for x of shape "
                f"{tuple(x.shape)}, got shape {tuple(y.shape)}"
            )


class _Own(Activation):
    """A function as the words of interpreters take it: the activation that it is like."""

    own: Record

    def __init__(self, of: Function) -> None:
        def function(x: Array, *, xp: Namespace | None = None) -> Array:
            return of.compute(x, xp)

        def unknown(*_: Any) -> Any:
            raise XpnnValueError(f"Function {of.name!r} has no exact values; give it exact=...")

        errors = _Errors(str(of.name), of.slope, of.roundings, of.elementwise)
        own = Record(function, of.exact or unknown, errors, not of.elementwise, None)
        for name, value in {
            "name": str(of.name), "options": (), "function": function, "text": str(of.name), "own": own,
        }.items():  # fmt: skip
            object.__setattr__(self, name, value)

    @property
    def record(self) -> Record:
        """What the user says of it."""
        return self.own


class _Errors(NamedTuple):
    """How a function carries errors, as the user says."""

    name: str
    slope: float | None
    roundings: float | Callable[..., Any] | None
    elementwise: bool

    def enclose(self, s: Enclosure, y: Array, by: Rounding, xp: Namespace, **_: Any) -> Enclosure:
        """Return the enclosure of the function of an enclosure s; y is the function of its centre."""
        slope = self._slope()
        if not self.elementwise:
            s = Enclosure(_largest(xp.abs(s.centre), xp), _largest(s.errors, xp))
        return slope.enclose(s, y, by, xp)

    def expect(
        self, s: Expectation, y: Array, unit: float, xp: Namespace, reach: float = 0.0, **_: Any
    ) -> Expectation:
        """Return the expected error of the function."""
        slope = self._slope()
        if not self.elementwise:
            s = Expectation(_largest(xp.abs(s.centre), xp), _largest(s.variance, xp))
        return slope.expect(s, y, unit, xp, reach)

    def _slope(self) -> Slope:
        slope, roundings = self.slope, self.roundings
        if slope is None or roundings is None:
            missing = "slope" if slope is None else "roundings"
            raise XpnnValueError(
                f"Function {self.name!r}: nothing is known of its errors, and so of the network's; "
                f"give it {missing}=..., xpnn.Function says what that is"
            )

        def steepest(lower: Array, upper: Array, xp: Namespace) -> Array:  # noqa: ARG001
            return xp.full_like(lower, slope)

        def evaluation(t: Array, y: Array) -> Any:
            return roundings(t, y) if callable(roundings) else roundings * y

        return Slope(steepest, evaluation)


def _largest(a: Array, xp: Namespace) -> Array:
    """Return the largest value of each row, 0 of none."""
    return (xp.max if a.shape[-1] else xp.sum)(a, axis=-1, keepdims=True)
