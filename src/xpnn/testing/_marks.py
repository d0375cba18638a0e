"""The markers skip_xp_backend and xfail_xp_backend."""

from collections.abc import Iterable, Iterator
from typing import NoReturn

import pytest

from xpnn._arrays.backends.table import TABLE
from xpnn.testing._runs import Run, open_run, run_of

_KEYWORDS = {"np_only", "cpu_only", "exceptions", "reason"}
_KINDS = {"np_only": "for NumPy only", "cpu_only": "for the CPU only"}
_ON_THE_CPU = (1, 3)  # DLPack's kDLCPU and kDLCUDAHost


def apply(item: pytest.Item) -> None:
    """Do what the markers of a test say of the library that it runs on."""
    run = run_of(item)
    reasons = [r for mark in item.iter_markers("skip_xp_backend") for r in _reasons(mark, run)]
    if reasons:  # by pytest's mark, whose report names the test and not this file
        item.add_marker(pytest.mark.skip(reason=reasons[0]))
    for mark in item.iter_markers("xfail_xp_backend"):
        options = {k: v for k, v in mark.kwargs.items() if k in {"raises", "strict"}}
        for reason in _reasons(mark, run, {"raises", "strict"}):
            item.add_marker(pytest.mark.xfail(reason=reason, **{"strict": True, **options}))


def _reasons(mark: pytest.Mark, run: Run | None, more: Iterable[str] = ()) -> Iterator[str]:
    """Check a marker, then give its reason if it is about this run."""
    expected = _KEYWORDS.union(more)
    if unknown := sorted(mark.kwargs.keys() - expected):
        _refuse(mark, f"expected options of {', '.join(sorted(expected))}, got {unknown[0]}")
    kinds = [kind for kind in _KINDS if mark.kwargs.get(kind)]
    backend, condition = (*mark.args, True)[:2] if mark.args else (None, True)
    if len(mark.args) + len(kinds) != 1 and not (len(mark.args) == 2 and not kinds):
        _refuse(
            mark, f"expected one backend, np_only=True or cpu_only=True, got {(*mark.args, *kinds)}"
        )
    if not isinstance(condition, bool):
        _refuse(mark, f"expected one backend and, after it, a bool, got {condition!r}")
    exceptions = mark.kwargs.get("exceptions", ())
    if exceptions and not kinds:
        _refuse(mark, "exceptions go with np_only or cpu_only, not with a backend")
    if isinstance(exceptions, str):
        _refuse(mark, f"expected exceptions to be a list of backends, got {exceptions!r}")
    excepted = [_names(mark, e) for e in exceptions]
    named = _names(mark, backend) if backend is not None else None
    if run is None or not condition:
        return
    here = {run.backend, f"{run.backend}-{run.compiler}"}
    if named is not None:
        if named in here:
            yield mark.kwargs.get("reason") or f"not on {named}"
    elif not here.intersection(excepted) and _is_off(kinds[0], run):
        yield mark.kwargs.get("reason") or _KINDS[kinds[0]]


def _is_off(kind: str, run: Run) -> bool:
    """Whether a run is other than np_only or cpu_only says."""
    if kind == "np_only":
        return run.backend != "numpy"
    opened = open_run(run)
    x = opened.xp.empty(0, device=opened.device)
    try:
        return int(x.__dlpack_device__()[0]) not in _ON_THE_CPU
    except (ValueError, BufferError):  # a device that DLPack has no number for
        return True


def _names(mark: pytest.Mark, given: object) -> str:
    """Return our name of a backend, given by that, by its namespace's or by that of a compiled run."""
    known = {name: name for name in TABLE}
    known |= {row.namespace: name for name, row in TABLE.items()}
    known |= {
        f"{n}-{row.compiler}": f"{n}-{row.compiler}" for n, row in TABLE.items() if row.compiler
    }
    if not isinstance(given, str) or given not in known:
        _refuse(mark, f"expected a backend of {', '.join(known)}, got {given!r}")
    return known[given]


def _refuse(mark: pytest.Mark, why: str) -> NoReturn:
    pytest.fail(f"{mark.name}: {why}", pytrace=False)
