"""What a library can do to a function before it is called, by name; the first word is the library's."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

from xpnn._arrays.library import library_of_namespace

Function = Callable[[Any], Any]


class Transform(NamedTuple):
    """`apply(module, f)` is a function of the same arrays."""

    apply: Callable[[Any, Function], Function]
    by_rows: bool = False
    """Whether f gets the rows of the array one by one."""
    is_gradient: bool = False
    """Whether f is a scalar, and its derivative comes out."""


def _scan(jax: Any, f: Function) -> Function:
    return lambda x: jax.lax.scan(lambda carry, row: (carry, f(row)), 0, x)[1]


def _within(mode: str) -> Callable[[Any, Function], Function]:
    def apply(torch: Any, f: Function) -> Function:
        def function(x: Any) -> Any:
            with getattr(torch, mode)():
                return f(x)

        return function

    return apply


def _recording(torch: Any, f: Function) -> Function:
    def function(x: Any) -> Any:
        y = f(x.detach().requires_grad_(x.is_floating_point()))
        return type(y)(a.detach() for a in y) if isinstance(y, tuple) else y.detach()

    return function


def _backward(torch: Any, f: Function) -> Function:
    def function(x: Any) -> Any:
        leaf = x.detach().requires_grad_()
        f(leaf).backward()
        return leaf.grad

    return function


def _compile(torch: Any, f: Function) -> Function:
    return library_of_namespace(torch).compile_anew(f, fullgraph=False)


TRANSFORMS = {
    "jax.jit": Transform(lambda jax, f: jax.jit(f)),
    "jax.vmap": Transform(lambda jax, f: jax.vmap(f), by_rows=True),
    "jax.jit of vmap": Transform(lambda jax, f: jax.jit(jax.vmap(f)), by_rows=True),
    "jax.scan": Transform(_scan, by_rows=True),
    "jax.jit of grad": Transform(lambda jax, f: jax.jit(jax.grad(f)), is_gradient=True),
    "torch.compile": Transform(_compile),
    "torch.func.vmap": Transform(lambda torch, f: torch.func.vmap(f), by_rows=True),
    "torch.recording": Transform(_recording),
    "torch.backward": Transform(_backward, is_gradient=True),
    "torch.func.grad": Transform(lambda torch, f: torch.func.grad(f), is_gradient=True),
    "torch.no_grad": Transform(_within("no_grad")),
    "torch.inference_mode": Transform(_within("inference_mode")),
}


def transformed(name: str, f: Function) -> Function:
    """The function under the transform of this name."""
    if name == "none":
        return f
    return TRANSFORMS[name].apply(importlib.import_module(name.partition(".")[0]), f)
