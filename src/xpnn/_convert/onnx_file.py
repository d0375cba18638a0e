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

from xpnn._convert.graph import REFUSALS, Graph, Numbers, Value, chosen, of_any_rows
from xpnn._convert.onnx_operators import FLOATS, OPERATORS, Context, Node
from xpnn._convert.parts import Parts
from xpnn._convert.rules import layers_of
from xpnn.errors import XpnnValueError

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
    start, value = of_any_rows(
        lambda graph: _values(model.graph, graph, opset, path.parent, output)
    )
    return Parts(layers_of(value, start))


def _values(
    given: Any, graph: Graph, opset: int, folder: Path, output: str | Sequence[str] | None
) -> tuple[Value, Value]:
    """Return the input and an output."""
    values: dict[str, Value] = {}
    for tensor in given.initializer:
        _keep(values, tensor.name, graph.constant(_array(tensor, folder), tensor.name))
    start, fixed = _input(given, graph, values)
    context = Context(graph, opset, fixed, folder)
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
    return start, chosen(graph, ends, output)


def _keep(values: dict[str, Value], name: str, value: Value) -> None:
    if name in values:
        raise XpnnValueError(f"expected each name once, got two values named {name!r}")
    values[name] = value


def _input(given: Any, graph: Graph, values: dict[str, Value]) -> tuple[Value, int | None]:
    """Return the input, and how many rows the file has fixed."""
    inputs = [i for i in given.input if i.name not in values]
    if len(inputs) != 1:
        names = ", ".join(repr(i.name) for i in inputs) or "none"
        raise XpnnValueError(f"expected one input, got {names}")
    (one,) = inputs
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
    value = graph.input(one.name, tuple(int(n or 0) for n in dims[1:]), dtype.name)
    _keep(values, one.name, value)
    return value, dims[0] or None


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
    if name not in OPERATORS:
        known = ", ".join(sorted(OPERATORS))
        words = f"{name} is not among the operations that xpnn has: {known}"
        return [refused(words, where)] * count
    inputs = [values[n] if n else None for n in node.input]
    wrong = next((a for a in inputs if a is not None and a.op == "refused"), None)
    if wrong is not None:
        return [wrong] * count
    try:
        attributes = {a.name: _attribute(a, context.folder) for a in node.attribute}
        made = OPERATORS[name](Node(context, where, inputs, attributes, count))
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
    if attribute.type in (attribute.FLOATS, attribute.INTS, attribute.INT):
        return value
    raise XpnnValueError(f"expected numbers, text or a tensor as {attribute.name}")


_TAKEN = {"float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"}


def _array(tensor: Any, folder: Path) -> Numbers:
    """Return the numbers of a tensor, which stand in the file or beside it."""
    where = f"tensor {tensor.name!r}"
    dtype = _dtype(tensor.data_type)
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
