"""Registers a class as a pytree, a tree of arrays, with JAX and PyTorch once they are imported.

xpnn imports neither, so a class is registered with those that are there when xpnn is imported and
each time that one of its objects is made.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Node(NamedTuple):
    """A class that holds arrays (its children, by name), and what does not change (the rest)."""

    cls: type
    children: tuple[str, ...]
    flatten: Callable[[Any], tuple[tuple[Any, ...], Any]]
    unflatten: Callable[[Any, tuple[Any, ...]], Any]


def _with_jax(jax: Any, node: Node) -> None:
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in node.children)

    def flatten_with_keys(x: Any) -> tuple[list[tuple[Any, Any]], Any]:
        children, rest = node.flatten(x)
        return list(zip(keys, children, strict=True)), rest

    jax.tree_util.register_pytree_with_keys(
        node.cls, flatten_with_keys, node.unflatten, node.flatten
    )


def _with_torch(torch: Any, node: Node) -> None:
    def flatten(x: Any) -> tuple[list[Any], Any]:
        children, rest = node.flatten(x)
        return list(children), rest

    torch.utils._pytree.register_pytree_node(  # noqa: SLF001 -- there is no public one yet
        node.cls,
        flatten,
        lambda children, rest: node.unflatten(rest, tuple(children)),
        serialized_type_name=f"xpnn.{node.cls.__qualname__}",
    )


_WAYS = {"jax.tree_util": ("jax", _with_jax), "torch.utils._pytree": ("torch", _with_torch)}
_nodes: list[Node] = []
_done: set[tuple[str, type]] = set()


def register(node: Node) -> None:
    """Make `node.cls` a pytree, now or as soon as JAX or PyTorch is there."""
    _nodes.append(node)
    update()


def update() -> None:
    """Register all classes with the libraries that have been imported since."""
    if len(_done) == len(_WAYS) * len(_nodes):
        return
    for needs, (name, way) in _WAYS.items():
        # Half imported, as seen by a module that it imports itself, a library is not there yet.
        if needs in sys.modules and hasattr(sys.modules.get(name), "__version__"):
            for node in _nodes:
                if (name, node.cls) not in _done:
                    _done.add((name, node.cls))
                    way(sys.modules[name], node)


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
