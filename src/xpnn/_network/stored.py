"""Networks as model files describe them, and back."""

from os import PathLike
from pathlib import Path

from xpnn._arrays.transfer import to_numpy
from xpnn._convert.extras import READERS
from xpnn._files.model_file import Model, content_of, write
from xpnn._network.layers.layer import from_fields
from xpnn._network.network import Network
from xpnn.errors import XpnnTypeError, XpnnValueError


def network_of(model: Model) -> Network:
    """Make the network that a model file describes."""
    layers = [{"kind": "dense", **layer} for layer in model.layers]
    found = from_fields(layers, model.tensors)
    return Network(found, model.classes, inputs=model.inputs, outputs=model.outputs)


def _model_of(network: Network, metadata: dict[str, str]) -> Model:
    layers, tensors = [], {}
    for i, layer in enumerate(network.layers):
        layers.append({"kind": layer.kind, **layer.fields()})
        for called, a in layer.arrays.items():
            if a is not None:
                tensors[f"layers.{i}.{called}"] = to_numpy(a)
    as_dense = {"kind", "activation", "options"}
    named = network.inputs is not None or network.outputs is not None
    if not named and all(layer["kind"] == "dense" and set(layer) == as_dense for layer in layers):
        # Dense layers as version 1 has them.
        layers = [{n: v for n, v in layer.items() if n != "kind"} for layer in layers]
    classes = None if network.classes is None else list(network.classes)
    inputs, outputs = (
        None if names is None else list(names) for names in (network.inputs, network.outputs)
    )
    return Model(layers, classes, tensors, metadata, inputs, outputs)


def save(network: Network, path: str | PathLike[str], metadata: dict[str, str]) -> None:
    """Write a network to a model file; ValueError, and nothing written, if `load` would refuse it."""
    ending = Path(path).suffix.lower()
    if ending in READERS:
        raise XpnnValueError(
            f"save: expected a name that ends in .safetensors, as xpnn's own files do, got {path}, a name "
            "of another format; network.to_onnx(path) writes ONNX, xpnn convert what else there is"
        )
    try:
        model = _model_of(network, metadata)
        content = content_of(model)
        network_of(model)
    except (XpnnTypeError, XpnnValueError) as error:
        raise XpnnValueError(f"save: {error}; nothing was written") from None
    write(path, content)
