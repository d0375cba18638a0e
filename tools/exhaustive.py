"""Every float32 there is, through each correctly rounded function of the reproducible way.

The reference is the C library's function of 80-bit floats, and mpmath wherever its last digits do not
decide which float32 is nearest. Each function runs twice: as one of the namespace, and as a function
of xpnn runs it, recorded and, where llvmlite is installed, compiled. Writes docs/exhaustive.json and
.md; all functions take hours.

    python tools/exhaustive.py [FUNCTION ...] [--digests] [--processes N] [--every N] [--keep FOLDER]

With --digests only what xpnn's functions give is computed, and its digest held to the one in the table:
a minute or two for each function; XPNN_ENGINE=numpy leaves the compiler out. With --keep a run that was
stopped goes on where it was, as long as the functions are the same.
"""

import argparse
import functools
import hashlib
import json
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import mpmath
import numpy as np

import xpnn
from xpnn._engine import machine
from xpnn._execution import tiles
from xpnn._execution.functions import elementwise

TABLE = Path(__file__).parents[1] / "docs" / "exhaustive.json"
BLOCK = 2**20
LEAST = np.longdouble(2) ** -126
# 8 units in the last place of 80-bit floats, whose functions are good to 1; of erf's series, 2**-55.
MARGIN = {"erf": np.longdouble(2) ** -55}
PI = np.longdouble("3.14159265358979323846264338327950288")


def _erf(x: np.ndarray) -> np.ndarray:
    """erf by its series of positive terms, for 80-bit floats; from 4 on it is nearest to 1."""
    y = np.copysign(1 - np.longdouble(2) ** -27, x)
    y[np.isnan(x)] = np.nan
    inside = np.abs(x) < 4
    y[inside] = _erf_series(x[inside])
    return y


def _erf_series(x: np.ndarray) -> np.ndarray:
    step, term, total = 2 * x * x, x.copy(), x.copy()
    n = 1
    while np.any(np.abs(term) > np.abs(total) * 2.0**-66):
        term = term * (step / (2 * n + 1))
        total += term
        n += 1
    return 2 / np.sqrt(PI) * np.exp(-x * x) * total


REFERENCES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "exp": (np.exp, mpmath.exp),
    "exp2": (np.exp2, lambda x: mpmath.mpf(2) ** x),
    "expm1": (np.expm1, mpmath.expm1),
    "log": (np.log, mpmath.log),
    "log2": (np.log2, lambda x: mpmath.log(x, 2)),
    "log10": (np.log10, mpmath.log10),
    "log1p": (np.log1p, mpmath.log1p),
    "tanh": (np.tanh, mpmath.tanh),
    "sinh": (np.sinh, mpmath.sinh),
    "cosh": (np.cosh, mpmath.cosh),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (1 + mpmath.exp(-x))),
    "erf": (_erf, mpmath.erf),
    "sqrt": (np.sqrt, mpmath.sqrt),
}


def nearest(name: str, x: float) -> np.float32:
    """The correctly rounded value by mpmath."""
    with mpmath.workprec(300):
        exact = REFERENCES[name][1](mpmath.mpf(x))
        if abs(float(exact)) < 2.0**-126:  # as binary64 has it
            return np.float32(0)
        with mpmath.workprec(24):
            return np.float32(float(+exact))


def to_float32(y: np.ndarray) -> np.ndarray:
    """Round 80-bit floats; below the least normal number to 0."""
    return np.where(np.abs(y) < LEAST, np.longdouble(0), y).astype(np.float32)


@functools.cache
def through_xpnn(name: str) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """Return a function as xpnn runs it on NumPy, and what does so: llvmlite or numpy.

    What xpnn has no public function of becomes one as its own do.
    """
    rxp = xpnn.reproducible(np)

    def formula(x: Any, /, *, xp: Any) -> Any:
        return getattr(xp, name)(x)

    formula.__name__ = name
    function = functools.partial(getattr(xpnn, name, None) or elementwise(formula), xp=rxp)
    with (
        mock.patch.object(tiles, "CompiledTrace", wraps=tiles.CompiledTrace) as compiled,
        mock.patch.object(tiles, "Trace", wraps=tiles.Trace) as recorded,
    ):
        function(np.ones(BLOCK, np.float32))
    if not (compiled.called or recorded.called):
        raise RuntimeError(f"{name} ran as it is written: nothing recorded it")
    if recorded.called and machine.is_there():
        raise RuntimeError(f"{name} is not compiled, though there is a compiler")
    return function, "numpy" if recorded.called else "llvmlite"


def digest(y: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(y, dtype="<f4")).hexdigest()


def check(job: tuple[str, int, bool]) -> dict[str, Any]:
    """One block of inputs: a digest of the results, by the engine; and how many are misrounded."""
    name, number, digests = job
    np.seterr(all="ignore")
    bits = np.arange(number * BLOCK, (number + 1) * BLOCK, dtype=np.uint64).astype(np.uint32)
    x = bits.view(np.float32)
    function, engine = through_xpnn(name)
    row = {"engine": engine, "by the engine": digest(function(x))}
    return row if digests else {**row, **beside_exact(name, bits, x)}


def beside_exact(name: str, bits: np.ndarray, x: np.ndarray) -> dict[str, Any]:
    """What the function of the namespace gives, beside what is nearest."""
    got = getattr(xpnn.reproducible(np), name)(x)
    wide = np.where(np.abs(x) < LEAST, 0, x).astype(np.longdouble)
    exact = REFERENCES[name][0](wide)
    margin = MARGIN.get(name, np.longdouble(2) ** -60)
    expected = to_float32(exact)
    near = to_float32(exact * (1 - margin)) != to_float32(exact * (1 + margin))
    open_ = np.flatnonzero(near & np.isfinite(exact) & (wide != 0))
    for i in open_:
        expected[i] = nearest(name, float(x[i]))
    expected = np.where(np.isnan(expected), np.float32(math.nan), expected + np.float32(0))
    wrong = np.flatnonzero(expected.view(np.uint32) != got.view(np.uint32))
    return {
        "decided by mpmath": len(open_),
        "misrounded": len(wrong),
        "first": [f"{bits[i]:08x}" for i in wrong[:5]],
        "digest": digest(got),
    }


def source() -> str:
    """A digest of what computes the functions."""
    package = Path(xpnn.__file__).parent
    folders = [package / name for name in ("_activations", "_execution", "_reproducible")]
    texts = [path.read_bytes() for f in folders for path in sorted(f.rglob("*.py"))]
    return hashlib.sha256(b"".join(texts)).hexdigest()


def blocks_of(
    name: str, numbers: range, processes: int, keep: Path | None, *, digests: bool
) -> list[dict[str, Any]]:
    """Check blocks, and those that are kept in a folder not again."""
    found: dict[int, dict[str, Any]] = {}
    kind = "digests-" * digests + through_xpnn(name)[1]
    kept = None if keep is None else keep / f"{name}-{kind}-{source()[:12]}.jsonl"
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        lines = kept.read_text().splitlines() if kept.exists() else []
        found = {row.pop("block"): row for row in map(json.loads, lines)}
    missing = [i for i in numbers if i not in found]
    with ProcessPoolExecutor(processes) as pool:
        for i, row in zip(
            missing, pool.map(check, [(name, i, digests) for i in missing]), strict=True
        ):
            found[i] = row
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps({"block": i, **row}) + "\n")
    return [found[i] for i in numbers]


def engines(row: dict[str, Any]) -> str:
    """Say what each engine gave, in the words of the table."""
    of = row.get("engines", {})
    return (
        ", ".join(f"{k}: {'the same' if v == row['digest'] else v}" for k, v in of.items()) or "-"
    )


def page(table: dict[str, dict[str, Any]]) -> str:
    """The results as a page."""
    rows = [
        f"| {name} | {row['misrounded']} | {row['decided by mpmath']} | `{row['digest']}` |"
        f" {engines(row)} |"
        for name, row in table.items()
    ]
    return f"""# Every number of binary32

Written by `python tools/exhaustive.py`. Each function of the reproducible namespace, of all {2**32:,}
numbers of binary32, beside the C library's 80-bit function; where its last digits do not decide which
number of binary32 is nearest, mpmath does. The digest is of all results: anybody's correctly rounded
function has it, with one NaN, 0 for -0, and 0 for what is below the smallest normal number, in and
out. It is the SHA-256 of the SHA-256s, as text, of blocks of 2\\*\\*20 results, little endian, by bits.

The last column is the digest of all results as xpnn's own functions give them on NumPy, such as
`xpnn.exp(x, xp=xp)`: a recorded formula, which runs as compiled code where llvmlite is installed and as
NumPy's functions where not.

| function | misrounded | decided by mpmath | digest | by xpnn's functions |
| --- | --- | --- | --- | --- |
{chr(10).join(rows)}
"""


def together(digests: list[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("functions", nargs="*", default=list(REFERENCES))
    parser.add_argument(
        "--digests", action="store_true", help="only xpnn's functions; no reference"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="only every N-th block; no table")
    parser.add_argument("--keep", type=Path, help="folder for blocks that are done")
    options = parser.parse_args()
    failed = []
    for name in options.functions:
        start = time.time()
        numbers = range(0, 2**32 // BLOCK, options.every)
        blocks = blocks_of(name, numbers, options.processes, options.keep, digests=options.digests)
        whole = options.every == 1
        table = json.loads(TABLE.read_text()) if whole and TABLE.exists() else {}
        row = table.setdefault(name, {})
        first = []
        if not options.digests:
            row |= {
                "inputs": len(blocks) * BLOCK,
                "misrounded": sum(b["misrounded"] for b in blocks),
                "decided by mpmath": sum(b["decided by mpmath"] for b in blocks),
                "digest": together([b["digest"] for b in blocks]),
            }
            first = [x for b in blocks for x in b["first"]][:10]
        (engine,) = {b["engine"] for b in blocks}
        found = together([b["by the engine"] for b in blocks])
        row["engines"] = dict(sorted({**row.get("engines", {}), engine: found}.items()))
        print(name, engine, row, first, f"{time.time() - start:.0f} s", flush=True)
        if row.get("misrounded") or found != row.get("digest", found):
            failed.append(name)
        if whole:
            TABLE.write_text(json.dumps(dict(sorted(table.items())), indent=2) + "\n")
            TABLE.with_suffix(".md").write_text(page(dict(sorted(table.items()))))
    if failed:
        sys.exit(f"not the correctly rounded results, or not by the engine: {', '.join(failed)}")


if __name__ == "__main__":
    main()
