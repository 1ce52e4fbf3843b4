"""CQL text to its syntax tree."""
