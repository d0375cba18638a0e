"""Configurations of Keras models: which layers there are, where they stand, and what each is called with."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from xpnn._convert.keras_layers import NOT_TRAINED, VARIABLES, Config, Shape, numbers_of
from xpnn.errors import XpnnValueError

MODELS = ("Sequential", "Functional", "Model")
"""The classes of models that are made of layers; the last is what Functional was called."""
FLOATS = {"float16", "float32", "float64"}


class Place(NamedTuple):
    """Where a layer stands, by models in models."""

    names: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    """By class and number, as the new format counts layers."""

    def __str__(self) -> str:
        return f"layer {'/'.join(self.names)!r}"


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


def dtype_of(config: Config) -> str | None:
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
    return _Input(name, found, dtype_of(config) or "float32")


def inputs_of(entry: Config) -> list[_Input]:
    """Return the inputs of a model, in their order."""
    config = entry["config"]
    if "input_layers" in config:
        found = {name_of(one): one["config"] for one in config["layers"]}
        given = [(ref.name, found[ref.name]) for ref in refs_of(config["input_layers"])]
        return [_input(name, one, _batch_shape(one)) for name, one in given]
    first = next(iter(config["layers"]), None)
    if first is None:
        raise XpnnValueError("expected a model with layers, got none")
    if is_model(first):
        return inputs_of(first)
    shape = _batch_shape(first["config"]) or config.get("build_input_shape")
    return [_input(name_of(first), first["config"], shape)]


def _batch_shape(config: Config) -> Any:
    return config.get("batch_shape") or config.get("batch_input_shape")


# Calls of layers by their names


class Ref(NamedTuple):
    """An output of a call of a layer."""

    name: str
    node: int
    tensor: int


Key = tuple[str, int]
"""The name of a layer, and the number of a call of it."""


def ref_of(given: Any) -> Ref | None:
    """Return what a list of a name and two numbers refers to."""
    if not isinstance(given, list) or len(given) not in {3, 4} or not isinstance(given[0], str):
        return None
    if not all(isinstance(n, int) for n in given[1:3]):
        raise XpnnValueError(f"expected a layer, a call and an output, got {given!r:.80}")
    if len(given) == 4:
        _check_options(given[3])
    return Ref(*given[:3])


def refs_of(given: Any) -> list[Ref]:
    """Return the references in lists and mappings."""
    one = ref_of(given)
    if one is not None:
        return [one]
    parts = [given[k] for k in sorted(given)] if isinstance(given, dict) else given
    if not isinstance(parts, list):
        raise XpnnValueError(f"expected layers, calls and outputs, got {given!r:.80}")
    return [ref for part in parts for ref in refs_of(part)]


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
        found = ref_of(given["config"]["keras_history"])
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
        return list(refs_of(node))
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


class Calls:
    """The calls of the layers of a functional model."""

    def __init__(self, entry: Config, place: Place) -> None:
        self.layers = {name_of(one): (one, inside) for one, inside in children(entry, place)}
        self.nodes = {n: one.get("inbound_nodes") or [] for n, (one, _) in self.layers.items()}
        self.old = any(isinstance(node, list) for nodes in self.nodes.values() for node in nodes)

    def key(self, ref: Ref, *, ends: bool = False) -> Key:
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

    def arguments(self, key: Key) -> list[tuple[Any, Key | None]]:
        """Return what a call is given: outputs of others and their calls, or numbers."""
        nodes = self.nodes[key[0]]
        if not nodes:
            raise XpnnValueError(f"layer {key[0]!r}: expected a call, or an input of the model")
        found = _called_with(nodes[key[1]])
        return [(a, self.key(a) if isinstance(a, Ref) else None) for a in found]
