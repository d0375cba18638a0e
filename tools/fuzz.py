"""Changes files that others wrote, at random, and loads them: nothing may crash, hang, take much memory or be misread.

    python tools/fuzz.py --cases 100000           # over all formats; prints a table
    python tools/fuzz.py --cases 100000 --write   # and writes it to docs/security.md
    python tools/fuzz.py --case .onnx 4711        # one case again, with its error

Case n of a format is always the same change of the same file. Each worker is a process of its own with a limit of its
memory; what it is at work on stands in a file, so that a case which ends the process is known. A model that was changed and
can still be read is run, and where ONNX Runtime reads it as well, their results are compared.
"""

import argparse
import io
import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _marks import between

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security.md"
BEGIN, END = "<!-- counts: tools/fuzz.py -->\n", "<!-- end of counts -->\n"
MODELS = ROOT / "tests" / "convert"
SEEDS = {
    ".onnx": ["models/*.onnx", "estimators/*.onnx"],
    ".pt2": ["models_pt2/*.pt2"],
    ".keras": ["models_keras/*.keras"],
    ".h5": ["models_keras/*.h5"],
    ".skops": ["estimators/*.skops"],
    ".npz": ["fuzz/*.npz"],
    ".json": ["fuzz/*.json"],
    ".safetensors": ["fuzz/*.safetensors"],
}
"""Which files of tests/convert each format is tried on."""
LARGEST = 400_000
"""Bytes of a file to change: larger ones take longer and say the same."""
SECONDS = 10
"""What one case may take."""
MEBIBYTES = 512
"""What one process may take."""
ADDRESSES = 6 * 2**30
"""Bytes of addresses that a process may ask for."""


class Slow(BaseException):
    """A case takes too long."""


# Changes


def bytes_changed(content: bytes, one: random.Random) -> bytes:
    """Return bytes with a few of them changed, left out, put in, or put elsewhere."""
    b = bytearray(content)
    for _ in range(one.randint(1, 4)):
        i = one.randrange(len(b) + 1)
        kind = one.randrange(6)
        if kind == 0 and b:
            b[min(i, len(b) - 1)] = one.randrange(256)
        elif kind == 1 and b:
            b[min(i, len(b) - 1)] ^= 1 << one.randrange(8)
        elif kind == 2:
            b[i:i] = bytes(
                one.choice((0, 255, one.randrange(256))) for _ in range(one.randint(1, 8))
            )
        elif kind == 3:
            del b[i : i + one.choice((1, 2, 4, 64))]
        elif kind == 4:
            j = one.randrange(len(b) + 1)
            b[i : i + 8] = b[j : j + 8]
        elif one.random() < 0.3:
            del b[i:]
    return bytes(b)


ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 7, 97, 2**31, 2**63, -(2**40), 1e308, -0.5, float("nan"), float("inf")),
    *(
        "",
        "x",
        "../x",
        "relu",
        "softmax",
        "Dense",
        "Lambda",
        "\0",
        "é" * 50,
        [],
        {},
        [[]],
        {"x": 1},
    ),
)


def places(value: Any, found: list[tuple[Any, Any]] | None = None) -> list[tuple[Any, Any]]:
    """Return every place in JSON: what holds it, and its key."""
    found = [] if found is None else found
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            found.append((value, key))
            if len(found) < 20_000:
                places(value[key], found)
    return found


def json_changed(content: bytes, one: random.Random) -> bytes:
    """Return JSON with a few values exchanged, moved, left out or doubled."""
    try:
        value = json.loads(content)
    except ValueError:
        return bytes_changed(content, one)
    for _ in range(one.randint(1, 3)):
        every = places(value)
        if not every:
            break
        holder, key = one.choice(every)
        kind = one.randrange(6)
        if kind == 0:
            holder[key] = one.choice(ODD)
        elif kind == 1:
            other, name = one.choice(every)
            holder[key] = json.loads(json.dumps(other[name]))
        elif kind == 2:
            del holder[key]
        elif kind == 3 and isinstance(holder, list):
            holder.insert(one.randrange(len(holder) + 1), one.choice(ODD))
        elif kind == 4 and isinstance(holder[key], int | float):
            holder[key] = holder[key] * one.choice((-1, 0, 2, 1e6)) + one.choice((0, 1))
        elif kind == 5 and isinstance(holder, dict):
            holder[one.choice(("x", "name", "units", str(key) + "_"))] = holder[key]
    return json.dumps(value).encode()


def npy_changed(content: bytes, one: random.Random) -> bytes:
    """Return an array with another shape, dtype or order in its head."""
    head = content[10:128].decode("latin1")
    for old, new in one.sample(
        [
            ("<f4", one.choice(("<f8", "|O", "<i4", "<U9", "|V4", ">f4", "<f2"))),
            ("<f8", one.choice(("<f4", "|O", "<c16", "<M8[s]"))),
            ("False", "True "),
            ("(", one.choice(("(9", "(-", "((", "(99999999999, "))),
        ],
        2,
    ):
        head = head.replace(old, new, 1)
    return content[:10] + head.encode("latin1") + content[128:]


def zip_changed(content: bytes, one: random.Random) -> bytes:
    """Return an archive of which one entry was changed, left out, doubled, renamed, or claims another size."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            entries = [(info.filename, old.read(info)) for info in old.infolist()]
    except (zipfile.BadZipFile, OSError):
        return bytes_changed(content, one)
    i = one.randrange(len(entries))
    told = [j for j, (name, _) in enumerate(entries) if name.endswith("json")]
    if told and one.random() < 0.7:
        i = one.choice(told)
    name, inside = entries[i]
    kind = one.randrange(10)
    if kind < 6:
        change = bytes_changed if kind == 0 else CHANGES.get(Path(name).suffix, bytes_changed)
        entries[i] = name, change(inside, one)
    elif kind == 6:
        del entries[i]
    elif kind == 7:
        entries.append((name, inside))
    elif kind == 8:
        entries[i] = one.choice(("x", "../x", name.upper())), inside
    else:
        entries[i] = name, inside + b"\0" * one.choice((1, 2**16))
    made = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(made, "w", one.choice((0, 8))) as new:
            for name, inside in entries:
                new.writestr(name, inside)
    return bytes_changed(made.getvalue(), one) if one.random() < 0.1 else made.getvalue()


OPERATORS = """
    Relu Add Gemm MatMul Mul Concat Split Reshape Slice Gather Expand Softmax LayerNormalization BatchNormalization
    Clip Cast Transpose Squeeze Unsqueeze ConstantOfShape ReduceSum PRelu Where Pow Sigmoid Sub Div ReduceMean
    Flatten Shape Erf Elu LeakyRelu Loop If Identity ArgMax
""".split()
LENGTHS = (0, 1, 2, 4, 5, 8, -1, 97, 2**31, 2**62)


def onnx_changed(content: bytes, one: random.Random) -> bytes:
    """Return a model with nodes, inputs, attributes or shapes changed."""
    import onnx

    model = onnx.load_model_from_string(content)
    graph = model.graph
    for _ in range(one.randint(1, 2)):
        node = one.choice(list(graph.node)) if graph.node else None
        tensor = one.choice(list(graph.initializer)) if graph.initializer else None
        names = [o for n in graph.node for o in n.output] + [i.name for i in graph.initializer]
        kind = one.randrange(9)
        if kind == 0 and node:
            graph.node.remove(node)
        elif kind == 1 and node:
            node.op_type = one.choice(OPERATORS)
        elif kind == 2 and tensor:
            tensor.dims[:] = [one.choice(LENGTHS) for _ in range(one.randint(0, 3))]
        elif kind == 3 and node and node.attribute:
            attribute = one.choice(list(node.attribute))
            attribute.i = one.choice((0, -1, 1, 2, 7, 2**40, -(2**40)))
            attribute.f = one.choice((0.0, 0.5, float("nan"), float("inf"), -1.0))
        elif kind == 4 and node and node.input:
            node.input[one.randrange(len(node.input))] = one.choice([*names, graph.input[0].name])
        elif kind == 5:
            dims = graph.input[0].type.tensor_type.shape.dim
            if dims:
                dims[one.randrange(len(dims))].dim_value = one.choice((0, 1, -5, 2**31, 97, 2**62))
        elif kind == 6 and node and len(graph.node) > 1:
            other = one.choice(list(graph.node))
            node.op_type, other.op_type = other.op_type, node.op_type
        elif kind == 7 and tensor and tensor.raw_data:
            tensor.raw_data = bytes_changed(tensor.raw_data, one)
        elif kind == 8 and node:
            graph.node.add().CopyFrom(node)
    return model.SerializeToString()


CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".onnx": onnx_changed,
    ".json": json_changed,
    ".npy": npy_changed,
    **dict.fromkeys((".pt2", ".keras", ".skops", ".npz"), zip_changed),
}
"""What changes the meaning of a file, rather than its bytes."""


def changed(kind: str, n: int) -> tuple[Path, bytes]:
    """Return a file and what case n makes of it."""
    one = random.Random(f"{kind} {n}")  # noqa: S311 -- no secret
    path = one.choice(seeds(kind))
    change = CHANGES.get(kind, bytes_changed) if one.random() < 0.75 else bytes_changed
    return path, change(path.read_bytes(), one)


def seeds(kind: str) -> list[Path]:
    """Return the files of a format."""
    found = [p for pattern in SEEDS[kind] for p in sorted(MODELS.glob(pattern))]
    return [p for p in found if p.stat().st_size <= LARGEST]


# One case


def tried(kind: str, content: bytes, folder: Path) -> str:
    """Load a file and run what comes of it; return what became of it."""
    import xpnn

    path = folder / f"case{kind}"
    path.write_bytes(content)
    try:
        network = xpnn.load(path)
        shape = network.layers[0].takes or (len(network.inputs or ()) or 5,)
        if np.prod(shape, dtype=float) > 2**22:
            return "loaded"
        x = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
        y = network(x)
    except xpnn.XpnnError:
        return "refused"
    return "compared" if kind == ".onnx" and same(path, network, x, y) else "loaded"


def same(path: Path, network: Any, x: Any, y: Any) -> bool:
    """Whether ONNX Runtime reads it as well; AssertionError if it makes something else of it."""
    import xpnn
    from xpnn._convert.runners import RUNNERS

    try:
        other = RUNNERS[".onnx"].run(path, x, None)
    except (xpnn.XpnnError, ModuleNotFoundError):
        return False
    bound = xpnn.error_bound(network, x)
    other = other.reshape(y.shape)
    # What overflows in a formula as it is written has a stable one here.
    fine = np.isfinite(y) & np.isfinite(bound) & np.isfinite(other)
    lost = np.finfo("float32").eps * 2  # of 1 - p
    wrong = np.abs(other - y)[fine] > 2 * bound[fine] + lost
    if np.any(wrong):
        raise AssertionError("ONNX Runtime computes something else")
    return True


# Workers


def work(kind: str, first: int, count: int, state: Path) -> None:
    """Try cases; print counts, and the cases that went wrong."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    warnings.simplefilter("ignore")

    def stop(*_: object) -> None:
        raise Slow

    signal.signal(signal.SIGALRM, stop)
    counts, wrong, slowest = Counter[str](), [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for n in range(first, first + count):
            state.write_text(str(n))
            _, content = changed(kind, n)
            begin = time.monotonic()
            signal.alarm(SECONDS)
            try:
                counts[tried(kind, content, Path(folder))] += 1
            except Slow:
                wrong.append((n, f"more than {SECONDS} s"))
            except BaseException as error:  # noqa: BLE001 -- whatever it is, it is a fault
                wrong.append((n, f"{type(error).__name__}: {error!s:.200}"))
            finally:
                signal.alarm(0)
            slowest = max(slowest, time.monotonic() - begin)
    print(json.dumps({"counts": counts, "wrong": wrong, "slowest": slowest, "peak": peak()}))


def peak() -> int:
    """Return the most memory that this process had, in MiB; what it inherited of its parent is not its own."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) // 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def watched(command: list[str], state: Path) -> tuple[int | None, str, str]:
    """Run a worker; return None for its exit code where it was at one case for long, in code that no signal stops."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        before, since = None, time.monotonic()
        while True:
            try:
                said, errors = one.communicate(timeout=2)
            except subprocess.TimeoutExpired:
                now = state.read_text() if state.exists() else None
                if now != before:
                    before, since = now, time.monotonic()
                elif time.monotonic() - since > 6 * SECONDS:
                    one.kill()
                    one.communicate()
                    return None, "", ""
            else:
                return one.returncode, said, errors


def worked(kind: str, first: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield what workers say of cases; one that ends by itself has failed, and the next goes on behind it."""
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        last = first + count
        while first < last:
            command = [sys.executable, __file__, "--worker", kind, str(first), str(last - first)]
            code, said, errors = watched([*command, str(state)], state)
            if code == 0:
                yield json.loads(said.splitlines()[-1])
                return
            at = int(state.read_text())
            words = f"ended with {code}: {errors[-300:]}" if code is not None else "never ended"
            yield {"counts": {}, "wrong": [(at, words)], "slowest": 0.0, "peak": 0}
            first = at + 1


def tables(results: dict[str, dict[str, Any]]) -> str:
    """Return the counts as a table."""
    lines = [
        "| format | files | cases | refused | read | of them compared | wrong | slowest, s | memory, MiB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, one in results.items():
        c = one["counts"]
        cells = [
            *(f"`{kind}`", len(seeds(kind)), f"{one['cases']:,}", f"{c['refused']:,}"),
            *(f"{c['loaded'] + c['compared']:,}", f"{c['compared']:,}" if kind == ".onnx" else ""),
            *(len(one["wrong"]), f"{one['slowest']:.2f}", one["peak"]),
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    total = sum(one["cases"] for one in results.values())
    return "\n".join(lines) + f"\n\n{total:,} cases, Python {platform.python_version()}.\n"


def main() -> int:
    """Try cases of every format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=4000, help="over all formats")
    parser.add_argument("--formats", nargs="*", default=list(SEEDS))
    parser.add_argument("--batch", type=int, default=2000, help="cases of one process")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--case", nargs=2)
    parser.add_argument("--worker", nargs=4)
    given = parser.parse_args()
    if given.worker:
        kind, first, count, state = given.worker
        work(kind, int(first), int(count), Path(state))
        return 0
    if given.case:
        kind, n = given.case
        path, content = changed(kind, int(n))
        with tempfile.TemporaryDirectory() as folder:
            print(path.name, tried(kind, content, Path(folder)))
        return 0
    from concurrent.futures import ThreadPoolExecutor

    formats = [kind for kind in given.formats if seeds(kind)]
    each = -(-given.cases // len(formats))
    jobs = [
        (k, n, min(given.batch, each - n)) for k in formats for n in range(0, each, given.batch)
    ]
    results: dict[str, dict[str, Any]] = {
        k: {"counts": Counter(), "wrong": [], "slowest": 0.0, "peak": 0, "cases": each}
        for k in formats
    }
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (kind, *_), found in zip(
            jobs, pool.map(lambda job: list(worked(*job)), jobs), strict=True
        ):
            for one in found:
                result = results[kind]
                result["counts"].update(one["counts"])
                result["wrong"] += one["wrong"]
                result["slowest"] = max(result["slowest"], one["slowest"])
                result["peak"] = max(result["peak"], one["peak"])
    text = tables(results)
    print(text)
    failed = False
    for kind, one in results.items():
        for n, words in one["wrong"][:20]:
            print(f"{kind} {n}: {words}")
        if one["peak"] > MEBIBYTES:
            print(f"{kind}: {one['peak']} MiB of {MEBIBYTES}")
        failed = failed or bool(one["wrong"]) or one["peak"] > MEBIBYTES
    if given.write and not failed:
        page = between(PAGE.read_text(encoding="utf-8"), BEGIN, END, text)
        PAGE.write_text(page, encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
