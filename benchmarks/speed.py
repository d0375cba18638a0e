"""How fast xpnn is beside what people would pick instead.

    python benchmarks/speed.py [--backend NAME] [--only PATTERN] [--quick] [--check | --update]

A full run, Keras too, writes speed.json, speed.md and speed.png beside this file, and the goals in
docs/speed.md; a part (--backend, --only, --quick) is only printed, unless --update puts it into them (with
--backend import --only '^$' they are only written anew). --check writes nothing: it compares
with speed.json and fails if a ratio fell by more than 25 %, measured twice. Keras runs in an
environment of its own, whose Python is --keras-python; it needs xpnn, Keras, PyTorch and JAX.
"""

import argparse
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _imports
import _memory
import _plot
import _table
from _baseline import compared, fallen, missing
from _cases import BACKENDS, KERAS
from _goals import BUSY

HERE = Path(__file__).parent
BASELINE = HERE / "speed.json"
GOALS = HERE.parent / "docs" / "speed.md"
PARTS = (*BACKENDS, "memory", "import")
FOREIGN = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "XPNN_ENGINE")
"""What others set: the first two for old builds of OpenBLAS, of which a new one takes lesser kernels."""

Result = dict[str, Any]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backend", action="append", choices=PARTS, help="a part of the run; may be repeated"
    )
    parser.add_argument("--only", default="", help="a regular expression that workloads match")
    parser.add_argument("--rounds", type=int, help="at most so many; by default 11, quick 7")
    parser.add_argument("--seconds", type=float, help="a workload; by default 1, quick 0.7")
    parser.add_argument(
        "--quick", action="store_true", help="fewer workloads and rounds: 4 minutes"
    )
    parser.add_argument("--keras-python", help="the Python of Keras's environment")
    parser.add_argument("--note", default="", help="a sentence for the page, about this run")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--check", action="store_true", help="compare with the committed ratios")
    end.add_argument("--update", action="store_true", help="write a part's results too")
    options = parser.parse_args()
    options.rounds = options.rounds or (7 if options.quick else 11)
    options.seconds = options.seconds or (0.7 if options.quick else 1.0)
    return options


def machine() -> str:
    """Processor and number of cores."""
    name = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.exists():
        name = re.findall(r"model name\s*: (.*)", described.read_text(encoding="utf-8"))[0]
    return (
        f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )


def environment(backend: str) -> dict[str, str]:
    """The environment of a worker: without what others set, and with what the backend needs."""
    found = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    if backend in KERAS:
        found["KERAS_BACKEND"] = backend.removeprefix("keras-")
    if backend == "numpy-only":
        found["XPNN_ENGINE"] = "numpy"
    return found


class Run:
    """All measurements that the options ask for; what their processes were made of."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.parts = tuple(options.backend or PARTS)
        if not options.keras_python:
            print("Keras is left out: there is no --keras-python")
            self.parts = tuple(part for part in self.parts if part not in KERAS)
        self.load = os.getloadavg()[0]
        self.versions: dict[str, str] = {}
        self.threads: dict[str, dict[str, int]] = {}

    def results(self, only: str) -> Iterator[Result]:
        """Measure the workloads that match, and print each."""
        for part in self.parts:
            start = time.perf_counter()
            for result in self._part(part, only):
                print(line_of(result), flush=True)
                yield result
            print(f"{part}: {time.perf_counter() - start:.0f} s", flush=True)

    def _part(self, part: str, only: str) -> Iterator[Result]:
        quick = self.options.quick
        if part == "memory":
            yield from _memory.measure(quick=quick, only=only)
        elif part == "import":
            yield from _imports.measure(quick=quick, only=only)
        else:
            yield from self._worker(part, only)

    def _worker(self, backend: str, only: str) -> Iterator[Result]:
        command = [
            self.options.keras_python if backend in KERAS else sys.executable,
            *(str(HERE / "_worker.py"), backend, "--only", only),
            *("--rounds", str(self.options.rounds), "--seconds", str(self.options.seconds)),
            *(["--quick"] if self.options.quick else []),
        ]
        with subprocess.Popen(
            command, env=environment(backend), stdout=subprocess.PIPE, text=True
        ) as process:
            for line in process.stdout or ():
                if not line.startswith("{"):
                    continue
                found = json.loads(line)
                if "id" in found:
                    yield found | ({"load": self.load} if backend == "threads" else {})
                else:
                    self.versions |= found["versions"]
                    self.threads[backend] = found["threads"]
        if process.returncode:
            yield {"id": backend, "error": f"the process ended with {process.returncode}"}


def line_of(result: Result) -> str:
    """A result in a line."""
    if "error" in result:
        return f"{result['id']:<48} {result['error']}"
    ratios = (f"{peer} {_table.ratio_of(result, peer)}" for peer in result["ratios"])
    return f"{result['id']:<48} {', '.join(ratios)}"


def write(document: dict[str, Any]) -> None:
    """Write JSON, a result a line; the page; the picture; the goals in docs/speed.md."""
    document = _rounded(document)
    head = {k: v for k, v in document.items() if k != "results"}
    lines = ",\n".join(json.dumps(r) for r in document["results"])
    text = json.dumps({**head, "results": []}, indent=1).replace(
        '"results": []', f'"results": [\n{lines}\n]'
    )
    BASELINE.write_text(text + "\n", encoding="utf-8")
    (HERE / "speed.md").write_text(_table.page(document), encoding="utf-8")
    _plot.draw(document["results"], HERE / "speed.png")
    goals = _table.with_goals(GOALS.read_text(encoding="utf-8"), document["results"])
    GOALS.write_text(goals, encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def merged(before: list[Result], now: list[Result]) -> list[Result]:
    """The earlier results, those measured now in their places, new ones at the end."""
    found = {r["id"]: r for r in now}
    return [found.pop(r["id"], r) for r in before] + list(found.values())


def check(run: Run, results: list[Result], *, full: bool) -> bool:
    """Whether no ratio fell, in `results` or in a second measurement."""
    committed = json.loads(BASELINE.read_text(encoding="utf-8"))
    before = committed["results"]
    if committed["machine"] != machine():
        print(f"The committed ratios are another machine's: {committed['machine']}")
    suspects = fallen(before, results)
    if suspects:
        print(f"\n{len(suspects)} ratios fell; once more:")
        names = "|".join(re.escape(name) for name in {fall.id for fall in suspects})
        again = list(run.results(f"^({names})$"))
        twice = {(fall.id, fall.peer) for fall in fallen(before, again)}
        suspects = [fall for fall in suspects if (fall.id, fall.peer) in twice]
    lost = missing(before, results) if full else []
    print(f"\n{compared(before, results)} ratios compared.")
    for fall in suspects:
        print(f"fell: {fall}")
    for name in lost:
        print(f"missing: {name}")
    return bool(compared(before, results)) and not suspects and not lost


def main() -> int:
    """Measure; then write or check."""
    options = parse()
    run = Run(options)
    if run.load > BUSY:
        print(f"The machine is busy (load {run.load:.1f}): small and threaded calls look slow")
    if not importlib.util.find_spec("llvmlite"):
        print("The extra `fast` is not installed: NumPy runs without it")
    results = list(run.results(options.only))
    failed = [r["id"] for r in results if "error" in r]
    full = run.parts == PARTS and not (options.only or options.quick)
    if options.check:
        return 0 if check(run, results, full=full) and not failed else 1
    document = {
        "machine": machine(),
        "load": run.load,
        "note": options.note,
        "versions": run.versions,
        "threads": run.threads,
        "results": results,
    }
    print(f"\n{_table.goals(results)}")
    if options.update and BASELINE.exists():
        committed = json.loads(BASELINE.read_text(encoding="utf-8"))
        document = {
            **committed,
            "versions": committed["versions"] | run.versions,
            "threads": committed["threads"] | run.threads,
            "results": merged(committed["results"], results),
        }
    if full or options.update:
        write(document)
    if failed:
        print(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
