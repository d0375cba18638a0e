"""What holds the speed up: the parts of a network's time, and the other ways that docs/speed.md names.

    python benchmarks/limits.py [networks] [blocks] [threads] [torch]

Prints milliseconds, the least of several calls; `networks` names OpenBLAS's kernels, which it chooses itself
where OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are not in the environment. It needs what speed.py needs,
without Keras.
"""

import sys
import timeit
from collections.abc import Callable
from typing import Any

import _networks
import _peers
import numpy as np
import threadpoolctl
from _cases import Network

import xpnn
from xpnn._engine import tuning
from xpnn._execution import functions, plans

WIDE = (10, 512, 512, 512, 512, 1000)
DIGITS, SMALL = (784, 50, 100, 10), (64, 32, 10)
BLOCKS = (0.25, 0.5, 1, 2, 4)


def least(call: Callable[[], Any], number: int = 3) -> str:
    """Milliseconds of a call, warm."""
    call()
    return f"{min(timeit.repeat(call, number=number, repeat=7)) / number * 1e3:.4g} ms"


def networks() -> None:
    """Whole networks, and their products alone."""
    found = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
    print("BLAS kernels:", {p["architecture"] for p in found})
    for case in (Network(w, n) for w in (DIGITS, SMALL, WIDE) for n in (1, 10_000)):
        layers, x, mine = _networks.layers_of(case), _networks.sample(case), _networks.ours(case)
        hand, onnx = _peers.by_hand(layers, np), _peers.onnx_runtime(layers)

        def products(x: Any = x, layers: Any = layers) -> Any:
            for weight, _ in layers:
                x = x @ weight
            return x

        calls = {"xpnn": mine, "by hand": hand, "ONNX Runtime": onnx}
        times = {name: least(lambda c=c, x=x: c(x)) for name, c in calls.items()}
        print(case.id, times | {"products alone": least(products)})


def blocks() -> None:
    """The networks, 10,000 rows, with blocks of other sizes."""
    for case in (Network(w, 10_000) for w in (DIGITS, SMALL, WIDE)):
        x = _networks.sample(case)
        for mib in BLOCKS:
            tuning.BLOCK_OF_ROWS = int(mib * 2**20)
            network = _networks.ours(case)
            print(f"{case.id}, blocks of {mib} MiB:", least(lambda n=network, x=x: n(x), 1))


def threads() -> None:
    """sigmoid of 64,000 numbers on one thread, and on as many as the BLAS has."""
    x = np.random.default_rng(0).standard_normal((64, 1000)).astype("float32")
    print("one thread:", least(lambda: xpnn.sigmoid(x), 100))
    tuning.WORK = tuning.FUNCTION_LEAST = 2**19
    for cell in xpnn.sigmoid.plan.__closure__:
        if isinstance(cell.cell_contents, functions.Planner):
            cell.cell_contents._plans = plans.PlanCache()  # noqa: SLF001
    print("tiles on threads:", least(lambda: xpnn.sigmoid(x), 100))


def torch() -> None:
    """Ways to a sigmoid of float32 with its lower tail, of 4 million numbers; and gelu."""
    import torch

    x = torch.randn(4096, 1000)
    ways = {
        "torch.sigmoid, without the tail": torch.sigmoid,
        "xpnn": xpnn.sigmoid,
        "the formula": lambda x: xpnn.sigmoid(x, xp=torch),
        "exp below -87": lambda x: torch.where(x < -87, torch.exp(x), torch.sigmoid(x)),
        "NumPy's program": lambda x: torch.from_numpy(xpnn.sigmoid(x.numpy())),
        "xpnn.gelu": xpnn.gelu,
        "the formula of gelu": lambda x: xpnn.gelu(x, xp=torch),
        "torch.nn.functional.gelu": torch.nn.functional.gelu,
    }
    with torch.inference_mode():
        for name, call in ways.items():
            print(f"{name}:", least(lambda call=call: call(x)))


if __name__ == "__main__":
    PARTS = {f.__name__: f for f in (networks, blocks, threads, torch)}
    for part in sys.argv[1:] or PARTS:
        print(f"\n{part}")
        PARTS[part]()
