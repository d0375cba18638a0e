"""How long imports take over `import numpy`, each in a fresh process, interleaved.

Compiled once before, to bytecode that is kept, as it is after a first import where nothing forbids it.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

MODULES = {
    "xpnn": "xpnn",
    "scipy.special": "scipy.special",
    "scikit-learn": "sklearn.neural_network",
    "ONNX Runtime": "onnxruntime",
    "torch": "torch",
    "jax": "jax",
}
ROUNDS = 7

TIMED = """
from time import perf_counter
start = perf_counter()
import numpy
middle = perf_counter()
import {module}
print(middle - start, perf_counter() - middle)
"""


def _seconds(module: str, bytecode: str) -> tuple[float, float]:
    """Seconds of `import numpy`, and of importing the module after it."""
    command = [sys.executable, "-c", TIMED.format(module=module)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = bytecode
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    numpy, rest = map(float, done.stdout.split())
    return numpy, rest


def measure(*, quick: bool, only: str) -> Iterator[dict[str, Any]]:
    """One result: seconds of each module, and the ratios to xpnn's."""
    if not re.search(only, "import"):
        return
    rounds = range(3 if quick else ROUNDS)
    with tempfile.TemporaryDirectory() as bytecode:
        for module in MODULES.values():
            _seconds(module, bytecode)
        taken = [{n: _seconds(module, bytecode) for n, module in MODULES.items()} for _ in rounds]
    seconds = {n: statistics.median(t[n][1] for t in taken) for n in MODULES}
    seconds["numpy alone"] = statistics.median(t["xpnn"][0] for t in taken)
    ratios = {}
    for n in MODULES:
        if n != "xpnn":
            low, ratio, high = statistics.quantiles(
                [t[n][1] / t["xpnn"][1] for t in taken], n=4, method="inclusive"
            )
            ratios[n] = {"ratio": ratio, "low": low, "high": high}
    yield {"id": "import", "rounds": len(taken), "seconds": seconds, "ratios": ratios}
