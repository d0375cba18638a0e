"""Peak memory of one call on NumPy arrays, in a fresh process each, as tracemalloc sees it.

NumPy reports its arrays to tracemalloc. The input is there before; the output counts.
"""

import concurrent.futures
import multiprocessing
import re
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import _functions
import _networks
import _peers
import numpy as np
from _cases import Case, Function, functions, networks

SMALL = 100_000
"""Cases of no more elements than this in their output tell nothing."""


def cases(*, quick: bool) -> Iterator[Case]:
    """Those whose memory matters."""
    for function in functions(quick=quick):
        if function.shape[0] * function.shape[1] > SMALL:
            yield function
    for network in networks(quick=quick):
        if network.rows * max(network.widths) > SMALL:
            yield network


def _calls(case: Case) -> dict[str, Callable[[np.ndarray], Any]]:
    if isinstance(case, Function):
        return {"xpnn": _functions.ours(case), "by hand": _functions.by_hand(case)}
    return {"xpnn": _networks.ours(case), "by hand": _peers.by_hand(_networks.layers_of(case), np)}


def _peak(case: Case, name: str) -> tuple[int, int]:
    """Bytes at the peak of a call, over those before it, and bytes of the output."""
    on = _functions if isinstance(case, Function) else _networks
    x = on.sample(case)
    call = _calls(case)[name]
    call(x[:1])  # what it loads and keeps on its first call is not what a row costs
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    y = call(x)
    return tracemalloc.get_traced_memory()[1] - before, y.nbytes


def measure(*, quick: bool, only: str) -> Iterator[dict[str, Any]]:
    """Measure all; as a ratio, the peak by hand to xpnn's, above 1 where xpnn takes less."""
    pool = concurrent.futures.ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), max_tasks_per_child=1
    )
    with pool:
        for case in cases(quick=quick):
            name = f"memory/{case.id}"
            if re.search(only, name):
                peaks = {n: pool.submit(_peak, case, n).result() for n in ("xpnn", "by hand")}
                peak, output = peaks["xpnn"]
                ratio = peaks["by hand"][0] / peak
                yield {
                    "id": name,
                    "bytes": {n: p for n, (p, _) in peaks.items()},
                    "output": output,
                    "ratios": {"by hand": {"ratio": ratio, "low": ratio, "high": ratio}},
                }
