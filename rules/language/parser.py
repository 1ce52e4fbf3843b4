"""The parser of queries and whole libraries.

https://cql.hl7.org/19-l-cqlsyntaxdiagrams.html#library
"""

from __future__ import annotations

from typing import Any

from rules.language import nodes as n
from rules.language.errors import CompileError, Diagnostic, SyntaxProblem
from rules.language.expressions import Expressions
from rules.language.lexer import tokens


def parse_library(text: str) -> tuple[n.LibrarySyntax, list[Diagnostic]]:
    """The tree of a library and what did not fit; a definition with a syntax error is left out."""
    try:
        parser = Parser(tokens(text))
    except SyntaxProblem as problem:
        return n.LibrarySyntax(), [problem.diagnostic]
    return parser.library(), parser.problems


def parse_expression(text: str) -> n.Expression:
    """The tree of a single expression. Raises CompileError."""
    try:
        parser = Parser(tokens(text))
        found = parser.expression()
        if parser.token.kind != "end":
            parser.fail("the end of the expression")
    except SyntaxProblem as problem:
        raise CompileError([problem.diagnostic]) from None
    return found


class Parser(Expressions):
    """Reads a library; after a syntax error it goes on with the next definition."""

    def library(self) -> n.LibrarySyntax:
        self.problems: list[Diagnostic] = []
        self.context: str | None = None
        self.found = n.LibrarySyntax()
        while self.token.kind != "end":
            self.depth = 0
            begin = self.i
            try:
                self._definition()
            except SyntaxProblem as problem:
                self.problems.append(problem.diagnostic)
                self.i = max(self.i, begin + 1)
                self._resynchronise()
        return self.found

    def _resynchronise(self) -> None:
        while self.token.kind != "end" and not self._begins_definition():
            self.i += 1

    def _begins_definition(self) -> bool:
        if self.is_word("define"):
            return True
        first_of_line = self.token.line != self.tokens[self.i - 1].line
        return first_of_line and self.is_word(*_DEFINITIONS, "context")

    def _definition(self) -> None:
        at = self.at()
        if self.skip_word("library"):
            self.found.name = ".".join(self.qualified_name())
            self.found.version = self._version()
        elif self.skip_word("context"):
            self.context = self.qualified_name()[-1]
        elif self.skip_word("define"):
            self.found.definitions.append(self._statement(at))
        else:
            private = self.skip_word("public", "private") == "private"
            word = self.take_word(*_DEFINITIONS)
            getattr(self, f"_{word}")(at, private)

    def _version(self) -> str | None:
        return self.take_string() if self.skip_word("version") else None

    def _using(self, at: n.At, private: bool) -> None:
        name = ".".join(self.qualified_name())
        version = self._version()
        self.found.usings.append(n.Using(at, name, version, self._called()))

    def _called(self) -> str | None:
        return self.take_name() if self.skip_word("called") else None

    def _include(self, at: n.At, private: bool) -> None:
        names = self.qualified_name()
        version = self._version()
        self.found.includes.append(n.Include(at, ".".join(names), version, self._called() or names[-1]))

    def _codesystem(self, at: n.At, private: bool) -> None:
        name = self._named()
        found = n.CodeSystemDefinition(at, name, private, self.take_string(), self._version())
        self.found.definitions.append(found)

    def _named(self) -> str:
        name = self.take_name()
        self.take_mark(":")
        return name

    def _valueset(self, at: n.At, private: bool) -> None:
        name = self._named()
        id_, version = self.take_string(), self._version()
        systems = self._names_in_braces() if self.skip_word("codesystems") else ()
        self.found.definitions.append(n.ValueSetDefinition(at, name, private, id_, version, systems))

    def _names_in_braces(self) -> tuple[tuple[str, ...], ...]:
        self.take_mark("{")
        names = [self.qualified_name()]
        while self.skip_mark(","):
            names.append(self.qualified_name())
        self.take_mark("}")
        return tuple(names)

    def _code(self, at: n.At, private: bool) -> None:  # type: ignore[override]
        name = self._named()
        code_at = self.at()
        code = self.take_string()
        self.take_word("from")
        selector = n.CodeSelector(code_at, code, self.qualified_name(), self.display())
        self.found.definitions.append(n.CodeDefinition(at, name, private, selector))

    def _concept(self, at: n.At, private: bool) -> None:  # type: ignore[override]
        name = self._named()
        codes = self._names_in_braces()
        self.found.definitions.append(n.ConceptDefinition(at, name, private, codes, self.display()))

    def _parameter(self, at: n.At, private: bool) -> None:
        name = self.take_name()
        type_ = None if self.is_word("default") or self._begins_definition() else self._optional_type()
        default = self.expression() if self.skip_word("default") else None
        self.found.definitions.append(n.ParameterDefinition(at, name, private, type_, default))

    def _optional_type(self) -> n.TypeNode | None:
        return self.type() if self.token.kind in ("word", "name") else None

    def _statement(self, at: n.At) -> Any:
        private = self.skip_word("public", "private") == "private"
        fluent = bool(self.skip_word("fluent"))
        if fluent or (self.is_word("function") and self.ahead().text != ":"):
            self.take_word("function")
            return self._function(at, private, fluent)
        name = self._named()
        return n.ExpressionDefinition(at, name, private, self.context, self.expression())

    def _function(self, at: n.At, private: bool, fluent: bool) -> n.FunctionDefinition:
        name = self.take_any_name()
        self.take_mark("(")
        operands: list[tuple[str, n.TypeNode]] = []
        while not self.is_mark(")") and (not operands or self.skip_mark(",")):
            operand = self.take_reference()
            operands.append((operand, self.type()))
        self.take_mark(")")
        returns = self.type() if self.skip_word("returns") else None
        self.take_mark(":")
        body = None if self.skip_word("external") else self.expression()
        return n.FunctionDefinition(at, name, private, self.context, fluent, tuple(operands), returns, body)

    # Retrieves and queries

    def retrieve(self) -> n.Expression:
        at = self.at()
        self.take_mark("[")
        context: n.Expression | None = None
        mark = self.i
        type_ = self.named_type()
        if self.skip_mark("->"):
            first, *rest = type_.parts
            context = n.Name(type_.at, first)
            for name in rest:
                context = n.Member(type_.at, context, name)
            type_ = self.named_type()
        del mark
        path = comparator = terminology = None
        if self.skip_mark(":"):
            path, comparator = self._code_path()
            terminology = self.expression()
        self.take_mark("]")
        return n.Retrieve(at, context, type_, path, comparator, terminology)

    def _code_path(self) -> tuple[str | None, str | None]:
        """`path in`, `path =` or `path ~` if that is what stands here."""
        begin = self.i
        if self.token.kind in ("word", "name"):
            names = [self.take_any_name()]
            while self.skip_mark("."):
                names.append(self.take_any_name())
            comparator = self.skip_word("in") or self.skip_mark("=", "~")
            if comparator:
                return ".".join(names), comparator
        self.i = begin
        return None, None

    def query_from(self, left: n.Expression | None) -> n.Expression:
        at = left.at if left is not None else self.at()
        if left is None:
            self.take_word("from")
            sources = [self._source()]
            while self.skip_mark(","):
                sources.append(self._source())
        else:
            sources = [n.Source(left.at, left, self.take_name())]
            while (source := self._further_source()) is not None:
                sources.append(source)
        clauses: dict[str, Any] = {}
        if self.skip_word("let"):
            clauses["lets"] = self._lets()
        clauses["relationships"] = self._relationships()
        if self.skip_word("where"):
            clauses["where"] = self.expression()
        if self.is_word("return", "aggregate"):
            clauses |= self._result()
        if self.skip_word("sort"):
            clauses["sort"] = self._sort()
        return n.Query(at, tuple(sources), **clauses)

    def _further_source(self) -> n.Source | None:
        """`, [B] b` after a source that came without `from`; without an alias the comma is another's."""
        begin, depth = self.i, self.depth
        if not self.skip_mark(","):
            return None
        try:
            return self._source()
        except SyntaxProblem:
            self.i, self.depth = begin, depth
            return None

    def _source(self) -> n.Source:
        at = self.at()
        if self.is_mark("["):
            expression = self.retrieve()
        elif self.skip_mark("("):
            expression = n.Parenthesised(at, self.expression())
            self.take_mark(")")
        else:
            expression = n.Name(at, self.take_reference())
            while self.skip_mark("."):
                expression = n.Member(at, expression, self.take_any_name())
        return n.Source(at, expression, self.take_name())

    def _lets(self) -> tuple[tuple[str, n.Expression], ...]:
        found: list[tuple[str, n.Expression]] = []
        while not found or self.skip_mark(","):
            name = self._named()
            found.append((name, self.expression()))
        return tuple(found)

    def _relationships(self) -> tuple[n.Relationship, ...]:
        found = []
        while self.is_word("with", "without"):
            at = self.at()
            negated = self.take_word("with", "without") == "without"
            source = self._source()
            if not self.skip_words("such", "that"):
                self.fail("'such that'")
            found.append(n.Relationship(at, source, self.expression(), negated))
        return tuple(found)

    def _result(self) -> dict[str, Any]:
        at = self.at()
        word = self.take_word("return", "aggregate")
        quantifier = self.skip_word("all", "distinct")
        if word == "return":
            return {"returns": self.expression(), "distinct": quantifier != "all"}
        name = self.take_name()
        starting = self._starting() if self.skip_word("starting") else None
        self.take_mark(":")
        return {"aggregate": n.Aggregate(at, name, quantifier == "distinct", starting, self.expression())}

    def _starting(self) -> n.Expression:
        """A literal, a quantity or something in parentheses: what follows is a colon, so no ratio."""
        at = self.at()
        if self.skip_mark("("):
            inside = self.expression()
            self.take_mark(")")
            return inside
        if self.token.kind == "string":
            return n.Literal(at, "string", self.take_string())
        if self.token.kind == "long":
            return n.Literal(at, "long", self.take("long", "a number"))
        value = self.take("number", "a literal or a parenthesis")
        unit = self.unit()
        return n.Literal(at, "number", value) if unit is None else n.QuantityLiteral(at, value, unit)

    def _sort(self) -> tuple[n.SortItem, ...]:
        at = self.at()
        if not self.skip_word("by"):
            return (n.SortItem(at, None, self._direction(required=True)),)
        items: list[n.SortItem] = []
        while not items or self.skip_mark(","):
            at = self.at()
            items.append(n.SortItem(at, self.expression(_SORT_POWER), self._direction(required=False)))
        return tuple(items)

    def _direction(self, *, required: bool) -> bool:
        word = self.skip_word("asc", "ascending", "desc", "descending")
        if required and word is None:
            self.fail("'asc', 'desc' or 'by'")
        return word in ("desc", "descending")


_SORT_POWER = 199  # an expressionTerm
_DEFINITIONS = (
    "using",
    "include",
    "codesystem",
    "valueset",
    "code",
    "concept",
    "parameter",
    "public",
    "private",
    "library",
)
