"""info and backends: tables of what a model file and this machine hold."""

from rich.console import Console
from rich.table import Table

from xpnn._arrays.installed import backends
from xpnn._engine.machine import engine
from xpnn._network.load import find, metadata_of
from xpnn.cli._job import loaded
from xpnn.cli._text import plain_table, print_line, print_table


def show_model(model: str, part: str | None, console: Console) -> None:
    """Show the layers of a model file, and its metadata."""
    path = find(model)
    network = loaded(model, part)
    table = Table("layer", "shape", "bias", "activation", "dtype", "parameters")
    for i, layer in enumerate(network.layers):
        shapes = (layer.takes, layer.gives(layer.takes))
        takes, gives = (" x ".join(map(str, sample or ("any",))) for sample in shapes)
        shape = f"{takes} x {gives}"
        if layer.kind != "dense":
            shape = f"{layer.kind} {takes}" + f" -> {gives}" * (takes != gives)
        bias = "yes" if "bias" in layer.arrays else "no"
        dtype = "/".join(sorted(layer.dtypes)) + ", rounded" * ("rounded" in layer.fields())
        table.add_row(str(i), shape, bias, str(layer.activate), dtype, f"{layer.parameters:,}")
    print_table(console, table)
    lines = [
        ("parameters", f"{network.parameters:,}"),
        ("file", f"{path}, {path.stat().st_size:,} bytes"),
    ]
    for name in ("classes", "inputs", "outputs"):
        given = getattr(network, name)
        if given is not None:
            lines.append((name, ", ".join(map(str, given))))
    lines.extend(metadata_of(path).items())
    for name, value in lines:
        print_line(console, f"{name}: {value}")


def show_backends(console: Console) -> None:
    """Show the array libraries, and how to get those that are missing."""
    table = plain_table("backend", "version", "devices", "dtypes", gap=1)
    missing = []
    for backend in backends():
        if backend.why is not None:
            missing.append(backend)
            continue
        # One below the other: some libraries have long names for their devices.
        table.add_row(
            backend.name, backend.version, *map("\n".join, (backend.devices, backend.dtypes))
        )
    print_table(console, table)
    print_line(console, f"numpy: {engine().description}")
    for backend in missing:
        print_line(console, f"{backend.name} {backend.why}")
