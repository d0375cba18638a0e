"""The results as markdown: each goal, then each ratio beside whether its goal is met."""

import itertools
import re
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from _goals import GOALS, LIMITS, Goal, Limit, Result, goal_of, quantity

HOW = """\
Written by `nox -s bench`. A ratio is the peer's time to xpnn's in the same round: above 1, xpnn is
faster; 'at most 4 times' is a ratio of 1/4 and more. NumPy runs with the extra `fast` unless it says
otherwise, in an environment without OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, which choose other kernels
than OpenBLAS would; those that ran stand with the threads. Every round calls each contender twice,
one after the other, and times the second call, once other libraries' threads have come to rest; short
calls are repeated for a millisecond; ratios and times are medians over the rounds. Each result is compared with xpnn's before it is timed.
A time is one call's. 'Within the spread': a quarter of the rounds reached the goal.
"""
HEADINGS = {
    "numpy": "NumPy",
    "numpy-only": "NumPy without the extra `fast`",
    "threads": "NumPy on two threads of one's own, beside the same calls in turn",
    "bits-numpy": "The same bits on NumPy",
    "bits-torch": "The same bits on PyTorch",
    "bits-jax": "The same bits on JAX, under jit",
    "torch": "PyTorch, inference_mode",
    "jax": "JAX",
    "keras-numpy": "Keras on NumPy",
    "keras-torch": "Keras on PyTorch",
    "keras-jax": "Keras on JAX",
}


def time_of(seconds: float) -> str:
    """Three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size or unit == "us":
            return f"{seconds / size:.3g} {unit}"
    raise AssertionError


def rows_of(cells: Iterable[Iterable[Any]]) -> str:
    """A table of markdown; the first row is the head."""
    head, *rest = ([str(c) for c in row] for row in cells)
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rest))


def verdict(goal: Goal | Limit, results: list[Result]) -> tuple[str, str, str]:
    """Worst and median value with a unit, and 'met' or 'missed'."""
    if isinstance(goal, Limit):
        values = [value for _, value in goal.values(results)]
        if not values:
            return "", "", "not measured"
        over = sum(value > goal.most for value in values)
        answer = f"missed by {over} of {len(values)}" if over else "met"
        worst, middle = max(values), statistics.median(values)
        return f"{worst:.3g} {goal.unit}", f"{middle:.3g} {goal.unit}", answer
    found = list(goal.values(results))
    if not found:
        return "", "", "not measured"
    ratios = [ratio for _, _, ratio in found]
    short = [(r, peer) for r, peer, _ in found if not goal.met(r, peer)]
    answer = "met"
    if short:
        near = sum(goal.perhaps(r, peer) for r, peer in short)
        answer = f"missed by {len(short)} of {len(found)}"
        answer += f", {near} of them within the spread" if near else ""
    return goal.text(min(ratios)), goal.text(statistics.median(ratios)), answer


def _lines(results: list[Result]) -> Iterator[tuple[str, ...]]:
    yield "on", "against", "goal", "worst", "median", ""
    for goal in (*GOALS, *LIMITS):
        against = goal.against if isinstance(goal, Goal) else ""
        yield goal.on, against, goal.wanted, *verdict(goal, results)


def goals(results: list[Result]) -> str:
    """Every goal, beside what was measured."""
    return rows_of(_lines(results))


def groups(results: list[Result]) -> str:
    """The goals, a line for each group: what is measured on the same, against one and another."""
    head, *lines = _lines(results)
    rows = [head]
    for on, of in itertools.groupby(lines, lambda line: line[0]):
        _, *columns, answers = zip(*of, strict=True)
        short = [answer.partition(",")[0] for answer in answers]
        short = short[: 1 if len(set(short)) == 1 else None]
        rows.append((on, *("; ".join(filter(None, cells)) for cells in (*columns, short))))
    return rows_of(rows)


BEGIN, END = "<!-- goals: written by benchmarks/speed.py -->", "<!-- end of goals -->"


def with_goals(text: str, results: list[Result]) -> str:
    """A page with the goals between its two marks."""
    start, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"expected the marks {BEGIN} and {END}")
    return f"{start}{BEGIN}\n\n{groups(results)}\n\n{END}{after}"


def ratio_of(result: Result, peer: str) -> str:
    """A ratio, and whether its goal is met."""
    ratio = f"{result['ratios'][peer]['ratio']:.2f}"
    goal = goal_of(result, peer)
    if goal is None:
        return ratio
    return f"{ratio} met" if goal.met(result, peer) else f"**{ratio} missed**"


def _cell(result: Result, name: str) -> str:
    if name in result["ratios"]:
        return ratio_of(result, name)
    return time_of(result["seconds"][name]) if name in result["seconds"] else ""


def _workload(identity: str) -> list[str]:
    """Function, shape, axis and dtype; or network and rows."""
    name, *rest = identity.split("/")[1:]
    if rest[0].startswith("rows="):
        return [name, f"{int(rest[0].removeprefix('rows=')):,}"]
    shape = "({}, {})".format(*rest[0].split("x"))
    return [name, shape, rest[1].removeprefix("axis=") if len(rest) == 3 else "", rest[-1]]


def times(results: list[Result], *, per_row: bool) -> str:
    """Times of xpnn's, ratios of the others."""
    names = list(dict.fromkeys(name for r in results for name in r["seconds"]))
    start = ["network", "rows"] if per_row else ["function", "shape", "axis", "dtype"]
    rows = [[*start, *names, *(["xpnn, rows/s"] if per_row else [])]]
    for r in results:
        speed = [f"{r['rows'] / r['seconds']['xpnn']:,.0f}"] if per_row else []
        rows.append([*_workload(r["id"]), *(_cell(r, name) for name in names), *speed])
    return rows_of(rows)


def memory(results: list[Result]) -> str:
    """MiB of xpnn's peak over its output, and the whole peaks' ratio."""
    rows = [("workload", "output, MiB", "xpnn, extra MiB", "by hand, extra MiB", "ratio of peaks")]
    for r in results:
        output = r["output"] / 2**20
        hand = r["bytes"]["by hand"] / 2**20 - output
        name = r["id"].removeprefix("memory/").replace("/", ", ")
        extra = f"{quantity(r):.1f} {'met' if quantity(r) <= LIMITS[0].most else '**missed**'}"
        rows.append((name, f"{output:.1f}", extra, f"{hand:.1f}", ratio_of(r, "by hand")))
    return rows_of(rows)


def imports(result: Result) -> str:
    """Milliseconds of each module."""
    names = list(result["seconds"])
    return rows_of([names, [f"{result['seconds'][n] * 1e3:.0f} ms" for n in names]])


def _sections(results: list[Result]) -> Iterator[str]:
    for backend, heading in HEADINGS.items():
        ours = [r for r in results if r["id"].startswith(f"{backend}/") and "error" not in r]
        for per_row, kind in ((False, "functions"), (True, "networks")):
            some = [r for r in ours if ("/rows=" in r["id"]) == per_row]
            if some:
                yield f"## {heading}: {kind}\n\n{times(some, per_row=per_row)}"
    peaks = [r for r in results if r["id"].startswith("memory/")]
    if peaks:
        yield f"## Peak memory on NumPy\n\n{memory(peaks)}"
    for r in results:
        if r["id"] == "import":
            yield f"## Imports, over `import numpy`\n\n{imports(r)}"
    errors = [f"- {r['id']}: `{re.sub(r'[`|]', '', r['error'])}`" for r in results if "error" in r]
    if errors:
        yield "## Failed\n\n" + "\n".join(errors)


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    results = document["results"]
    versions = ", ".join(f"{n} {v}" for n, v in document["versions"].items())
    threads = "; ".join(
        f"{backend}: " + ", ".join(f"{n} {count}" for n, count in found.items())
        for backend, found in document["threads"].items()
    )
    start = [
        f"# Speed\n\n{HOW}",
        f"{document['machine']}. {versions}.\n\nThreads: {threads}; JAX: one per core.\n",
        f"Load before the run, 1 being one busy core: {document['load']}. {document['note']}",
        f"![Every ratio that has a goal](speed.png)\n\n## Goals\n\n{goals(results)}",
    ]
    return "\n\n".join(part.rstrip("\n") for part in (*start, *_sections(results))) + "\n"
