"""Whether a text is an expression constraint of SNOMED CT (ECL): its grammar, not what it selects.

https://confluence.ihtsdotools.org/display/DOCECL/5.1+Brief+Syntax. Filters ({{ ... }}) are read as a list of
words, values and comparisons; everything else as the grammar has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MOST = 10_000  # characters
DEEPEST = 50  # parentheses inside parentheses

_TOKEN = re.compile(
    r"""\s*(?:/\*.*?\*/\s*)*(?:
    (?P<id>[1-9][0-9]{5,17}(?!\w)(?:\s*\|[^|]*\|)?)
  | (?P<alternative>[A-Za-z][A-Za-z0-9\-]*\#[A-Za-z0-9._\-]+(?:\s*\|[^|]*\|)?)
  | (?P<value>\#[+-]?[0-9]+(?:\.[0-9]+)? | "(?:[^"\\]|\\["\\])*")
  | (?P<word>[A-Za-z][A-Za-z0-9_\-]*)
  | (?P<number>[0-9]+)
  | (?P<sign>\{\{|\}\}|\.\.|!!>|!!<|<<!|>>!|<!|>!|<<|>>|<=|>=|!=|[<>^(){}\[\]:,.=*+])
    )""",
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"\s*(?:/\*.*?\*/\s*)*", re.DOTALL)
_OPERATORS = frozenset({"<", "<<", ">", ">>", "<!", "<<!", ">!", ">>!", "!!>", "!!<"})
_COMPARISONS = frozenset({"=", "!=", "<", ">", "<=", ">="})
_FILTERS = _COMPARISONS | {"(", ")", ",", "+", "*", "<<", ">>", "^", "[", "]"}


def wrong_with(text: str) -> str | None:
    """Why a text is no expression constraint, with the place; None where it is one."""
    if len(text) > MOST:
        return f"an expression may have {MOST} characters"
    try:
        parser = _Parser(_tokens(text))
        parser.expression(0)
        parser.end()
    except _SyntaxError as error:
        return str(error)
    return None


class _SyntaxError(ValueError):
    """What was expected, and where."""


Token = tuple[str, str, int]  # kind, text, place


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while match := _TOKEN.match(text, at):
        kind = str(match.lastgroup)
        found.append((kind, match[kind], match.start(kind)))
        at = match.end()
    blank = _BLANK.match(text, at)
    if blank and blank.end() < len(text):
        raise _SyntaxError(f"there is something that no expression has at character {blank.end() + 1}")
    return [*found, ("end", "", len(text))]


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at = tokens, 0

    @property
    def sign(self) -> str:
        """The sign or word that comes next, words in capitals; "" for anything else."""
        kind, text, _ = self.tokens[self.at]
        return text if kind == "sign" else text.upper() if kind == "word" else ""

    def take(self, *signs: str) -> str:
        """The next one if it is one of these, else nothing."""
        found = self.sign
        if found not in signs:
            return ""
        self.at += 1
        return found

    def kind(self, *kinds: str) -> bool:
        if self.tokens[self.at][0] not in kinds:
            return False
        self.at += 1
        return True

    def expect(self, sign: str) -> None:
        if not self.take(sign):
            self.fail(f"'{sign}'")

    def fail(self, expected: str) -> None:
        kind, _, place = self.tokens[self.at]
        where = "at its end" if kind == "end" else f"at character {place + 1}"
        raise _SyntaxError(f"{expected} is expected {where}")

    def deeper(self, depth: int) -> None:
        if depth >= DEEPEST:
            raise _SyntaxError(f"parentheses are nested more than {DEEPEST} deep")

    def end(self) -> None:
        if self.tokens[self.at][0] != "end":
            self.fail("an operator, or the end of the expression,")

    # Expressions

    def expression(self, depth: int) -> None:
        """Refined, compound or dotted: which one shows behind the first part."""
        self.part(depth)
        if self.take(":"):
            self.refinement(depth)
        elif self.sign == ".":
            while self.take("."):
                self.part(depth)
        else:
            self.chain(lambda: self.part(depth), ("AND", ","), ("OR",), ("MINUS",))

    def chain(self, one: Callable[[], None], *alternatives: tuple[str, ...]) -> None:
        """More of the same with one kind of connective between: kinds are not mixed without parentheses."""
        kind = next((kind for kind in alternatives if self.sign in kind), None)
        while kind and self.take(*kind):
            one()
            if kind == ("MINUS",):
                return

    def part(self, depth: int) -> None:
        """A concept, `*`, an alternative identifier or a sub-expression, with operators and filters."""
        self.take(*_OPERATORS)
        if self.take("^") and self.take("["):
            while not self.take("]"):
                if not (self.kind("word") or self.take(",", "*")):
                    self.fail("the name of a field")
        if self.take("("):
            self.deeper(depth)
            self.expression(depth + 1)
            self.expect(")")
        elif not (self.kind("id", "alternative") or self.take("*")):
            self.fail("a concept")
        while self.take("{{"):
            self.filter()

    def filter(self) -> None:
        """`term = "heart"`, `C active = true`, `+ HISTORY-MIN`: words, values and comparisons."""
        if self.sign == "}}":
            self.fail("a filter")
        while not self.take("}}"):
            if not (self.kind("word", "value", "id", "number", "alternative") or self.take(*_FILTERS)):
                self.fail("a filter")

    # Refinements

    def refinement(self, depth: int) -> None:
        """Attributes and groups; a set of attributes among them may be of another connective."""
        self.subrefinement(depth)
        self.chain(lambda: self.subrefinement(depth), ("AND", ",", "OR"))

    def subrefinement(self, depth: int) -> None:
        self.cardinality()
        if self.take("{"):
            self.attributes(depth + 1)
            self.expect("}")
        elif self.sign == "(" and self.is_group():
            self.expect("(")
            self.deeper(depth)
            self.refinement(depth + 1)
            self.expect(")")
        else:
            self.attribute(depth)

    def is_group(self) -> bool:
        """Whether the parenthesis that opens here holds a refinement: it is no name before a comparison."""
        open_, at = 0, self.at
        while at < len(self.tokens):
            sign = self.tokens[at][1] if self.tokens[at][0] == "sign" else ""
            open_ += (sign == "(") - (sign == ")")
            at += 1
            if not open_:
                return not (at < len(self.tokens) and self.tokens[at][1] in _COMPARISONS)
        return True

    def attributes(self, depth: int) -> None:
        self.attribute(depth)
        self.chain(lambda: self.attribute(depth), ("AND", ","), ("OR",))

    def attribute(self, depth: int) -> None:
        if self.sign == "(" and self.is_group():
            self.expect("(")
            self.deeper(depth)
            self.attributes(depth + 1)
            self.expect(")")
            return
        self.cardinality()
        self.take("R")
        self.part(depth)
        if not self.take(*_COMPARISONS):
            self.fail("a comparison")
        if not (self.kind("value") or self.take("TRUE", "FALSE")):
            self.part(depth)

    def cardinality(self) -> None:
        if not self.take("["):
            return
        for last in (False, True):
            if not (self.kind("number") or (last and self.take("*"))):
                self.fail("a number")
            if not last:
                self.expect("..")
        self.expect("]")
