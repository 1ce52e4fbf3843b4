"""The commands of `varde` that have no package of their own; cli.py puts them together."""
