"""Text to tokens.

https://hl7.org/fhirpath/N1/#lexical-elements
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass


class CompileError(Exception):
    """An expression that cannot be compiled: what is wrong, and at which character (0 = the first)."""

    def __init__(self, message: str, text: str, at: int) -> None:
        super().__init__(f"{message}, at character {at} of {text!r}")
        self.message = message
        self.text = text
        self.at = at


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is name, string, number, this, end, or the operator or punctuation mark itself."""

    kind: str
    text: str
    at: int


_TOKEN = re.compile(
    r"""(?P<blank>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |`(?P<quoted>(?:[^`\\]|\\.)*)`
    |'(?P<string>(?:[^'\\]|\\.)*)'
    |(?P<number>[0-9]+(?:\.[0-9]+)?)
    |(?P<this>\$this\b)
    |(?P<mark>!=|[.()\[\],|=])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "'": "'", '"': '"', "`": "`", "\\": "\\", "/": "/"}


def tokens(text: str) -> Iterator[Token]:
    """The tokens of text, the last of kind "end"."""
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise CompileError(f"{text[at]!r} is not supported here", text, at)
        kind = found.lastgroup or ""
        if kind == "mark":
            yield Token(found[kind], found[kind], at)
        elif kind in ("quoted", "string"):
            yield Token("name" if kind == "quoted" else kind, _unescape(found[kind], text, at), at)
        elif kind != "blank":
            yield Token(kind, found[kind], at)
        at = found.end()
    yield Token("end", "", at)


def _unescape(body: str, text: str, at: int) -> str:
    def replace(found: re.Match[str]) -> str:
        escape = found[1]
        if len(escape) == 5:
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPED:
            raise CompileError(f"unknown escape \\{escape}", text, at)
        return _ESCAPED[escape]

    return _ESCAPE.sub(replace, body)
