"""The command: cases handed to processes of their own, which may crash or hang; failures and counts."""

import argparse
import collections
import contextlib
import itertools
import json
import os
import queue
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from . import cover
from .calls import text
from .factors import FACTORS, Case, cost

COUNTS = Path(__file__).parents[1] / "matrix.json"
_PATIENCE = 300.0
"""Seconds after which a case hangs."""
_COSTLY = 0.3
"""Seconds from which on the sample computes a case in one process alone."""
_SHARE = 0.3
"""Of the other ways that the sample computes each case in."""
_ROUND = 200
"""Random cases after which processes start anew."""


class Worker:
    """A process that computes cases, started anew after a crash."""

    def __init__(self) -> None:
        self._process: Any = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader: threading.Thread | None = None

    def _start(self) -> None:
        self._answers = answers = queue.Queue()
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "tests.matrix", "--serve"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip

        def read() -> None:
            for line in process.stdout:
                answers.put(line)
            answers.put("")

        self._reader = threading.Thread(target=read, daemon=True)
        self._reader.start()

    def __call__(self, case: Case, peers: float) -> dict[str, Any]:
        """Return the report of a case: faults, comparisons, digest."""
        if self._process is None:
            self._start()
        try:
            self._process.stdin.write(json.dumps([case, peers]) + "\n")
            self._process.stdin.flush()
            answer = self._answers.get(timeout=_PATIENCE)
            if answer:
                return json.loads(answer)  # type: ignore[no-any-return]
            words = "the process died"
        except BrokenPipeError:
            words = "the process died"
        except queue.Empty:
            words = f"no answer within {_PATIENCE:.0f} s"
        self.stop()
        return {"faults": [words], "comparisons": 1, "digest": "", "seconds": _PATIENCE}

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.stdout.close()
            self._process = None


def report(case: Case, peers: float = 1.0) -> dict[str, Any]:
    """Compute a case here; what it raises is a fault."""
    from .check import _words, check

    started = time.process_time()
    try:
        found = check(case, peers=peers)._asdict()
    except Exception as error:  # noqa: BLE001
        found = {"faults": [f"raises {_words(error)}"], "comparisons": 1, "digest": "error"}
    return {**found, "seconds": round(time.process_time() - started, 3)}


def serve() -> None:
    """Answer each case of standard input with a line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        answers.write(json.dumps(report(*json.loads(line))) + "\n")
        answers.flush()


class Tally:
    """Counts of what was seen, and failures as they come."""

    def __init__(self, seed: int) -> None:
        self.pairs = cover.Cover(seed)
        self.possible = self.pairs.possible
        self.cases = self.comparisons = self.failed = 0
        self.slow: list[tuple[float, str]] = []
        self.by_level: collections.Counter[tuple[str, str]] = collections.Counter()
        self.digests: dict[str, str] = {}
        self.lock = threading.Lock()

    def add(self, case: Case, found: dict[str, Any]) -> None:
        """Count a report; hold it to that of the same case in another process, after others."""
        key = text(case)
        with self.lock:
            faults = list(found["faults"])
            if key in self.digests:
                self.comparisons += 1
                if self.digests[key] != found["digest"]:
                    faults.append("after other calls, in another process, it has other bits")
                faults = [] if found["faults"] and self.digests[key] == found["digest"] else faults
            else:
                self.cases += 1
                self.pairs.take(case)
                self.digests[key] = found["digest"]
            self.comparisons += found["comparisons"]
            self.slow = sorted([*self.slow, (found["seconds"], key)])[-20:]
            if faults:
                self.failed += 1
                self.by_level.update((f, str(level)) for f, level in case.items() if level != "-")
                print(
                    f"FAILED  python -m tests.matrix --case '{key}'",
                    *faults,
                    sep="\n    ",
                    flush=True,
                )

    def words(self) -> dict[str, Any]:
        """Return the counts."""
        return {
            "combinations": self.cases,
            "pairs of levels reached": self.possible - int(self.pairs.missing.sum()) // 2,
            "pairs of levels that rules of two factors allow": self.possible,
            "comparisons": self.comparisons,
            "combinations with a difference": self.failed,
            "differences by factor": {
                f: {level: n for (g, level), n in self.by_level.most_common() if g == f}
                for f in FACTORS
                if any(g == f for g, _ in self.by_level)
            },
        }


def _run(cases: list[Case], tally: Tally, until: float, peers: float) -> None:
    worker = Worker()
    for case in cases:
        if time.monotonic() > until:
            break
        tally.add(case, worker(case, peers))
    worker.stop()


def _in_two_orders(
    cases: list[Case], tally: Tally, until: float, given: argparse.Namespace
) -> None:
    """Compute cases in one process in this order, in another in another; costly ones in one of both."""
    costly = [c for c in cases if cost(c) > _COSTLY]
    cheap = [c for c in cases if cost(c) <= _COSTLY]
    orders = [cheap + costly[::4], cheap + [c for i, c in enumerate(costly) if i % 4]]
    random.Random(given.seed + tally.cases).shuffle(orders[1])  # noqa: S311
    # The second process is there for the order alone.
    shares = (_SHARE if given.hours is None else 1.0), 0.0
    threads = [
        threading.Thread(target=_run, args=(order, tally, until, share))
        for order, share in zip(orders, shares, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--hours", type=float, help="random cases until so much time is over")
    parser.add_argument("--minutes", type=float, default=3.0, help="most that the sample takes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", help="one case, from its text")
    parser.add_argument("--write", action="store_true", help=f"write the counts to {COUNTS.name}")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        with contextlib.suppress(KeyboardInterrupt):
            serve()
        return
    if given.case:
        found = report(json.loads(given.case))
        print(json.dumps(found, indent=1))
        sys.exit(bool(found["faults"]))
    sys.exit(sample(given) if given.hours is None else at_length(given))


def sample(given: argparse.Namespace) -> bool:
    """Cover every pair once, as far as the time goes; say what failed."""
    until = time.monotonic() + 60 * given.minutes
    tally, cases = Tally(given.seed), list(cover.Cover(given.seed).covering())
    print(f"{len(cases)} combinations", flush=True)
    _in_two_orders(cases, tally, until, given)
    if tally.cases < len(cases):
        print(f"{given.minutes:g} minutes are over after {tally.cases} of {len(cases)}")
    return finish(given, tally)


def at_length(given: argparse.Namespace) -> bool:
    """Draw cases until the time is over."""
    until = time.monotonic() + 3600 * given.hours
    tally, drawn = Tally(given.seed), cover.Cover(given.seed).endless()
    while time.monotonic() < until:
        _in_two_orders(list(itertools.islice(drawn, _ROUND)), tally, until, given)
        tally.digests.clear()
        print(f"{tally.cases} combinations, {tally.failed} with a difference", flush=True)
    return finish(given, tally)


def finish(given: argparse.Namespace, tally: Tally) -> bool:
    """Print the counts, write them if asked to; return whether anything differed."""
    words = tally.words()
    print(json.dumps(words, indent=1))
    for seconds, key in tally.slow[-5:]:
        print(f"{seconds:6.1f} s  {key}")
    if given.write:
        COUNTS.write_text(json.dumps(words, indent=1) + "\n", encoding="utf-8")
    return tally.failed > 0
