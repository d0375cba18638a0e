"""What is asked before any array's library is known: whether torch.compile is at work."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def traced_as_constant(f: F) -> F:
    """Let torch.compile call f when it compiles, and not look into it: what it gives is a constant."""
    f._dynamo_marked_constant = True  # type: ignore[attr-defined] # noqa: SLF001
    return f


def is_compiling() -> bool:
    """Whether torch.compile or torch.export is at work on what runs."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_compiling())


def is_recorded() -> bool:
    """Whether all that Python does is recorded: nothing that is made now is there later."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_dynamo_compiling())


def traced_root(x: Any) -> str | None:
    """Return the package that an array is of which torch.compile traces; None of others."""
    return "torch" if is_compiling() and isinstance(x, sys.modules["torch"].Tensor) else None
