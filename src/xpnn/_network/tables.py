"""Tables of columns: the rows that a network takes, by the names of its inputs."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from xpnn._arrays.dtypes import dtype_name, dtype_named
from xpnn._arrays.library import common_library, is_array, own_library
from xpnn._arrays.types import Array, DType, Namespace
from xpnn._files.columns import holding, places
from xpnn._network.layers.layer import Layers, taken_by
from xpnn.errors import XpnnTypeError, XpnnValueError


def rows_of(table: Any, layers: Layers, inputs: tuple[str, ...] | None) -> Array:
    """Return the columns of a table that a network takes, in its order, as rows."""
    width = math.prod(taken_by(layers) or (len(inputs or ()),))
    if inputs is None or (len(inputs) == 1 and width != 1 and not isinstance(table, Mapping)):
        raise XpnnValueError(
            "network.table: expected a network with a name for each input column, got one with "
            f"{'no names' if inputs is None else f'the name {inputs[0]!r} for all'}; give the "
            "numbers themselves, in their order: network(table.to_numpy())"
        )
    places("network.table", inputs, _names(table))
    in_partitions = hasattr(table, "to_dask_array")  # which stays lazy
    columns = [_column(table[name], name, in_partitions) for name in inputs]
    found = common_library(
        "network.table", None, {repr(name): c for name, c in zip(inputs, columns, strict=True)}
    )
    if in_partitions:  # of unknown lengths, which are no columns to stack
        return table[list(inputs)].astype(dtype_name(_common(columns, found.xp))).to_dask_array()
    ends = 2 if len(inputs) == 1 and width != 1 else 1
    shapes = {tuple(c.shape) for c in columns}
    if len(shapes) > 1 or len(next(iter(shapes))) not in {ends, ends - 1}:
        shown = ", ".join(
            f"{n!r} of shape {tuple(c.shape)}" for n, c in zip(inputs, columns, strict=True)
        )
        raise XpnnValueError(f"network.table: expected columns of one length each, got {shown}")
    if ends == 2:
        return columns[0]
    dtype = _common(columns, found.xp)
    return found.xp.stack([found.xp.astype(c, dtype) for c in columns], axis=-1)


def _common(columns: list[Array], xp: Namespace) -> DType:
    """Return the dtype of rows: that of the columns of floats, where there are any."""
    floats = [c for c in columns if xp.isdtype(c.dtype, "real floating")]
    name = dtype_name(xp.result_type(*(floats or columns)))
    return dtype_named(xp, holding(name, (dtype_name(c.dtype) for c in columns)))


_NAMES: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("column_names", lambda table: table.column_names),
    ("columns", lambda table: table.columns),
    ("keys", lambda table: table.keys()),
)
"""How tables say what their columns are called."""


def _names(table: Any) -> list[Any]:
    for attribute, names in _NAMES:
        if hasattr(table, attribute):
            return list(names(table))
    raise XpnnTypeError(
        "network.table: expected a mapping of names to columns, or a table of pandas, polars or "
        f"pyarrow, got {type(table).__module__}.{type(table).__qualname__}"
    )


def _column(column: Any, name: str, in_partitions: bool) -> Array:
    """Return a column as an array of real numbers."""
    if in_partitions:
        _check_kind(column.dtype, name)  # or it warns of others
        column = column.to_dask_array()
    elif not is_array(column):
        column = own_library().xp.asarray(column)
    _check_kind(column.dtype, name)
    return column


def _check_kind(dtype: Any, name: str) -> None:
    kind = str(getattr(dtype, "kind", dtype))
    if kind in {"O", "b", "U", "S", "M", "m", "c", "V"} or kind.endswith("bool"):
        raise XpnnTypeError(
            f"network.table: expected numbers in the column {name!r}, got dtype {dtype}; convert "
            "it, and say what stands for what is missing"
        )
