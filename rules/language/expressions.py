"""The Pratt parser of expressions.

https://cql.hl7.org/19-l-cqlsyntaxdiagrams.html#expression. The grammar's alternatives, from tightest to
loosest, are the binding powers below; all binary operators group to the left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rules.language import nodes as n
from rules.language.terms import Terms
from rules.language.words import COMPONENTS, PLURALS

(_IMPLIES, _OR, _AND, _MEMBER, _EQUAL, _TIMING, _COMPARE, _SET, _BETWEEN, _EXISTS, _NOT, _TYPE, _NULL) = (
    range(10, 140, 10)
)
_ADD, _MULTIPLY, _POWER, _UNARY, _DOT = 200, 210, 220, 230, 300
_TERM = _ADD  # operands that must be an expressionTerm bind at least this tightly
_MAX_CHAIN = 250

_MARKS = {
    "=": ("Equal", _EQUAL),
    "!=": ("NotEqual", _EQUAL),
    "~": ("Equivalent", _EQUAL),
    "!~": ("NotEquivalent", _EQUAL),
    "<": ("Less", _COMPARE),
    "<=": ("LessOrEqual", _COMPARE),
    ">": ("Greater", _COMPARE),
    ">=": ("GreaterOrEqual", _COMPARE),
    "|": ("Union", _SET),
    "+": ("Add", _ADD),
    "-": ("Subtract", _ADD),
    "&": ("Ampersand", _ADD),
    "*": ("Multiply", _MULTIPLY),
    "/": ("Divide", _MULTIPLY),
    "^": ("Power", _POWER),
}
_WORDS = {
    "and": ("And", _AND),
    "or": ("Or", _OR),
    "xor": ("Xor", _OR),
    "implies": ("Implies", _IMPLIES),
    "in": ("In", _MEMBER),
    "contains": ("Contains", _MEMBER),
    "union": ("Union", _SET),
    "intersect": ("Intersect", _SET),
    "except": ("Except", _SET),
    "div": ("TruncatedDivide", _MULTIPLY),
    "mod": ("Modulo", _MULTIPLY),
}
# Grouping does not matter to these, so long chains become shallow trees.
_ASSOCIATIVE = frozenset({"And", "Or", "Union"})
_OF = {
    "width": "Width",
    "successor": "Successor",
    "predecessor": "Predecessor",
    "start": "Start",
    "end": "End",
}
_FROM = {"singleton": "SingletonFrom", "point": "PointFrom"}


class Expressions(Terms):
    """Reads expressions; queries and retrieves are read by the class below it."""

    def expression(self, power: int = 0) -> n.Expression:
        self.nest()
        left = self._prefix()
        chain = 0
        while True:
            grown = self._grow(left, power)
            if grown is None:
                break
            left = grown
            chain += 1
            if chain > _MAX_CHAIN:
                self.fail(f"at most {_MAX_CHAIN} operators in one chain")
        self.depth -= 1
        return left

    def operand(self) -> n.Expression:
        return self.expression(_TYPE)

    # What may follow an expression

    def _grow(self, left: n.Expression, power: int) -> n.Expression | None:
        token = self.token
        if token.kind == "mark":
            return self._grow_mark(left, power, token.text)
        if self.starts_name() and _may_be_source(left) and not self._compares():
            return self.query_from(left)
        if token.kind in ("word", "number"):
            return self._grow_word(left, power, token.text)
        return None

    def _compares(self) -> bool:
        """`A less than 3 days before B`: what could be an alias begins a phrase."""
        return self.is_word("less", "more") and self.ahead().kind == "word" and self.ahead().text == "than"

    def _grow_mark(self, left: n.Expression, power: int, mark: str) -> n.Expression | None:
        if mark == ".":
            return self._member(left)
        if mark == "[":
            at = self.at()
            self.i += 1
            index = self.expression()
            self.take_mark("]")
            return n.Operation(at, "Indexer", (left, index))
        if mark == "{" and _is_path(left):
            return self._instance(left)
        if mark in _MARKS:
            return self._binary(left, power, *_MARKS[mark])
        return None

    def _grow_word(self, left: n.Expression, power: int, word: str) -> n.Expression | None:
        if word == "is" and power < _NULL:
            return self._is(left)
        if word == "as" and power < _TYPE:
            at = self.at()
            self.i += 1
            return n.TypeOperation(at, "As", left, self.type())
        if power < _BETWEEN and (word == "between" or self.are_words("properly", "between")):
            return self._between(left)
        if power < _TIMING and self.starts_phrase():
            at = self.at()
            fields = self.phrase()
            return n.Timing(at, left=left, right=self.expression(_TIMING), **fields)
        if word in _WORDS:
            return self._binary(left, power, *_WORDS[word])
        return None

    def _binary(self, left: n.Expression, power: int, name: str, own: int) -> n.Expression | None:
        if own <= power:
            return None
        if name in _ASSOCIATIVE:
            return self._chain(left, name, own)
        at = self.at()
        self.i += 1
        precision = self.precision_of() if own == _MEMBER else None
        return n.Operation(at, name, (left, self.expression(own)), precision)

    def _chain(self, left: n.Expression, name: str, own: int) -> n.Expression:
        at = self.at()
        operands = [left]
        while (_WORDS if self.token.kind == "word" else _MARKS).get(self.token.text, ("",))[0] == name:
            self.i += 1
            operands.append(self.expression(own))
        return _balanced(at, name, operands)

    def _is(self, left: n.Expression) -> n.Expression:
        at = self.at()
        self.take_word("is")
        negated = bool(self.skip_word("not"))
        if word := self.skip_word("null", "true", "false"):
            found: n.Expression = n.Operation(at, f"Is{word.capitalize()}", (left,))
            return n.Operation(at, "Not", (found,)) if negated else found
        if negated:
            self.fail("'null', 'true' or 'false'")
        return n.TypeOperation(at, "Is", left, self.type())

    def _between(self, left: n.Expression) -> n.Expression:
        at = self.at()
        proper = bool(self.skip_word("properly"))
        self.take_word("between")
        low, high = self._two()
        return n.Between(at, left, low, high, proper)

    def _two(self) -> tuple[n.Expression, n.Expression]:
        """`low and high`, each a term, so that `and` is theirs."""
        low = self.expression(_TERM - 1)
        self.take_word("and")
        return low, self.expression(_TERM - 1)

    def _member(self, left: n.Expression) -> n.Expression:
        at = self.at()
        self.take_mark(".")
        if self.token.kind == "variable":
            self.i += 1
            return n.Member(at, left, self.tokens[self.i - 1].text)
        name = self.take_any_name()
        if self.is_mark("("):
            return n.Call(at, left, name, self._arguments())
        return n.Member(at, left, name)

    def _arguments(self) -> tuple[n.Expression, ...]:
        self.take_mark("(")
        found: list[n.Expression] = []
        while not self.is_mark(")") and (not found or self.skip_mark(",")):
            found.append(self.expression())
        self.take_mark(")")
        return tuple(found)

    # What may begin an expression

    def _prefix(self) -> n.Expression:
        token = self.token
        at = self.at()
        if token.kind == "word":
            return self._word(at, token.text)
        if token.kind == "number":
            return self._number(at)
        if token.kind == "name":
            return self._name(at)
        if token.kind in ("string", "long", "date", "datetime", "time"):
            self.i += 1
            return n.Literal(at, token.kind, token.text)
        if token.kind == "variable":
            self.i += 1
            return n.Name(at, token.text)
        return self._mark(at)

    def _mark(self, at: n.At) -> n.Expression:
        if self.skip_mark("("):
            inside = self.expression()
            self.take_mark(")")
            return n.Parenthesised(at, inside)
        if sign := self.skip_mark("+", "-"):
            return n.Operation(at, "Negate" if sign == "-" else "Positive", (self.expression(_UNARY),))
        if self.is_mark("["):
            return self.retrieve()
        if self.is_mark("{"):
            return self._braces(at)
        if self.skip_mark("%"):
            name = self.take_string() if self.token.kind == "string" else self.take_any_name()
            return n.Name(at, f"%{name}")
        return self.fail("an expression")

    def _word(self, at: n.At, word: str) -> n.Expression:
        following = self.ahead()
        if following.kind == "word":
            if following.text == "of" and word in _OF:
                return self._prefixed(at, 2, _OF[word], _UNARY)
            if following.text == "from" and word in _FROM:
                return self._prefixed(at, 2, _FROM[word], _UNARY)
            if following.text == "from" and word in COMPONENTS:
                return self._component(at, word)
            if following.text == "between" and word in PLURALS:
                return self._span(at, "DurationBetween")
            if following.text == "in" and word in ("duration", "difference"):
                self.i += 2
                return self._span(at, f"{word.capitalize()}Between")
        if word in _PREFIXES:
            return _PREFIXES[word](self, at)
        return self._name(at)

    def _prefixed(self, at: n.At, words: int, name: str, power: int) -> n.Expression:
        self.i += words
        return n.Operation(at, name, (self.expression(power),))

    def _component(self, at: n.At, word: str) -> n.Expression:
        self.i += 2
        name = {"date": "DateFrom", "time": "TimeFrom"}.get(word, "DateTimeComponentFrom")
        if word in ("timezone", "timezoneoffset"):
            name = "TimezoneOffsetFrom"
        precision = word if name == "DateTimeComponentFrom" else None
        return n.Operation(at, name, (self.expression(_UNARY),), precision)

    def _span(self, at: n.At, name: str) -> n.Expression:
        """`days between A and B`, `difference in days of X`; the operands of an interval are its ends."""
        precision = PLURALS.get(self.token.text) if self.token.kind == "word" else None
        if precision is None:
            self.fail("a unit of time in the plural")
        self.i += 1
        if self.skip_word("of"):
            operand = self.expression(_UNARY)
            ends = (n.Operation(at, "Start", (operand,)), n.Operation(at, "End", (operand,)))
            return n.Operation(at, name, ends, precision)
        self.take_word("between")
        return n.Operation(at, name, self._two(), precision)

    def _name(self, at: n.At) -> n.Expression:
        name = self.take_reference()
        if self.is_mark("("):
            return n.Call(at, None, name, self._arguments())
        return n.Name(at, name)

    def _instance(self, left: n.Expression) -> n.Expression:
        return n.InstanceSelector(left.at, n.NamedType(left.at, _path(left)), self._elements())

    # Read by Library

    def query_from(self, left: n.Expression | None) -> n.Expression:
        raise NotImplementedError

    def retrieve(self) -> n.Expression:
        raise NotImplementedError


def _operator(name: str, power: int) -> Callable[[Expressions, n.At], n.Expression]:
    return lambda parser, at: parser._prefixed(at, 1, name, power)


_PREFIXES: dict[str, Callable[[Any, n.At], n.Expression]] = {
    "not": _operator("Not", _NOT - 1),
    "exists": _operator("Exists", _EXISTS - 1),
    "distinct": _operator("Distinct", 0),
    "flatten": _operator("Flatten", 0),
    "null": Expressions._literal,
    "true": Expressions._literal,
    "false": Expressions._literal,
    "cast": Expressions._cast,
    "convert": Expressions._convert,
    "minimum": Expressions._extent,
    "maximum": Expressions._extent,
    "if": Expressions._if,
    "case": Expressions._case,
    "expand": Expressions._per,
    "collapse": Expressions._per,
    "Interval": Expressions._interval,
    "Tuple": Expressions._tuple,
    "List": Expressions._list,
    "Code": Expressions._code,
    "Concept": Expressions._concept,
    "from": lambda parser, at: parser.query_from(None),
}


def _balanced(at: n.At, name: str, operands: list[n.Expression]) -> n.Expression:
    if len(operands) == 1:
        return operands[0]
    middle = (len(operands) + 1) // 2
    halves = (_balanced(at, name, operands[:middle]), _balanced(at, name, operands[middle:]))
    return n.Operation(at, name, halves)


def _is_path(node: n.Expression) -> bool:
    while isinstance(node, n.Member):
        node = node.source
    return isinstance(node, n.Name) and not node.name.startswith(("$", "%"))


def _path(node: n.Expression) -> tuple[str, ...]:
    if isinstance(node, n.Member):
        return (*_path(node.source), node.name)
    assert isinstance(node, n.Name)
    return (node.name,)


def _may_be_source(node: n.Expression) -> bool:
    return isinstance(node, n.Retrieve | n.Parenthesised) or _is_path(node)
