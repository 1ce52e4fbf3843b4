"""Where a text that is no JSON goes wrong, told by the elements it is about.

https://hl7.org/fhir/R4/json.html, https://www.rfc-editor.org/rfc/rfc8259.
People write JSON by hand, with comments, without quotes, with a comma too many: this reads on past such
things, so that all of them can be mended at once. It never makes a resource of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

LONGEST = 64 * 1024  # bytes: looking closer takes far longer than reading
MOST = 20  # findings
DEEPEST = 60

_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r\n]+)
  | (?P<comment>//[^\n]*|/\*.*?\*/)
  | (?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*")
  | (?P<quoted>'(?:[^'\\\n]|\\.)*')
  | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w.+]))
  | (?P<constant>(?:true|false|null)\b)
  | (?P<sign>[{}\[\]:,])
  | (?P<text>"(?:[^"\\\n]|\\.)*")
  | (?P<word>[^\s"'{}\[\]:,]+)""",
    re.VERBOSE | re.DOTALL,
)
_TYPE = re.compile(r"""["']?resourceType["']?\s*:\s*["']?([A-Z][A-Za-z]{1,40})""")
_NAME = re.compile("_?([A-Za-z][A-Za-z0-9]{0,63})").fullmatch
_WRONG = {
    "quoted": "Strings have double quotes",
    "word": "A string needs double quotes around it",
    "text": "The string has a line break, a control character or an escape that JSON does not have",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, the FHIRPath of the element (or of the one around it), and the line."""

    said: str
    expression: str
    line: int


class _LostError(Exception):
    """Nothing that comes after can be told apart."""


def faults(body: bytes) -> list[Fault]:
    """What a person must mend, in the order of the text; nothing where that cannot be told."""
    if len(body) > LONGEST:
        return []
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return []
    match = _TYPE.search(text)
    root = match[1] if match else "Resource"
    reader = _Reader(text)
    try:
        reader.value(root, 0)
        reader.end(root)
    except _LostError:
        pass
    return reader.found[:MOST]


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.found: list[Fault] = []
        self.comments: list[int] = []  # where those stand that the next element is told of
        self.kind, self.lexeme, self.place = "", "", 0
        self.next()

    def next(self) -> None:
        """Go to the next token, past blanks and comments; "end" at the end."""
        while match := _TOKEN.match(self.text, self.at):
            self.kind, self.lexeme, self.place = str(match.lastgroup), match[0], self.at
            self.at = match.end()
            if self.kind == "comment":
                self.comments.append(self.place)
            elif self.kind != "blank":
                return
        self.kind, self.lexeme, self.place = "end", "", self.at

    def fault(self, said: str, path: str, place: int | None = None) -> None:
        where = self.place if place is None else place
        self.found.append(Fault(said, path, self.text.count("\n", 0, where) + 1))
        if len(self.found) >= MOST:
            raise _LostError

    def lost(self, said: str, path: str) -> None:
        self.fault("The text ends too early" if self.kind == "end" else said, path)
        raise _LostError

    def element(self, path: str) -> None:
        """An element begins: comments before it are told of it."""
        waiting, self.comments = self.comments, []
        for place in waiting:
            self.fault("JSON has no comments", path, place)

    # Values

    def value(self, path: str, depth: int) -> None:
        self.element(path)
        if depth > DEEPEST:
            raise _LostError
        if self.lexeme == "{":
            self.several(path, "}", lambda index: self.member(path, depth))
        elif self.lexeme == "[":
            self.several(path, "]", lambda index: self.value(f"{path}[{index}]", depth + 1))
        elif self.kind in _WRONG:
            self.fault(_WRONG[self.kind], path)
            self.next()
        elif self.kind in ("string", "number", "constant"):
            self.next()
        else:
            self.lost("A value is missing", path)

    def several(self, path: str, end: str, one: Callable[[int], None]) -> None:
        """Members of an object or items of an array, with commas between."""
        self.next()
        index = 0
        while self.lexeme != end:
            one(index)
            index += 1
            if self.lexeme == ",":
                self.next()
                if self.lexeme == end:
                    self.fault("A comma stands before what is not there", path)
            elif self.lexeme != end:
                if self.lexeme in ("}", "]", ":") or self.kind == "end":
                    self.lost(f"'{end}' is expected", path)
                self.fault("A comma is missing", path)
        self.next()

    def member(self, path: str, depth: int) -> None:
        if self.kind not in ("string", "text", "quoted", "word"):
            self.lost("The name of a property is missing", path)
        name = _NAME(self.lexeme.strip("\"'"))
        inner = f"{path}.{name[1]}" if name else path
        self.element(inner)
        if self.kind != "string":
            self.fault("The name of a property needs double quotes around it", inner)
        self.next()
        if self.lexeme != ":":
            self.lost("A colon is expected after the name of a property", inner)
        self.next()
        self.value(inner, depth + 1)

    def end(self, root: str) -> None:
        self.element(root)
        if self.kind != "end":
            self.fault("There is more than one value in the text", root)
