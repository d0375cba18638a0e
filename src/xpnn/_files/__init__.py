"""The model file, and rows read and written in pieces."""
