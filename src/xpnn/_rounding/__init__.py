"""How rounding errors grow on their way through a formula."""
