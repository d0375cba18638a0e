"""What the values of a graph are in layers: one table of rules, from the last value back to the input.

A rule takes a value and says of which earlier one it is made by which layers, or that it is none of its business.
Functions of one value (sums, products and choices with numbers, activations) are not told apart by how they are
written: what is computed between two values is known by its results, as the activation of the table that gives
the same. So x * sigmoid(x) is silu, whichever way an exporter takes it apart, and an activation that is new in the
table is known as well.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from xpnn._convert.functions import Found, count_operations, named, narrows, one_network
from xpnn._convert.graph import MOST, Numbers, Value, pieces
from xpnn._network.layers.affine import Affine
from xpnn._network.layers.dense import Dense
from xpnn._network.layers.flatten import Flatten
from xpnn._network.layers.layer import Layer
from xpnn._network.layers.normalization import LayerNorm
from xpnn._network.layers.prelu import PReLU
from xpnn._network.layers.residual import Residual
from xpnn.errors import XpnnValueError

_STEP = 2
"""How many operations one step back is worth, of those that may be tried for one network."""


def layers_of(value: Value, start: Value) -> list[Layer]:
    """Return the layers that make a value of an earlier one; XpnnValueError names what is none."""
    try:
        with (
            one_network(),
            np.errstate(all="ignore"),
        ):  # of numbers that make no sense, such as a variance below 0
            layers = _between_ends(value, start)
    except RecursionError:
        raise XpnnValueError(
            "expected fewer sums of a value and what is made of it inside of each other"
        ) from None
    return layers or [Affine(np.ones(math.prod(value.shape[1:]), value.dtype))]


def _between_ends(value: Value, start: Value) -> list[Layer]:
    *_, (_, layers) = trail(value, start)
    return joined(layers)


def trail(value: Value, start: Value) -> Iterator[Found]:
    """Yield earlier and earlier values, and the layers that make the given one of them."""
    found: list[Layer] = []
    yield value, found
    while value is not start:
        if value.op == "refused":
            raise XpnnValueError(f"{value.where}: {value.options['words']}")
        made = next((m for m in (rule(value, start) for rule in RULES) if m is not None), None)
        if made is None:
            raise XpnnValueError(
                f"{value.where}: {value.op} of what comes before it is not among the layers that "
                "xpnn has"
            )
        count_operations(value.where, _STEP)
        value, layers = made
        found = layers + found
        yield value, found


def joined(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers of the same steps, as few as there can be: a bias, a shift, an activation becomes part.

    The axes of a sample are made one first: what goes element by element does not see them.
    """
    done: list[Layer] = []
    first = next((i for i, layer in enumerate(layers) if isinstance(layer, Flatten)), 0)
    if first and all(map(_is_by_column, layers[:first])):
        layers = [layers[first], *layers[:first], *layers[first + 1 :]]
    for layer in layers:
        last = done[-1] if done else None
        new = None
        if isinstance(layer, Affine) and last is not None and last.activate.name == "identity":
            new = _with(last, layer)
        if new is None:
            done.append(layer)
        else:
            done[-1] = new
    return done


def _with(last: Layer, layer: Affine) -> Layer | None:
    """Return a layer that ends in what comes after it, where the steps stay the same."""
    shift, activation = layer.shift, layer.activation
    if layer.rounded is not None or (layer.scale is not None and not isinstance(last, LayerNorm)):
        return None
    if isinstance(last, Dense) and (shift is None or last.bias is None):
        bias = last.bias if shift is None else shift
        return Dense(last.weight, bias, activation, rounded=last.rounded)
    if isinstance(last, Affine) and (shift is None or last.shift is None):
        shift = last.shift if shift is None else shift
        return Affine(last.scale, shift, activation=activation, rounded=last.rounded)
    if isinstance(last, LayerNorm) and activation == "identity" and last.bias is None:
        ones = bool(np.all(np.asarray(last.weight) == 1))
        if layer.scale is None or ones:
            return LayerNorm(
                last.weight if layer.scale is None else layer.scale, shift, last.epsilon
            )
    return None


# Products, sums and scales


def _product(value: Value, _: Value) -> Found | None:
    """A product with a constant matrix."""
    if value.op != "matmul" or not value.args[1].is_constant or len(value.args[1].shape) != 2:
        return None
    return value.args[0], [Dense(value.args[1].array)]


def _columns(constant: Value, value: Value) -> Numbers | None:
    """Return a constant as one number a column; None if it is more."""
    array, sample = constant.array, value.shape[1:]
    if array is None:
        return None
    if array.size != 1 and array.shape not in {sample, (1, *sample)}:
        return None
    return np.broadcast_to(array.reshape(-1).astype(value.dtype), (math.prod(sample),))


_SCALED: dict[tuple[str, bool], Callable[[Numbers], tuple[Numbers | None, Numbers | None]]] = {
    ("add", True): lambda c: (None, c),
    ("add", False): lambda c: (None, c),
    ("subtract", True): lambda c: (None, -c),
    ("subtract", False): lambda c: (np.full_like(c, -1), c),
    ("multiply", True): lambda c: (c, None),
    ("multiply", False): lambda c: (c, None),
    ("divide", True): lambda c: (1 / c, None),
}
"""Scale and shift of x + c, c + x, x - c, c - x and so on: by the operation, and whether x stands first."""


def _scaled(value: Value, _: Value) -> Found | None:
    """A sum, difference, product or quotient of columns and one number each; or the negative of them."""
    if value.op == "negative":
        return value.args[0], [Affine(np.full(math.prod(value.shape[1:]), -1, value.dtype))]
    a, b = value.args if len(value.args) == 2 else (value, value)
    x, c = (b, a) if a.is_constant else (a, b)
    made = _SCALED.get((value.op, x is a))
    numbers = _columns(c, value) if c.is_constant and x.shape == value.shape else None
    if made is None or numbers is None:
        return None
    return x, [Affine(*made(numbers))]


_LIMITS: dict[str, tuple[int, float]] = {"maximum": (1, -np.inf), "minimum": (-1, np.inf)}
"""Which sign makes it a maximum, and the number that limits nothing."""


def _limited(value: Value, _: Value) -> Found | None:
    """What is not above, or not below, one number a column: c + relu(x - c), or c - relu(c - x)."""
    if value.op not in _LIMITS:
        return None
    sign, nothing = _LIMITS[value.op]
    a, b = value.args
    x, c = (b, a) if a.is_constant else (a, b)
    limit = _columns(c, value) if c.is_constant and x.shape == value.shape else None
    if limit is None or np.any(np.isnan(limit)):
        return None
    if np.all(limit == nothing):
        return x, []
    if np.any(np.isinf(limit)):
        return None
    signs = None if sign > 0 else np.full_like(limit, -1)
    return x, [Affine(signs, -sign * limit, activation="relu"), Affine(signs, limit)]


def _batch_normalized(value: Value, _: Value) -> Found | None:
    """(x - mean) / sqrt(variance + epsilon) * scale + shift, with numbers of a training for each column."""
    if value.op != "batch_norm" or not all(a.is_constant for a in value.args[1:]):
        return None
    x, *given = value.args
    scale, mean, variance = (np.asarray(given[i].array, "float64") for i in (0, 2, 3))
    with np.errstate(all="ignore"):  # what is no variance makes no number
        factor = scale / np.sqrt(variance + value.options["epsilon"])
    # The shift stays apart, so that the bound is that of (x - mean) * factor + shift as well.
    made = (a.astype(value.dtype) for a in (factor, -mean * factor))
    return x, [Affine(*made, rounded=value.dtype), Affine(None, _columns(given[1], value))]


def _normalized_rows(value: Value, _: Value) -> Found | None:
    """Rows less their mean, divided by their deviation."""
    if value.op != "normalize":
        return None
    ones = np.ones(value.shape[-1], value.dtype)
    return value.args[0], [LayerNorm(ones, epsilon=value.options["epsilon"])]


def _prelu(value: Value, _: Value) -> Found | None:
    """What is below 0 times one number a column."""
    x, factor = value.args if value.op == "prelu" else _factor_below(value)
    slope = None if factor is None else _columns(factor, value)
    return None if x is None or slope is None else (x, [PReLU(slope)])


def _factor_below(value: Value) -> tuple[Value | None, Value | None]:
    """Return x and c where a value is written as x > 0 ? x : c * x."""
    above, x, below = value.args if value.op == "where" else (value, value, value)
    if above.op not in {"greater", "greater_equal"} or below.op != "multiply":
        return None, None
    zero = above.args[1].array
    if above.args[0] is not x or x not in below.args or zero is None or np.any(zero):
        return None, None
    return x, next((a for a in below.args if a.is_constant), None)


def gated(alpha: Numbers, factor: Numbers, kept: Numbers) -> list[Layer]:
    """Return (kept + factor * sigmoid(alpha * x)) * x: kept * x + factor / alpha * silu(alpha * x)."""
    none, dtype = alpha == 0, alpha.dtype
    wide, of = factor.astype("float64"), np.where(none, 1, alpha).astype("float64")
    inside = np.where(none, 0, wide / of).astype(dtype)
    beside = np.where(none, kept + wide / 2, kept).astype(dtype)  # sigmoid of 0 is 1/2
    layers = Affine(alpha, activation="silu"), Affine(inside, rounded=dtype.name)
    if not np.any(beside):
        return list(layers)
    return [Residual(layers, (Affine(beside, rounded=dtype.name),))]


def _gated(value: Value, start: Value) -> Found | None:
    """(c + d * sigmoid(a * x)) * s * x, with one number a column each: Swish and the activation of emulators."""
    if value.op != "multiply" or any(a.is_constant or a.shape != value.shape for a in value.args):
        return None
    x, chains = _meeting(value.args, start)
    beside, gate = sorted(map(joined, chains), key=_begins_with_a_sigmoid)
    if not _begins_with_a_sigmoid(gate):
        return None
    ones = np.ones(math.prod(value.shape[1:]), value.dtype)
    inside, after, scale = (_line(chain, ones) for chain in (gate[:1], gate[1:], beside))
    if inside is None or after is None or scale is None or np.any(inside[1]) or np.any(scale[1]):
        return None
    return x, [*gated(inside[0], *after), *beside]


def _begins_with_a_sigmoid(chain: Sequence[Layer]) -> bool:
    return bool(chain) and isinstance(chain[0], Affine) and chain[0].activate.name == "sigmoid"


def _line(chain: Sequence[Layer], ones: Numbers) -> tuple[Numbers, Numbers] | None:
    """Return the scale and the shift of one layer of these, or of none; None if there are more."""
    layers = [a for a in chain if isinstance(a, Affine) and a.rounded is None]
    names = {a.activate.name for a in chain} - {"identity"}
    if len(chain) > 1 or len(layers) < len(chain) or not names <= {"sigmoid"}:
        return None
    scale, shift = _numbers_of(layers[0]) if layers else (None, None)
    return ones if scale is None else scale, 0 * ones if shift is None else shift


def _residual(value: Value, start: Value) -> Found | None:
    """x + f(x), g(x) + f(x), and their differences."""
    if value.op not in {"add", "subtract"} or any(a.is_constant for a in value.args):
        return None
    a, b = value.args
    width = math.prod(value.shape[1:])
    if a.shape != b.shape or (a is b and value.op == "subtract"):
        return None
    if a is b:
        return a, [Affine(np.full(width, 2, value.dtype))]
    x, (left, right) = _meeting((a, b), start)
    if value.op == "subtract":
        right = [*right, Affine(np.full(width, -1, value.dtype))]
    beside, inside = map(joined, (left, right) if right else (right, left))
    return x, [Residual(tuple(inside), tuple(beside))]


# Axes


_SHAPES = {"reshape", "keep", "drop"}


def _flat(value: Value, _: Value) -> Found | None:
    """The axes of a sample as one; or axes of one entry that come and go."""
    if value.op not in _SHAPES:
        return None
    (x,) = value.args
    if value.op == "drop" and len(x.shape) == 2:
        return x, []  # one output is a column here
    while x.op in _SHAPES | {"astype"}:
        (x,) = x.args
    rows, width = x.shape[0] if x.shape else 0, math.prod(x.shape[1:])
    if value.shape == x.shape:
        return x, []
    if len(x.shape) > 2 and value.shape == (rows, width):
        return x, [Flatten(x.shape[1:])]
    return None


def _is_by_column(layer: Layer) -> bool:
    """Whether each column of the result is made of that of the input alone."""
    return isinstance(layer, Affine) and not layer.activate.record.of_rows


def _back_to_a_product(value: Value, start: Value) -> Found | None:
    """Return the product that a value is made by, column by column, and all that comes after it."""
    for x, layers in trail(value, start):
        if layers and isinstance(layers[0], Dense):
            return x, layers
        if not all(map(_is_by_column, layers)):
            break
    return None


def _taken(value: Value, start: Value) -> Found | None:
    """Some of the columns."""
    if value.op != "take" or len(value.shape) != 2 or value.options["axis"] != 1:
        return None
    (x,), indices = value.args, list(value.options["indices"])
    found = _back_to_a_product(x, start)
    if found is None:
        if x.shape[-1] * len(indices) > MOST:
            raise XpnnValueError(f"{value.where}: expected fewer columns, got {x.shape[-1]}")
        chosen = np.zeros((x.shape[-1], len(indices)), value.dtype)
        chosen[indices, range(len(indices))] = 1
        return x, [Dense(chosen)]
    return found[0], [_selected(layer, indices) for layer in found[1]]


def _selected(layer: Any, indices: list[int]) -> Layer:
    """Return a layer that gives some of the columns alone."""
    chosen = (None if a is None else a[..., indices] for a in _numbers_of(layer))
    made: Layer = type(layer)(*chosen, activation=layer.activation, rounded=layer.rounded)
    return made


def _beside(value: Value, start: Value) -> Found | None:
    """Columns of several products beside each other; 1 - p beside p."""
    if value.op != "concat" or len(value.shape) != 2 or value.options["axis"] not in {1, -1}:
        return None
    two = _two_classes(value, start)
    if two is not None:
        return two
    meet, chains = _meeting(value.args, start)
    heads = list(map(joined, chains))
    dense = [h[0] for h in heads if len(h) == 1 and isinstance(h[0], Dense)]
    same = {layer.activation for layer in dense}
    if len(dense) < len(chains) or len(same) > 1 or dense[0].activate.record.of_rows:
        return meet, [_in_places(heads, [a.shape[-1] for a in value.args], value.dtype)]
    biases = [np.zeros(h.weight.shape[1], value.dtype) if h.bias is None else h.bias for h in dense]
    weight = np.concatenate([h.weight for h in dense], axis=1)
    return meet, [Dense(weight, np.concatenate(biases), same.pop())]


def _in_places(chains: Sequence[list[Layer]], widths: Sequence[int], dtype: str) -> Layer:
    """Return a layer that gives what chains give beside each other: each in its place, added to zeros."""
    total, done = sum(widths), list[Layer]()
    if total * max(widths) > MOST:
        raise XpnnValueError(f"expected fewer columns beside each other, got {total}")
    for chain, place in zip(chains, pieces(widths), strict=True):
        matrix = np.zeros((len(place), total), dtype)
        matrix[range(len(place)), place] = 1
        one = [*chain, Dense(matrix)]
        done = [Residual(tuple(one), tuple(done))] if done else one
    return done[0]


def _meeting(values: Sequence[Value], start: Value) -> tuple[Value, list[list[Layer]]]:
    """Return the last value that all are made of, and the layers from it to each.

    Whatever is latest goes one step back, so that nothing behind that value is looked at.
    """
    trails = [trail(value, start) for value in values]
    at = [next(one) for one in trails]
    while len({value.number for value, _ in at}) > 1:
        latest = max(range(len(at)), key=lambda i: at[i][0].number)
        at[latest] = next(trails[latest])
    return at[0][0], [layers for _, layers in at]


def _two_classes(value: Value, start: Value) -> Found | None:
    """1 - sigmoid(z) beside sigmoid(z): softmax of (0, z)."""
    rest, p = value.args if len(value.args) == 2 else (value, value)
    scaled = _scaled(rest, start) if rest.op == "subtract" else None
    if scaled is None or scaled[0] is not p or p.shape[-1] != 1:
        return None
    one = scaled[1][0]
    found = _back_to_a_product(p, start)
    layers = [] if found is None else joined(found[1])
    names = [layer.activate.name for layer in layers]
    if found is None or names != ["identity"] * (len(names) - 1) + ["sigmoid"]:
        return None
    if not isinstance(one, Affine) or one.shift is None or one.shift.tolist() != [1.0]:
        return None
    *first, last = layers
    return found[0], [*map(_beside_nothing, first), _beside_nothing(last, "softmax")]


def _numbers_of(layer: Any) -> tuple[Numbers | None, Numbers | None]:
    """Return the weight or scale, and the bias or shift."""
    if isinstance(layer, Dense):
        return layer.weight, layer.bias
    return layer.scale, layer.shift


def _beside_nothing(layer: Any, activation: str = "identity") -> Layer:
    """Return a layer of one column with a column of zeros before it."""
    factor, shift = _numbers_of(layer)
    if isinstance(layer, Dense) and factor is not None:
        shift = np.zeros(1, factor.dtype) if shift is None else shift
        factor = np.concatenate([np.zeros_like(factor), factor], axis=1)
    elif factor is not None:
        factor = np.concatenate([np.ones_like(factor), factor])
    shift = None if shift is None else np.concatenate([np.zeros_like(shift), shift])
    made: Layer = type(layer)(factor, shift, activation=activation, rounded=layer.rounded)
    return made


def _transparent(value: Value, start: Value) -> Found | None:
    """A conversion of floating values that rounds nothing: to a wider dtype; at the ends, that of the network."""
    (x,) = value.args if value.op == "astype" else (value,)
    if value is x or not (x.dtype.startswith("float") and value.dtype.startswith("float")):
        return None
    fine = not narrows(value) or value.dtype == start.dtype
    entry = x is start and value.dtype == "float32"
    return (x, []) if fine or entry else None


RULES: tuple[Callable[[Value, Value], Found | None], ...] = (
    *(_transparent, named, _product, _scaled, _limited, _batch_normalized, _normalized_rows),
    *(_prelu, _gated, _residual, _flat, _taken, _beside),
)
"""In the order in which they are tried."""
