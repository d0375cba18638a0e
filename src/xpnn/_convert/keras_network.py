"""Models of Keras by their configuration: layers in layers as values of a graph. Nothing of Keras is imported.

Where weights stand, a source knows: a file, or a model itself. A configuration is hostile until it is read: how often
layers are called is counted, as models that call models twice each would never end.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from xpnn._convert.graph import REFUSALS, Graph, Numbers, Value, chosen, of_any_rows, pieces
from xpnn._convert.keras_config import (
    FLOATS,
    MODELS,
    Calls,
    Key,
    Place,
    Ref,
    children,
    dtype_of,
    inputs_of,
    name_of,
    refs_of,
    variables_of,
)
from xpnn._convert.keras_layers import LAYERS, Call, Config, Shape, class_of
from xpnn._convert.parts import Parts
from xpnn._convert.rules import layers_of
from xpnn.errors import XpnnValueError

_MOST_LAYERS = 2**16
"""In all models, each as often as it is called."""
_MOST_WEIGHTS = 2**31
"""In numbers, as often as their layers are called."""
_KINDS = (*REFUSALS, AttributeError)
"""How Python refuses a configuration of another form."""


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
    outputs: list[str] = []

    def read(graph: Graph) -> tuple[Value, Value]:
        nonlocal names, outputs
        start, given, names = _inputs(graph, model)
        made = _Walk(graph, source, known).model(model, Place(), given)
        value, outputs = chosen(graph, made, output)
        return start, value

    try:
        start, value = of_any_rows(read)
        # Keras makes up names for layers; one that is asked for means something.
        called = None if output is None else outputs
        return Parts(layers_of(value, start), inputs=names, outputs=called)
    except RecursionError:
        raise XpnnValueError("expected fewer models inside of each other") from None
    except _KINDS as error:
        if isinstance(error, XpnnValueError):
            raise
        raise XpnnValueError(
            f"expected the configuration of a model of Keras, got one with {type(error).__name__} at "
            f"{error!s:.200}"
        ) from None


def _inputs(graph: Graph, entry: Any) -> tuple[Value, list[Value], list[str] | None]:
    """Return the input of a model, its inputs as columns of it, and what those are called."""
    if not isinstance(entry, dict) or entry.get("class_name") not in MODELS:
        kind = entry.get("class_name") if isinstance(entry, dict) else type(entry).__name__
        raise XpnnValueError(
            f"expected a Sequential or Functional model, got {kind!r:.80}, whose layers no "
            "configuration says; from_jax of its call, or an export to ONNX, reads what it computes"
        )
    class_of(entry)
    given = inputs_of(entry)
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


class _Walk:
    """A model while the values of its layers are made."""

    def __init__(self, graph: Graph, source: Source, known: dict[Place, Sequence[Numbers]]) -> None:
        self.graph = graph
        self.source = source
        self.known = known
        self.layers = self.weights = 0

    def model(self, entry: Config, place: Place, given: Sequence[Value]) -> dict[str, Value]:
        """Return the outputs of a model by the names of the layers that make them."""
        self.layers += len(entry["config"]["layers"])
        if self.layers > _MOST_LAYERS:
            raise XpnnValueError(f"expected at most {_MOST_LAYERS} calls of layers")
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
        calls = Calls(entry, place)
        ends = refs_of(config["output_layers"])
        starts = refs_of(config["input_layers"])
        if len(starts) != len(given):
            raise XpnnValueError(f"expected {len(starts)} inputs, got {len(given)}")
        done: dict[Key, list[Value]] = {}
        for ref, value in zip(starts, given, strict=True):
            done[ref.name, 0] = self._layer(*calls.layers[ref.name], [value])

        def value_of(ref: Ref, key: Key) -> Value:
            values = done[key]
            return values[0] if values[0].op == "refused" else values[ref.tensor]

        waiting, begun = [calls.key(ref, ends=True) for ref in ends], set[Key]()
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
        except _KINDS as error:
            words = f"{entry['class_name']}: {error}"
            return [self.graph.refused(words, where)]

    def _cast(self, config: Config, given: Sequence[Any], where: str) -> list[Any]:
        """Return what is given in the dtype in which a layer computes."""
        dtype = dtype_of(config)
        return [
            self.graph.make("astype", a, dtype=dtype, where=where)
            if isinstance(a, Value) and dtype not in {None, a.dtype}
            else a
            for a in given
        ]

    def _weights_of(self, entry: Config, place: Place) -> Any:
        names, dtype = variables_of(entry), dtype_of(entry["config"])

        def found(**shapes: Shape) -> dict[str, Numbers]:
            expected = {name: shapes[name] for name in names}
            if names and place not in self.known:
                self.known[place] = self.source.arrays(place, expected)
            made = dict(zip(names, self.known.get(place, ()), strict=True))
            self.weights += sum(array.size for array in made.values())
            if self.weights > _MOST_WEIGHTS:
                raise XpnnValueError(f"expected at most {_MOST_WEIGHTS} weights in all calls")
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
