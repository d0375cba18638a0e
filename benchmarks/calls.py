"""Counts what Python does in a warm call: calls of Python functions, and changes from file to file.

    python benchmarks/calls.py

A call is warm when calls of its kind were made before. What counts is the way between `network(x)` and the
array library: each Python call costs some 50 ns, each change of file is one more page for who reads it.
Calls inside of array libraries do not count.
"""

import itertools
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import xpnn

SOURCE = str(Path(xpnn.__file__).parent)


def counted(f: Callable[[], Any]) -> tuple[int, int]:
    """Return how many functions of xpnn a warm call of f calls, and how often the file changes."""
    files: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        # "<string>" is what NamedTuple and dataclass make of a class.
        if event == "call" and frame.f_code.co_filename.startswith((SOURCE, "<string>")):
            files.append(frame.f_code.co_filename)

    for _ in range(3):
        f()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        f()
    finally:
        sys.setprofile(before)
    return len(files), sum(a != b for a, b in itertools.pairwise(files))


def arrays_of(library: str) -> Callable[[np.ndarray], Any] | None:
    """Return what makes arrays of a library; None if it is not installed."""
    if library == "numpy":
        return np.asarray
    if find_spec(library) is None:
        return None
    module = __import__(library)
    return module.asarray if library == "torch" else module.numpy.asarray  # type: ignore[no-any-return]


def calls() -> dict[str, Callable[[], Any]]:
    """Return the calls that count, by what they are."""
    network = xpnn.load("digits")
    images = np.random.default_rng(0).uniform(0, 255, (10, 784)).astype("float32")
    row = images[:, :10]
    found: dict[str, Callable[[], Any]] = {}
    for library in ("numpy", "torch", "jax"):
        asarray = arrays_of(library)
        if asarray is None:
            continue
        x, short = asarray(images), asarray(row)
        rxp = xpnn.reproducible(x)
        found[f"network, {library}"] = partial(network, x)
        xp = {"numpy": np, "torch": sys.modules.get("torch")}.get(library)
        xp = sys.modules["jax"].numpy if xp is None else xp
        found[f"network as written, {library}"] = partial(network, x, xp=xp)
        found[f"network, reproducible, {library}"] = partial(network, x, xp=rxp)
        found[f"relu, {library}"] = partial(xpnn.relu, short)
        found[f"softmax, {library}"] = partial(xpnn.softmax, short)
        found[f"softmax, reproducible, {library}"] = partial(xpnn.softmax, short, xp=rxp)
    return found


if __name__ == "__main__":
    print("| warm call | Python calls | changes of file |\n| --- | ---: | ---: |")
    for name, f in calls().items():
        print("| {} | {} | {} |".format(name, *counted(f)))
