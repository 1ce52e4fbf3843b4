r"""The syntax inside a parameter's value: `,` `|` `$` separate, `\` before one of them takes it literally.

https://hl7.org/fhir/R4/search.html#escaping
"""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation

from fhir_server.search.parameters.parameter import BadValue
from fhir_server.search.query import MAX_NUMBER, MIN_NUMBER

PREFIXES = frozenset(("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"))

# Enough digits that the bounds of every number within MIN_NUMBER..MAX_NUMBER are exact.
EXACT = Context(prec=2000, Emax=999999, Emin=-999999, traps=[])


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that are not escaped; the parts keep their escapes."""
    if "\\" not in text:
        return text.split(separator)
    parts, part, escaped = [], "", False
    for char in text:
        if char == separator and not escaped:
            parts.append(part)
            part = ""
        else:
            part += char
        escaped = char == "\\" and not escaped
    return [*parts, part]


def unescape(text: str) -> str:
    """The text that was meant. A lone backslash is an error of the specification's own naming."""
    if "\\" not in text:
        return text
    out, escaped = "", False
    for char in text:
        if escaped and char not in "\\,|$":
            raise BadValue(r"a backslash stands only before \ , | or $")
        escaped = char == "\\" and not escaped
        if not escaped:
            out += char
    if escaped:
        raise BadValue(r"a backslash stands only before \ , | or $")
    return out


def prefixed(text: str) -> tuple[str, str]:
    """(prefix, the rest): `ge2020` is ("ge", "2020"), and without a prefix it is "eq"."""
    if text[:2] in PREFIXES:
        return text[:2], text[2:]
    return "eq", text


def clamp(value: Decimal) -> Decimal:
    """The value as a plain Decimal between MIN_NUMBER and MAX_NUMBER; BadValue for NaN."""
    try:
        if value > MAX_NUMBER:
            return MAX_NUMBER
        if value < MIN_NUMBER:
            return MIN_NUMBER
    except InvalidOperation:
        raise BadValue("not a number") from None
    return value if type(value) is Decimal else Decimal(value)
