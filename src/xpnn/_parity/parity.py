"""parity and explain: every backend, or somebody's results, held to the exact forward pass."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

from xpnn._arrays.backends.protocol import Library
from xpnn._arrays.digest import digest
from xpnn._arrays.dtypes import (
    FLOATS,
    computing_float,
    dtype_name,
    float_names,
    floating_name,
    promote,
)
from xpnn._arrays.installed import backend_library
from xpnn._arrays.installed import backends as all_backends
from xpnn._arrays.library import common_library, library, promoted
from xpnn._arrays.transfer import find_device, from_numpy, to_numpy
from xpnn._arrays.types import Array, Device, DType, Namespace, Values
from xpnn._network.checks import check_input
from xpnn._network.copies import layer_dtypes
from xpnn._network.layers.layer import Shape, as_samples, outputs_of
from xpnn._network.network import Network
from xpnn._parity.causes import likely
from xpnn._parity.error_bound import check_network
from xpnn._parity.layers import first_unsound
from xpnn._parity.report import Explanation, Report, Result
from xpnn._parity.standard import Reference, Standard, guarded, host, listed, not_finite
from xpnn._reproducible import reproducible
from xpnn.errors import XpnnTypeError, XpnnValueError

METHODS = {
    "output": Network.__call__,
    "logits": Network.logits,
    "log_proba": Network.log_proba,
}


def parity(
    network: Network,
    x: Array,
    /,
    *,
    of: str = "output",
    backends: Sequence[str] | None = None,
    devices: Sequence[str] | None = None,
    dtypes: Sequence[DType | str] | None = None,
) -> Report:
    """Hold every backend to the exact forward pass, and all reproducible results to each other.

    Parameters
    ----------
    network : Network
        Any network of finite weights.
    x : array, shape (..., in)
        Rows of any library; some of them finite.
    of : {'output', 'logits', 'log_proba'}, optional
        What to compare: ``network(x)``, the default, ``network.logits(x)`` or
        ``network.log_proba(x)``.
    backends : sequence of str, optional
        Names as in `backends()`; by default all that are installed.
    devices : sequence of str, optional
        Devices such as "cpu" or "cuda:0", those of them that a backend has; by default the first of
        every kind that a backend has.
    dtypes : sequence of dtype or str, optional
        To compute in; by default the one that ``network(x)`` has.

    Returns
    -------
    Report
        With `passed`, `to_dict()` and `plot()`; printed it is a table. A result passes if no output
        is further from the exact one than `error_bound` allows, the errors are of the size of
        `expected_error`, at most 8 times as large, in the result and in the product of every layer by
        itself, and every class is right that is certain. Otherwise the report names the first layer
        at fault, and a likely cause. Later calls must have the bits of the first, and the reproducible
        results of one dtype one digest.

    Raises
    ------
    XpnnError
        If mpmath is not installed, which the exact values need.
    TypeError, ValueError
        If `x` does not fit the network or holds no finite row, or there is no such backend, device,
        dtype or `of`.

    Examples
    --------
    >>> import xpnn, xpnn.models
    >>> x = xpnn.models.sample("digits")[0][:20].astype("float32")
    >>> report = xpnn.parity(xpnn.load("digits"), x, backends=["numpy"])
    >>> report.passed, len(report.results)
    (True, 2)
    """
    values, promoted = _given("parity", network, x)
    names = [floating_name("parity", d) or promoted for d in dtypes or [promoted]]
    reference = Reference.make(network, values, of).required()
    places, left_out = _places(backends, devices)
    results: list[Result] = []
    certain = {}
    for dtype in names:
        standard = Standard.make(reference, dtype)
        if standard.certain is not None:
            certain[dtype] = int(standard.certain.sum())
        with_it = [place for place in places if hasattr(place.library.xp, dtype)]
        left_out += [f"{p.backend} has no {dtype}" for p in places if p not in with_it]
        results += _alike([r for place in with_it for r in _run(network, standard, place)])
    if not results:
        raise XpnnValueError(
            f"parity: expected a backend that can, got none: {'; '.join(left_out)}"
        )
    head = repr(network).partition("\n")[0]
    rows = len(reference.x)
    return Report(head, of, rows, reference.words, certain or None, tuple(results), tuple(left_out))


def explain(network: Network, x: Array, y: Array, /, *, of: str = "output") -> Explanation:
    """Hold results that other code computed to the exact forward pass, and find what is wrong.

    Parameters
    ----------
    network : Network
        The network that was meant. Where its weights are not finite, nothing can be said.
    x : array, shape (..., in)
        Its input.
    y : array, shape (..., out)
        What came, of any library; its dtype says what precision to expect.
    of : {'output', 'logits', 'log_proba'}, optional
        What `y` is.

    Returns
    -------
    Explanation
        With `passed`, the numbers, and in words what is wrong and a likely cause: NaN and infinity and
        where they are, low precision, another activation, swapped or missing layers and biases, a
        scaled input, dropout left on, and many more, or 'unknown'. `notes` say of which rows nothing
        can be said; results of which nothing can be said in any row do not pass, nor does a number where
        `x` is NaN. It has `to_dict()`, and prints as text.

    Raises
    ------
    XpnnError
        If mpmath is not installed, which the exact values need.
    TypeError
        If `x` or `y` is no real array, or `y` is not floating.
    ValueError
        If the shapes do not fit, or there is no row.

    Examples
    --------
    >>> import numpy as np, xpnn
    >>> weight = np.asarray([[0.1, 0.3], [0.2, 0.4]])
    >>> network = xpnn.Network([xpnn.Dense(weight, np.ones(2), "sigmoid")])
    >>> x = np.asarray([[1.0, 0.5], [0.25, 3.0]])
    >>> xpnn.explain(network, x, xpnn.sigmoid(x @ weight)).cause
    'a missing bias in layer 0'
    """
    values, _ = _given("explain", network, x)
    common_library("explain", None, {"y": y})
    dtype = dtype_name(y.dtype)
    if dtype not in FLOATS:
        raise XpnnTypeError(f"explain: expected y of a real floating dtype, got {dtype}")
    lead, sample = _split(network, x)
    expected = (*lead, *(outputs_of(network.layers, sample) or y.shape[-1:]))
    if tuple(y.shape) != expected:
        raise XpnnValueError(
            f"explain: expected y of shape {expected} for x of shape {tuple(x.shape)}, got shape "
            f"{tuple(y.shape)}"
        )
    if not math.prod(lead):
        raise XpnnValueError(f"explain: expected at least one row, got x of shape {tuple(x.shape)}")
    reference = Reference.make(network, values, of)
    standard = Standard.make(reference, dtype)
    y = to_numpy(y).reshape(-1, expected[-1])
    comparison = standard.compare(y, None)
    cause = likely(standard, y, comparison, lead) if comparison.faults else None
    notes = _notes(network, standard, y)
    faults = tuple(comparison.faults)
    return Explanation(dtype, reference.words, comparison, faults, cause, notes)


def _notes(network: Network, standard: Standard, y: Values) -> tuple[str, ...]:
    """Say where nothing can be said of the result, and why."""
    xp, x = host().xp, standard.reference.x
    notes = [not_finite("x", x)]
    for i, layer in enumerate(network.to(xp, dtype="float64").layers):
        for name, a in layer.arrays.items():
            words = not_finite(f"layer {i}: the {name}", a.reshape(-1, a.shape[-1]))
            notes.append(words)
    fine = xp.isfinite(x) if x.dtype.kind == "f" else xp.ones(x.shape, dtype=xp.bool)
    over = xp.all(fine, axis=-1)[:, None] & ~xp.isfinite(standard.enclosure.errors[1, ...])
    if bool(xp.any(over)):
        rows, columns = xp.nonzero(over)
        where = f"{listed('row', rows, len(y))}, {listed('column', columns, y.shape[1])}"
        notes.append(
            f"values overflow, or may, in {standard.dtype} in {where}: nothing is known there"
        )
        notes.append(not_finite("y", y, over, ", where values overflow, or may"))
    return tuple(note for note in notes if note)


def _given(function: str, network: Network, x: Array) -> tuple[Values, str]:
    """Check network and x; return x as NumPy's, and the dtype that network(x) has."""
    check_network(function, network)
    found = common_library(function, None, {"x": x})
    names = float_names(function, {"x": x}) | layer_dtypes(network.layers)
    check_input(function, network.layers, x)
    lead, sample = _split(network, x)
    return to_numpy(x).reshape(*lead, math.prod(sample)), promoted(function, found, names, x)


def _split(network: Network, x: Array) -> tuple[Shape, Shape]:
    """Return the shape of the input without that of a sample, and that of a sample."""
    axes, shape = network.layers[0].axes, tuple(x.shape)
    return shape[:-axes], shape[-axes:]


class _Place(NamedTuple):
    backend: str
    library: Library
    device: Device | None
    words: str | None


def _places(
    backends: Sequence[str] | None, devices: Sequence[str] | None
) -> tuple[list[_Place], list[str]]:
    """Return where to compute, and what is not there."""
    known = {b.name: b for b in all_backends()}
    left_out = []
    backends, devices = (
        [names] if isinstance(names, str) else names for names in (backends, devices)
    )
    if backends is None:
        backends = [name for name, b in known.items() if b.why is None]
        left_out = [f"{b.name} {b.why}" for b in known.values() if b.why is not None]
    places = []
    for name in backends:
        found = backend_library(name)
        why = known[name].why
        if why is not None:
            left_out.append(f"{name} {why}")
            continue
        wanted = _first_of_each_kind(known[name].devices) if devices is None else devices
        for device in wanted:
            try:
                place = None if device is None else find_device(found, device)
            except XpnnValueError as error:
                left_out.append(str(error))
                continue
            places.append(_Place(name, found, place, device))
    if not places:
        raise XpnnValueError(f"parity: {'; '.join(left_out) or 'expected some backend, got none'}")
    return places, left_out


def _first_of_each_kind(devices: Sequence[str]) -> list[str | None]:
    kinds: dict[str, str | None] = {}
    for device in devices:
        kind = device.partition(":")[0]
        if kind.isalpha():
            kinds.setdefault(kind, device)
    return list(kinds.values()) or [None]


def _run(network: Network, standard: Standard, place: _Place) -> Iterator[Result]:
    """Compute in both ways, as who has this library does, and compare."""
    reference, dtype = standard.reference, standard.dtype
    found, method = place.library, METHODS[reference.of]
    # float64 needs JAX's 64-bit types; all else is computed as the library stands.
    with found.guard(dtype) if dtype == "float64" else nullcontext():
        placed = network.to(found.xp, device=place.device, dtype=dtype)
        follows = network.follows and promote(layer_dtypes(network.layers) | {dtype}) == dtype
        called = network if follows else placed
        rows = as_samples(network.layers, reference.x)
        x = from_numpy(found, rows, dtype, place.device)
        for way, xp in (("fast", None), ("reproducible", reproducible(found.xp))):
            make = partial(Result, place.backend, place.words, dtype, way)
            classes = None
            try:
                y, seconds, faults = _timed(lambda xp=xp: to_numpy(method(called, x, xp=xp)))  # type: ignore[misc]
                if xp is not None and follows and not _same(y, to_numpy(method(placed, x, xp=xp))):
                    faults.append("other bits where network.to put the weights")
                if standard.classes is not None:
                    classes = to_numpy(called.classify(x, xp=xp))
            except Exception as error:  # noqa: BLE001 -- whatever a library raises is what it did
                nothing = standard.compare(standard.expected * math.nan, None)
                words = f"{type(error).__name__}: {' '.join(str(error).split())}"
                yield make(math.nan, None, nothing, (words,))
                continue
            comparison = standard.compare(y, classes)
            wrong = comparison.faults
            where = _layer_at_fault(placed, x, standard, xp)
            if where:
                wrong.append(where)
            if wrong:
                cause = likely(standard, y, comparison, reference.x.shape[:1])
                wrong.append(f"likely cause: {cause}")
            code = digest(y) if xp is not None else None
            yield make(seconds, code, comparison, (*faults, *wrong))


def _timed(f: Callable[[], Values]) -> tuple[Values, float, list[str]]:
    """Return f(), the least seconds of three more calls, and what differs between the calls."""
    y, times, faults = f(), [], list[str]()
    for _ in range(3):
        start = time.perf_counter()
        again = f()
        times.append(time.perf_counter() - start)
        if not (faults or _same(y, again)):
            faults.append("a later call gave other bits than the first")
    return y, min(times), faults


def _same(y: Values, z: Values) -> bool:
    return y.dtype == z.dtype and y.shape == z.shape and y.tobytes() == z.tobytes()


def _layer_at_fault(network: Network, x: Array, standard: Standard, xp: Namespace | None) -> str:
    """Run the layers on the sample, in the dtype that is computed in; say which is not sound."""
    found, computing = library(x), computing_float(standard.dtype)
    there = network.to(x, dtype=computing)
    rows = found.xp.astype(x, getattr(found.xp, computing))
    rows = found.xp.stack([rows[i, ...] for i in standard.reference.sample])
    outputs = [(to_numpy(a), to_numpy(z)) for a, z in there.layer_outputs(rows, xp=xp)]
    layers = there.to(host().xp, dtype="float64").layers
    given = to_numpy(rows).reshape(len(outputs[0][0]), -1)
    return str(guarded(first_unsound, layers, given, outputs, computing))


def _alike(results: list[Result]) -> list[Result]:
    """Mark the results whose digest is not that of the first."""
    first = next((r for r in results if r.digest is not None), None)
    if first is None:
        return results
    words = f"another digest than {first.backend}'s"
    return [
        r._replace(faults=(*r.faults, words)) if r.digest not in {None, first.digest} else r
        for r in results
    ]
