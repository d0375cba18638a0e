"""The sizes by which it is chosen how NumPy computes, and why they are these.

Bytes, elements and rows at which one way became faster than another on two cores with AVX2 and 2 MiB of cache a
core, under OpenBLAS; docs/speed.md has what was tried. None of them changes a result but for the order of sums.
"""

# Tiles: bytes of all buffers of one, at most; and of the buffers of all rows from which on threads pay

FUNCTION_CACHE, FUNCTION_LEAST = 6 * 2**20, 12 * 2**20
WORK, BYTE = 2**24, 12
"""Multiplications from which on threads pay, and how many take as long as what is done for a byte of elements."""
BRIEF = 2**19
"""Multiplications up to which a call keeps Python's lock: some ten microseconds, as long as to get it back."""
NETWORK_CACHE, NETWORK_LEAST = 7 * 2**20, 2**20
"""A thread waits for Python between two operations: the longer each is, the less that costs.

Products, which the BLAS computes with one thread here, are long in few rows.
"""
REPRODUCIBLE_CACHE, REPRODUCIBLE_LEAST = 2**25, 2**22
"""Of networks, whose products split each matrix in several, so that a tile of few rows does much."""
REPRODUCIBLE_TILE, REPRODUCIBLE_ROWS = 2**16, 2**19
"""Elements that are computed at a time where it is not in tiles, by functions and in products of rows."""
EXACT, SIZES = 128, 8
"""Rows up to which each number has a program of its own, and how many larger numbers do."""
LITTLE = 2**13
"""Bytes of an input that is a tile whatever its formula needs beside it."""
SOME = 256
"""Rows by which the memory of one is measured, if they are not long."""
WIDEST = 2**21
"""Bytes of a slice along an axis from which on it is computed as written: it would not fit."""
FEW_COLUMNS, LONG_COLUMN = 64, 2**16
"""Columns, and bytes of each, that are taken as rows: NumPy takes short rows one by one."""

# Memory

LINE, BLOCK = 64, 2**18
"""Bytes of a line of the cache, where buffers begin, and of the least piece of memory that is got."""
IDLE = 2**26
"""Bytes that all workspaces together may keep between two calls: as much as two large tiles need."""
COPIED = 2**14
"""Bytes of an input up to which a copy takes less than putting another array in its place."""
WAITING = 2**15
"""The same of a program that waits for arrays of one shape, to which no look is given."""

# Operations

PACKED = 2**22
"""Multiplications of a row that a compiled function does itself, from a packed copy; the BLAS does more."""
PRODUCTS = 16
"""Those that the function of one row makes at most: longer ones take long to compile."""
AHEAD = 2**10
"""Bytes of rows from which on those behind them are asked of memory while these are multiplied."""
BLOCK_OF_ROWS = 2**21
"""Bytes of rows that go through all functions before the next ones do."""

LEFT = ("tanh",)
"""Functions that NumPy computes faster than the engine where they are all there is to compute."""
MANY = 2048
"""Elements from which on more, but faster, calls pay."""
BY_COLUMNS = 16
"""Columns up to which a reduction goes column by column; NumPy's own takes each row by itself."""
VECTOR, MATRIX = 2**12, 2**17
"""Multiplications for which no BLAS takes a second thread; OpenBLAS does from 9,216 and 262,144 on."""
