"""The goals: how many times as long as xpnn what people would pick instead is to take."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Result = dict[str, Any]
MIB = 2**20
SMALL_CALL = 100e-6
"""Seconds below which a call is small: what counts there is what a call costs more."""
BUSY = 0.5
"""Load from which others take part of the time: a thread that waits for a core stops all others."""


@dataclass(frozen=True)
class Goal:
    """A ratio to reach, on the workloads and against the peers that two patterns find.

    `slack`: or else, where the peer's call is small, how many seconds more xpnn's may take.
    `busy`: the ratio to reach where others use the machine. `longer`: xpnn is to take no more than so
    many times the peer's time, which is how this goal is written; `least` is 1 / longer then.
    """

    on: str
    against: str
    workloads: str
    peers: str
    least: float
    slack: float = 0.0
    busy: float | None = None
    longer: bool = False

    def text(self, ratio: float) -> str:
        """A ratio as this goal is written."""
        return f"{1 / ratio:.1f} times" if self.longer else f"{ratio:.2f}"

    @property
    def wanted(self) -> str:
        if self.longer:
            return f"at most {1 / self.least:.3g} times"
        if self.busy is not None:
            return f">= {self.least:g}, {self.busy:g} on a loaded machine"
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
        busy = self.busy is not None and result.get("load", 0) > BUSY
        least = self.busy if busy else self.least
        if ratio >= least or not self.slack:
            return ratio >= least
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


FUNCTIONS = ("NumPy functions, every shape, axis, dtype", "^numpy/(?!.*rows=)")
SMALL = ("NumPy network, 1 row, under 50,000 parameters", "^numpy/(?!10-512).*/rows=1$")
WIDE = ("NumPy network, 1 row, 512 wide", "^numpy/10-512-.*/rows=1$")
LARGE = ("NumPy network, 10,000 rows and more", "^numpy/.*/rows=10000+$")
LIGHT = "^numpy/(64-32-10|4-16-3)/rows=10000+$"
"""Networks whose activations outweigh their products."""
ALONE = "NumPy functions and networks without the extra `fast`"
TORCH = ("torch functions and networks", "^torch/")
JAX = ("JAX functions and networks", "^jax/")
KERAS = "any network, same backend"
BITS = "the same bits on NumPy, 784-50-100-10 and 512 wide"


def _goal(of: tuple[str, str], against: str, *numbers: float, peers: str = "") -> Goal:
    """A goal of what is measured, and where, against what is called so in the results."""
    return Goal(of[0], against, of[1], peers or re.escape(against), *numbers)


def _bits(what: str, most: float, workloads: str) -> Goal:
    return Goal(BITS, f"by hand, {what}", workloads, "plain", 1 / most, longer=True)


GOALS = (
    _goal(FUNCTIONS, "scipy.special", 1.5),
    _goal(FUNCTIONS, "by hand", 1.3),
    _goal(SMALL, "ONNX Runtime", 4),
    _goal(SMALL, "by hand", 5),
    _goal(SMALL, "scikit-learn", 30),
    _goal(WIDE, "ONNX Runtime", 1.2),
    _goal(WIDE, "by hand", 1.3),
    _goal(WIDE, "scikit-learn", 2.5),
    _goal(("NumPy network, 100 rows", "^numpy/.*/rows=100$"), "ONNX Runtime", 1),
    Goal(LARGE[0], "ONNX Runtime, light products", LIGHT, "ONNX Runtime", 1),
    _goal(LARGE, "ONNX Runtime", 0.9),
    _goal(LARGE, "torch eager", 1.2),
    _goal(LARGE, "scikit-learn", 1.8),
    Goal(ALONE, "by hand, 1 row", "^numpy-only/.*/(1x10/.*|rows=1)$", "by hand", 1),
    Goal(ALONE, "by hand, everywhere", "^numpy-only/", "by hand", 0.9),
    _goal(
        TORCH,
        "torch.nn.functional, nn.Sequential",
        *(0.95, 3e-6),
        peers=r"torch\.nn\.functional|nn\.Sequential",
    ),
    _goal(TORCH, "torch.compile", 0.98),
    _goal(JAX, "jax.nn", 1),
    _goal(JAX, "jax.nn under jit", 0.95, peers="jax.nn jitted"),
    Goal(
        "two threads of one's own, one network",
        "its calls in turn",
        *("^threads/", "xpnn, in turn", 1.5),
        busy=1,
    ),
    _bits("784-50-100-10", 4.5, "^bits-numpy/784-.*/rows=10000$"),
    _bits("512 wide", 4, "^bits-numpy/10-512-.*/rows=10000$"),
    _bits("1 row", 3, "^bits-numpy/.*/rows=1$"),
    Goal(KERAS, "Keras 3, 1 row", "^keras-.*/rows=1$", "Keras.*", 2),
    Goal(KERAS, "Keras 3, 10,000 rows", "^keras-.*/rows=10000$", "Keras.*", 1),
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
