"""A place in the tokens of a text, and the small things that are read there: names, types, quantities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from rules.language import nodes as n
from rules.language.errors import SyntaxProblem
from rules.language.lexer import Token
from rules.language.words import KEYWORDS, RESERVED, UNITS

MAX_DEPTH = 80


class Cursor:
    """Reads tokens from left to right; every `take` fails with a SyntaxProblem at the token that is there."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens
        self.i = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.i]

    def ahead(self, count: int = 1) -> Token:
        return self.tokens[min(self.i + count, len(self.tokens) - 1)]

    def at(self) -> n.At:
        return n.At(self.token.line, self.token.column)

    def fail(self, expected: str) -> NoReturn:
        found = repr(self.token.text) if self.token.kind != "end" else "the end of the text"
        raise SyntaxProblem(f"expected {expected}, found {found}", self.token.line, self.token.column)

    def nest(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise SyntaxProblem(f"nested more than {MAX_DEPTH} deep", self.token.line, self.token.column)

    def is_word(self, *words: str) -> bool:
        return self.token.kind == "word" and self.token.text in words

    def are_words(self, *words: str) -> bool:
        """Whether the next tokens are exactly these words."""
        return all(
            self.ahead(k).kind == "word" and self.ahead(k).text == word for k, word in enumerate(words)
        )

    def is_mark(self, *marks: str) -> bool:
        return self.token.kind == "mark" and self.token.text in marks

    def skip_word(self, *words: str) -> str | None:
        """The word, read, if it is one of these."""
        if self.is_word(*words):
            self.i += 1
            return self.tokens[self.i - 1].text
        return None

    def skip_words(self, *words: str) -> bool:
        if self.are_words(*words):
            self.i += len(words)
            return True
        return False

    def skip_mark(self, *marks: str) -> str | None:
        if self.is_mark(*marks):
            self.i += 1
            return self.tokens[self.i - 1].text
        return None

    def take_word(self, *words: str) -> str:
        return self.skip_word(*words) or self.fail(" or ".join(repr(word) for word in words))

    def take_mark(self, *marks: str) -> str:
        return self.skip_mark(*marks) or self.fail(" or ".join(repr(mark) for mark in marks))

    def take(self, kind: str, expected: str) -> str:
        if self.token.kind != kind:
            self.fail(expected)
        self.i += 1
        return self.tokens[self.i - 1].text

    def take_string(self) -> str:
        return self.take("string", "a string")

    # Names

    def starts_name(self) -> bool:
        """Whether a newly introduced name (an alias, a definition) can begin here."""
        token = self.token
        return token.kind == "name" or (token.kind == "word" and token.text not in KEYWORDS)

    def take_name(self) -> str:
        """A name that is introduced here."""
        if not self.starts_name():
            self.fail("a name (keywords must be quoted)")
        self.i += 1
        return self.tokens[self.i - 1].text

    def take_reference(self) -> str:
        """A name that is referred to: non-reserved keywords may stand unquoted."""
        token = self.token
        if token.kind != "name" and (token.kind != "word" or token.text in RESERVED):
            self.fail("a name")
        self.i += 1
        return token.text

    def take_any_name(self) -> str:
        """A name after a dot, where any word will do."""
        if self.token.kind not in ("name", "word"):
            self.fail("a name")
        self.i += 1
        return self.tokens[self.i - 1].text

    def qualified_name(self) -> tuple[str, ...]:
        names = [self.take_reference()]
        while self.skip_mark("."):
            names.append(self.take_reference())
        return tuple(names)

    # Quantities and types

    def quantity(self) -> n.QuantityLiteral:
        at = self.at()
        return n.QuantityLiteral(at, self.take("number", "a number"), self.unit() or "1")

    def unit(self) -> str | None:
        if self.token.kind == "string" or (self.token.kind == "word" and self.token.text in UNITS):
            self.i += 1
            return self.tokens[self.i - 1].text
        return None

    def type(self) -> n.TypeNode:
        self.nest()
        at = self.at()
        if self.ahead().text == "<" and self.is_word("List", "Interval", "Choice"):
            found: n.TypeNode = self._generic_type(at)
        elif self.is_word("Tuple") and self.ahead().text == "{":
            found = self._tuple_type(at)
        else:
            found = self.named_type()
        self.depth -= 1
        return found

    def _generic_type(self, at: n.At) -> n.TypeNode:
        name = self.take_word("List", "Interval", "Choice")
        self.take_mark("<")
        arguments = [self.type()]
        while name == "Choice" and self.skip_mark(","):
            arguments.append(self.type())
        self.take_mark(">")
        return n.GenericType(at, name, tuple(arguments))

    def _tuple_type(self, at: n.At) -> n.TypeNode:
        self.take_word("Tuple")
        self.take_mark("{")
        elements: list[tuple[str, n.TypeNode]] = []
        while not elements or self.skip_mark(","):
            name = self.take_reference()
            self.skip_mark(":")  # not in the grammar, but common in the wild
            elements.append((name, self.type()))
        self.take_mark("}")
        return n.TupleType(at, tuple(elements))

    def named_type(self) -> n.NamedType:
        at = self.at()
        parts = [self._type_name()]
        while self.skip_mark("."):
            parts.append(self._type_name())
        return n.NamedType(at, tuple(parts))

    def _type_name(self) -> str:
        if self.is_word("Code", "Concept"):
            self.i += 1
            return self.tokens[self.i - 1].text
        return self.take_reference()
