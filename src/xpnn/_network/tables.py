"""Tables of columns: the rows that a network takes, by the names of its inputs."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from xpnn._arrays.dtypes import FLOATS, INTEGERS, dtype_name, dtype_named, promote
from xpnn._arrays.library import common_library, is_array, own_library
from xpnn._arrays.transfer import is_numpy
from xpnn._arrays.types import Array, Namespace
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
    if hasattr(table, "to_dask_array"):  # which stays lazy, of unknown lengths
        dtypes = [_dtype_in_partitions(table[name].dtype, name) for name in inputs]
        return table[list(inputs)].astype(promote(set(dtypes))).to_dask_array()
    columns = [_column(table[name], name) for name in inputs]
    given = {f"table[{name!r}]": c for name, c in zip(inputs, columns, strict=True)}
    found = common_library("network.table", None, given)
    ends = 2 if len(inputs) == 1 and width != 1 else 1
    shapes = {tuple(c.shape) for c in columns}
    if len(shapes) > 1 or len(next(iter(shapes))) not in {ends, ends - 1}:
        shown = ", ".join(
            f"{n!r} of shape {tuple(c.shape)}" for n, c in zip(inputs, columns, strict=True)
        )
        raise XpnnValueError(f"network.table: expected columns of one length each, got {shown}")
    if ends == 2:
        return columns[0]
    dtype = dtype_named(found.xp, _common(columns, found.xp))
    return found.xp.stack([found.xp.astype(c, dtype) for c in columns], axis=-1)


def _common(columns: list[Array], xp: Namespace) -> str:
    """Return the dtype of rows by its name: that of the columns of floats, where there are any."""
    names = [dtype_name(c.dtype) for c in columns]
    floats = {name for name in names if name in FLOATS}
    return holding(promote(floats) if floats else dtype_name(xp.result_type(*columns)), names)


_NAMES: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("column_names", lambda table: table.column_names),
    ("columns", lambda table: table.columns),
    ("keys", lambda table: table.keys()),
)
"""How tables say what their columns are called."""


def _names(table: Any) -> list[Any]:
    kind = f"{type(table).__module__}.{type(table).__qualname__}"
    if hasattr(table, "collect_schema") and hasattr(table, "collect"):
        raise XpnnTypeError(
            f"network.table: expected a table that holds its columns, got a lazy one, {kind}; pass "
            "table.collect()"
        )
    for attribute, names in _NAMES:
        if hasattr(table, attribute):
            return list(names(table))
    raise XpnnTypeError(
        "network.table: expected a mapping of names to columns, or a table of pandas, polars or "
        f"pyarrow, got {kind}"
    )


def _column(column: Any, name: str) -> Array:
    """Return a column as an array of real numbers, NaN where one is missing."""
    dtype = getattr(column, "dtype", getattr(column, "type", None))
    array = column if is_array(column) else _converted(column, name, dtype)
    kind = str(array.dtype if dtype is None else dtype).lower()
    number, own = dtype_name(array.dtype), own_library().xp
    if kind.startswith("null") or (kind == "object" and array.size and _missing(array, all)):
        return own.full(array.shape, own.nan)
    if number not in FLOATS and number not in INTEGERS:
        raise _refusal(name, array.dtype if dtype is None else dtype, array)
    if number in FLOATS and re.match("u?int", kind):  # and some are missing
        return own.astype(array, own.float64)
    return array


def _converted(column: Any, name: str, dtype: Any) -> Array:
    if "dictionary" in str(dtype) and hasattr(column, "combine_chunks"):
        column = column.combine_chunks()  # or pyarrow gives some number for what is missing
    try:  # sparse columns in their own dtype, not the one of Python's zero
        return own_library().xp.asarray(column, dtype=getattr(dtype, "subtype", None))
    except Exception:  # noqa: BLE001 -- what a library has no array for, in its own words
        raise _refusal(name, type(column).__name__ if dtype is None else dtype) from None


def _dtype_in_partitions(dtype: Any, name: str) -> str:
    """Return the dtype for a column of which no value is read yet: any of its integers may be missing."""
    of = getattr(dtype, "categories", dtype)
    of = getattr(of, "dtype", of)
    kind = getattr(of, "kind", None)
    if kind in {"i", "u"} or str(of).startswith("null"):
        return "float64"
    if kind != "f":
        raise _refusal(name, dtype)
    found = dtype_name(getattr(of, "numpy_dtype", getattr(of, "subtype", of)))  # nullable, sparse
    if found not in FLOATS:
        raise _refusal(name, dtype)
    return found


def _missing(array: Array, every: Callable[[Any], bool]) -> bool:
    """Whether all values of an array of objects are missing, or any of them."""
    if not is_numpy(array) or array.dtype.kind != "O":
        return False
    return every(
        v is None or type(v).__name__ == "NAType" or (isinstance(v, float) and v != v)
        for v in array.flat
    )


def _refusal(name: str, dtype: Any, array: Array = None) -> XpnnTypeError:
    what = ", NaN where one is missing" if _missing(array, any) else ""
    return XpnnTypeError(
        f"network.table: expected numbers in the column {name!r}, got dtype {dtype}; convert it to "
        f"numbers{what}"
    )
