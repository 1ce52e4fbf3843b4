"""What an expression may begin with: literals, selectors, and the words with a form of their own.

https://cql.hl7.org/19-l-cqlsyntaxdiagrams.html#term
"""

from __future__ import annotations

from rules.language import nodes as n
from rules.language.phrases import Phrases
from rules.language.words import PRECISIONS


class Terms(Phrases):
    """Reads terms; the expressions inside of them are read by the class below it."""

    def expression(self, power: int = 0) -> n.Expression:
        raise NotImplementedError

    def operand(self) -> n.Expression:
        """An expression up to an `as` that is not its own."""
        raise NotImplementedError

    # Literals and selectors

    def _number(self, at: n.At) -> n.Expression:
        value = self.take("number", "a number")
        unit = self.unit()
        if not self._starts_ratio(unit):
            return n.Literal(at, "number", value) if unit is None else n.QuantityLiteral(at, value, unit)
        self.take_mark(":")
        return n.RatioLiteral(at, n.QuantityLiteral(at, value, unit or "1"), self.quantity())

    def _starts_ratio(self, unit: str | None) -> bool:
        return self.is_mark(":") and self.ahead().kind == "number"

    def _elements(self) -> tuple[tuple[str, n.Expression], ...]:
        self.take_mark("{")
        found: list[tuple[str, n.Expression]] = []
        if not self.skip_mark(":"):
            while not found or self.skip_mark(","):
                name = self.take_any_name()
                self.take_mark(":")
                found.append((name, self.expression()))
        self.take_mark("}")
        return tuple(found)

    def _braces(self, at: n.At) -> n.Expression:
        """A tuple if it begins with `name:` or `:`, else a list."""
        first, second = self.ahead(1), self.ahead(2)
        if first.text == ":" or (
            first.kind in ("name", "word") and second.kind == "mark" and second.text == ":"
        ):
            return n.TupleSelector(at, self._elements())
        return n.ListSelector(at, None, self._items())

    def _items(self) -> tuple[n.Expression, ...]:
        self.take_mark("{")
        found: list[n.Expression] = []
        while not self.is_mark("}") and (not found or self.skip_mark(",")):
            found.append(self.expression())
        self.take_mark("}")
        return tuple(found)

    # Words that begin an expression

    def _literal(self, at: n.At) -> n.Expression:
        word = self.take_word("null", "true", "false")
        return n.Literal(at, "null" if word == "null" else "boolean", word)

    def _cast(self, at: n.At) -> n.Expression:
        self.take_word("cast")
        operand = self.operand()
        self.take_word("as")
        return n.TypeOperation(at, "Cast", operand, self.type())

    def _convert(self, at: n.At) -> n.Expression:
        self.take_word("convert")
        operand = self.expression()
        self.take_word("to")
        unit = self.unit()
        return (
            n.ConvertUnit(at, operand, unit) if unit else n.TypeOperation(at, "Convert", operand, self.type())
        )

    def _extent(self, at: n.At) -> n.Expression:
        name = "MinValue" if self.take_word("minimum", "maximum") == "minimum" else "MaxValue"
        return n.Extent(at, name, self.named_type())

    def _if(self, at: n.At) -> n.Expression:
        self.take_word("if")
        condition = self.expression()
        self.take_word("then")
        then = self.expression()
        self.take_word("else")
        return n.If(at, condition, then, self.expression())

    def _case(self, at: n.At) -> n.Expression:
        self.take_word("case")
        comparand = None if self.is_word("when") else self.expression()
        items: list[tuple[n.Expression, n.Expression]] = []
        while self.is_word("when") or not items:
            self.take_word("when")
            condition = self.expression()
            self.take_word("then")
            items.append((condition, self.expression()))
        self.take_word("else")
        otherwise = self.expression()
        self.take_word("end")
        return n.Case(at, comparand, tuple(items), otherwise)

    def _per(self, at: n.At) -> n.Expression:
        name = self.take_word("expand", "collapse").capitalize()
        operand = self.expression()
        per: n.Expression = n.Literal(at, "null", "null")
        if self.skip_word("per"):
            unit_at = self.at()
            unit = self.skip_word(*PRECISIONS)
            per = n.QuantityLiteral(unit_at, "1", unit) if unit else self.expression()
        return n.Operation(at, name, (operand, per))

    def _interval(self, at: n.At) -> n.Expression:
        self.take_word("Interval")
        low_closed = self.take_mark("[", "(") == "["
        low = self.expression()
        self.take_mark(",")
        high = self.expression()
        return n.IntervalSelector(at, low, high, low_closed, self.take_mark("]", ")") == "]")

    def _tuple(self, at: n.At) -> n.Expression:
        self.take_word("Tuple")
        return n.TupleSelector(at, self._elements())

    def _list(self, at: n.At) -> n.Expression:
        self.take_word("List")
        element = None
        if self.skip_mark("<"):
            element = self.type()
            self.take_mark(">")
        return n.ListSelector(at, element, self._items())

    def _code(self, at: n.At) -> n.Expression:
        if self.ahead().kind != "string":
            return self._clinical(at)
        return self.code_selector()

    def code_selector(self) -> n.CodeSelector:
        at = self.at()
        self.take_word("Code")
        code = self.take_string()
        self.take_word("from")
        system = self.qualified_name()
        return n.CodeSelector(at, code, system, self.display())

    def display(self) -> str | None:
        return self.take_string() if self.skip_word("display") else None

    def _concept(self, at: n.At) -> n.Expression:
        if not (
            self.ahead(2).kind == "word" and self.ahead(2).text == "Code" and self.ahead(3).kind == "string"
        ):
            return self._clinical(at)
        self.take_word("Concept")
        self.take_mark("{")
        codes = [self.code_selector()]
        while self.skip_mark(","):
            codes.append(self.code_selector())
        self.take_mark("}")
        return n.ConceptSelector(at, tuple(codes), self.display())

    def _clinical(self, at: n.At) -> n.Expression:
        """`Code { ... }` and `Concept { ... }`: the reserved words as type names."""
        name = self.take_word("Code", "Concept")
        return n.InstanceSelector(at, n.NamedType(at, (name,)), self._elements())
