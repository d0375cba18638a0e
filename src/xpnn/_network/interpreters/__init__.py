"""What is made of a network's layers: values, bounds, expected errors, exact values."""
