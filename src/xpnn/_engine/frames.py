"""Frames: what a compiled function is called with, and what else it needs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from xpnn._arrays.types import Values
from xpnn._engine.emitter import Emitter

ROWS, LENGTH, STRIDE, TARGET, OUTER, SCRATCH, ARRAYS = range(7)
"""What lies where in a frame: numbers, and from `ARRAYS` on addresses of inputs, results and constants.

Of columns, `STRIDE` is how many numbers on the next element of a column lies in inputs, `TARGET` in results.
"""
BLOCK, STEPS, MOVES = LENGTH, OUTER, SCRATCH
"""The same of a function that calls others block by block: rows of each, how many it calls, how many addresses
in their frames go on with the rows. Behind inputs and results come the functions, each with its frame, and the
places of these addresses, each with that of its first row in this frame and its step in bytes.
"""


class Lowered(NamedTuple):
    """The text of a function, and what its frame holds after inputs and results."""

    text: str
    constants: list[Values]
    fixed: int = 0
    """Bytes of scratch memory."""
    growing: int = 0
    """Bytes of scratch for each element of a row, these rounded up to whole vectors."""
    numbers: Mapping[int, int] = MappingProxyType({})
    """Numbers of its frame, by their places."""


def slot(to: Emitter, i: int) -> str:
    """Write at the beginning that a number of the frame is read; return its name."""
    return to.first(f"load i64, ptr {to.first(f'getelementptr i64, ptr %frame, i64 {i}')}")


def address(to: Emitter, i: int) -> str:
    """Write at the beginning that an address of the frame is read; return its name."""
    return to.first(f"load ptr, ptr {to.first(f'getelementptr i64, ptr %frame, i64 {i}')}")


def in_blocks() -> str:
    """Return the text of a function that calls others for some rows at a time, which lie where the last ones lay."""
    to = Emitter(1)
    rows, block, steps, moves = (slot(to, i) for i in (ROWS, BLOCK, STEPS, MOVES))
    table = to.first(f"getelementptr i64, ptr %frame, i64 {ARRAYS + 2}")
    behind = to.first(f"getelementptr [2 x i64], ptr {table}, i64 {steps}")

    def entry(start: str, size: int, number: str, kinds: tuple[str, ...]) -> list[Any]:
        at = to.make(f"getelementptr [{size} x i64], ptr {start}, i64 {number}")
        places = [to.make(f"getelementptr i64, ptr {at}, i64 {i}") for i in range(size)]
        pairs = zip(kinds, places, strict=True)
        return [to.make(f"load {kind}, ptr {place}") for kind, place in pairs]

    with to.loop("0", rows, block) as first:
        stop = to.least(f"add i64 {first}, {block}", rows)
        count = to.make(f"sub i64 {stop}, {first}")
        with to.loop("0", moves, 1) as i:
            place, base, step = entry(behind, 3, i, ("ptr", "i64", "i64"))
            base = to.make(f"load i64, ptr {to.make(f'getelementptr i64, ptr %frame, i64 {base}')}")
            on = to.make(f"mul i64 {first}, {step}")
            to.line(f"store i64 {to.make(f'add i64 {base}, {on}')}, ptr {place}")
        with to.loop("0", steps, 1) as i:
            function, frame = entry(table, 2, i, ("ptr", "ptr"))
            place = to.make(f"getelementptr i64, ptr {frame}, i64 {ROWS}")
            to.line(f"store i64 {count}, ptr {place}")
            to.line(f"call void {function}(ptr {frame})")
    return to.module()
