"""reproducible: an Array API namespace that gives the same bits on every backend."""

from types import ModuleType
from typing import Any

from xpnn._arrays import library, library_of_namespace
from xpnn._reproducible._namespace import ReproducibleNamespace

__all__ = ["ReproducibleNamespace", "reproducible"]

_namespaces: dict[str, ReproducibleNamespace] = {}


def reproducible(x_or_namespace: Any, /) -> ReproducibleNamespace:
    """Return a namespace in which the same formula gives the same bits on every array library."""
    if isinstance(x_or_namespace, ReproducibleNamespace):
        return x_or_namespace
    if isinstance(x_or_namespace, ModuleType) or hasattr(
        x_or_namespace, "__array_namespace_info__"
    ):
        found = library_of_namespace(x_or_namespace)
    else:
        found = library(x_or_namespace, "x", "reproducible")
    if isinstance(found.xp, ReproducibleNamespace):
        return found.xp
    if found.name not in _namespaces:
        _namespaces[found.name] = ReproducibleNamespace(found)
    return _namespaces[found.name]
