"""CQL text to tokens.

https://cql.hl7.org/03-developersguide.html#lexical-elements
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rules.language.errors import SyntaxProblem


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is word, name (quoted), string, number, long, date, datetime, time, variable, mark or end."""

    kind: str
    text: str
    line: int
    column: int


_TOKEN = re.compile(
    r"""(?P<blank>[\s\ufeff]+|//[^\r\n]*|/\*.*?\*/)
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |"(?P<quoted>(?:[^"\\]|\\.)*)"
    |`(?P<delimited>(?:[^`\\]|\\.)*)`
    |'(?P<string>(?:[^'\\]|\\.)*)'
    |(?P<datetime>@\d{4}(?:-\d\d(?:-\d\d)?)?T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)?(?:Z|[+-]\d\d:\d\d)?)
    |(?P<date>@\d{4}(?:-\d\d(?:-\d\d)?)?)
    |(?P<time>@T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)
    |(?P<long>\d+L\b)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<variable>\$(?:this|index|total)\b)
    |(?P<mark><=|>=|!=|!~|->|[.,()\[\]{}:<>=~+\-*/^&|%])""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "'": "'", '"': '"', "`": "`", "\\": "\\", "/": "/"}
_KIND = {"quoted": "name", "delimited": "name"}


def tokens(text: str) -> list[Token]:
    """The tokens of text, the last of kind "end". Raises SyntaxProblem where nothing fits."""
    found: list[Token] = []
    at, line, line_start = 0, 1, 0
    match = _TOKEN.match
    while at < len(text):
        token = match(text, at)
        if token is None:
            raise SyntaxProblem(f"unexpected character {text[at]!r}", line, at - line_start + 1)
        kind = token.lastgroup or ""
        body = token[kind]
        if kind in ("quoted", "delimited", "string"):
            body = _unescape(body, line, at - line_start + 1)
        if kind != "blank":
            found.append(Token(_KIND.get(kind, kind), body, line, at - line_start + 1))
        lines = text.count("\n", at, token.end())
        if lines:
            line += lines
            line_start = text.rindex("\n", at, token.end()) + 1
        at = token.end()
    found.append(Token("end", "", line, at - line_start + 1))
    return found


def _unescape(body: str, line: int, column: int) -> str:
    if "\\" not in body:
        return body

    def replace(found: re.Match[str]) -> str:
        escape = found[1]
        if len(escape) == 5:
            return chr(int(escape[1:], 16))
        if escape not in _ESCAPED:
            raise SyntaxProblem(f"unknown escape \\{escape}", line, column)
        return _ESCAPED[escape]

    return _ESCAPE.sub(replace, body)
