"""LLVM: text in, the address of a function out; and what the processor has."""

import ctypes
import functools
import itertools
import os
import threading
from importlib.util import find_spec
from typing import Any, NamedTuple

from xpnn.errors import XpnnValueError

LEAST = (0, 50)
"""The first version of llvmlite whose LLVM reads what is written here."""
MOST = 256
"""Functions that are kept for others of the same text."""

_lock = threading.Lock()
_functions: dict[str, "Function"] = {}
_numbers = itertools.count()

Call = Any
"""`call(address)` of a frame."""


class Function:
    """A compiled function, which lives as long as this."""

    def __init__(self, text: str) -> None:
        llvm, machine, linker = _llvm(), _machine(), _linker()
        # A context of its own is freed with all that was parsed in it.
        module = llvm.parse_assembly(text, llvm.create_context())
        module.verify()
        # A fifth of the time of the pipeline that compilers of C run, and as fast a function. To combine
        # instructions gains nothing, and loses the sign of zero where float16 is widened and compared.
        options = llvm.create_pipeline_tuning_options(speed_level=2)
        builder = llvm.create_pass_builder(machine, options)
        passes = llvm.create_new_function_pass_manager()
        for name in ("sroa", "simplify_cfg", "new_gvn"):
            getattr(passes, f"add_{name}_pass")()
        passes.run(module.get_function("run"), builder)
        library = llvm.JITLibraryBuilder().add_object_img(machine.emit_object(module))
        self._code = library.export_symbol("run").link(linker, f"xpnn{next(_numbers)}")
        self.address: int = self._code["run"]
        self.call: Call = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self.address)
        """Lets other threads of Python run meanwhile."""
        self.brief: Call = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(self.address)
        """Does not, which takes less than to come back to Python between threads."""


def compiled(text: str) -> Function:
    """Return the function `run(ptr)` of a module, compiled once for each text."""
    found = _functions.get(text)
    if found is not None:  # whatever another thread compiles meanwhile
        return found
    with _lock:
        found = _functions.get(text)
        if found is None:
            while len(_functions) >= MOST:
                _functions.pop(next(iter(_functions)))
            found = _functions[text] = Function(text)
        return found


if hasattr(os, "register_at_fork"):  # nothing is being compiled when a process is copied
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


class Engine(NamedTuple):
    """What computes on NumPy's arrays."""

    compiles: bool
    description: str


@functools.cache
def engine() -> Engine:
    """Return what computes on NumPy's arrays in this process: `XPNN_ENGINE=numpy` has NumPy do it."""
    chosen = os.environ.get("XPNN_ENGINE", "")
    if chosen not in {"", "llvm", "numpy"}:
        raise XpnnValueError(f"expected XPNN_ENGINE to be llvm or numpy, got {chosen!r}; unset it")
    calls, found = "calls of NumPy's functions", _version()
    if chosen == "numpy":
        return Engine(False, f"{calls}, as XPNN_ENGINE says")
    if found is None:
        why = f"{calls}; compiled with llvmlite: pip install 'xpnn[fast]'"
    elif tuple(map(int, found.split(".")[:2])) < LEAST:
        least = ".".join(map(str, LEAST))
        why = f"{calls}; llvmlite {found} is older than {least}: pip install -U 'xpnn[fast]'"
    else:
        bits = 8 * vector_bytes()
        return Engine(True, f"compiled by llvmlite {found}, {bits} bits at a time")
    if chosen == "llvm":
        raise XpnnValueError(f"XPNN_ENGINE is llvm, but NumPy's arrays are computed by {why}")
    return Engine(False, why)


def is_there() -> bool:
    """Whether formulas of NumPy's arrays are compiled."""
    return engine().compiles


def _version() -> str | None:
    if find_spec("llvmlite") is None:
        return None
    from importlib.metadata import version  # takes its time

    return version("llvmlite")


@functools.cache
def vector_bytes() -> int:
    """Return how many bytes an instruction of this processor computes with."""
    features = _llvm().get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") else 16


@functools.cache
def registers() -> int:
    """Return how many vectors this processor holds."""
    features = _llvm().get_host_cpu_features()
    return 32 if features.get("avx512f") or _is_arm64() else 16


@functools.cache
def has_fma() -> bool:
    """Whether the processor multiplies and adds in one instruction."""
    return bool(_llvm().get_host_cpu_features().get("fma")) or _is_arm64()


def _is_arm64() -> bool:
    return "aarch64" in _llvm().get_default_triple() or "arm64" in _llvm().get_default_triple()


@functools.cache
def has_half() -> bool:
    """Whether the processor converts numbers of float16."""
    features = _llvm().get_host_cpu_features()
    return bool(features.get("f16c")) or _is_arm64()


@functools.cache
def _llvm() -> Any:
    from llvmlite import binding  # takes some 50 ms

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


@functools.cache
def _machine() -> Any:
    """Return what writes code for this processor."""
    llvm = _llvm()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        opt=2, cpu=llvm.get_host_cpu_name(), features=features, reloc="pic", jit=True
    )


@functools.cache
def _linker() -> Any:
    """Return what brings code into this process, and lets go of it."""
    return _llvm().create_lljit_compiler()
