"""From the typed tree to Python.

The text of a library reaches the emitted source only as constants (`repr` of strings) and as the letters,
digits and underscores of names in front of a number.
"""
