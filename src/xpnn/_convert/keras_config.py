"""Models of Keras by their configuration: layers in layers as values of a graph. Nothing of Keras is imported.

Where weights stand, a source knows: a file, or a model itself. A configuration is hostile until it is read: how often
layers are called is counted, as models that call models twice each would never end.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from xpnn._convert.graph import REFUSALS, Graph, Numbers, Value, chosen, of_any_rows, pieces
from xpnn._convert.keras_layers import (
    LAYERS,
    NOT_TRAINED,
    VARIABLES,
    Call,
    Config,
    Shape,
    class_of,
    numbers_of,
)
from xpnn._convert.parts import Parts
from xpnn._convert.rules import layers_of
from xpnn.errors import XpnnValueError

MODELS = ("Sequential", "Functional", "Model")
"""The classes of models that are made of layers; the last is what Functional was called."""
_MOST_CALLS = 2**14
FLOATS = {"float16", "float32", "float64"}
KINDS = (*REFUSALS, AttributeError)
"""How Python refuses a configuration of another form."""


class Place(NamedTuple):
    """Where a layer stands, by models in models."""

    names: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    """By class and number, as the new format counts layers."""

    def __str__(self) -> str:
        return f"layer {'/'.join(self.names)!r}"


class Source(Protocol):
    """What has the weights."""

    version: int
    """Of Keras."""

    def arrays(self, place: Place, shapes: Mapping[str, Shape]) -> Sequence[Numbers]:
        """Return a layer's arrays, of these shapes."""
        ...


def parts_of(model: Any, source: Source, output: str | Sequence[str] | None) -> Parts:
    """Return the layers of a model; XpnnValueError if it is none that can be taken."""
    known: dict[Place, Sequence[Numbers]] = {}
    names: list[str] | None = None

    def read(graph: Graph) -> tuple[Value, Value]:
        nonlocal names
        start, given, names = _inputs(graph, model)
        made = _Walk(graph, source, known).model(model, Place(), given)
        return start, chosen(graph, made, output)[0]

    try:
        start, value = of_any_rows(read)
        return Parts(layers_of(value, start), inputs=names)
    except RecursionError:
        raise XpnnValueError("expected fewer models inside of each other") from None
    except KINDS as error:
        if isinstance(error, XpnnValueError):
            raise
        raise XpnnValueError(
            f"expected the configuration of a model of Keras, got one with {type(error).__name__} at "
            f"{error!s:.200}"
        ) from None


# What a configuration says


def name_of(entry: Config) -> str:
    return str(entry.get("name") or entry["config"]["name"])


def children(entry: Config, place: Place) -> Iterator[tuple[Config, Place]]:
    """Yield the layers of a model and their places."""
    counts: dict[str, int] = {}
    seen = set()
    for one in entry["config"]["layers"]:
        name, kind = name_of(one), _snake(str(one["class_name"]))
        if name in seen:
            raise XpnnValueError(f"expected each layer's name once, got two layers named {name!r}")
        seen.add(name)
        counts[kind] = counts.get(kind, -1) + 1
        saved = f"{kind}_{counts[kind]}" if counts[kind] else kind
        yield one, Place((*place.names, name), (*place.saved, saved))


def _snake(name: str) -> str:
    """Return the name of a class as files have it: re_lu of ReLU."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def is_model(entry: Config) -> bool:
    return entry["class_name"] in MODELS


def variables_of(entry: Config) -> list[str]:
    """Return the names of a layer's variables."""
    found = VARIABLES.get(entry["class_name"])
    return [] if found is None else found(entry["config"])


def leaves(
    entry: Config, place: Place, *, trained: bool = True
) -> Iterator[tuple[Place, str, bool]]:
    """Yield the place and the name of each variable below, and whether it is trained."""
    trained = trained and entry["config"].get("trainable", True) is not False
    if is_model(entry):
        for one, inside in children(entry, place):
            yield from leaves(one, inside, trained=trained)
    for name in variables_of(entry):
        yield place, name, trained and name not in NOT_TRAINED


def _dtype_of(config: Config) -> str | None:
    """Return the dtype in which a layer stores and computes; None if it says none."""
    given = config.get("dtype")
    if isinstance(given, dict):
        plain = given["class_name"] in {"DTypePolicy", "FloatDTypePolicy", "Policy"}
        given = given["config"].get("name") if plain else given["class_name"]
    if given is not None and given not in FLOATS:
        raise XpnnValueError(
            f"expected one dtype of {', '.join(sorted(FLOATS))} to store and compute in, got {given!r}"
        )
    return given


class _Input(NamedTuple):
    name: str
    shape: Shape
    dtype: str


def _input(name: str, config: Config, shape: Any) -> _Input:
    """Return an input of a shape that begins with the rows."""
    found = tuple(shape)[1:] if isinstance(shape, list) else ()
    if not found or not all(isinstance(n, int) and n > 0 for n in found):
        raise XpnnValueError(
            f"layer {name!r}: expected rows of a known shape, got {shape!r:.80}; a model that was "
            "built has it"
        )
    return _Input(name, found, _dtype_of(config) or "float32")


def _inputs_of(entry: Config) -> list[_Input]:
    """Return the inputs of a model, in their order."""
    config = entry["config"]
    if "input_layers" in config:
        found = {name_of(one): one["config"] for one in config["layers"]}
        given = [(ref.name, found[ref.name]) for ref in _refs(config["input_layers"])]
        return [_input(name, one, _batch_shape(one)) for name, one in given]
    first = next(iter(config["layers"]), None)
    if first is None:
        raise XpnnValueError("expected a model with layers, got none")
    if is_model(first):
        return _inputs_of(first)
    shape = _batch_shape(first["config"]) or config.get("build_input_shape")
    return [_input(name_of(first), first["config"], shape)]


def _batch_shape(config: Config) -> Any:
    return config.get("batch_shape") or config.get("batch_input_shape")


def _inputs(graph: Graph, entry: Any) -> tuple[Value, list[Value], list[str] | None]:
    """Return the input of a model, its inputs as columns of it, and what those are called."""
    if not isinstance(entry, dict) or entry.get("class_name") not in MODELS:
        kind = entry.get("class_name") if isinstance(entry, dict) else type(entry).__name__
        raise XpnnValueError(
            f"expected a Sequential or Functional model, got {kind!r:.80}, whose layers no "
            "configuration says; from_jax of its call, or an export to ONNX, reads what it computes"
        )
    class_of(entry)
    given = _inputs_of(entry)
    if len(given) == 1:
        start = graph.input(*given[0])
        return start, [start], None
    if any(len(one.shape) > 1 or one.dtype != given[0].dtype for one in given) or not given:
        shown = ", ".join(f"{one.name!r} of shape {one.shape} and {one.dtype}" for one in given)
        raise XpnnValueError(f"expected inputs of one axis and one dtype, got {shown or 'none'}")
    widths = [one.shape[0] for one in given]
    start = graph.input("the inputs", (sum(widths),), given[0].dtype)
    names = [
        one.name if n == 1 else f"{one.name}.{i}"
        for one, n in zip(given, widths, strict=True)
        for i in range(n)
    ]
    parts = pieces(widths)
    values = [
        graph.take(start, p, 1, str(Place((n.name,)))) for p, n in zip(parts, given, strict=True)
    ]
    return start, values, names


# Calls of layers by their names


class _Ref(NamedTuple):
    """An output of a call of a layer."""

    name: str
    node: int
    tensor: int


_Key = tuple[str, int]
"""The name of a layer, and the number of a call of it."""


def _ref(given: Any) -> _Ref | None:
    """Return what a list of a name and two numbers refers to."""
    if not isinstance(given, list) or len(given) not in {3, 4} or not isinstance(given[0], str):
        return None
    if not all(isinstance(n, int) for n in given[1:3]):
        raise XpnnValueError(f"expected a layer, a call and an output, got {given!r:.80}")
    if len(given) == 4:
        _check_options(given[3])
    return _Ref(*given[:3])


def _refs(given: Any) -> list[_Ref]:
    """Return the references in lists and mappings."""
    one = _ref(given)
    if one is not None:
        return [one]
    parts = [given[k] for k in sorted(given)] if isinstance(given, dict) else given
    return [ref for part in parts for ref in _refs(part)]


def _check_options(given: Mapping[str, Any]) -> None:
    """Raise XpnnValueError if a layer is called with more than its inputs."""
    for name, option in given.items():
        if option is not None and option is not False:
            raise XpnnValueError(f"expected a call with inputs alone, got {name}={option!r:.80}")


def _arguments(given: Any) -> Iterator[Any]:
    """Yield the references and numbers that a layer is called with."""
    if given is None:
        return
    if isinstance(given, dict) and given.get("class_name") == "__keras_tensor__":
        found = _ref(given["config"]["keras_history"])
        if found is None:
            raise XpnnValueError("expected keras_history of a layer, a call and an output")
        yield found
    elif isinstance(given, dict) and "class_name" not in given:
        for name in sorted(given):
            yield from _arguments(given[name])
    elif isinstance(given, list) and not all(isinstance(a, int | float) for a in given):
        for one in given:
            yield from _arguments(one)
    else:
        yield numbers_of(given)


def _called_with(node: Any) -> list[Any]:
    """Return what a layer is called with: references and numbers."""
    if isinstance(node, list):  # of Keras 2
        return list(_refs(node))
    args, options = node["args"], dict(node.get("kwargs") or {})
    if not args and "inputs" in options:
        args = [options.pop("inputs")]
    _check_options(options)
    return list(_arguments(args))


def _first_call(entry: Config, *, old: bool, ends: bool) -> int:
    """Return the number of a layer's first call, which counts the one that made a model itself."""
    if not is_model(entry):
        return 0
    functional = entry["class_name"] != "Sequential"
    if not old:
        return int(functional and ends)
    first: Config = next(iter(entry["config"]["layers"]), {})
    return int(functional or first.get("class_name") == "InputLayer")


class _Calls:
    """The calls of the layers of a functional model."""

    def __init__(self, entry: Config, place: Place) -> None:
        self.layers = {name_of(one): (one, inside) for one, inside in children(entry, place)}
        self.nodes = {n: one.get("inbound_nodes") or [] for n, (one, _) in self.layers.items()}
        self.old = any(isinstance(node, list) for nodes in self.nodes.values() for node in nodes)

    def key(self, ref: _Ref, *, ends: bool = False) -> _Key:
        """Return which call an output is of: the name of the layer, and the number of the call."""
        if ref.name not in self.layers:
            raise XpnnValueError(f"expected a layer of the model, got {ref.name!r}")
        count = len(self.nodes[ref.name])
        first = _first_call(self.layers[ref.name][0], old=self.old, ends=ends)
        number = 0 if count < 2 else ref.node - first
        if not 0 <= number < max(count, 1):
            raise XpnnValueError(
                f"layer {ref.name!r}: expected one of {count} calls, got call {ref.node}"
            )
        return ref.name, number

    def arguments(self, key: _Key) -> list[tuple[Any, _Key | None]]:
        """Return what a call is given: outputs of others and their calls, or numbers."""
        nodes = self.nodes[key[0]]
        if not nodes:
            raise XpnnValueError(f"layer {key[0]!r}: expected a call, or an input of the model")
        found = _called_with(nodes[key[1]])
        return [(a, self.key(a) if isinstance(a, _Ref) else None) for a in found]


class _Walk:
    """A model while the values of its layers are made."""

    def __init__(self, graph: Graph, source: Source, known: dict[Place, Sequence[Numbers]]) -> None:
        self.graph = graph
        self.source = source
        self.known = known
        self.calls = 0

    def model(self, entry: Config, place: Place, given: Sequence[Value]) -> dict[str, Value]:
        """Return the outputs of a model by the names of the layers that make them."""
        if "input_layers" in entry["config"]:
            return self._functional(entry, place, given)
        values, name = list(given), ""
        for one, inside in children(entry, place):
            values, name = self._layer(one, inside, values), name_of(one)
        if len(values) != 1:
            raise XpnnValueError(f"expected one output of {name!r}, got {len(values)}")
        return {name: values[0]}

    def _functional(self, entry: Config, place: Place, given: Sequence[Value]) -> dict[str, Value]:
        config = entry["config"]
        calls = _Calls(entry, place)
        ends = _refs(config["output_layers"])
        done: dict[_Key, list[Value]] = {}
        for ref, value in zip(_refs(config["input_layers"]), given, strict=True):
            done[ref.name, 0] = self._layer(*calls.layers[ref.name], [value])

        def value_of(ref: _Ref, key: _Key) -> Value:
            values = done[key]
            return values[0] if values[0].op == "refused" else values[ref.tensor]

        waiting, begun = [calls.key(ref, ends=True) for ref in ends], set[_Key]()
        while waiting:
            key = waiting[-1]
            if key in done:
                waiting.pop()
                continue
            arguments = calls.arguments(key)
            missing = [k for _, k in arguments if k is not None and k not in done]
            if not missing:
                values = [a if k is None else value_of(a, k) for a, k in arguments]
                done[key] = self._layer(*calls.layers[key[0]], values)
            elif key in begun:
                raise XpnnValueError(f"layer {key[0]!r}: expected layers without a circle")
            begun.add(key)
            waiting += missing
        made: dict[str, Value] = {}
        for ref in ends:
            name = ref.name if ref.name not in made else f"{ref.name}.{len(made)}"
            made[name] = value_of(ref, calls.key(ref, ends=True))
        return made

    def _layer(self, entry: Config, place: Place, given: Sequence[Any]) -> list[Value]:
        """Return the outputs of a layer; what it is not, in words, for whoever asks for them."""
        self.calls += 1
        if self.calls > _MOST_CALLS:
            raise XpnnValueError(f"expected at most {_MOST_CALLS} calls of layers")
        wrong = next((a for a in given if isinstance(a, Value) and a.op == "refused"), None)
        if wrong is not None:
            return [wrong]
        where = str(place)
        try:
            name = class_of(entry)
            if name in MODELS:
                return list(self.model(entry, place, given).values())
            if name == "InputLayer":
                return self._cast(entry["config"], given, where)
            if name not in LAYERS:
                known = ", ".join(sorted([*LAYERS, *MODELS[:2]]))
                words = f"{name} is not among the layers that xpnn reads: {known}"
                return [self.graph.refused(words, where)]
            config, values = entry["config"], self._cast(entry["config"], given, where)
            call = Call(self.graph, where, config, values, lambda **_: {}, self.source.version)
            return [LAYERS[name](call._replace(weights=self._weights_of(entry, place)))]
        except RecursionError:
            raise
        except KINDS as error:
            words = f"{entry['class_name']}: {error}"
            return [self.graph.refused(words, where)]

    def _cast(self, config: Config, given: Sequence[Any], where: str) -> list[Any]:
        """Return what is given in the dtype in which a layer computes."""
        dtype = _dtype_of(config)
        return [
            self.graph.make("astype", a, dtype=dtype, where=where)
            if isinstance(a, Value) and dtype not in {None, a.dtype}
            else a
            for a in given
        ]

    def _weights_of(self, entry: Config, place: Place) -> Any:
        names, dtype = variables_of(entry), _dtype_of(entry["config"])

        def found(**shapes: Shape) -> dict[str, Numbers]:
            expected = {name: shapes[name] for name in names}
            if names and place not in self.known:
                self.known[place] = self.source.arrays(place, expected)
            made = dict(zip(names, self.known.get(place, ()), strict=True))
            for name, array in made.items():
                check(name, array.shape, array.dtype.name, expected[name])
                if name != "count" and dtype not in {None, array.dtype.name}:
                    raise XpnnValueError(f"expected {name} of {dtype}, got {array.dtype}")
            return made

        return found


def check(name: str, shape: Shape, dtype: str, expected: Shape) -> None:
    """Raise XpnnValueError unless an array is what a layer needs."""
    if shape != expected:
        raise XpnnValueError(f"expected {name} of shape {expected}, got {shape}")
    if dtype not in (FLOATS if name != "count" else {"int32", "int64", "float32", "float64"}):
        raise XpnnValueError(f"expected {name} of floating numbers, got {dtype}")


def check_count(expected: Mapping[str, Shape], count: int) -> None:
    """Raise XpnnValueError unless there are as many arrays as a layer needs."""
    if len(expected) != count:
        raise XpnnValueError(
            f"expected {len(expected)} arrays ({', '.join(expected)}), got {count}"
        )
