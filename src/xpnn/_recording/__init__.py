"""Formulas recorded on NumPy, and laid out as calls of its functions in a few buffers."""
