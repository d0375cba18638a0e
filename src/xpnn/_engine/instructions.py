"""INSTRUCTIONS: what each operation of each element is in instructions of LLVM's.

None may round otherwise than IEEE 754 says, and none is contracted with another.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xpnn._engine.emitter import CannotBeLoweredError, Emitter, Lanes

Instruction = Callable[..., Lanes]
"""`instruction(emitter, dtype of the result, *operands)`; operands are all one number, or all wide, and of kinds
that `elements.KINDS` has."""


def _same(of_floats: str, of_integers: str | None = None) -> Instruction:
    """Return an instruction of operands of one type, which is that of the result."""

    def instruction(to: Emitter, dtype: Any, a: Lanes, b: Lanes) -> Lanes:
        name = of_floats if dtype.kind == "f" else of_integers or of_floats
        return to.plain(name, dtype, a, b)

    return instruction


def _comparison(of_floats: str, of_integers: str) -> Instruction:
    def instruction(to: Emitter, _: Any, a: Lanes, b: Lanes) -> Lanes:
        name = f"fcmp {of_floats}" if a.dtype.kind == "f" else f"icmp {of_integers}"
        return to.plain(name, np.bool_, a, b)

    return instruction


def _intrinsic(name: str) -> Instruction:
    return lambda to, _, x: to.call(name, x)


def _negative(to: Emitter, dtype: Any, x: Lanes) -> Lanes:
    if dtype.kind == "f":
        return to.plain("fneg", dtype, x)
    return to.plain("sub", dtype, *to.alike(to.number(0, dtype), x))


def _absolute(to: Emitter, dtype: Any, x: Lanes) -> Lanes:
    if dtype.kind == "f":
        return to.call("fabs", x)
    zero, x = to.alike(to.number(0, dtype), x)
    return to.select(to.plain("icmp slt", np.bool_, x, zero), to.plain("sub", dtype, zero, x), x)


def _invert(to: Emitter, dtype: Any, x: Lanes) -> Lanes:
    ones = to.number(True if dtype.kind == "b" else -1, dtype)
    return to.plain("xor", dtype, *to.alike(x, ones))


def _is_nan(to: Emitter, _: Any, x: Lanes) -> Lanes:
    return to.plain("fcmp uno", np.bool_, x, x)


def _is_finite(to: Emitter, _: Any, x: Lanes) -> Lanes:
    size, infinity = to.alike(to.call("fabs", x), to.number(math.inf, x.dtype))
    return to.plain("fcmp one", np.bool_, size, infinity)


def _where(to: Emitter, dtype: Any, condition: Lanes, a: Lanes, b: Lanes) -> Lanes:
    return to.select(condition, convert(to, dtype, a), convert(to, dtype, b))


def _mask(to: Emitter, dtype: Any, condition: Lanes) -> Lanes:
    return to.convert("sext", condition, dtype)


def _select_by_mask(to: Emitter, dtype: Any, mask: Lanes, a: Lanes, b: Lanes) -> Lanes:
    return _where(to, dtype, convert(to, np.bool_, mask), a, b)


def _clip(to: Emitter, dtype: Any, x: Lanes, least: Lanes, most: Lanes) -> Lanes:
    less, greater = ("fcmp olt", "fcmp ogt") if dtype.kind == "f" else ("icmp slt", "icmp sgt")
    y = to.select(to.plain(less, np.bool_, x, least), least, x)
    return to.select(to.plain(greater, np.bool_, y, most), most, y)


def _maximum(to: Emitter, dtype: Any, a: Lanes, b: Lanes) -> Lanes:
    # NaN where one is NaN; of 0 and -0 either.
    return to.call("maximum" if dtype.kind == "f" else "smax", a, b, flags=_unsigned(dtype))


def _minimum(to: Emitter, dtype: Any, a: Lanes, b: Lanes) -> Lanes:
    return to.call("minimum" if dtype.kind == "f" else "smin", a, b, flags=_unsigned(dtype))


def _unsigned(dtype: Any) -> str:
    return "nsz" if dtype.kind == "f" else ""


def convert(to: Emitter, dtype: Any, x: Lanes) -> Lanes:
    """Return numbers of another dtype; of a float that no integer is, any integer."""
    have, want = x.dtype, np.dtype(dtype)
    if have == want:
        return x
    if want.kind == "b":
        zero = to.alike(x, to.number(0, have))
        return to.plain("fcmp une" if have.kind == "f" else "icmp ne", np.bool_, *zero)
    if {have, want} == {
        np.dtype(np.float16),
        np.dtype(np.float64),
    } or have.kind + want.kind == "fu":
        raise CannotBeLoweredError(f"conversions from {have} to {want}")
    longer, as_long = want.itemsize > have.itemsize, want.itemsize == have.itemsize
    if have.kind == "f":
        y = to.convert(
            ("fpext" if longer else "fptrunc") if want.kind == "f" else "fptosi", x, want
        )
        # Frozen: what the processor makes of NaN is any number, but the same one wherever it is used.
        return y if want.kind == "f" else Lanes(to.make(f"freeze {to.of(y)}"), want, y.wide)
    is_signed = have.kind == "i"
    if want.kind == "f":
        return to.convert("sitofp" if is_signed else "uitofp", x, want)
    if as_long and have.kind != "b":
        return Lanes(x.name, want, x.wide)
    widening = "sext" if is_signed else "zext"
    return to.convert(widening if longer or have.kind == "b" else "trunc", x, want)


def _astype(to: Emitter, dtype: Any, x: Lanes) -> Lanes:
    return convert(to, dtype, x)


class _Layout(NamedTuple):
    """How a number lies in bits: an exponent above as many digits."""

    word: Any
    digits: int
    offset: int
    """The exponent's bits of 1."""
    low: int
    """The bits of the root of 1/2."""


_LAYOUTS = {
    4: _Layout(np.dtype(np.int32), 23, 127, 0x3F3504F3),
    8: _Layout(np.dtype(np.int64), 52, 1023, 0x3FE6A09E667F3BCD),
}


class _Integers:
    """Operations of the words that numbers lie in."""

    def __init__(self, to: Emitter, dtype: Any, *, wide: bool) -> None:
        self._to, self._dtype, self._wide = to, dtype, wide
        self.layout = _LAYOUTS[dtype.itemsize]

    def number(self, value: int) -> Lanes:
        """Return a constant."""
        number = self._to.number(value, self.layout.word)
        return self._to.widened(number) if self._wide else number

    def of(self, name: str, a: Lanes, b: Lanes | int) -> Lanes:
        """Return the result of an instruction."""
        b = self.number(b) if isinstance(b, int) else b
        return self._to.plain(name, self.layout.word, a, b)

    def bits(self, x: Lanes) -> Lanes:
        """Return the word of a number."""
        return self._to.convert("bitcast", x, self.layout.word)

    def float(self, bits: Lanes) -> Lanes:
        """Return the number of a word."""
        return self._to.convert("bitcast", bits, self._dtype)

    def power(self, n: Lanes) -> Lanes:
        """Return 2**n for a word n."""
        return self.float(self.of("shl", self.of("add", n, self.layout.offset), self.layout.digits))


def _power_of_two(to: Emitter, dtype: Any, k: Lanes) -> Lanes:
    # k is in the last digits of k + 1.5 * 2**digits.
    integers = _Integers(to, dtype, wide=k.wide)
    digits, offset = integers.layout.digits, integers.layout.offset
    beyond = to.alike(k, to.number(1.5 * 2.0**digits + offset, dtype))
    return integers.float(
        integers.of("shl", integers.bits(to.plain("fadd", dtype, *beyond)), digits)
    )


def _times_power_of_two(to: Emitter, dtype: Any, x: Lanes, k: Lanes) -> Lanes:
    # In two halves, as the whole may be more than the exponent of a number holds.
    integers = _Integers(to, dtype, wide=k.wide)
    n = convert(to, integers.layout.word, k)
    half = integers.of("ashr", n, 1)
    for part in (half, integers.of("sub", n, half)):
        x = to.plain("fmul", dtype, *to.alike(x, integers.power(part)))
    return x


def _exponent_bits(to: Emitter, x: Lanes) -> tuple[_Integers, Lanes]:
    """Return the word of x's exponent, of its fraction from the root of 1/2 on."""
    integers = _Integers(to, x.dtype, wide=x.wide)
    layout = integers.layout
    difference = integers.of("sub", integers.bits(x), layout.low)
    return integers, integers.of("and", difference, -(1 << layout.digits))


def _fraction(to: Emitter, _: Any, x: Lanes) -> Lanes:
    integers, exponent = _exponent_bits(to, x)
    return integers.float(integers.of("sub", integers.bits(x), exponent))


def _exponent(to: Emitter, dtype: Any, x: Lanes) -> Lanes:
    integers, exponent = _exponent_bits(to, x)
    return convert(to, dtype, integers.of("ashr", exponent, integers.layout.digits))


def _inverse_power(to: Emitter, _: Any, x: Lanes) -> Lanes:
    integers, exponent = _exponent_bits(to, x)
    one = integers.number(integers.layout.offset << integers.layout.digits)
    return integers.float(integers.of("sub", one, exponent))


def _copysign(to: Emitter, _: Any, x: Lanes, sign: Lanes) -> Lanes:
    return to.call("copysign", x, sign)


INSTRUCTIONS: dict[str, Instruction] = {
    "add": _same("fadd", "add"),
    "subtract": _same("fsub", "sub"),
    "multiply": _same("fmul", "mul"),
    "divide": _same("fdiv"),
    "negative": _negative,
    "positive": lambda _to, _dtype, x: x,
    "absolute": _absolute,
    "floor": _intrinsic("floor"),
    "ceil": _intrinsic("ceil"),
    "trunc": _intrinsic("trunc"),
    "rint": _intrinsic("rint"),
    "sqrt": _intrinsic("sqrt"),
    "less": _comparison("olt", "slt"),
    "less_equal": _comparison("ole", "sle"),
    "greater": _comparison("ogt", "sgt"),
    "greater_equal": _comparison("oge", "sge"),
    "equal": _comparison("oeq", "eq"),
    "not_equal": _comparison("une", "ne"),
    "isnan": _is_nan,
    "isfinite": _is_finite,
    "logical_and": _same("and"),
    "logical_or": _same("or"),
    "logical_not": _invert,
    "bitwise_and": _same("and"),
    "bitwise_or": _same("or"),
    "bitwise_xor": _same("xor"),
    "invert": _invert,
    "where": _where,
    "mask": _mask,
    "select_by_mask": _select_by_mask,
    "clip": _clip,
    "astype": _astype,
    "maximum": _maximum,
    "minimum": _minimum,
    "copysign": _copysign,
    "power_of_two": _power_of_two,
    "times_power_of_two": _times_power_of_two,
    "fraction": _fraction,
    "exponent": _exponent,
    "inverse_power": _inverse_power,
}
