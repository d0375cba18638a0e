"""The table of array libraries: to add one, add a row, and a file where it needs an adapter."""

import importlib
from typing import NamedTuple, cast

from xpnn._arrays.backends.protocol import Library, Namespace


class Row(NamedTuple):
    """What is known of a library before it is imported."""

    namespace: str
    distribution: str
    install: str
    adapter: str = "standard.Standard"
    """The file in this folder, which may import the library, and the class in it."""
    compiler: str | None = None
    """The last word of what compiles a function: `jax.jit`, `torch.compile`."""
    other_device: str | None = None
    """A device that every machine has and that is not the default one."""
    pytrees: str | None = None
    """The module with which classes are registered as trees of arrays."""

    @property
    def root(self) -> str:
        """The package that is imported."""
        return self.namespace.partition(".")[0]


TABLE = {
    "numpy": Row("numpy", "numpy", "pip install numpy", "numpy.NumPy"),
    "torch": Row(
        "torch",
        "torch",
        "pip install 'xpnn[torch]'",
        "torch.Torch",
        compiler="compile",
        pytrees="torch.utils._pytree",
    ),
    "jax": Row(
        "jax.numpy",
        "jax",
        "pip install 'xpnn[jax]'",
        "jax.Jax",
        compiler="jit",
        pytrees="jax.tree_util",
    ),
    "cupy": Row("cupy", "cupy", "pip install cupy-cuda12x", "cupy.CuPy"),
    "array-api-strict": Row(
        "array_api_strict",
        "array-api-strict",
        "pip install array-api-strict",
        "standard.Strict",
        other_device="device1",
    ),
}

MORE = {
    "dask": Row("dask.array", "dask", "pip install 'xpnn[dask]'", "dask.Dask"),
    "mlx": Row("mlx.core", "mlx", "pip install 'mlx[cpu]'", "mlx.MLX"),
}
"""Libraries with an adapter on which not all tests run, only `tests/arrays/backends`."""

REFUSED = {
    "blosc2": "gives expressions that half of the formulas cannot be written in; pass {called}[:]",
    "pint": "has units, and no function here has them; pass {called}.magnitude",
    "sparse": "leaves out zeros, of which activations make other numbers; pass {called}.todense()",
    "xarray": "follows names of dimensions, where the formulas have positions; pass {called}.data, or "
    "let xarray.apply_ufunc call it: docs/ecosystem/xarray.md",
}
"""Packages whose arrays, whatever they offer, these formulas cannot take: why, and what mends it."""


def adapter(name: str) -> type[Library]:
    """Return the adapter for the namespace of this name, importing its file."""
    rows = (row for row in (TABLE | MORE).values() if row.namespace == name)
    file, _, cls = next(rows, Row("", "", "")).adapter.partition(".")
    return cast("type[Library]", getattr(importlib.import_module(f"{__package__}.{file}"), cls))


def adapted(xp: Namespace) -> Library:
    """Return the library of a namespace that array-api-compat or an array itself gives."""
    own = getattr(xp, "__xpnn_library__", None)
    return adapter(xp.__name__.removeprefix("array_api_compat."))(xp) if own is None else own


WITH_PYTREES = {name: row for name, row in TABLE.items() if row.pytrees is not None}
"""The rows of libraries that know trees of arrays."""
