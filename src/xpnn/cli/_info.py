"""info and backends: tables of what a model file and this machine hold."""

from rich.console import Console
from rich.table import Column, Table

from xpnn import _model_file
from xpnn._backends import backends
from xpnn._dtypes import dtype_name
from xpnn._load import MAX_BYTES, find, load
from xpnn.cli._text import one_line


def show_model(model: str, console: Console) -> None:
    """Show the layers of a model file, and its metadata."""
    path = find(model)
    network = load(model)
    table = Table("layer", "shape", "bias", "activation", "dtype", "parameters")
    for i, layer in enumerate(network.layers):
        n, m = layer.weight.shape
        bias = "no" if layer.bias is None else "yes"
        dtype = dtype_name(layer.weight.dtype)
        table.add_row(str(i), f"{n} x {m}", bias, layer.activation, dtype, f"{layer.parameters:,}")
    console.print(table)
    lines = [
        ("parameters", f"{network.parameters:,}"),
        ("file", f"{path}, {path.stat().st_size:,} bytes"),
    ]
    if network.classes is not None:
        lines.append(("classes", ", ".join(map(str, network.classes))))
    lines.extend(_model_file.read(path, max_bytes=MAX_BYTES).metadata.items())
    for name, value in lines:
        _print(console, f"{name}: {value}")


def show_backends(console: Console) -> None:
    """Show the array libraries, and how to get those that are missing."""
    table = Table(
        *(Column(c, overflow="fold") for c in ("backend", "version", "devices", "dtypes"))
    )
    missing = []
    for backend in backends():
        if backend.version is None:
            missing.append(backend)
            continue
        devices, dtypes = ", ".join(backend.devices), ", ".join(backend.dtypes)
        table.add_row(backend.name, backend.version, devices, dtypes)
    console.print(table)
    for backend in missing:
        _print(console, f"{backend.name} is not installed: {backend.install}")


def _print(console: Console, text: str) -> None:
    console.print(one_line(text), markup=False, highlight=False, soft_wrap=True)
