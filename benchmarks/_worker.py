"""The measurements of one backend, in a process of its own; speed.py starts it.

Prints JSON, a line each: the results one by one, then what the process is made of.
"""

import argparse
import contextlib
import importlib.metadata
import json
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import _bits
import _functions
import _networks
import _threads
import numpy as np
import threadpoolctl
from _cases import BITS, KERAS, Case, Function, cases
from _peers import ONNX_THREADS
from _timing import Contender, Effort, measure

from xpnn._arrays.transfer import to_numpy

PACKAGES = (
    *("xpnn", "numpy", "scipy", "scikit-learn", "onnxruntime", "torch", "jax", "keras"),
    *("llvmlite", "array-api-compat"),
)
SPECIAL = {"threads": _threads, **dict.fromkeys(BITS, _bits)}
COMPARED_ROWS = 1000


def versions() -> dict[str, str]:
    """Version of each package that is here."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def threads(backend: str) -> dict[str, int]:
    """How many threads each library takes, and which kernels a BLAS, as this process finds it."""
    found = {}
    for pool in threadpoolctl.threadpool_info():
        kernels = f" ({pool['architecture']})" if "architecture" in pool else ""
        found[pool["internal_api"] + kernels] = pool["num_threads"]
    if torch := sys.modules.get("torch"):
        found["torch"] = torch.get_num_threads()
    if backend == "numpy":
        found["ONNX Runtime"] = ONNX_THREADS
    return found


@contextlib.contextmanager
def setting(backend: str, case: Case) -> Iterator[None]:
    """PyTorch without gradients, for all contenders; JAX with float64 where the case has it."""
    with contextlib.ExitStack() as stack:
        if "jax" in backend:
            import jax

            stack.enter_context(jax.enable_x64(case.dtype == "float64"))
        elif "torch" in backend or (backend == "numpy" and not isinstance(case, Function)):
            import torch

            torch.compiler.reset()
            stack.enter_context(torch.inference_mode())
        yield


def check_same(name: str, contenders: Sequence[Contender]) -> None:
    """Raise unless all contenders compute the same: shape, dtype, and half of the digits.

    Half, because that tells one formula from another, and how far each is from exact is
    docs/accuracy.md's to say. The first 1,000 rows are enough: all are computed alike.
    """
    first, *others = ((c, to_numpy(c.call())) for c in contenders if c.alike)
    wanted = first[1]
    epsilon = float(np.finfo(wanted.dtype).eps)
    for c, got in others:
        if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
            raise ValueError(
                f"{name}: {c.name} gives {got.dtype} of shape {got.shape}, "
                f"xpnn {wanted.dtype} of shape {wanted.shape}"
            )
        np.testing.assert_allclose(
            got[:COMPARED_ROWS],
            wanted[:COMPARED_ROWS],
            rtol=epsilon**0.5,
            atol=8 * epsilon,
            err_msg=f"{name}: {c.name} and xpnn differ",
        )


def result(backend: str, case: Case, effort: Effort) -> dict[str, Any]:
    """Measure one case, once its contenders are seen to agree."""
    name = f"{backend}/{case.id}"
    on = SPECIAL.get(backend, _functions if isinstance(case, Function) else _networks)
    with setting(backend, case):
        contenders = on.contenders(backend, case)
        check_same(name, contenders)
        rows = case.shape[0] if isinstance(case, Function) else case.rows
        return {"id": name, "rows": rows, **measure(contenders, effort)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("backend")
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.backend in KERAS:
        import keras

        if f"keras-{keras.backend.backend()}" != options.backend:
            raise RuntimeError(f"{options.backend} was asked for, {keras.backend.backend()} runs")
    effort = Effort(options.rounds, options.seconds)
    for case in cases(options.backend, quick=options.quick):
        if re.search(options.only, f"{options.backend}/{case.id}"):
            try:
                found = result(options.backend, case, effort)
            except Exception as error:  # noqa: BLE001  speed.py fails, but with the others' results
                traceback.print_exc()
                found = {"id": f"{options.backend}/{case.id}", "error": repr(error)[:500]}
            print(json.dumps(found), flush=True)
    print(json.dumps({"versions": versions(), "threads": threads(options.backend)}))


if __name__ == "__main__":
    main()
