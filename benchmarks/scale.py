"""How much an engine that hands out rows adds to the network's own time.

    python benchmarks/scale.py [--seconds 10] [--write]

Digits, 100,000 rows of float32, all ways side by side in one run: NumPy's time, and the others' times divided
by it, the median of the rounds with quartiles. --write puts the table into scale.md beside this file. It needs
dask and distributed.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from _timing import Contender, Effort, measure
from dask.distributed import Client, LocalCluster, wait

import xpnn
import xpnn.models

PAGE = Path(__file__).parent / "scale.md"
ROWS = 100_000
CHUNKS = (1_000, 10_000, 50_000)
NUMPY = "NumPy, one call"
GOAL = "threads, chunks of 10,000 rows"
AT_MOST = 1.2


def rows() -> np.ndarray[Any, Any]:
    """The sample of digits again and again, a tenth of the grey levels changed."""
    images = xpnn.models.sample("digits")[0].astype("float32")
    rng = np.random.default_rng(0)
    x = np.resize(images, (ROWS, images.shape[1]))
    x[rng.random(x.shape) < 0.1] = 128
    return x


def ways(x: np.ndarray[Any, Any]) -> dict[str, Callable[[], Any]]:
    """What computes the same, by name."""
    network = xpnn.load("digits")
    threads: dict[str, Any] = {"scheduler": "threads"}
    of = {n: da.from_array(x, chunks=(n, -1)) for n in CHUNKS}
    some = of[10_000]
    unknown = some[some[:, 0] >= 0]
    # In the workers' memory, as where they read it: from_array would send it.
    there = some.persist()
    wait(there)
    rxp, over = xpnn.reproducible(np), xpnn.reproducible(da)
    return {
        NUMPY: lambda: network(x),
        **{
            f"threads, chunks of {n:,} rows": lambda n=n: network(of[n]).compute(**threads)
            for n in CHUNKS
        },
        "threads, a filter's chunks of unknown sizes": lambda: network(unknown).compute(**threads),
        "a cluster of two processes, rows in the workers": lambda: network.classify(
            there
        ).compute(),
        "NumPy, the same bits": lambda: network(x, xp=rxp),
        "threads, the same bits": lambda: network(some, xp=over).compute(**threads),
    }


def table(found: dict[str, Any]) -> list[str]:
    """The rows of the page."""
    lines = [
        "| 784-50-100-10, 100,000 rows | ms | times NumPy's, median (quartiles) |",
        "| --- | --- | --- |",
    ]
    for name, seconds in found["seconds"].items():
        ratio = found["ratios"].get(name)
        beside = (
            ""
            if ratio is None
            else f"{ratio['ratio']:.2f} ({ratio['low']:.2f}-{ratio['high']:.2f})"
        )
        lines.append(f"| {name} | {seconds * 1e3:,.0f} | {beside} |")
    return lines


def verdict(found: dict[str, Any]) -> str:
    """Whether the goal is met."""
    ratio = found["ratios"][GOAL]["ratio"]
    kept = "met" if ratio <= AT_MOST else "missed"
    return f"Goal: {GOAL}, at most {AT_MOST} times NumPy's time: {ratio:.2f}, {kept}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--write", action="store_true", help="into scale.md")
    args = parser.parse_args()
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(local_directory=folder, **options) as cluster,
        Client(cluster),
    ):
        calls = ways(rows())
        contenders = [
            Contender(name, call, None if name == NUMPY else NUMPY) for name, call in calls.items()
        ]
        found = measure(contenders, Effort(rounds=31, seconds=args.seconds))
    versions = ", ".join(f"{m.__name__} {m.__version__}" for m in (np, sys.modules["dask"]))
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    text = "\n".join(
        [
            "# Past one process",
            "",
            f"`python benchmarks/scale.py`: {machine}; {found['rounds']} rounds, all ways in each of them.",
            "",
            *table(found),
            "",
            verdict(found),
            "",
        ]
    )
    print(text)
    if args.write:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
