"""What a case is made of: factors, their levels from xpnn's own tables, and the rules between them."""

import functools
import importlib
import importlib.util
import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import xpnn
from xpnn._activations.table import ACTIVATIONS, ELEMENTWISE, RECORDS
from xpnn._arrays import installed
from xpnn._arrays.dtypes import FLOATS, INTEGERS

from .transforms import TRANSFORMS

Case = dict[str, Any]

ELEMENT = [f.__name__ for f in ELEMENTWISE]
OF_CLASSES = [name for name, record in RECORDS.items() if record.log_probability]
SLICES = [*(name for name in ACTIVATIONS if name not in ELEMENT), "logsumexp"]
METHODS = ["call", "logits", "log_proba", "classify", "layer_outputs"]
LIBRARIES = [name for name in installed.installed() if name != "cupy"]

_COMPUTING = "_engine.tuning _execution.plans _reproducible.engine _reproducible.arithmetic.exact"


def constants() -> dict[str, int]:
    """Every whole number that the rooms that compute branch on, by a place where it stands."""
    found: dict[int, str] = {}
    adapters = (f"_arrays.backends.{name}" for name in LIBRARIES if name in {"torch", "jax"})
    for module in (*_COMPUTING.split(), *adapters):
        for name, value in vars(importlib.import_module(f"xpnn.{module}")).items():
            if re.fullmatch(r"[A-Z_]+", name) and type(value) is int and value > 4:
                found.setdefault(value, f"{module}.{name}")
    return {name: value for value, name in sorted(found.items())}


CONSTANTS = constants()
LARGE, LARGEST = 2**17, 2**21
"""A constant from which on few cases have it; elements of an array, at most: more take too long."""

FACTORS: dict[str, list[Any]] = {
    "function": [*ACTIVATIONS, "logsumexp", "linear", *METHODS],
    "library": LIBRARIES,
    "transform": ["none", *TRANSFORMS],
    "way": ["fast", "plain", "reproducible"],
    "dtype": [*FLOATS, *sorted(INTEGERS), "bool", "complex64"],
    "order": ["native", "swapped"],
    "layout": [
        "C", "Fortran", "transposed", "stepped", "negative", "broadcast", "read-only", "memmap",
        "unaligned", "0-d", "1-d", "3-d", "empty",
    ],
    "values": [
        "normal", "wide", "special", "ties", "zeros", "-inf", "subnormal", "saturating", "huge",
        "certain",
    ],
    "constant": ["1", "2", *CONSTANTS],
    "side": [-1, 0, 1],
    "unit": ["elements", "bytes"],
    "dimension": ["length", "rows", "whole"],
    "axis": ["last", "first", "middle", "negative", "None", "tuple", "-"],
    "mask": ["-", "some", "all", "broadcast"],
    "weighted": ["-", "positive", "mixed"],
    "option": ["-", "Python", "NumPy", "NumPy 0-d", "own 0-d"],
    "hidden": [*ACTIVATIONS, "-"],
    "output": [*ACTIVATIONS, "-"],
    "depth": [1, 2, 3, "-"],
    "outputs": [1, 3, 20, "-"],
    "bias": [True, False, "-"],
    "weights": [*(f"{name}" for name in FLOATS), "float32 swapped", "float64 stepped", "-"],
    "place": ["follows", "placed", "-"],
    "x64": [True, False],
    "threads": [1, 2],
}  # fmt: skip


@functools.cache
def options_of(activation: str) -> dict[str, Any]:
    """The options of an activation, with defaults."""
    taken = {"x", "xp", "axis", "where"}
    parameters = inspect.signature(ACTIVATIONS[activation]).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in taken}


def chosen_options(case: Case) -> dict[str, Any]:
    """The options of the case's activation, as Python values that every dtype holds."""
    name = case["hidden"] if is_network(case["function"]) else case["function"]
    if case["option"] == "-" or name not in ACTIVATIONS:
        return {}
    # What an option that is text may be instead only its documentation says.
    return {
        key: "tanh" if isinstance(default, str) else 0.75
        for key, default in options_of(name).items()
    }


def is_network(function: str) -> bool:
    return function in METHODS


def number(case: Case) -> int:
    """The number of elements along, or in, the case's dimension."""
    base = CONSTANTS.get(case["constant"]) or int(case["constant"])
    if case["unit"] == "bytes":
        base //= itemsize(case["dtype"])
    return max(base + case["side"], 1)


@functools.cache
def itemsize(dtype: str) -> int:
    digits = re.search(r"\d+$", dtype)
    return 8 if dtype == "complex64" else int(digits[0]) // 8 if digits else 1


class Rule(NamedTuple):
    """Levels of some factors of which a case must be made together."""

    factors: tuple[str, ...]
    holds: Callable[..., bool]


def _rule(holds: Callable[..., bool]) -> Rule:
    return Rule(tuple(inspect.signature(holds).parameters), holds)


@functools.cache
def _has_dtype(library: str, dtype: str) -> bool:
    if (library, dtype) == ("numpy", "bfloat16"):
        return importlib.util.find_spec("ml_dtypes") is not None
    return dtype in ("bool", "complex64") or hasattr(installed.backend_library(library).xp, dtype)


def _rowwise(axis: str, mask: str, weighted: str) -> bool:
    return axis in ("last", "-") and mask == "-" and weighted == "-"


_ODD = {"memmap", "unaligned", "read-only", "negative"}
_LAYOUTS_OF = {
    "numpy": set(FACTORS["layout"]),
    "array-api-strict": set(FACTORS["layout"]) - {"memmap"},
    "torch": set(FACTORS["layout"]) - _ODD,
    "jax": {"C", "transposed", "0-d", "1-d", "3-d", "empty"},
}

_LARGE_CASES = {
    "function": ("gelu", *SLICES, "linear", "call"), "transform": ("none",), "library": ("numpy",),
    "dtype": ("float32", "float64"), "order": ("native",), "hidden": ("-", "relu", "tanh"),
    "output": ("-", "softmax", "identity"), "weights": ("-", "float32"), "depth": ("-", 1),
    "layout": ("C", "Fortran", "transposed"), "values": ("normal", "special"),
}  # fmt: skip


def _only_large(factor: str, *levels: Any) -> Callable[..., bool]:
    """A rule: above `LARGE`, only these levels."""

    def holds(level: Any, constant: str) -> bool:
        return level in levels or CONSTANTS.get(constant, 0) <= LARGE

    holds.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in (factor, "constant")]
    )
    return holds


RULES = [
    _rule(_has_dtype),
    _rule(lambda library, weights: weights == "-" or _has_dtype(library, weights.split()[0])),
    _rule(lambda library, order: library == "numpy" or order == "native"),
    _rule(lambda dtype, order: order == "native" or (itemsize(dtype) > 1 and dtype != "bfloat16")),
    _rule(lambda library, layout: layout in _LAYOUTS_OF[library]),
    _rule(lambda library, transform: transform == "none" or transform.startswith(library)),
    _rule(lambda library, x64: x64 or library == "jax"),
    _rule(lambda dtype, x64: x64 or (itemsize(dtype) < 8 or dtype == "complex64")),
    # What only some functions have.
    _rule(lambda function, axis: (axis == "-") == (function not in SLICES)),
    _rule(lambda function, mask: mask == "-" or function in SLICES),
    _rule(lambda function, weighted: weighted == "-" or function == "logsumexp"),
    _rule(lambda function, hidden: (hidden == "-") == (not is_network(function))),
    _rule(lambda function, output: (output == "-") == (not is_network(function))),
    _rule(lambda function, depth: (depth == "-") == (not is_network(function))),
    _rule(lambda function, place: (place == "-") == (not is_network(function))),
    *(
        _rule(eval(f"lambda function, {f}: ({f} == '-') == (function in ELEMENT + SLICES)", globals()))
        for f in ("outputs", "bias", "weights")
    ),
    _rule(
        lambda function, option: option == "-"
        or is_network(function)
        or bool(ACTIVATIONS.get(function) and options_of(function))
    ),
    _rule(lambda function, option: not is_network(function) or option in ("-", "Python")),
    _rule(lambda option, hidden: option == "-" or hidden == "-" or bool(options_of(hidden))),
    # Shapes.
    _rule(lambda layout, axis: layout != "0-d" or axis in ("-", "None")),
    _rule(lambda function, layout: layout != "0-d" or function in ELEMENT + SLICES),
    _rule(lambda layout, axis: layout != "1-d" or axis in ("-", "last", "first", "None")),
    _rule(lambda layout, axis: layout != "3-d" or axis != "middle"),
    _rule(lambda layout, mask: layout != "0-d" or mask in ("-", "all")),
    _rule(lambda constant, side: constant != "1" or side >= 0),
    _rule(lambda constant, unit: unit == "elements" or constant in CONSTANTS),
    _rule(
        lambda constant, unit: unit == "bytes" or CONSTANTS.get(constant, 0) <= LARGEST // 4
    ),
    _rule(lambda constant, dtype: CONSTANTS.get(constant, 0) // itemsize(dtype) <= LARGEST),
    _rule(
        lambda function, dimension, constant, unit, dtype: dimension != "length"
        or function in ELEMENT + SLICES
        or CONSTANTS.get(constant, 0) <= 2**14
    ),
    # What takes long: of a large size is one function of each kind, in what counts there.
    *(_rule(_only_large(factor, *levels)) for factor, levels in _LARGE_CASES.items()),
    # Loops of many rounds.
    _rule(lambda transform, constant: not _by_rows(transform) or CONSTANTS.get(constant, 0) <= 2048),
    # Values.
    _rule(
        lambda dtype, values: dtype in FLOATS
        or values in ("normal", "special", "ties", "zeros", "certain")
    ),
    # Transforms.
    _rule(lambda transform, layout: not _by_rows(transform) or layout not in ("0-d", "empty", "1-d")),
    _rule(lambda transform, axis: not _by_rows(transform) or axis in ("-", "last")),
    _rule(lambda transform, mask: not _by_rows(transform) or mask == "-"),
    _rule(lambda transform, weighted: not _by_rows(transform) or weighted == "-"),
    _rule(lambda transform, dtype: not _is_grad(transform) or dtype in FLOATS),
    _rule(lambda transform, function: not _is_grad(transform) or function != "classify"),
    _rule(lambda library, place, weights, x64: place != "placed" or _can_place(library, weights, x64)),
    # linear takes arrays of the library, and JAX itself makes none of float64 without x64.
    _rule(lambda function, library, weights, x64: function != "linear" or _can_place(library, weights, x64)),
]  # fmt: skip


def _can_place(library: str, weights: str, x64: bool) -> bool:
    name = weights.partition(" ")[0]
    return _has_dtype(library, name) and (x64 or itemsize(name) < 8)


def _by_rows(transform: str) -> bool:
    return transform != "none" and TRANSFORMS[transform].by_rows


def _is_grad(transform: str) -> bool:
    return transform != "none" and TRANSFORMS[transform].is_gradient


class Refusal(NamedTuple):
    """Levels with which a case must raise an error."""

    factors: tuple[str, ...]
    applies: Callable[..., bool]
    error: type[Exception]


def _refusal(error: type[Exception], applies: Callable[..., bool]) -> Refusal:
    return Refusal(tuple(inspect.signature(applies).parameters), applies, error)


REFUSALS = [
    _refusal(xpnn.XpnnTypeError, lambda dtype: dtype in ("bool", "complex64")),
    _refusal(
        xpnn.XpnnTypeError,
        lambda library, x64, weights: library == "jax" and not x64 and weights.startswith("float64"),
    ),
    _refusal(
        xpnn.XpnnTypeError,  # the reproducible way makes float64 of them
        lambda library, x64, way, dtype, weights, weighted: library == "jax"
        and (x64, way, weights, weighted) == (False, "reproducible", "-", "-")
        and dtype in INTEGERS,
    ),
    _refusal(
        xpnn.XpnnValueError,
        lambda function, output: (function in ("log_proba", "classify") and output not in OF_CLASSES)
        or (function == "logits" and output not in (*OF_CLASSES, "identity")),
    ),
]  # fmt: skip


def refusals(case: Case) -> list[Refusal]:
    """All that refuses the case."""
    return [r for r in REFUSALS if r.applies(*(case[f] for f in r.factors))]


def refusal(case: Case) -> Refusal | None:
    """What refuses the case, if anything does."""
    return next(iter(refusals(case)), None)


def cost(case: Case) -> float:
    """About how many seconds it takes: compilers take theirs, and large arrays."""
    depth = 1 if case["depth"] == "-" else case["depth"]
    seconds = 0.05 + 3e-6 * (number(case) if case["constant"] in CONSTANTS else 1)
    if case["library"] == "jax":
        seconds += {"reproducible": 3.0, "plain": 1.0, "fast": 0.3}[case["way"]] * depth
    return seconds + 1.5 * (case["transform"] == "torch.compile")
