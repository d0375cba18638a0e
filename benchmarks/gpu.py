"""How fast xpnn is on a GPU: beside the library's own functions, and beside what the GPU can do.

    python benchmarks/gpu.py [--library torch] [--device cuda | cpu] [--only PATTERN] [--quick]

Prints a table for each library, and with --write puts them into gpu.md beside this file. The bandwidth
of softmax is what it reads and writes, once each, in parts of that of a large copy; the arithmetic of the
512-wide network is its products' in parts of that of a large product in full float32. --device cpu is
for a try without a GPU.
"""

import argparse
import contextlib
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import _functions
import _networks
import _peers
import numpy as np
from _cases import Case, Function, cases
from _devices import LIBRARIES, Device
from _table import rows_of, time_of
from _timing import Contender, Effort, measure
from _worker import check_same

PAGE = Path(__file__).parent / "gpu.md"
LARGE = {False: (2**26, 8192), True: (2**20, 512)}
"""Numbers of a large copy, and width of a large product; when quick."""


def _waiting(device: Device, call: Any, x: Any) -> Any:
    return lambda: device.wait(call(x))


def contenders(library: str, device: Device, case: Case) -> list[Contender]:
    """xpnn, and what people would call instead, on this device."""
    if isinstance(case, Function):
        x, mine = device.put(_functions.sample(case)), _functions.ours(case)
        peers = _functions_of(library, case, device)
    else:
        layers = _networks.layers_of(case)
        x, mine = device.put(_networks.sample(case)), _networks.ours(case)
        peers = _networks_of(library, layers, device)
    calls = [(name, peer, "xpnn") for name, peer in peers.items()]
    return [
        Contender(name, _waiting(device, call, x), against)
        for name, call, against in [("xpnn", mine, None), *calls]
    ]


def _functions_of(library: str, case: Function, device: Device) -> dict[str, Any]:
    if library == "torch":
        return {"torch.nn.functional": _functions.by_torch(case)}
    if library == "jax":
        import jax

        return {"jax.nn jitted": jax.jit(_functions.by_jax_nn(case))}
    return {"by hand": _functions.by_hand(case, device.xp)}


def _networks_of(library: str, layers: _peers.Layers, device: Device) -> dict[str, Any]:
    if library == "torch":
        return {"nn.Sequential": _peers.sequential(layers).to(device.put(layers[0][0]).device)}
    there = [tuple(map(device.put, layer)) for layer in layers]
    if library == "jax":
        import jax

        return {"jax.nn jitted": jax.jit(_peers.by_jax_nn(there))}
    return {"by hand": _peers.by_hand(there, device.xp)}


@contextlib.contextmanager
def _setting(library: str, dtype: str) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if library == "torch":
            import torch

            stack.enter_context(torch.inference_mode())
        if library == "jax":
            import jax

            stack.enter_context(jax.enable_x64(dtype == "float64"))
            stack.enter_context(jax.default_matmul_precision("highest"))  # xpnn's, too
        yield


def limits(library: str, device: Device, effort: Effort, *, quick: bool) -> tuple[float, float]:
    """Bytes a second of a large copy, and operations a second of a large product."""
    count, width = LARGE[quick]
    with _setting(library, "float32"):
        x, a = (device.put(np.ones(n, "float32")) for n in (count, (width, width)))
        calls = {
            "copy": _waiting(device, lambda x: x + 1, x),
            "product": _waiting(device, lambda a: a @ a, a),
        }
        seconds = measure([Contender(n, c, None) for n, c in calls.items()], effort)["seconds"]
    return 2 * 4 * count / seconds["copy"], 2 * width**3 / seconds["product"]


def share(case: Case, seconds: float, limit: tuple[float, float]) -> str:
    """What part of the device's bandwidth or arithmetic a call reaches, where that tells something."""
    if isinstance(case, Function) and case.name == "softmax":
        moved = 2 * case.shape[0] * case.shape[1] * np.dtype(case.dtype).itemsize
        return f"{moved / seconds / limit[0]:.0%} of the bandwidth"
    if not isinstance(case, Function) and 512 in case.widths:
        pairs = zip(case.widths, case.widths[1:], strict=False)
        done = 2 * case.rows * sum(n * m for n, m in pairs)
        return f"{done / seconds / limit[1]:.0%} of the arithmetic"
    return ""


def table(library: str, device: Device, chosen: Sequence[Case], options: Any) -> str:
    """Measure all and return the table; each row is printed when it is there."""
    effort = Effort(options.rounds, options.seconds)
    limit = limits(library, device, effort, quick=options.quick)
    head = f"## {library} {device.version} on {device.name}\n\n"
    head += f"A large copy: {limit[0] / 1e9:.0f} GB/s; a large product: {limit[1] / 1e12:.2f} TFLOP/s.\n\n"
    rows = [("workload", "xpnn", "peer", "ratio", "of what the device can do")]
    for case in chosen:
        with _setting(library, case.dtype):
            found = contenders(library, device, case)
            check_same(case.id, found)
            result = measure(found, effort)
        seconds, (peer, ratio) = result["seconds"]["xpnn"], *result["ratios"].items()
        row = (
            case.id,
            time_of(seconds),
            peer,
            f"{ratio['ratio']:.2f}",
            share(case, seconds, limit),
        )
        print(*row, sep="  ", flush=True)
        rows.append(row)
    return head + rows_of(rows)


def main() -> int:
    """Measure the libraries that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--library", action="append", choices=LIBRARIES)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", default="", help="a regular expression that workloads match")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--quick", action="store_true", help="float32, few rows, a small copy")
    parser.add_argument("--write", action="store_true", help="write gpu.md")
    options = parser.parse_args()
    chosen = [c for c in cases("torch", quick=options.quick) if re.search(options.only, c.id)]
    tables = [
        table(library, LIBRARIES[library](options.device), chosen, options)
        for library in options.library or LIBRARIES
    ]
    page = "\n\n".join(
        ("# Speed on a GPU\n\nWritten by `python benchmarks/gpu.py --write`.", *tables)
    )
    print(f"\n{page}")
    if options.write:
        PAGE.write_text(page + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
