"""Arithmetic in which every rounding is fixed; the golden digests stand for each operation."""
