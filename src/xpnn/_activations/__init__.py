"""The activations: each formula once, in terms of `xp`."""
