"""Networks: layers one after the other, and where their weights lie."""
