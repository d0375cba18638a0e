"""Counts what `explain` says of the faults in tests/faults.py, and writes the counts into docs/parity.md.

    python tools/faults.py          every fault on the smallest of its networks
    python tools/faults.py --all    on all of its networks

Prints every fault that is not named rightly.
"""

import argparse
import collections
import re
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "parity.md"
sys.path.insert(0, str(ROOT / "tests"))
from faults import explained, network, one_network_each, planted
from sound import SOUND

from xpnn._arrays.installed import installed
from xpnn._parity.standard import Reference, Standard


def faults(cases: list[tuple[str, str]]) -> collections.Counter[str]:
    counts: collections.Counter[str] = collections.Counter()
    for name, fault in cases:
        start = time.process_time()
        found, words = explained(name, fault)
        seconds, cause = time.process_time() - start, found.cause or "passed"
        if found.passed:
            verdict = "not detected"
        elif words in cause:
            verdict = "named rightly"
        else:
            verdict = "unknown" if cause.startswith("unknown") else "named wrongly"
        counts[verdict] += 1
        if verdict != "named rightly" or seconds > 5:
            print(f"{verdict}, {seconds:.1f} s: {name}, {fault}: {cause}", flush=True)
    return counts


def sound(names: list[str]) -> tuple[int, int]:
    """Return how many sound results there were, and how many were accused."""
    count = accused = 0
    for name in names:
        n, x = network(name)
        standard = Standard.make(Reference.make(n, x, "output"), str(x.dtype))
        for variant, compute in SOUND.items():
            try:
                y = compute(n, x)
            except ModuleNotFoundError as error:
                print(f"left out: {variant}, {error}")
                continue
            if y is not None:
                count += 1
                wrong = standard.compare(np.asarray(y), None).faults
                accused += bool(wrong)
                if wrong:
                    print(f"accused: {name}, {variant}: {wrong}", flush=True)
    return count, accused


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true")
    if "jax" in installed():
        import jax

        jax.config.update("jax_enable_x64", True)
    cases = list(planted()) if parser.parse_args().all else one_network_each()
    count, accused = sound(["small", "deep", "wide", "labels", "square", "square64", "digits"])
    verdicts = faults(cases)
    numbers = [len(cases), len(cases) - verdicts["not detected"]]
    numbers += [verdicts[v] for v in ("named rightly", "unknown", "named wrongly")]
    lines = [
        "| planted faults | detected | named rightly | unknown | named wrongly |",
        "| --- | --- | --- | --- | --- |",
        f"| {' | '.join(map(str, numbers))} |",
        "",
        f"Of {count} sound results ({len(SOUND)} ways to compute, seven networks), {accused} are accused.",
    ]
    print("\n".join(lines))
    text = PAGE.read_text(encoding="utf-8")
    part = "\n".join(lines)
    text = re.sub(
        r"(<!-- faults -->\n).*?(<!-- end -->)", rf"\1\n{part}\n\n\2", text, flags=re.DOTALL
    )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
