"""ONNX files: their nodes as values of a graph. Needs the package onnx, which parses them.

A file is hostile until it is read: nothing in it runs, sizes are checked before memory is taken, and data beside
it is read from its own folder alone.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from xpnn._convert.graph import (
    MOST,
    REFUSALS,
    Graph,
    Numbers,
    Value,
    chosen,
    named,
    pieces,
)
from xpnn._convert.onnx_ml_operators import ML_OPERATORS
from xpnn._convert.onnx_operators import FLOATS, OPERATORS, Context, Node
from xpnn._convert.parts import ASIDE, Parts, same_for_any_rows
from xpnn._convert.rules import layers_of
from xpnn._network.layers.layer import Layer
from xpnn.errors import XpnnValueError

_ALL = {**OPERATORS, **{f"ai.onnx.ml:{name}": made for name, made in ML_OPERATORS.items()}}

_LEAST = 7
"""The first opset in which operators broadcast as NumPy does."""


def read(path: Path, output: str | Sequence[str] | None = None) -> Parts:
    """Return the layers of an ONNX model; XpnnValueError if it is none that can be taken."""
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise XpnnValueError(f"expected an ONNX model, got something else: {error}") from None
    opsets = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    opset = opsets.get("ai.onnx", 0)
    if opset < _LEAST:
        raise XpnnValueError(f"expected opset {_LEAST} or newer, got {opset}")
    found = same_for_any_rows(lambda graph: _found(model.graph, graph, opset, path.parent, output))
    text = next((entry.value for entry in model.metadata_props if entry.key == ASIDE), None)
    return found if text is None or output is not None else found.called(text)


def _found(
    given: Any, graph: Graph, opset: int, folder: Path, output: str | Sequence[str] | None
) -> Parts:
    """Return the layers between the input and an output, and what things are called."""
    values: dict[str, Value] = {}
    for tensor in given.initializer:
        _keep(values, tensor.name, graph.constant(_array(tensor, folder), tensor.name))
    start, fixed, inputs = _input(given, graph, values)
    context = Context(graph, opset, fixed, folder, [])
    for i, node in enumerate(given.node):
        where = f"node {node.name or f'{i} ({node.op_type})'}"
        made = _outputs(node, where, context, values)
        for name, value in zip(node.output, made, strict=False):
            if name:
                _keep(values, name, value)
    ends = {o.name: values[o.name] for o in given.output if o.name in values}
    missing = next((o.name for o in given.output if o.name not in ends), None)
    if missing is not None:
        raise XpnnValueError(f"expected a node that makes the output {missing!r}, got none")
    value, outputs = chosen(graph, ends, output)
    classes = next((c for c in context.classes if value.shape[-1:] == (len(c),)), None)
    layers = layers_of(value, start)
    if {start.dtype, value.dtype} == {"float16"}:
        layers = _in_float16(layers)
    return Parts(layers, classes, inputs, outputs)


def _in_float16(layers: list[Layer]) -> list[Layer]:
    """Return layers of float16, which compute in float32, where that holds all of their numbers."""
    arrays = [a for layer in layers for a in layer.arrays.values()]
    with np.errstate(over="ignore"):
        fits = all(np.array_equal(a, a.astype("float16").astype(a.dtype)) for a in arrays)
    return [layer.moved(lambda a: a.astype("float16")) for layer in layers] if fits else layers


def _keep(values: dict[str, Value], name: str, value: Value) -> None:
    if name in values:
        raise XpnnValueError(f"expected each name once, got two values named {name!r}")
    values[name] = value


def _input(
    given: Any, graph: Graph, values: dict[str, Value]
) -> tuple[Value, int | None, list[str]]:
    """Return the input, how many rows the file has fixed, and what its columns are called.

    Of several inputs the columns stand beside each other.
    """
    inputs = [i for i in given.input if i.name not in values]
    if not inputs:
        raise XpnnValueError("expected an input, got none")
    dims = [_dims(one) for one in inputs]
    dtypes = [str(_dtype(one.type.tensor_type.elem_type)) for one in inputs]
    if len({*dtypes}) > 1 or (len(inputs) > 1 and any(len(d) != 2 for d in dims)):
        shown = ", ".join(
            f"{i.name!r} of shape {d} and dtype {t}"
            for i, d, t in zip(inputs, dims, dtypes, strict=True)
        )
        raise XpnnValueError(f"expected one input, or columns of one dtype each, got {shown}")
    names, fixed = [one.name for one in inputs], dims[0][0] or None
    if len(inputs) == 1:
        start = graph.input(names[0], tuple(dims[0][1:]), dtypes[0])
        _keep(values, names[0], start)
        return start, fixed, names
    widths = [d[1] for d in dims]
    start = graph.input(" and ".join(names), (sum(widths),), dtypes[0])
    for name, part in zip(names, pieces(widths), strict=True):
        _keep(values, name, graph.take(start, part, 1, name))
    return start, fixed, named(names, [values[name] for name in names])


def _dims(one: Any) -> list[int]:
    """Return the lengths of an input of floating rows, that of the rows 0 where any will do."""
    tensor = one.type.tensor_type
    dtype = _dtype(tensor.elem_type)
    dims = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    unknown = not dims or any(n is None or n < 1 for n in dims[1:])
    if dtype is None or dtype.name not in FLOATS or unknown or len(dims) < 2:
        shown = ", ".join("?" if n is None else str(n) for n in dims)
        raise XpnnValueError(
            f"expected an input of floating rows, (rows, n), got {one.name!r} of shape ({shown}) and "
            f"dtype {dtype}"
        )
    return [n or 0 for n in dims]


def _dtype(kind: int) -> np.dtype[Any] | None:
    """Return what NumPy has for a data type of ONNX; None if it is none."""
    try:
        return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind))
    except (KeyError, TypeError, ValueError):
        return None


def _outputs(node: Any, where: str, context: Context, values: dict[str, Value]) -> Sequence[Value]:
    """Return what the outputs of a node are, as far as there are any."""
    name = node.op_type if node.domain in {"", "ai.onnx"} else f"{node.domain}:{node.op_type}"
    missing = next((n for n in node.input if n and n not in values), None)
    if missing is not None:
        raise XpnnValueError(f"{where}: expected an input that is made before it, got {missing!r}")
    count = len(node.output)
    refused = context.graph.refused
    if name not in _ALL:
        known = ", ".join(sorted(_ALL))
        words = f"{name} is not among the operations that xpnn has: {known}"
        return [refused(words, where)] * count
    inputs = [values[n] if n else None for n in node.input]
    wrong = next((a for a in inputs if a is not None and a.op == "refused"), None)
    if wrong is not None:
        return [wrong] * count
    try:
        attributes = {a.name: _attribute(a, context.folder) for a in node.attribute}
        made = _ALL[name](Node(context, where, inputs, attributes, count))
    except REFUSALS as error:
        return [refused(f"{name}: {error}", where)] * count
    return [made] if isinstance(made, Value) else made


def _attribute(attribute: Any, folder: Path) -> Any:
    """Return an attribute: numbers as people write them, text, or an array."""
    value = onnx.helper.get_attribute_value(attribute)
    if attribute.type == attribute.FLOAT:
        return float(str(np.float32(value)))
    if attribute.type == attribute.STRING:
        return value.decode("utf-8", "replace")
    if attribute.type == attribute.TENSOR:
        return _array(value, folder)
    if attribute.type in _LISTS:
        return value
    raise XpnnValueError(f"expected numbers, text or a tensor as {attribute.name}")


_LISTS = {onnx.AttributeProto.FLOATS, onnx.AttributeProto.INTS, onnx.AttributeProto.INT}
_LISTS |= {onnx.AttributeProto.STRINGS}


_TAKEN = {"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"}


def _array(tensor: Any, folder: Path) -> Numbers:
    """Return the numbers of a tensor, which stand in the file or beside it."""
    where = f"tensor {tensor.name!r}"
    dtype = _dtype(tensor.data_type)
    if tensor.data_type == tensor.STRING:
        return _texts(tensor, where)
    if dtype is None or dtype.name not in _TAKEN:
        raise XpnnValueError(f"{where}: expected numbers, got data type {tensor.data_type}")
    shape = tuple(tensor.dims)
    if any(n < 0 for n in shape):
        raise XpnnValueError(f"{where}: expected lengths of 0 or more, got {shape}")
    if tensor.data_location == tensor.EXTERNAL:
        return _external(tensor, dtype, shape, folder)
    try:
        found = np.asarray(onnx.numpy_helper.to_array(tensor))
    except (TypeError, ValueError) as error:
        raise XpnnValueError(f"{where}: {error}") from None
    return found


def _texts(tensor: Any, where: str) -> Numbers:
    """Return the labels of classes."""
    found = [text.decode("utf-8", "replace") for text in tensor.string_data]
    if len(found) * max(map(len, found), default=0) > MOST:  # each takes as much as the longest
        raise XpnnValueError(f"{where}: expected shorter labels")
    return np.asarray(found, str)


def _external(tensor: Any, dtype: np.dtype[Any], shape: tuple[int, ...], folder: Path) -> Numbers:
    """Return numbers that stand in a file of the model's folder."""
    where = f"tensor {tensor.name!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    place = entries.get("location", "")
    inside = folder.resolve()
    path = (inside / place).resolve() if place and "\0" not in place else inside
    if not path.is_relative_to(inside) or not path.is_file():
        raise XpnnValueError(
            f"{where}: expected its data in a file of the model's folder, got {place!r}"
        )
    count = math.prod(shape)
    try:
        offset, length = (
            int(entries.get("offset", 0)),
            int(entries.get("length", count * dtype.itemsize)),
        )
    except ValueError:
        offset = length = -1
    if offset < 0 or length != count * dtype.itemsize or path.stat().st_size < offset + length:
        raise XpnnValueError(
            f"{where}: expected {count * dtype.itemsize} bytes in {place!r}, of "
            f"{path.stat().st_size}, got offset {entries.get('offset')} and length "
            f"{entries.get('length')}"
        )
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(length)
    return np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
