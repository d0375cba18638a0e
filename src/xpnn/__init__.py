"""xpnn: one neural-network forward pass for every array library."""

import importlib as _importlib
import typing as _typing

from xpnn._activations import names as _names
from xpnn._activations.names import *
from xpnn._network.layers.affine import Affine
from xpnn._network.layers.dense import Dense
from xpnn._network.layers.flatten import Flatten
from xpnn._network.layers.function import Function
from xpnn._network.layers.linear import linear
from xpnn._network.layers.normalization import LayerNorm
from xpnn._network.layers.prelu import PReLU
from xpnn._network.layers.residual import Residual
from xpnn._network.network import Network
from xpnn.errors import (
    NotReproducibleError,
    XpnnError,
    XpnnIndexError,
    XpnnTypeError,
    XpnnValueError,
)

if _typing.TYPE_CHECKING:
    from xpnn._arrays.installed import Backend, backends
    from xpnn._network.load import load
    from xpnn._parity.error_bound import error_bound, expected_error
    from xpnn._parity.parity import explain, parity
    from xpnn._reproducible import reproducible

__version__ = "0.1.0"

__all__ = [
    "Affine",
    "Backend",
    "Dense",
    "Flatten",
    "Function",
    "LayerNorm",
    "Network",
    "NotReproducibleError",
    "PReLU",
    "Residual",
    "XpnnError",
    "XpnnIndexError",
    "XpnnTypeError",
    "XpnnValueError",
    "backends",
    "error_bound",
    "expected_error",
    "explain",
    "linear",
    "load",
    "parity",
    "reproducible",
]
# pytest puts names such as "@py_builtins" into the modules that it rewrites: those of plugins' packages.
__all__ += [name for name in vars(_names) if name.isidentifier() and not name.startswith("_")]
__all__.sort()

_WHEN_ASKED_FOR = {
    "Backend": "_arrays.installed",
    "backends": "_arrays.installed",
    "error_bound": "_parity.error_bound",
    "expected_error": "_parity.error_bound",
    "explain": "_parity.parity",
    "load": "_network.load",
    "parity": "_parity.parity",
    "reproducible": "_reproducible",
}
"""Where the names stand that not every program needs: importing all takes three times as long."""


def __getattr__(name: str) -> _typing.Any:
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(_importlib.import_module(f"xpnn.{_WHEN_ASKED_FOR[name]}"), name)
    return _public(name, found)


def _public(name: str, found: _typing.Any) -> _typing.Any:
    """Give a name that people import from here this module: pickles outlive moves inside."""
    if found.__module__ != "xpnn.errors":
        found.__module__ = "xpnn"
    globals()[name] = found
    return found


for _name in __all__:
    if _name in globals():
        _public(_name, globals()[_name])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
