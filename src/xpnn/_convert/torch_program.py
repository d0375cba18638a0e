"""Modules of PyTorch, through torch.export: the operations of ATen as values of a graph."""

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch.export.graph_signature import OutputKind

from xpnn._convert.aten_program import Run
from xpnn._convert.graph import Graph, Value, chosen, of_any_rows
from xpnn._convert.parts import Parts
from xpnn._convert.rules import layers_of
from xpnn.errors import XpnnTypeError, XpnnValueError

_WRAPPERS = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
"""Modules that compute what the one inside of them does, on several devices."""


def read(module: Any, example: Any = None, output: str | Sequence[str] | None = None) -> Parts:
    """Return the layers of a module; XpnnValueError names the operation that is no layer's."""
    if not isinstance(module, torch.nn.Module):
        raise XpnnTypeError(
            f"from_torch: expected a torch.nn.Module, got {type(module).__qualname__}"
        )
    while isinstance(module, _WRAPPERS):
        module = module.module
    row = _row_for(module, example)
    dtype = str(row.dtype).removeprefix("torch.")
    hint = (
        "" if example is not None else "; if rows have another shape, give an example of the input"
    )

    def values(graph: Graph) -> tuple[Value, Value]:
        rows = row.new_zeros((graph.rows, *row.shape))
        # Their number is a name in the program, where nothing else needs it to be a number.
        shapes = ({0: torch.export.Dim.AUTO},)
        try:
            program = torch.export.export(module.eval(), (rows,), dynamic_shapes=shapes)
        except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
            said = str(error).strip().partition("\n")[0]
            raise XpnnValueError(
                f"from_torch: torch.export cannot read the module for rows of shape {tuple(row.shape)}, "
                f"{dtype}: {said}{hint}"
            ) from None
        return _values(program, rows, graph, output)

    was = {part: part.training for part in module.modules()}
    try:
        start, value = of_any_rows(values)
    finally:
        for part, training in was.items():
            part.training = training
    return Parts(layers_of(value, start))


def _row_for(module: Any, example: Any) -> Any:
    """Return a row that the module takes: of the shape of the example's, or of its first linear layer's inputs."""
    like = next(module.parameters(), torch.zeros(()))
    if example is None:
        first = next((m for m in module.modules() if isinstance(m, torch.nn.Linear)), None)
        if first is None:
            raise XpnnTypeError(
                "from_torch: expected an example of the input, as the module has no Linear that says "
                "how many columns there are"
            )
        return torch.zeros(first.in_features, dtype=like.dtype, device=like.device)
    if not isinstance(example, torch.Tensor) or example.ndim < 2:
        raise XpnnTypeError(
            f"from_torch: expected an example of shape (rows, ...), got {type(example).__qualname__}"
        )
    return example.new_zeros(example.shape[1:])


def _values(
    program: Any, rows: Any, graph: Graph, output: str | Sequence[str] | None
) -> tuple[Value, Value]:
    """Return the input and an output of an exported program."""
    run = Run(graph)
    tensors = {**program.state_dict, **program.constants}
    start = None
    for spec in program.graph_signature.input_specs:
        name = spec.arg.name
        if spec.target in tensors:
            array = tensors[spec.target].detach().cpu()
            if array.dtype is torch.bfloat16:
                raise XpnnValueError(
                    "from_torch: expected no bfloat16; convert the module with .float()"
                )
            run.values[name] = graph.constant(array.numpy(), str(spec.target))
        elif start is None:
            dtype = str(rows.dtype).removeprefix("torch.")
            start = run.values[name] = graph.input(name, tuple(rows.shape[1:]), dtype)
    for node in program.graph.nodes:
        if node.op == "call_function":
            run.values[node.name] = _value_of(node, run)
        elif node.op == "get_attr":
            words = "a program inside of the program is no layer's"
            run.values[node.name] = graph.refused(words, f"node {node.name}")
    specs = [s for s in program.graph_signature.output_specs if s.kind is OutputKind.USER_OUTPUT]
    spec = program.call_spec.out_spec
    keys = list(map(str, spec.context)) if spec.type is dict else None
    made = run.outputs([s.arg.name for s in specs], keys)
    if start is None:
        raise XpnnValueError("from_torch: expected an input, got none")
    return start, chosen(graph, made, output)[0]


def _value_of(node: Any, run: Run) -> Any:
    """Return what a node gives: a value, or several in a list."""

    def found(a: Any) -> Any:
        return torch.fx.node.map_arg(a, lambda one: run.values[one.name])

    args, kwargs = found(node.args), found(node.kwargs)
    if node.target is operator.getitem:
        made, index = args
        return made if isinstance(made, Value) else made[index]
    where, schema = f"node {node.name}", getattr(node.target, "_schema", None)
    if schema is None:
        return run.graph.refused(f"{node.target} is no operation of ATen", where)
    if not schema.returns:
        return None
    given = {a.name: v for a, v in zip(schema.arguments, args, strict=False)} | kwargs
    for key, value in given.items():
        if isinstance(value, torch.dtype):
            given[key] = str(value).removeprefix("torch.")
        elif isinstance(value, tuple):
            given[key] = list(value)
    first = getattr(node.args[0] if node.args else None, "name", None)
    return run.made(str(node.target), where, given, first)
