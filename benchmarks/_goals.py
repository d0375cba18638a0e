"""The goals: how many times as long as xpnn what people would pick instead is to take."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Result = dict[str, Any]
MIB = 2**20
SMALL_CALL = 100e-6
"""Seconds below which a call is small: what counts there is what a call costs more."""


@dataclass(frozen=True)
class Goal:
    """A ratio to reach, on the workloads and against the peers that two patterns find.

    `slack`: or else, where the peer's call is small, how many seconds more xpnn's may take.
    """

    on: str
    against: str
    workloads: str
    peers: str
    least: float
    slack: float = 0.0

    @property
    def wanted(self) -> str:
        small = f", or at most {self.slack * 1e6:.0f} us more a small call" if self.slack else ""
        return f">= {self.least:g}{small}"

    def values(self, results: Iterable[Result]) -> Iterator[tuple[Result, str, float]]:
        """All ratios that this is about: their result, peer and value."""
        for result in results:
            if re.search(self.workloads, result["id"]):
                for peer, found in result.get("ratios", {}).items():
                    if re.fullmatch(self.peers, peer):
                        yield result, peer, found["ratio"]

    def met(self, result: Result, peer: str) -> bool:
        return self._reached(result, peer, result["ratios"][peer]["ratio"])

    def perhaps(self, result: Result, peer: str) -> bool:
        """Whether a quarter of the rounds reached it: near enough to be the run's own noise."""
        return self._reached(result, peer, result["ratios"][peer]["high"])

    def _reached(self, result: Result, peer: str, ratio: float) -> bool:
        if ratio >= self.least or not self.slack:
            return ratio >= self.least
        seconds = result["seconds"][peer]
        return seconds < SMALL_CALL and seconds / ratio - seconds <= self.slack


@dataclass(frozen=True)
class Limit:
    """A quantity of xpnn's own that is not to be larger than `most`."""

    on: str
    workloads: str
    most: float
    unit: str

    @property
    def wanted(self) -> str:
        return f"at most {self.most:g} {self.unit}"

    def values(self, results: Iterable[Result]) -> Iterator[tuple[Result, float]]:
        """All quantities that this is about: extra MiB, or milliseconds."""
        for result in results:
            if re.search(self.workloads, result["id"]) and "error" not in result:
                yield result, quantity(result)


def quantity(result: Result) -> float:
    """MiB over the output, or milliseconds."""
    if "bytes" in result:
        return (result["bytes"]["xpnn"] - result["output"]) / MIB
    return result["seconds"]["xpnn"] * 1e3


MANY = r"\S+/rows=(10000|100000)$"
SOFTMAXES = "NumPy softmax, log_softmax, every shape"
ONE_ROW = "NumPy network, 1 row"

GOALS = (
    Goal(SOFTMAXES, "scipy.special", "^numpy/(log_)?softmax/", "scipy.special", 1.5),
    Goal(SOFTMAXES, "by hand", "^numpy/(log_)?softmax/", "by hand", 1.0),
    Goal(ONE_ROW, "scikit-learn", "^numpy/.*/rows=1$", "scikit-learn", 8),
    Goal(ONE_ROW, "by hand", "^numpy/.*/rows=1$", "by hand", 1.0),
    Goal(ONE_ROW, "ONNX Runtime", "^numpy/.*/rows=1$", "ONNX Runtime", 0.5),
    Goal(
        "NumPy network, 10,000 rows and more",
        "scikit-learn",
        f"^numpy/{MANY}",
        "scikit-learn",
        1.8,
    ),
    Goal(
        "NumPy network, 784-50-100-10, 10,000 rows",
        "ONNX Runtime",
        "^numpy/784-.*/rows=10000$",
        "ONNX Runtime",
        1.0,
    ),
    Goal(
        "NumPy network, 784-50-100-10, 10,000 rows",
        "torch eager",
        "^numpy/784-.*/rows=10000$",
        "torch eager",
        1.2,
    ),
    Goal(
        "NumPy network, 512 wide, 10,000 rows and more",
        "ONNX Runtime",
        "^numpy/10-512-.*/rows=(10000|100000)$",
        "ONNX Runtime",
        0.95,
    ),
    Goal(
        "NumPy network, 64-32-10, 100,000 rows (as near 1 as can be had)",
        "ONNX Runtime",
        "^numpy/64-32-10/rows=100000$",
        "ONNX Runtime",
        1.0,
    ),
    Goal(
        "torch, functions and networks",
        "torch.nn.functional, nn.Sequential",
        "^torch/",
        r"torch\.nn\.functional|nn\.Sequential",
        0.98,
        3e-6,
    ),
    Goal("JAX functions, not jitted", "jax.nn, not jitted", "^jax/(?!.*rows=)", "jax.nn", 1.0),
    Goal(
        "JAX network, not jitted, 1 row",
        "jax.nn, not jitted",
        "^jax/.*rows=1$",
        "jax.nn",
        10,
    ),
    Goal("JAX, under jit", "jax.nn under jit", "^jax/", "jax.nn jitted", 0.98),
    Goal("any network, 1 row", "Keras 3, same backend", "^keras-.*/rows=1$", "Keras.*", 2),
    Goal(
        "any network, 10,000 rows", "Keras 3, same backend", "^keras-.*/rows=10000$", "Keras.*", 1
    ),
)
LIMITS = (
    Limit("NumPy, peak memory over the output", "^memory/", 16, "MiB"),
    Limit("`import xpnn` over `import numpy`", "^import$", 30, "ms"),
)


def goal_of(result: Result, peer: str) -> Goal | None:
    """The goal that a ratio is held to."""
    for goal in GOALS:
        if re.search(goal.workloads, result["id"]) and re.fullmatch(goal.peers, peer):
            return goal
    return None
