"""Counts what `explain` says of the faults in tests/faults.py, and writes the counts into docs/parity.md.

python tools/faults.py
"""

import collections
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "parity.md"
sys.path.insert(0, str(ROOT / "tests"))
from faults import explained, planted


def main() -> None:
    only = sys.argv[1:]
    counts: collections.Counter[str] = collections.Counter()
    for name, fault in planted():
        if only and fault not in only and name not in only:
            continue
        start = time.process_time()
        found, words = explained(name, fault)
        cause = found.cause or "passed"
        if found.passed:
            verdict = "passed"
        elif words in cause:
            verdict = "right"
        else:
            verdict = "unknown" if "unknown" in cause else "wrong"
        counts[verdict] += 1
        if verdict != "right":
            print(f"{verdict:8}{name}, {fault}: {cause}", flush=True)
        if time.process_time() - start > 5:
            print(f"{time.process_time() - start:.1f} s: {name}, {fault}", flush=True)
    print(sum(counts.values()), dict(counts))


if __name__ == "__main__":
    main()
