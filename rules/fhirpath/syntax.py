"""FHIRPath text to the syntax tree of rules.language: the CQL parser with FHIRPath's smaller grammar.

https://hl7.org/fhirpath/N1/#grammar. The binding powers are CQL's, which took them from FHIRPath.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Final

from rules.language import nodes as n
from rules.language.errors import CompileError, Diagnostic, SyntaxProblem
from rules.language.expressions import _TYPE, _WORDS, Expressions
from rules.language.lexer import Token, tokens

_OPERATORS: Final = frozenset(("and", "or", "xor", "implies", "in", "contains", "div", "mod"))
# Words that no path may begin with; `is`, `as`, `in` and `contains` may.
_RESERVED: Final = frozenset(("and", "or", "xor", "implies", "div", "mod", "true", "false"))


def parse(text: str) -> n.Expression:
    """The tree of one expression. Raises CompileError with the line and column where it cannot be read."""
    try:
        found = tokens(text)
        _check_quotes(text, found)
        parser = _Parser(found)
        tree = parser.expression()
        if parser.token.kind != "end":
            parser.fail("the end of the expression")
    except SyntaxProblem as problem:
        raise CompileError([problem.diagnostic]) from None
    except RecursionError:
        raise CompileError([Diagnostic(1, 1, "unsupported", "nested too deeply")]) from None
    return tree


def _check_quotes(text: str, found: Sequence[Token]) -> None:
    """CQL's quoted names are no FHIRPath: whoever writes "phone" means the string 'phone'."""
    lines = text.split("\n")
    for token in found:
        if token.kind == "name" and lines[token.line - 1][token.column - 1] == '"':
            raise SyntaxProblem(
                "strings stand in single quotes, names in backticks", token.line, token.column
            )


class _Parser(Expressions):
    def _grow(self, left: n.Expression, power: int) -> n.Expression | None:
        token = self.token
        if token.kind == "mark":
            return None if token.text in ("{", "^") else self._grow_mark(left, power, token.text)
        return self._grow_word(left, power, token.text) if token.kind == "word" else None

    def _grow_word(self, left: n.Expression, power: int, word: str) -> n.Expression | None:
        if word in ("is", "as") and power < _TYPE:
            at = self.at()
            self.i += 1
            return n.TypeOperation(at, word.capitalize(), left, self.named_type())
        return self._binary(left, power, *_WORDS[word]) if word in _OPERATORS else None

    def _member(self, left: n.Expression) -> n.Expression:
        self.take_mark(".")
        at = self.at()
        name = self.take_any_name()
        if self.is_mark("("):
            return n.Call(at, left, name, self._arguments())
        return n.Member(at, left, name)

    def _word(self, at: n.At, word: str) -> n.Expression:
        return self._literal(at) if word in ("true", "false") else self._name(at)

    def _braces(self, at: n.At) -> n.Expression:
        """`{}`, the empty collection."""
        self.take_mark("{")
        self.take_mark("}")
        return n.ListSelector(at, None, ())

    def _name(self, at: n.At) -> n.Expression:
        quoted = self.token.kind == "name"
        found = super()._name(at)
        if quoted and isinstance(found, n.Name) and found.name[:1] in ("$", "%"):  # no variable: an element
            return n.Member(at, n.Name(at, "$this"), found.name)
        return found

    def take_reference(self) -> str:
        if self.token.kind == "word" and self.token.text in _RESERVED:
            self.fail("a name (keywords stand in backticks)")
        return self.take_any_name()

    def _type_name(self) -> str:
        return self.take_reference()

    def _starts_ratio(self, unit: str | None) -> bool:
        return False

    def precision_of(self) -> str | None:
        return None

    def retrieve(self) -> n.Expression:
        return self.fail("an expression")


def inside(node: n.Expression) -> Iterator[n.Expression]:
    """The node and every expression below it."""
    stack: list[n.Expression] = [node]
    while stack:
        current = stack.pop()
        yield current
        for part in fields(current):
            child = getattr(current, part.name)
            stack += [c for c in (child if isinstance(child, tuple) else (child,)) if isinstance(c, n.Node)]  # type: ignore[misc]


def stripped(node: n.Expression) -> n.Expression:
    """The node without the parentheses around it."""
    while isinstance(node, n.Parenthesised):
        node = node.expression
    return node


def mentions(node: n.Expression, name: str) -> bool:
    """Whether `$index` or another name stands anywhere in the expression."""
    return any(isinstance(part, n.Name) and part.name == name for part in inside(node))


def path_names(node: n.Expression) -> tuple[str, ...] | None:
    """The parts of a type's name written as an expression (`FHIR.Patient`), or None."""
    node = stripped(node)
    if isinstance(node, n.Name):
        return (node.name,)
    if isinstance(node, n.Member):
        before = path_names(node.source)
        return None if before is None else (*before, node.name)
    return None
