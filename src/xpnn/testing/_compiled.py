"""The marker xp_compiled: functions under jax.jit and torch.compile for the time of a test."""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, partial, wraps
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import pytest

from xpnn._arrays.library import library_of_namespace
from xpnn._arrays.types import Namespace
from xpnn.testing._runs import open_run, run_of

Function = Callable[..., Any]


@contextmanager
def functions_compiled(item: Any) -> Iterator[None]:
    """Compile what the test names, or what `lazy_xp_function` tagged, until the test is over."""
    run = run_of(item)
    marks = list(item.iter_markers("xp_compiled"))
    if run is None or (marks and run.compiler is None):
        yield
        return
    xp = open_run(run).xp
    if not marks:
        with _tagged_functions(item.module, xp):
            yield
        return
    calls = _Calls()
    with pytest.MonkeyPatch.context() as patch:
        for mark in marks:
            change = partial(_compile, xp=xp, mark=mark, calls=calls)
            for name in mark.args:
                _patch(patch, item, name, change)
        yield
    if calls.count == 0:
        names = ", ".join(str(name) for mark in marks for name in mark.args)
        pytest.fail(
            f"xp_compiled: expected the test to call one of {names or '(none named)'}, got no call; "
            "name a function as the test calls it, e.g. 'module.function'",
            pytrace=False,
        )


def _tagged_functions(module: ModuleType, xp: Namespace) -> AbstractContextManager[None]:
    """What array-api-extra does for its tags; there are none before it is imported."""
    extra = sys.modules.get("array_api_extra.testing")
    if extra is None:
        return nullcontext()
    # Of the request it takes the module alone.
    request = SimpleNamespace(module=module)
    return extra.patch_lazy_xp_functions(request, xp=xp)


class _Calls:
    """Counts the calls of compiled functions, and leaves calls that these make to the compiler."""

    def __init__(self) -> None:
        self.count = 0
        self._inside = False

    def of(self, f: Function, compiled: Callable[[], Function]) -> Function:
        once = cache(compiled)

        @wraps(f)
        def function(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return f(*args, **kwargs)
            self.count += 1
            self._inside = True
            try:
                return once()(*args, **kwargs)
            finally:
                self._inside = False

        return function


def _compile(f: Function, *, xp: Namespace, mark: pytest.Mark, calls: "_Calls") -> Function:
    found = library_of_namespace(xp)
    if unknown := sorted(mark.kwargs.keys() - {"fullgraph", "backend"}):
        _refuse(f"expected options of backend, fullgraph, got {unknown[0]}")
    return calls.of(f, lambda: found.compile_anew(f, **mark.kwargs) or _as_if_tagged(f, xp))


def _as_if_tagged(f: Function, xp: Namespace) -> Function:
    """Make of f what array-api-extra makes of a function with its tag, and tag nothing."""
    from xpnn.testing import lazy_xp_function

    @wraps(f)
    def function(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **kwargs)

    lazy_xp_function(function)
    module = ModuleType("tagged")
    module.function = function  # type: ignore[attr-defined]
    with _tagged_functions(module, xp):
        return module.function


def _patch(
    patch: pytest.MonkeyPatch, item: Any, name: object, change: Callable[[Function], Function]
) -> None:
    """Put change(f) in the place of the function that the test calls by this name."""
    if not isinstance(name, str):
        _refuse(f"expected names of functions as text, got {name!r}")
    owner, attribute = item.module, ""
    for part in name.split("."):
        owner = getattr(owner, attribute) if attribute else owner
        attribute = part
        if not hasattr(owner, attribute):
            _refuse(f"{name!r} is not there: {owner!r} has no {attribute}")
    found = inspect.getattr_static(owner, attribute)
    if isinstance(found, staticmethod | classmethod):
        patch.setattr(owner, attribute, type(found)(change(found.__func__)))
    elif callable(found):
        patch.setattr(owner, attribute, change(found))
    else:
        _refuse(f"expected {name!r} to be a function, got {type(found).__name__}")


def _refuse(why: str) -> NoReturn:
    pytest.fail(f"xp_compiled: {why}", pytrace=False)
