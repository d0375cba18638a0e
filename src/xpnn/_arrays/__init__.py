"""Whose arrays these are, their dtypes and places: what the Array API standard leaves open."""
