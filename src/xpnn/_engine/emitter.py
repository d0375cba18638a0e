"""Emitter: the text of a function of LLVM's, written value by value."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from xpnn._engine import machine

TYPES = {
    np.dtype(np.bool_): "i1",
    np.dtype(np.int8): "i8",
    np.dtype(np.int16): "i16",
    np.dtype(np.uint8): "i8",
    np.dtype(np.uint16): "i16",
    np.dtype(np.uint32): "i32",
    np.dtype(np.float16): "half",
    np.dtype(np.int32): "i32",
    np.dtype(np.int64): "i64",
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
}
"""What elements are called; of another dtype there are none."""


_SHORT = {"half": "f16", "float": "f32", "double": "f64"}
"""What the names of intrinsics call them, where it is something else."""


class CannotBeLoweredError(Exception):
    """A formula is more than the engine has instructions for: it runs as calls of NumPy's functions."""


class Lanes(NamedTuple):
    """A value in a function: one number, or as many as a vector has."""

    name: str
    dtype: Any
    wide: bool


class Emitter:
    """Writes instructions, each of which gives a value a name that it has alone."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.lines: list[str] = []
        self._first: list[str] = []
        self._declared: set[str] = set()
        self._count = 0

    # Text

    def name(self, prefix: str = "v") -> str:
        """Return a new name."""
        self._count += 1
        return f"%{prefix}{self._count}"

    def line(self, text: str) -> None:
        """Write an instruction without a result."""
        self.lines.append(f"  {text}")

    def make(self, text: str, prefix: str = "v") -> str:
        """Write an instruction; return the name of its result."""
        name = self.name(prefix)
        self.lines.append(f"  {name} = {text}")
        return name

    def first(self, text: str) -> str:
        """Write an instruction at the beginning; return the name of its result."""
        name = self.name("f")
        self._first.append(f"  {name} = {text}")
        return name

    def variable(self, dtype: Any, *, wide: bool) -> str:
        """Return memory of one value, which LLVM makes a register."""
        element = self.in_memory(dtype)
        return self.first(f"alloca {f'<{self.lanes} x {element}>' if wide else element}")

    def module(self) -> str:
        """Return the text of all: of `run`, and of the intrinsics that it calls."""
        body = "\n".join(("define void @run(ptr %frame) {", "entry:", *self._first, *self.lines))
        return "\n".join((body, "  ret void", "}", *sorted(self._declared), ""))

    # Types and values

    def type(self, dtype: Any, *, wide: bool) -> str:
        """Return LLVM's name of a type."""
        element = TYPES.get(np.dtype(dtype))
        if element is None or (element == "half" and not machine.has_half()):
            raise CannotBeLoweredError(f"numbers of {dtype}")
        return f"<{self.lanes} x {element}>" if wide else element

    def of(self, value: Lanes) -> str:
        """Return a value with its type, as an operand."""
        return f"{self.type(value.dtype, wide=value.wide)} {value.name}"

    def number(self, value: Any, dtype: Any) -> Lanes:
        """Return a constant."""
        dtype = np.dtype(dtype)
        if dtype.kind == "f" and dtype.itemsize > 2:
            with np.errstate(over="ignore"):
                (bits,) = struct.unpack("<Q", struct.pack("<d", float(dtype.type(value))))
            return Lanes(f"0x{bits:016X}", dtype, wide=False)
        if dtype.kind == "f":
            return Lanes(f"0xH{np.float16(value).view(np.uint16):04X}", dtype, wide=False)
        return Lanes(
            str(bool(value)).lower() if dtype.kind == "b" else str(int(value)), dtype, False
        )

    def widened(self, value: Lanes) -> Lanes:
        """Return a value in all lanes."""
        if value.wide:
            return value
        if not value.name.startswith("%"):
            return Lanes(f"splat ({self.of(value)})", value.dtype, wide=True)
        kind = self.type(value.dtype, wide=True)
        first = self.make(f"insertelement {kind} poison, {self.of(value)}, i64 0")
        every = self.make(
            f"shufflevector {kind} {first}, {kind} poison, <{self.lanes} x i32> zeroinitializer"
        )
        return Lanes(every, value.dtype, wide=True)

    def alike(self, *values: Lanes) -> tuple[Lanes, ...]:
        """Return values widened if one of them is wide."""
        if any(v.wide for v in values):
            return tuple(map(self.widened, values))
        return values

    def plain(self, operation: str, dtype: Any, *values: Lanes) -> Lanes:
        """Return the result of an instruction of values of one type."""
        text = ", ".join([self.of(values[0]), *(v.name for v in values[1:])])
        return Lanes(self.make(f"{operation} {text}"), np.dtype(dtype), values[0].wide)

    def call(self, name: str, *values: Lanes, flags: str = "") -> Lanes:
        """Return the result of an intrinsic of values of one type."""
        first = values[0]
        kind = self.type(first.dtype, wide=first.wide)
        function = f"@llvm.{name}.{self.suffix(first.dtype, wide=first.wide)}"
        self._declared.add(f"declare {kind} {function}({', '.join([kind] * len(values))})")
        given = ", ".join(map(self.of, values))
        return Lanes(self.make(f"call {flags} {kind} {function}({given})"), first.dtype, first.wide)

    def convert(self, instruction: str, value: Lanes, dtype: Any) -> Lanes:
        """Return a value as one of another type."""
        to = self.type(dtype, wide=value.wide)
        return Lanes(
            self.make(f"{instruction} {self.of(value)} to {to}"), np.dtype(dtype), value.wide
        )

    def suffix(self, dtype: Any, *, wide: bool) -> str:
        """Return what the names of intrinsics say of a type."""
        element = self.type(dtype, wide=False)
        return (f"v{self.lanes}" if wide else "") + _SHORT.get(element, element)

    def select(self, condition: Lanes, a: Lanes, b: Lanes) -> Lanes:
        """Return a where the condition holds, otherwise b."""
        condition, a, b = self.alike(condition, a, b)
        given = ", ".join(map(self.of, (condition, a, b)))
        return Lanes(self.make(f"select {given}"), a.dtype, a.wide)

    # Memory

    def pointer(self, base: str, index: str, dtype: Any) -> str:
        """Return the address of an element of an array."""
        return self.make(f"getelementptr {self.in_memory(dtype)}, ptr {base}, i64 {index}", "p")

    def in_memory(self, dtype: Any) -> str:
        """Return LLVM's name of an element in memory, where a truth value takes a byte."""
        element = self.type(dtype, wide=False)
        return "i8" if element == "i1" else element

    def load(
        self, pointer: str, dtype: Any, *, wide: bool, mask: str | None = None, step: int = 1
    ) -> Lanes:
        """Return what lies at an address, lanes `step` elements apart; 0 where the mask is false."""
        dtype = np.dtype(dtype)
        element = self.in_memory(dtype)
        kind, bits = f"<{self.lanes} x {element}>" if wide else element, f"<{self.lanes} x i1>"
        if step > 1:
            name = self._gathered(self._each(pointer, step, element), dtype, mask)
        elif mask is None:
            name = self.make(f"load {kind}, ptr {pointer}, align {dtype.itemsize}")
        else:
            function = f"@llvm.masked.load.{self._suffix_in_memory(dtype)}.p0"
            self._declared.add(f"declare {kind} {function}(ptr, {bits}, {kind})")
            name = self.make(
                f"call {kind} {function}(ptr align {dtype.itemsize} {pointer}, {bits} {mask}, "
                f"{kind} zeroinitializer)"
            )
        if dtype.kind == "b":
            name = self.make(f"icmp ne {kind} {name}, {'zeroinitializer' if wide else '0'}")
        return Lanes(name, dtype, wide)

    def fetch(self, pointer: str) -> None:
        """Have a line of memory brought into the cache, as it is read soon."""
        function = "@llvm.prefetch.p0"
        self._declared.add(f"declare void {function}(ptr, i32, i32, i32)")
        self.line(f"call void {function}(ptr {pointer}, i32 0, i32 3, i32 1)")

    def store(self, value: Lanes, pointer: str, mask: str | None = None, *, step: int = 1) -> None:
        """Write a value to an address, lanes `step` elements apart, where the mask is true."""
        dtype = value.dtype
        element = self.in_memory(dtype)
        kind = f"<{self.lanes} x {element}>" if value.wide else element
        name, align, bits = value.name, f"align {dtype.itemsize}", f"<{self.lanes} x i1>"
        if dtype.kind == "b":
            name = self.make(f"zext {self.of(value)} to {kind}")
        if step > 1:
            pointers = f"<{self.lanes} x ptr>"
            function = f"@llvm.masked.scatter.{self._suffix_in_memory(dtype)}.v{self.lanes}p0"
            self._declared.add(f"declare void {function}({kind}, {pointers}, {bits})")
            each = self._each(pointer, step, element)
            given = mask or "splat (i1 true)"
            self.line(
                f"call void {function}({kind} {name}, {pointers} {align} {each}, {bits} {given})"
            )
        elif mask is None:
            self.line(f"store {kind} {name}, ptr {pointer}, {align}")
        else:
            function = f"@llvm.masked.store.{self._suffix_in_memory(dtype)}.p0"
            self._declared.add(f"declare void {function}({kind}, ptr, {bits})")
            self.line(f"call void {function}({kind} {name}, ptr {align} {pointer}, {bits} {mask})")

    def gather(self, base: str, index: Lanes, dtype: Any) -> Lanes:
        """Return the elements of an array at indices."""
        dtype = np.dtype(dtype)
        if not index.wide:
            return self.load(self.pointer(base, index.name, dtype), dtype, wide=False)
        element = self.type(dtype, wide=False)
        pointers = self.make(f"getelementptr {element}, ptr {base}, {self.of(index)}", "p")
        return Lanes(self._gathered(pointers, dtype, None), dtype, wide=True)

    def _each(self, pointer: str, step: int, element: str) -> str:
        """Return the address of each lane."""
        lanes = ", ".join(f"i64 {i * step}" for i in range(self.lanes))
        return self.make(
            f"getelementptr {element}, ptr {pointer}, <{self.lanes} x i64> <{lanes}>", "p"
        )

    def _gathered(self, pointers: str, dtype: Any, mask: str | None) -> str:
        """Return what lies at addresses; 0 where the mask is false."""
        kind = f"<{self.lanes} x {self.in_memory(dtype)}>"
        places, bits = f"<{self.lanes} x ptr>", f"<{self.lanes} x i1>"
        function = f"@llvm.masked.gather.{self._suffix_in_memory(dtype)}.v{self.lanes}p0"
        self._declared.add(f"declare {kind} {function}({places}, {bits}, {kind})")
        given = mask or "splat (i1 true)"
        return self.make(
            f"call {kind} {function}({places} align {dtype.itemsize} {pointers}, "
            f"{bits} {given}, {kind} zeroinitializer)"
        )

    def _suffix_in_memory(self, dtype: Any) -> str:
        element = self.in_memory(dtype)
        return f"v{self.lanes}" + _SHORT.get(element, element)

    # Loops

    @contextmanager
    def loop(self, start: str, stop: str, step: int | str) -> Iterator[str]:
        """Write what is inside for start, start + step, ... while less than stop; give the index."""
        variable = self.variable(np.int64, wide=False)
        self.line(f"store i64 {start}, ptr {variable}")
        head, body, after = (self.name(part) for part in ("head", "body", "after"))
        self.line(f"br label {head}")
        self._label(head)
        index = self.make(f"load i64, ptr {variable}", "i")
        more = self.make(f"icmp slt i64 {index}, {stop}")
        self.line(f"br i1 {more}, label {body}, label {after}")
        self._label(body)
        yield index
        following = self.make(f"add i64 {index}, {step}")
        self.line(f"store i64 {following}, ptr {variable}")
        self.line(f"br label {head}")
        self._label(after)

    @contextmanager
    def only_if(self, condition: str) -> Iterator[None]:
        """Write what is inside for a condition."""
        body, after = self.name("then"), self.name("after")
        self.line(f"br i1 {condition}, label {body}, label {after}")
        self._label(body)
        yield
        self.line(f"br label {after}")
        self._label(after)

    def _label(self, name: str) -> None:
        self.lines.append(f"{name[1:]}:")

    def least(self, text: str, limit: str) -> str:
        """Return the lesser of what an instruction gives and a limit."""
        number = self.make(text)
        return self.make(
            f"select i1 {self.make(f'icmp slt i64 {number}, {limit}')}, i64 {number}, i64 {limit}"
        )

    def first_lanes(self, count: str) -> str:
        """Return the mask of as many first lanes."""
        number = self.widened(Lanes(count, np.dtype(np.int64), wide=False))
        lanes = ", ".join(f"i64 {i}" for i in range(self.lanes))
        return self.make(f"icmp slt <{self.lanes} x i64> <{lanes}>, {number.name}")

    def across(self, value: Lanes, combine: Callable[[Lanes, Lanes], Lanes]) -> Lanes:
        """Return what all lanes give together: halves, then halves of these, in this order."""
        kind, width = self.type(value.dtype, wide=True), self.lanes
        while width > 1:
            width //= 2
            order = [*range(width, 2 * width), *range(width), *range(2 * width, self.lanes)]
            mask = ", ".join(f"i32 {i}" for i in order)
            other = self.make(
                f"shufflevector {kind} {value.name}, {kind} poison, <{self.lanes} x i32> <{mask}>"
            )
            value = combine(value, Lanes(other, value.dtype, wide=True))
        name = self.make(f"extractelement {self.of(value)}, i64 0")
        return Lanes(name, value.dtype, wide=False)
