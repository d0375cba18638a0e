"""Recorded formulas compiled: one function for all rows, lowered to LLVM."""
