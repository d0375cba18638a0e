"""What a case calls: a public function or a method of a network, with all its arguments, in any library."""

import functools
import importlib
import itertools
import json
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import xpnn
from xpnn._arrays.dtypes import FLOATS, default_float, promote

from . import arrays
from .arrays import Values
from .factors import SLICES, Case, chosen_options, is_network
from .transforms import TRANSFORMS, transformed

Function = Callable[..., Any]


def text(case: Case) -> str:
    """The case as one line, from which it can be run again."""
    return json.dumps(case)


class Problem(NamedTuple):
    """All that a case computes with, as NumPy's arrays."""

    case: Case
    x: Values
    other: Values
    """Another array of the same kind, which is computed in between."""
    mask: Values | None
    b: Values | None
    layers: tuple[tuple[Values, Values | None, str], ...]
    options: dict[str, Any]

    @property
    def weight_dtype(self) -> str:
        return str(self.case["weights"].split()[0])

    def result_dtype(self, place: "Place") -> str:
        """The dtype that the result has in a place."""
        dtypes = {self.case["dtype"]} & FLOATS.keys()
        dtypes |= {self.weight_dtype} if self.layers else set()
        dtypes |= set() if self.b is None else {_float_of(self.case)}
        if dtypes:
            return promote(dtypes)
        return default_float(place.xp() or arrays.namespace(place.library), None)


def problem(case: Case) -> Problem:
    """Draw everything from the text of the case."""
    rng = np.random.default_rng(zlib.crc32(text(case).encode()))
    shape = arrays.shape_of(case)
    x, other = (
        arrays.spread(arrays.values(case["values"], case["dtype"], shape, rng), case["layout"])
        for _ in "12"
    )
    b = None
    if case["weighted"] != "-":
        b = arrays.rounded(rng.choice([1.0, 0.5, -0.25, 0.0], shape), _float_of(case))
        b = np.abs(b) if case["weighted"] == "positive" else b
    return Problem(
        case, x, other, _mask(case, shape, rng), b, _layers(case, shape, rng), chosen_options(case)
    )


def _float_of(case: Case) -> str:
    return case["dtype"] if case["dtype"] in FLOATS else "float32"


def _mask(case: Case, shape: tuple[int, ...], rng: np.random.Generator) -> Values | None:
    if case["mask"] == "-":
        return None
    if case["mask"] == "all":
        return np.zeros(shape, bool)
    mask = rng.random(shape[-1:] if case["mask"] == "broadcast" else shape) < 0.6
    if mask.ndim > 1 and mask.size:
        mask[0] = False  # a slice that is masked whole
    return mask


def _layers(case: Case, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if case["bias"] == "-":
        return ()
    width = shape[-1]
    depth = 1 if case["depth"] == "-" else case["depth"]
    hidden = 7 if width > 1100 or case["dimension"] != "length" else width
    widths = [width, *[hidden] * (depth - 1), case["outputs"]]
    dtype = case["weights"].split()[0]
    kind = "wide" if case["values"] == "wide" and depth == 1 else "normal"
    layers = []
    for i, (n, m) in enumerate(itertools.pairwise(widths)):
        weight = arrays.values(kind, dtype, (n, m), rng)
        if kind == "normal":
            weight = arrays.rounded(weight / (3 * max(n, 1) ** 0.5), dtype)
        bias = arrays.values("normal", dtype, (m,), rng) if case["bias"] else None
        layers.append((weight, bias, _activation(case, last=i == depth - 1)))
    return tuple(layers)


def _activation(case: Case, *, last: bool) -> str:
    if case["function"] == "linear":
        return "identity"
    if last:
        return str(case["output"])
    given = ", ".join(f"{k}={v!r}" for k, v in chosen_options(case).items())
    return f"{case['hidden']}({given})" if given else str(case["hidden"])


# In a library


class Place(NamedTuple):
    """Where and how a problem is computed."""

    library: str
    way: str
    transform: str = "none"
    layout: str = "C"
    order: str = "native"
    option: str = "Python"
    placed: bool = False
    swapped_weights: str = ""

    @staticmethod
    def of(case: Case) -> "Place":
        names = ("library", "way", "transform", "layout", "order", "option")
        odd = case["weights"].partition(" ")[2]
        return Place(*(case[n] for n in names), case["place"] == "placed", odd)

    def asarray(self, a: Values, dtype: str) -> Any:
        return arrays.asarray(a, self.library, dtype, self.layout, self.order)

    def xp(self) -> Any:
        own = arrays.namespace(self.library)
        return {"fast": None, "plain": own, "reproducible": xpnn.reproducible(own)}[self.way]


class Ready(NamedTuple):
    """A call, and the arrays beside its input that it must leave as they are."""

    function: Function
    """Of an array of the library; gives a tuple of arrays, or a derivative."""
    held: list[Any]


def ready(problem: Problem, place: Place) -> Ready:
    """Make the call of a problem in a place."""
    held: list[Any] = []
    call = _call(problem, place, held)

    def together(x: Any) -> Any:
        y = call(x)
        if isinstance(y, list):
            return tuple(a for pair in y for a in pair)
        return y if isinstance(y, tuple) else (y,)

    if place.transform != "none" and TRANSFORMS[place.transform].is_gradient:
        return Ready(
            transformed(place.transform, functools.partial(_scalar, place, together)), held
        )
    return Ready(transformed(place.transform, together), held)


def pattern(shape: tuple[int, ...]) -> Values:
    """The weights of results in the sum whose derivative is taken."""
    size = int(np.prod(shape))
    return ((np.arange(size) % 5 + 1) / 4).reshape(shape)


def _scalar(place: Place, f: Function, x: Any) -> Any:
    total = 0.0
    for y in f(x):
        xp = importlib.import_module("jax.numpy" if place.library == "jax" else "torch")
        c = xp.asarray(pattern(tuple(y.shape)).astype("float32"), dtype=y.dtype)
        total = total + (c * y).sum()
    return total


def _call(problem: Problem, place: Place, held: list[Any]) -> Function:
    case, name, xp = problem.case, problem.case["function"], place.xp()
    if is_network(name):
        network = _network(problem, place)
        held.extend(
            a for layer in network.layers for a in (layer.weight, layer.bias) if a is not None
        )
        method = network if name == "call" else getattr(network, name)
        return functools.partial(method, xp=xp)
    if name == "linear":
        weight, bias, _ = problem.layers[0]
        dtype = problem.weight_dtype
        given = [
            None if a is None else arrays.asarray(a, place.library, dtype) for a in (weight, bias)
        ]
        held.extend(a for a in given if a is not None)
        return lambda x: xpnn.linear(x, *given, xp=xp)
    options = {k: _option(v, place) for k, v in problem.options.items()}
    if name in SLICES:
        options["axis"] = arrays.axis_of(case)
    if problem.mask is not None:
        options["where"] = arrays.asarray(problem.mask, place.library, "bool")
    if problem.b is not None:
        options["b"] = arrays.asarray(problem.b, place.library, _float_of(case))
        options["return_sign"] = case["weighted"] == "mixed"
    held.extend(a for k, a in options.items() if k in ("where", "b"))
    return functools.partial(getattr(xpnn, name), xp=xp, **options)


def _option(value: Any, place: Place) -> Any:
    if isinstance(value, str) or place.option in ("Python", "-"):
        return value
    if place.option == "own 0-d":
        return arrays.asarray(np.asarray(value, "float32"), place.library, "float32")
    return np.float64(value) if place.option == "NumPy" else np.asarray(value)


def _network(problem: Problem, place: Place) -> xpnn.Network:
    dtype = problem.weight_dtype
    layout = "stepped" if place.swapped_weights == "stepped" else "C"
    order = "swapped" if place.swapped_weights == "swapped" else "native"

    def array(a: Values | None) -> Any:
        if a is None:
            return None
        if place.placed:
            return arrays.asarray(a, place.library, dtype)
        return arrays.asarray(a, "numpy", dtype, layout, order)

    return xpnn.Network([xpnn.Dense(array(w), array(b), a) for w, b, a in problem.layers])
