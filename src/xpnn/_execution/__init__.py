"""A computation planned once for a kind of arrays, and run again."""
