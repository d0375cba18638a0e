"""What computes on NumPy's arrays: formulas recorded once, then run as calls of its functions, or compiled."""
