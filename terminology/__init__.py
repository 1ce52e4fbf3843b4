"""Code systems, value sets and units."""
