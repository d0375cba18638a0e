"""Programs that torch.export.save wrote: a zip archive with a graph in JSON and the numbers as plain bytes.

Nothing of PyTorch is needed, and nothing is unpickled: the sample inputs of the archive are never opened, and numbers
that are in it as a pickle are refused.
"""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpnn._convert.aten_program import WRONG, Run
from xpnn._convert.graph import MOST, Graph, Numbers, Value, chosen, of_any_rows
from xpnn._convert.parts import ASIDE, Parts
from xpnn._convert.rules import layers_of
from xpnn._files.archive import Archive, archive
from xpnn.errors import XpnnError, XpnnValueError

_MAJOR = 8
"""Of the schema of the graph."""
_MOST_TEXT = 2**26
"""Bytes of a JSON text."""
_DTYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    12: "bool",
    13: "bfloat16",
}
"""The dtypes by the numbers that they have in these files."""
_STRIDED = 7
_FLOATS = {"float16", "float32", "float64"}
_AGAIN = "save the program again with a newer PyTorch, by torch.export.save"


class _Tensor(NamedTuple):
    """What a parameter, a buffer or a constant is called, and its numbers."""

    where: str
    numbers: Numbers


class _Program(NamedTuple):
    """What stands in a file."""

    graph: dict[str, Any]
    inputs: list[Any]
    outputs: list[Any]
    keys: list[str] | None
    """What the outputs are called, where they are those of a dict."""
    tensors: dict[str, _Tensor]
    """By their names in the graph."""


def read(path: Path, output: str | Sequence[str] | None = None) -> Parts:
    """Return the layers of a program; XpnnValueError if it is none that can be taken."""
    try:
        with archive(path) as files:
            program = _program(files)
            aside = [n for n in files.names if n.count("/") == 2 and n.endswith(f"/extra/{ASIDE}")]
            names = files.read(aside[0]) if aside else None
        start, value = of_any_rows(lambda graph: _values(program, graph, output))
    except WRONG as error:
        if isinstance(error, XpnnError):
            raise
        raise XpnnValueError(
            "expected a program as torch.export.save writes it, got one with other fields "
            f"({type(error).__name__}: {error})"
        ) from None
    found = Parts(layers_of(value, start))
    return found if names is None or output is not None else found.called(names)


# What stands in the archive


def _program(files: Archive) -> _Program:
    """Return the only program of an archive."""
    models = [n for n in files.names if n.count("/") == 2 and n.split("/")[1] == "models"]
    models = [n for n in models if n.endswith(".json")]
    if "serialized_exported_program.json" in files.names:
        raise XpnnValueError(
            f"expected numbers that are no pickle, got a file of an old PyTorch: {_AGAIN}"
        )
    if len(models) != 1:
        raise XpnnValueError(
            f"expected one program, as torch.export.save writes it, got {', '.join(models) or 'none'}"
        )
    root, _, file = models[0].split("/")
    name = file.removesuffix(".json")
    text = _parsed(files, models[0])
    version = text["schema_version"]["major"]
    if version != _MAJOR:
        raise XpnnValueError(f"expected version {_MAJOR} of the schema, got {version!r}: {_AGAIN}")
    module = text["graph_module"]
    signature = module["signature"]
    inputs = signature["input_specs"]
    needed = {arg: given for spec in inputs for arg, given in _tensors_of(spec).items()}
    return _Program(
        module["graph"],
        inputs,
        signature["output_specs"],
        _keys(module),
        _numbers(files, root, name, needed),
    )


def _parsed(files: Archive, name: str) -> Any:
    """Return what a JSON text of an archive says."""
    try:
        return json.loads(files.read(name, _MOST_TEXT))
    except (ValueError, RecursionError) as error:
        if isinstance(error, XpnnError):
            raise
        raise XpnnValueError(f"entry {name!r}: expected JSON, got other text ({error})") from None


def _keys(module: dict[str, Any]) -> list[str] | None:
    """Return the keys of the dict of tensors that the program gives; None if it gives something else."""
    signature = next((c["signature"] for c in module["module_call_graph"] if c["fqn"] == ""), None)
    try:
        _, spec = json.loads(signature["out_spec"] if signature else "null")
        leaves = all(child["type"] is None for child in spec["children_spec"])
        keys = json.loads(spec["context"])
    except (*WRONG, RecursionError):
        return None
    plain = spec["type"] == "builtins.dict" and isinstance(keys, list) and leaves
    return keys if plain and all(isinstance(key, str) for key in keys) else None


_KINDS = {
    "parameter": ("weights", "parameter_name"),
    "buffer": ("weights", "buffer_name"),
    "tensor_constant": ("constants", "tensor_constant_name"),
}
"""In which folder the numbers of an input of the graph are, and which field says what they are called."""


def _tensors_of(spec: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the folder and the name of an input of the graph that has numbers in the file, by its name there."""
    ((kind, given),) = spec.items()
    if kind not in _KINDS:
        return {}
    folder, field = _KINDS[kind]
    kept = given.get("persistent", True)
    return {given["arg"]["name"]: (folder if kept else "constants", given[field])}


def _numbers(
    files: Archive, root: str, model: str, needed: dict[str, tuple[str, str]]
) -> dict[str, _Tensor]:
    """Return the numbers of an archive that a graph needs."""
    big = f"{root}/byteorder" in files.names and files.read(f"{root}/byteorder", 16) == b"big"
    found: dict[str, _Tensor] = {}
    left = MOST
    for folder in ("weights", "constants"):
        here = {arg: name for arg, (where, name) in needed.items() if where == folder}
        place = f"{root}/data/{folder}/"
        if here and f"{place}{model}.pt" in files.names:
            raise XpnnValueError(
                f"expected plain numbers, got a pickle, {place}{model}.pt: {_AGAIN}"
            )
        config = _parsed(files, f"{place}{model}_{folder}_config.json")["config"] if here else {}
        contents: dict[str, bytes] = {}
        for arg, name in here.items():
            where = f"{folder} {name!r}"
            if name not in config:
                raise XpnnValueError(f"{where}: expected its numbers in the file, got none")
            given = config[name]
            if given["use_pickle"]:
                raise XpnnValueError(f"{where}: expected plain numbers, got a pickle")
            entry = f"{place}{given['path_name']}"
            if entry not in contents:  # which tensors may share
                contents[entry] = files.read(entry)
                left += len(contents[entry])
            array = _array(where, contents[entry], given["tensor_meta"], left, big=big)
            found[arg] = _Tensor(where, array)
            left -= array.size
    return found


def _array(where: str, content: bytes, meta: dict[str, Any], most: int, *, big: bool) -> Numbers:
    """Return the numbers of a tensor: some of those that are in an entry, by their strides."""
    name = _dtype(where, meta["dtype"])
    dtype = np.dtype(name).newbyteorder(">" if big else "<")
    sizes, strides = [_integers(where, meta[field]) for field in ("sizes", "strides")]
    (offset,) = _integers(where, [meta["storage_offset"]])
    if meta["layout"] != _STRIDED or len(sizes) != len(strides):
        raise XpnnValueError(f"{where}: expected a dense tensor, got layout {meta['layout']!r}")
    flat = np.frombuffer(content, dtype, len(content) // dtype.itemsize)
    count = math.prod(sizes)
    last = offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    if count > most:
        raise XpnnValueError(f"{where}: expected at most {most:,} numbers, got {count:,}")
    if count and last >= flat.size:
        raise XpnnValueError(
            f"{where}: expected numbers up to place {last} of its entry, got {flat.size} numbers"
        )
    if not count:
        return np.zeros(sizes, name)
    steps = [step * dtype.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(flat[offset:], sizes, steps).astype(name, order="C")


def _dtype(where: str, number: Any) -> str:
    """Return what NumPy calls a dtype."""
    name = _DTYPES.get(number)
    if name == "bfloat16":
        raise XpnnValueError(
            f"{where}: expected no bfloat16; convert the module with .float() before the export"
        )
    if name is None:
        raise XpnnValueError(f"{where}: expected real numbers, got dtype {number!r} of the schema")
    return name


def _integers(where: str, given: list[dict[str, Any]]) -> list[int]:
    """Return lengths, which say as what they are given."""
    found = [n.get("as_int") for n in given]
    if not all(type(n) is int and 0 <= n < 2**40 for n in found):
        raise XpnnValueError(f"{where}: expected lengths of 0 or more, got {found}")
    return [int(n or 0) for n in found]


# What its graph computes


def _values(
    program: _Program, graph: Graph, output: str | Sequence[str] | None
) -> tuple[Value, Value]:
    """Return the input and an output."""
    name, shape, dtype, fixed = _input(program)
    run = Run(graph, fixed)
    start = graph.input(name, shape, dtype)
    _keep(run, name, start)
    for tensor, (where, numbers) in program.tensors.items():
        _keep(run, tensor, graph.constant(numbers, where))
    for node in program.graph["nodes"]:
        names = [n for out in node["outputs"] for n in _names(out)]
        where = f"node {node.get('name') or ', '.join(names) or node['target']}"
        try:
            _run(run, node, where, names)
        except WRONG as error:
            words = error if isinstance(error, XpnnError) else f"{type(error).__name__}: {error}"
            raise XpnnValueError(f"{where}: {words}") from None
    ends = [s["user_output"]["arg"] for s in program.outputs if "user_output" in s]
    made = run.outputs([next(iter(_names(end)), None) for end in ends], program.keys)
    return start, chosen(graph, made, output)[0]


def _input(program: _Program) -> tuple[str, tuple[int, ...], str, int | None]:
    """Return the name, the shape of a row and the dtype of the only input, and how many rows are fixed."""
    specs = [spec["user_input"]["arg"] for spec in program.inputs if "user_input" in spec]
    names = [name for arg in specs for name in _names(arg)]
    if len(names) != 1:
        raise XpnnValueError(f"expected one input, got {', '.join(map(repr, names)) or 'none'}")
    (name,) = names
    meta = program.graph["tensor_values"][name]
    dtype = _DTYPES.get(meta["dtype"])
    sizes = [n.get("as_int") for n in meta["sizes"]]
    known = all(type(n) is int and 0 < n < 2**40 for n in sizes[1:])
    if dtype not in _FLOATS or len(sizes) < 2 or not known:
        shown = ", ".join("?" if n is None else str(n) for n in sizes)
        raise XpnnValueError(
            f"expected an input of floating rows, (rows, n), got {name!r} of shape ({shown}) and "
            f"dtype {dtype or meta['dtype']}"
        )
    return name, tuple(sizes[1:]), str(dtype), sizes[0]


def _keep(run: Run, name: str, value: Any) -> None:
    if name in run.values:
        raise XpnnValueError(f"expected each name once, got two values named {name!r}")
    run.values[name] = value


def _names(arg: dict[str, Any]) -> list[str]:
    """Return the names of the values of an argument of a node."""
    ((kind, given),) = arg.items()
    if kind == "as_tensor":
        return [given["name"]]
    if kind == "as_tensors":
        return [one["name"] for one in given]
    return [given["as_name"]] if kind.startswith("as_sym_") and "as_name" in given else []


def _run(run: Run, node: dict[str, Any], where: str, names: list[str]) -> None:
    """Give the outputs of a node their values."""
    if not names:  # what is asserted of values, no value
        return
    args = {one["name"]: one["arg"] for one in node["inputs"]}
    unknown = next((k for a in args.values() for k in a if k not in _ARGUMENTS), None)
    if unknown is None:
        given = {name: _argument(run, arg) for name, arg in args.items()}
        first = next((_names(arg) for arg in args.values()), [])
        target = node["target"].removeprefix("torch.ops.")
        made = run.made(target, where, given, first[0] if first else None)
    else:
        words = f"{node['target']}: expected tensors and numbers, got an argument {unknown}"
        made = run.graph.refused(words, where)
    several = [made] * len(names) if isinstance(made, Value | int) else made
    for name, value in zip(names, several, strict=False):
        _keep(run, name, value)


def _argument(run: Run, arg: dict[str, Any]) -> Any:
    ((kind, given),) = arg.items()
    return _ARGUMENTS[kind](run, given)


def _found(run: Run, given: dict[str, Any]) -> Any:
    """Return the value of a name, or the number that stands in its place."""
    name = given.get("name", given.get("as_name"))
    if name is None:
        return _argument(run, given)
    if name not in run.values:
        raise XpnnValueError(f"expected an input that is made before it, got {name!r}")
    return run.values[name]


def _of_kind(*kinds: type) -> Callable[[Run, Any], Any]:
    def taken(_: Run, given: Any) -> Any:
        if type(given) not in kinds:
            raise XpnnValueError(f"expected {kinds[0].__name__}, got {given!r}")
        return given

    return taken


def _number(_: Run, given: Any) -> float:
    """Return a number, which may be infinite or none: JSON has no word for these."""
    if type(given) not in {int, float} and given not in {"Infinity", "-Infinity", "NaN"}:
        raise XpnnValueError(f"expected a number, got {given!r}")
    return float(given)


def _optional(run: Run, given: dict[str, Any]) -> Any:
    return None if "as_none" in given else _found(run, given["as_tensor"])


def _list_of(one: Callable[[Run, Any], Any]) -> Callable[[Run, Any], list[Any]]:
    return lambda run, given: [one(run, a) for a in given]


def _nothing(*_: Any) -> None:
    """What no operation here asks for."""


_ARGUMENTS: dict[str, Callable[[Run, Any], Any]] = {
    "as_none": _nothing,
    "as_tensor": _found,
    "as_tensors": _list_of(_found),
    "as_optional_tensor": _optional,
    "as_optional_tensors": _list_of(_optional),
    "as_int": _of_kind(int),
    "as_ints": _list_of(_of_kind(int)),
    "as_float": _number,
    "as_floats": _list_of(_number),
    "as_bool": _of_kind(bool),
    "as_bools": _list_of(_of_kind(bool)),
    "as_string": _of_kind(str),
    "as_strings": _list_of(_of_kind(str)),
    **dict.fromkeys(["as_sym_int", "as_sym_float", "as_sym_bool"], _found),
    **dict.fromkeys(["as_sym_ints", "as_sym_floats", "as_sym_bools"], _list_of(_found)),
    "as_scalar_type": lambda _, given: _dtype("a conversion", given),
    **dict.fromkeys(["as_memory_format", "as_layout", "as_device"], _nothing),
}
"""What the arguments of a node are, by their kinds."""
