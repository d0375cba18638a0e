"""A case computed, in its own way and in the others, and held to all that is promised."""

import contextlib
import hashlib
import importlib
import sys
import warnings
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import threadpoolctl

from xpnn._arrays.dtypes import computing_float, dtype_name
from xpnn._arrays.library import library_of_namespace

from . import arrays, calls, truth
from .arrays import Values
from .calls import Place, Problem
from .factors import ELEMENT, LIBRARIES, Case, _has_dtype, is_network, refusal, refusals
from .transforms import TRANSFORMS

_PEERS = 2**13
"""Elements up to which every library computes a case, too."""


class Report(NamedTuple):
    """What came of a case."""

    faults: list[str]
    comparisons: int
    digest: str
    """Of the results of the case's own call."""


class _Checks:
    def __init__(self) -> None:
        self.faults: list[str] = []
        self.count = 0

    def __call__(self, right: bool, words: str) -> None:
        self.count += 1
        if not right:
            self.faults.append(words)

    def none(self, fault: str | None, words: str) -> None:
        self(fault is None, f"{words}: {fault}")


@contextlib.contextmanager
def _around(case: Case) -> Iterator[None]:
    """Threads and 64-bit types as the case has them, and no warning unseen."""
    with warnings.catch_warnings(), threadpoolctl.threadpool_limits(case["threads"], "blas"):
        warnings.simplefilter("error")
        if case["transform"] == "torch.compile":  # which warns of much in its own code
            warnings.simplefilter("default")
        if "jax" in sys.modules:
            sys.modules["jax"].config.update("jax_enable_x64", case["x64"])
        yield


def check(case: Case, *, peers: float = 1.0) -> Report:
    """Compute a case, and in a share of the other ways, and hold it to all that is promised."""
    if case["library"] == "jax":
        importlib.import_module("jax")
    checks = _Checks()
    with _around(case):
        before = _settings()
        digest = _refused(case, checks) if refusal(case) else _computed(case, checks, peers)
        after = {key: value for key, value in _settings().items() if key in before}
        checks(before == after, f"settings changed from {before} to {after}")
    return Report(checks.faults, checks.count, digest)


def _settings() -> dict[str, Any]:
    """What belongs to the whole process: a call must leave it as it was."""
    threads = {info["filepath"]: info["num_threads"] for info in threadpoolctl.threadpool_info()}
    found: dict[str, Any] = {"errors of NumPy": np.geterr(), **threads}
    if "torch" in sys.modules:
        torch = sys.modules["torch"]
        found["torch"] = (
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.get_num_threads(),
        )
    if "jax" in sys.modules:
        found["jax"] = dict(sys.modules["jax"].config.values)
    return found


def _refused(case: Case, checks: _Checks) -> str:
    problem, place = calls.problem(case), Place.of(case)
    errors = tuple({r.error for r in refusals(case)})
    try:
        call = calls.ready(problem, place)
        call.function(place.asarray(problem.x, case["dtype"]))
    except errors:
        checks(True, "")
    except Exception as other:  # noqa: BLE001
        checks(False, f"expected one of {errors}, got {_words(other)}")
    else:
        checks(False, f"expected one of {errors}, got a result")
    return ""


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _computed(case: Case, checks: _Checks, peers: float) -> str:
    problem, place = calls.problem(case), Place.of(case)
    dtype = problem.result_dtype(place)
    x, other = (place.asarray(a, case["dtype"]) for a in (problem.x, problem.other))
    call = calls.ready(problem, place)
    before = [_digest(a) for a in (x, other, *call.held)]
    first = _called(call, x)
    between = _called(call, other)
    again = [_called(call, x) for _ in "12"]
    checks(before == [_digest(a) for a in (x, other, *call.held)], "an input or a weight changed")
    for n, y in enumerate(again, 2):
        checks.none(_difference(first, y), f"call {n} differs from the first")
    _held_to_its_kind(case, problem, place, dtype, x, call, checks)
    swapped = problem._replace(x=problem.other)
    for name, given, y in (("first call", problem, first), ("call between", swapped, between)):
        _held_to_the_truth(given, place, dtype, y, checks, name)
    if place.way == "reproducible":
        checks.none(
            _difference(_reference(problem, place, dtype), first), "other bits than NumPy's"
        )
        _alone(problem, place, first, checks)
    if place.option not in ("-", "Python"):
        python = _called(calls.ready(problem, place._replace(option="Python")), x)
        checks.none(_difference(python, first), f"option as {place.option} differs from Python's")
    if peers and place.transform == "none":
        _peers(problem, place, checks, peers)
    return hashlib.sha256("".join(_digest(a) for a in first).encode()).hexdigest()


def _called(call: calls.Ready, x: Any) -> list[Values]:
    y = call.function(x)
    return [np.copy(arrays.native(a)) for a in (y if isinstance(y, tuple) else (y,))]


def _digest(a: Any) -> str:
    values = arrays.native(a)
    text = f"{values.dtype} {values.shape}".encode()
    return hashlib.sha256(text + np.ascontiguousarray(values).tobytes()).hexdigest()


def _difference(first: list[Values], second: list[Values]) -> str | None:
    """Say where bits differ; one NaN is like another."""
    for a, b in zip(first, second, strict=True):
        if (a.dtype, a.shape) != (b.dtype, b.shape):
            return f"{a.dtype} {a.shape} and {b.dtype} {b.shape}"
        same = (a == b) & (np.signbit(a) == np.signbit(b)) | (_is_nan(a) & _is_nan(b))
        if not same.all():
            i = tuple(np.argwhere(~same)[0])
            return (
                f"{(~same).sum()} of {a.size}, first at {tuple(map(int, i))}: {a[i]!r} and {b[i]!r}"
            )
    return None


def _is_nan(a: Values) -> Values:
    return np.isnan(a) if a.dtype.kind == "f" else np.zeros(a.shape, bool)


def _held_to_its_kind(
    case: Case,
    problem: Problem,
    place: Place,
    dtype: str,
    x: Any,
    call: calls.Ready,
    checks: _Checks,
) -> None:
    """Library, dtype, device, and whether it can be written to."""
    y = call.function(x)
    for a in y if isinstance(y, tuple) else (y,):
        if place.transform != "none" and TRANSFORMS[place.transform].is_gradient:
            dtype = case["dtype"]
        found = library_of_namespace(arrays.namespace(place.library))
        kind = np.generic if place.library == "numpy" and isinstance(a, np.generic) else type(x)
        checks(isinstance(a, kind) or place.layout == "memmap", f"a result is a {type(a).__name__}")
        if case["function"] != "classify":
            checks(
                dtype_name(a.dtype) == dtype,
                f"a result has dtype {dtype_name(a.dtype)}, expected {dtype}",
            )
        if isinstance(a, np.ndarray) and case["function"] != "identity":
            checks(
                a.flags.writeable and not np.shares_memory(a, x),
                "a result is read-only, or the input",
            )
        checks(found is library_of_namespace(found.xp), "")


def _held_to_the_truth(
    problem: Problem, place: Place, dtype: str, results: list[Values], checks: _Checks, words: str
) -> None:
    with np.errstate(all="ignore"):
        if place.transform != "none" and TRANSFORMS[place.transform].is_gradient:
            dtype = problem.case["dtype"]  # that of x, in which a large one overflows
            expected = truth.expected_gradient(problem, dtype)
        else:
            expected = truth.expected(problem, place.way, place.library, dtype)
    for n, (y, ones) in enumerate(zip(results, expected, strict=False)):
        for one in ones:
            checks.none(one.fault(y, dtype), f"{place.library} {place.way} {words}, result {n}")


def _reference(problem: Problem, place: Place, dtype: str) -> list[Values]:
    """The bits that the reproducible way has on NumPy, for contiguous arrays; of derivatives on torch."""
    case = problem.case
    gradient = place.transform != "none" and TRANSFORMS[place.transform].is_gradient
    other = (
        Place("torch", "reproducible", "torch.backward")
        if gradient
        else Place("numpy", "reproducible")
    )
    x, kind = problem.x, case["dtype"]
    if gradient:
        return _called(calls.ready(problem, other), other.asarray(x, kind))
    # bfloat16 is float32, rounded once.
    results = _called(
        calls.ready(_in_single(problem), other), arrays.asarray(x, "numpy", _single(kind))
    )
    if dtype != "bfloat16":
        return results
    return [arrays.rounded(_to_nearest(y), dtype) if y.dtype.kind == "f" else y for y in results]


def _single(dtype: str) -> str:
    return "float32" if dtype == "bfloat16" else dtype


def _in_single(problem: Problem) -> Problem:
    case = problem.case
    names = {factor: _single(case[factor]) for factor in ("dtype", "weights")}
    return problem._replace(case={**case, **names})


def _to_nearest(y: Values) -> Values:
    """Round to bfloat16, ties to even, as a float32."""
    bits = np.ascontiguousarray(y, np.float32).view(np.uint32).astype(np.uint64)
    up = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    near = up.astype(np.uint32).view(np.float32).reshape(y.shape)
    return np.where(np.isfinite(y), near, y)


def _alone(problem: Problem, place: Place, first: list[Values], checks: _Checks) -> None:
    """A row alone has the bits that it has among others."""
    case = problem.case
    whole = (
        case["function"] in ELEMENT or is_network(case["function"]) or case["function"] == "linear"
    )
    if place.transform != "none" or not whole or problem.x.ndim < 2 or problem.x.size == 0:
        return
    call = calls.ready(problem, place._replace(layout="C"))
    row = place._replace(layout="C").asarray(problem.x[-1:], case["dtype"])
    checks.none(
        _difference([y[-1:] for y in first], _called(call, row)),
        "the last row alone has other bits",
    )


def _peers(problem: Problem, place: Place, checks: _Checks, share: float) -> None:
    """The same in a share of the libraries that take no compiler, and their ways."""
    case, rng = problem.case, np.random.default_rng(zlib.crc32(calls.text(problem.case).encode()))
    for library in LIBRARIES if problem.x.size <= _PEERS else ["numpy"]:
        wrong = library == "jax" or not _has_dtype(library, case["dtype"])
        if wrong or (
            problem.layers
            and case["function"] == "linear"
            and not _has_dtype(library, problem.weight_dtype)
        ):
            continue
        for way in ("fast", "plain", "reproducible"):
            peer = Place(library, way)
            if (library, way) == (place.library, place.way) or rng.random() >= share:
                continue
            dtype = problem.result_dtype(peer)
            if not _has_dtype(library, dtype) or not _has_dtype(library, computing_float(dtype)):
                continue
            try:
                x = peer.asarray(problem.x, case["dtype"])
                y = _called(calls.ready(problem, peer), x)
            except Exception as error:  # noqa: BLE001
                checks(False, f"{library} {way} raises {_words(error)}")
                continue
            _held_to_the_truth(problem, peer, dtype, y, checks, "as a peer")
            if way == "reproducible" and library != "numpy":
                checks.none(
                    _difference(_reference(problem, peer, dtype), y),
                    f"{library} has other bits than NumPy",
                )
