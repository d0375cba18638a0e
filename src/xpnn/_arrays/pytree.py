"""Registers a class as a pytree, a tree of arrays, with the libraries that know them.

xpnn imports none of them, so a class is registered with those that are there when xpnn is imported
and each time that one of its objects is made.
"""

import sys
from collections.abc import Callable
from typing import Any

from xpnn._arrays.backends.protocol import Node
from xpnn._arrays.backends.table import WITH_PYTREES, adapter

_nodes: list[Node] = []
_done: set[tuple[str, type]] = set()


def register(node: Node) -> None:
    """Make `node.cls` a pytree, now or as soon as a library that knows them is there."""
    _nodes.append(node)
    update()


def update() -> None:
    """Register all classes with the libraries that have been imported since."""
    if len(_done) == len(WITH_PYTREES) * len(_nodes):
        return
    for name, row in WITH_PYTREES.items():
        # Half imported, as seen by a module that it imports itself, a library is not there yet.
        if row.pytrees in sys.modules and hasattr(sys.modules.get(row.root), "__version__"):
            for node in _nodes:
                if (name, node.cls) not in _done:
                    _done.add((name, node.cls))
                    adapter(row.namespace).register_pytree(node)


def mapped(f: Callable[[Any], Any], tree: Any) -> Any:
    """Return a tree of tuples and registered classes with f of each array in its place."""
    if tree is None:
        return None
    if isinstance(tree, tuple):
        return tuple(mapped(f, part) for part in tree)
    for node in _nodes:
        if type(tree) is node.cls and not hasattr(tree, "dtype"):
            children, rest = node.flatten(tree)
            return node.unflatten(rest, mapped(f, children))
    return f(tree)


def leaves(tree: Any) -> list[Any]:
    """Return the arrays of a tree of tuples and registered classes."""
    found: list[Any] = []
    mapped(found.append, tree)
    return found
