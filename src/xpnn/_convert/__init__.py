"""Networks from elsewhere."""
