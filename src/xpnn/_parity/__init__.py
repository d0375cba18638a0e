"""Results held to the exact ones: how far off they are, and why."""
