"""Calls timed side by side: warm, interleaved, medians, and ratios of pairs from the same round."""

import gc
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

PAUSE = 0.01
"""Seconds between two looks whether all threads rest."""

RESTING, PATIENCE = 0.1, 0.5
"""The part of a pause that other threads may compute, and the seconds for which they are waited for:
OpenBLAS's threads, and others', spin for 25 to 200 ms after their work, and would take a core from
the next contender."""

SAMPLE = 1e-3
"""Seconds that a sample lasts at least: shorter calls are repeated."""

LONG = 0.5
"""Seconds from which a call is not made a second time in its round: nothing of it is cold."""

Clock = Callable[[], float]


@dataclass(frozen=True)
class Contender:
    """One way to compute the result of a workload; `against` names xpnn's that it is held to.

    `count`: how many times `call` does it. `alike`: whether its result is to be xpnn's.
    """

    name: str
    call: Callable[[], Any]
    against: str | None = "xpnn"
    count: int = 1
    alike: bool = True


@dataclass(frozen=True)
class Effort:
    """At most `rounds`, and no further one after `seconds`, but three."""

    rounds: int
    seconds: float
    least: int = 3


def measure(
    contenders: Sequence[Contender], effort: Effort, clock: Clock = time.perf_counter
) -> dict[str, Any]:
    """Time all contenders: seconds of each, and ratios to xpnn's, above 1 where xpnn is faster.

    Every round calls each contender twice, one after the other, and times the second call; every
    other round goes through them backwards. A ratio is the median over the rounds of the ratio of
    two times of one round, and comes with its quartiles.
    """
    repeats = {c.name: _repeats(c.call, clock) for c in contenders}
    taken: dict[str, list[float]] = {c.name: [] for c in contenders}
    gc.collect()
    gc.disable()
    start = clock()
    for done in itertools.count(1):
        for c in contenders[:: 1 if done % 2 else -1]:
            rest()
            taken[c.name].append(_timed(c.call, repeats[c.name], clock) / c.count)
        if done >= effort.rounds or (done >= effort.least and clock() - start > effort.seconds):
            break
    gc.enable()
    return {
        "rounds": done,
        "seconds": {name: statistics.median(times) for name, times in taken.items()},
        "ratios": {
            c.name: _quartiles(
                [a / b for a, b in zip(taken[c.name], taken[c.against], strict=True)]
            )
            for c in contenders
            if c.against
        },
    }


def rest() -> None:
    """Wait until the other threads of the process rest."""
    for _ in range(round(PATIENCE / PAUSE)):
        before = time.process_time()
        time.sleep(PAUSE)
        if time.process_time() - before <= RESTING * PAUSE:
            return


def _quartiles(values: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"ratio": middle, "low": low, "high": high}


def _loop(call: Callable[[], Any], repeats: int, clock: Clock) -> float:
    start = clock()
    for _ in itertools.repeat(None, repeats):
        call()
    return clock() - start


def _repeats(call: Callable[[], Any], clock: Clock) -> int:
    """How many calls a sample takes; this is the warm-up too."""
    call()
    repeats = 1
    while _loop(call, repeats, clock) < SAMPLE:
        repeats *= 2
    return repeats


def _timed(call: Callable[[], Any], repeats: int, clock: Clock) -> float:
    """Seconds a call, of the second of two samples."""
    first = _loop(call, repeats, clock)
    return (first if first > LONG else _loop(call, repeats, clock)) / repeats
