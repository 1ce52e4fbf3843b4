"""ELM JSON to the syntax tree, from which types are found again, whoever wrote it.

A node becomes what CQL would have been written for it, so that a library from elsewhere goes through the
same checks as a text; what has no such form is unsupported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from rules.elm.names import OPERANDS
from rules.language import nodes as n
from rules.language.cursor import MAX_DEPTH
from rules.language.errors import CompileError, Diagnostic
from rules.language.words import PRECISIONS

Json = dict[str, Any]
_QUALIFIED: Final = re.compile(r"\{(.*)\}(.+)")
_LITERALS: Final = {"String": "string", "Boolean": "boolean", "Long": "long"}
_OWN_FORM: Final = frozenset(
    {"Null", "Literal", "Quantity", "Ratio", "Interval", "List", "Tuple", "Instance", "Code", "Concept"}
    | {"MinValue", "MaxValue", "Is", "As", "If", "Case", "Query", "Retrieve", "Property", "IdentifierRef"}
    | {"ExpressionRef", "ParameterRef", "OperandRef", "AliasRef", "QueryLetRef", "FunctionRef"}
    | {"CodeSystemRef", "ValueSetRef", "CodeRef", "ConceptRef"}
    | {"InValueSet", "AnyInValueSet", "InCodeSystem", "AnyInCodeSystem"}
)
_CALLS: Final = frozenset({"Message", "Date", "DateTime", "Time", "Coalesce", "ToList"})


def read_library(document: str | bytes | Mapping[str, Any], models: Mapping[str, str]) -> n.LibrarySyntax:
    """The tree of an ELM library; `models` are the names of data models by URI. Raises CompileError."""
    decoded: Any = document
    if isinstance(document, str | bytes):
        try:
            decoded = json.loads(document, parse_float=Decimal)
        except (ValueError, RecursionError) as error:
            raise CompileError([Diagnostic(1, 1, "syntax", f"not JSON: {error}")]) from None
    try:
        return Reader(models).library(decoded["library"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CompileError([Diagnostic(1, 1, "syntax", f"not an ELM library: {error!r}")]) from None


class Reader:
    """Reads one library."""

    def __init__(self, models: Mapping[str, str]) -> None:
        self.models = models
        self.at = n.At(1, 1)
        self.depth = 0

    def library(self, document: Json) -> n.LibrarySyntax:
        identifier = document.get("identifier", {})
        found = n.LibrarySyntax(identifier.get("id"), identifier.get("version"))
        for using in self._each(document, "usings"):
            found.usings.append(n.Using(self.at, using["localIdentifier"], using.get("version"), None))
        for include in self._each(document, "includes"):
            name, alias = include["path"], include["localIdentifier"]
            found.includes.append(n.Include(self.at, name, include.get("version"), alias))
        readers: dict[str, Callable[[Json], n.Definition]] = {
            "codeSystems": self._codesystem,
            "valueSets": self._valueset,
            "codes": self._code_definition,
            "concepts": self._concept_definition,
            "parameters": self._parameter,
            "statements": self._statement,
        }
        for section, read in readers.items():
            found.definitions += [read(definition) for definition in self._each(document, section)]
        return found

    def _each(self, document: Json, section: str) -> list[Json]:
        found: list[Json] = (document.get(section) or {}).get("def", [])
        return found

    def _located(self, document: Json) -> None:
        line, _, rest = str(document.get("locator", "")).partition(":")
        column = rest.partition("-")[0]
        if line.isdigit() and column.isdigit():
            self.at = n.At(int(line), int(column))

    def unsupported(self, what: str) -> CompileError:
        return CompileError([Diagnostic(self.at.line, self.at.column, "unsupported", what)])

    # Definitions

    def _codesystem(self, document: Json) -> n.Definition:
        head = (document["name"], _private(document))
        return n.CodeSystemDefinition(self.at, *head, document["id"], document.get("version"))

    def _valueset(self, document: Json) -> n.Definition:
        systems = tuple(_names(system) for system in document.get("codeSystem", ()))
        head = (document["name"], _private(document))
        return n.ValueSetDefinition(self.at, *head, document["id"], document.get("version"), systems)

    def _code_definition(self, document: Json) -> n.Definition:
        system = _names(document["codeSystem"])
        code = n.CodeSelector(self.at, document["id"], system, document.get("display"))
        return n.CodeDefinition(self.at, document["name"], _private(document), code)

    def _concept_definition(self, document: Json) -> n.Definition:
        codes = tuple(_names(code) for code in document["code"])
        head = (document["name"], _private(document))
        return n.ConceptDefinition(self.at, *head, codes, document.get("display"))

    def _parameter(self, document: Json) -> n.Definition:
        self._located(document)
        type_ = self._type_of(document, "parameterType")
        default = self.node(document["default"]) if "default" in document else None
        return n.ParameterDefinition(self.at, document["name"], _private(document), type_, default)

    def _statement(self, document: Json) -> n.Definition:
        self._located(document)
        at, head = self.at, (document["name"], _private(document), document.get("context"))
        body = self.node(document["expression"]) if "expression" in document else None
        if document.get("type") != "FunctionDef":
            if body is None:
                raise self.unsupported("a definition without an expression")
            return n.ExpressionDefinition(at, *head, body)
        operands = []
        for operand in document.get("operand", ()):
            operands.append((operand["name"], self._type_of(operand, "operandType") or _any(at)))
        fluent = bool(document.get("fluent"))
        returns = self._type_of(document, "resultType") if body is None else None
        return n.FunctionDefinition(at, *head, fluent, tuple(operands), returns, body)

    # Types

    def _type_of(self, document: Json, name: str) -> n.TypeNode | None:
        """A type by its name (`asType`) or written out (`asTypeSpecifier`)."""
        if f"{name}Specifier" in document:
            return self._specifier(document[f"{name}Specifier"])
        return self._named(document[name]) if name in document else None

    def _named(self, name: str) -> n.NamedType:
        found = _QUALIFIED.fullmatch(name)
        if found is None:
            return n.NamedType(self.at, tuple(name.split(".")))
        model = self.models.get(found[1])
        if model is None:
            raise self.unsupported(f"the model {found[1]}")
        return n.NamedType(self.at, (model, *found[2].split(".")))

    def _specifier(self, document: Json) -> n.TypeNode:
        kind = document["type"]
        if kind == "NamedTypeSpecifier":
            return self._named(document["name"])
        if kind == "ListTypeSpecifier":
            return n.GenericType(self.at, "List", (self._specifier(document["elementType"]),))
        if kind == "IntervalTypeSpecifier":
            return n.GenericType(self.at, "Interval", (self._specifier(document["pointType"]),))
        if kind == "ChoiceTypeSpecifier":
            options = document.get("choice") or document["type"]
            return n.GenericType(self.at, "Choice", tuple(self._specifier(option) for option in options))
        if kind == "TupleTypeSpecifier":
            return n.TupleType(self.at, tuple(self._element(element) for element in document["element"]))
        raise self.unsupported(f"the type specifier {kind}")

    def _element(self, document: Json) -> tuple[str, n.TypeNode]:
        return document["name"], self._specifier(document.get("elementType") or document["type"])

    # Expressions

    def node(self, document: Json) -> n.Expression:
        """An expression. Raises CompileError where CQL has no form for it."""
        outer = self.at
        self._located(document)
        self.depth += 1
        if self.depth > 4 * MAX_DEPTH:
            raise self.unsupported(f"nested more than {4 * MAX_DEPTH} deep")
        known = document["type"] in _OWN_FORM
        method = getattr(self, f"_{document['type'].lower()}") if known else self._operator
        found: n.Expression = method(document)
        self.depth -= 1
        self.at = outer
        return found

    def _operator(self, document: Json) -> n.Expression:
        op = document["type"]
        operands = self._operands(op, document)
        precision = document.get("precision")
        if op in _CALLS:
            return n.Call(self.at, None, op, operands)
        if isinstance(precision, str):
            precision = precision.lower()
            if precision not in PRECISIONS:
                raise self.unsupported(f"the precision {precision}")
        return n.Operation(self.at, op, operands, precision if isinstance(precision, str) else None)

    def _operands(self, op: str, document: Json) -> tuple[n.Expression, ...]:
        names = OPERANDS.get(op)
        if names is None:
            operands = document.get("operand", [])
            operands = operands if isinstance(operands, list) else [operands]
        elif "signature" in document and "operand" in document and "operand" not in names:
            operands = document["operand"]
        else:
            present = [number for number, name in enumerate(names) if name in document]
            count = present[-1] + 1 if present else 0
            operands = [document.get(name, {"type": "Null"}) for name in names[:count]]
        return tuple(self.node(operand) for operand in operands)

    def _null(self, document: Json) -> n.Expression:
        return n.Literal(self.at, "null", "null")

    def _literal(self, document: Json) -> n.Expression:
        kind = _LITERALS.get(document["valueType"].rpartition("}")[2], "number")
        value = str(document.get("value", ""))
        if kind == "long":
            value += "L"
        if kind in ("number", "long") and value.startswith("-"):
            return n.Operation(self.at, "Negate", (n.Literal(self.at, kind, value[1:]),))
        return n.Literal(self.at, kind, value)

    def _quantity(self, document: Json) -> n.QuantityLiteral:
        return n.QuantityLiteral(self.at, str(document["value"]), document.get("unit", "1"))

    def _ratio(self, document: Json) -> n.Expression:
        sides = [self._quantity(document[name]) for name in ("numerator", "denominator")]
        return n.RatioLiteral(self.at, *sides)

    def _interval(self, document: Json) -> n.Expression:
        closed = [self._closed(document, f"{end}Closed") for end in ("low", "high")]
        ends = [self.node(document[end]) for end in ("low", "high")]
        return n.IntervalSelector(self.at, ends[0], ends[1], closed[0], closed[1])

    def _closed(self, document: Json, name: str) -> bool | n.Expression:
        if f"{name}Expression" in document:
            return self.node(document[f"{name}Expression"])
        return bool(document.get(name, True))

    def _list(self, document: Json) -> n.Expression:
        items = tuple(self.node(element) for element in document.get("element", ()))
        return n.ListSelector(self.at, self._element_type(document), items)

    def _element_type(self, document: Json) -> n.TypeNode | None:
        found = document.get("typeSpecifier")
        return self._specifier(found.get("elementType", found)) if found else None

    def _tuple(self, document: Json) -> n.Expression:
        elements = [(element["name"], self.node(element["value"])) for element in document.get("element", ())]
        return n.TupleSelector(self.at, tuple(elements))

    def _instance(self, document: Json) -> n.Expression:
        elements = [(element["name"], self.node(element["value"])) for element in document.get("element", ())]
        return n.InstanceSelector(self.at, self._named(document["classType"]), tuple(elements))

    def _code(self, document: Json) -> n.CodeSelector:
        return n.CodeSelector(self.at, document["code"], _names(document["system"]), document.get("display"))

    def _concept(self, document: Json) -> n.Expression:
        codes = tuple(self._code(code) for code in document["code"])
        return n.ConceptSelector(self.at, codes, document.get("display"))

    def _minvalue(self, document: Json) -> n.Expression:
        return n.Extent(self.at, document["type"], self._named(document["valueType"]))

    _maxvalue = _minvalue

    def _is(self, document: Json) -> n.Expression:
        type_ = self._type_of(document, "isType") or _any(self.at)
        return n.TypeOperation(self.at, "Is", self.node(document["operand"]), type_)

    def _as(self, document: Json) -> n.Expression:
        type_ = self._type_of(document, "asType") or _any(self.at)
        name = "Cast" if document.get("strict") else "As"
        return n.TypeOperation(self.at, name, self.node(document["operand"]), type_)

    def _if(self, document: Json) -> n.Expression:
        parts = [self.node(document[name]) for name in ("condition", "then", "else")]
        return n.If(self.at, *parts)

    def _case(self, document: Json) -> n.Expression:
        comparand = self.node(document["comparand"]) if document.get("comparand") else None
        items = [(self.node(item["when"]), self.node(item["then"])) for item in document["caseItem"]]
        return n.Case(self.at, comparand, tuple(items), self.node(document["else"]))

    # References

    def _name(self, document: Json) -> n.Expression:
        if library := document.get("libraryName"):
            return n.Member(self.at, n.Name(self.at, library), document["name"])
        return n.Name(self.at, document["name"])

    _expressionref = _parameterref = _operandref = _aliasref = _queryletref = _identifierref = _name
    _codesystemref = _valuesetref = _coderef = _conceptref = _name

    def _functionref(self, document: Json) -> n.Expression:
        operands = tuple(self.node(operand) for operand in document.get("operand", ()))
        library = n.Name(self.at, document["libraryName"]) if document.get("libraryName") else None
        return n.Call(self.at, library, document["name"], operands)

    def _property(self, document: Json) -> n.Expression:
        source = self.node(document["source"]) if "source" in document else n.Name(self.at, document["scope"])
        for name in document["path"].split("."):
            if not name.isidentifier():
                raise self.unsupported(f"the path {document['path']}")
            source = n.Member(self.at, source, name)
        return source

    def _invalueset(self, document: Json) -> n.Expression:
        return self._terminology(document, "valueset")

    _anyinvalueset = _invalueset

    def _incodesystem(self, document: Json) -> n.Expression:
        return self._terminology(document, "codesystem")

    _anyincodesystem = _incodesystem

    def _terminology(self, document: Json, name: str) -> n.Expression:
        item = self.node(document[OPERANDS[document["type"]][0]])
        expression = document.get(f"{name}Expression")
        whole = self.node(expression) if expression else self._name(document[name])
        return n.Operation(self.at, document["type"], (item, whole))

    # Queries

    def _query(self, document: Json) -> n.Expression:
        clauses: dict[str, Any] = {}
        if "return" in document:
            returned = document["return"]
            clauses["returns"] = self.node(returned["expression"])
            clauses["distinct"] = returned.get("distinct", True)
        if "aggregate" in document:
            clauses["aggregate"] = self._aggregate(document["aggregate"])
        if "where" in document:
            clauses["where"] = self.node(document["where"])
        return n.Query(
            self.at,
            tuple(self._source(source) for source in document["source"]),
            tuple((let["identifier"], self.node(let["expression"])) for let in document.get("let", ())),
            tuple(self._relationship(relation) for relation in document.get("relationship", ())),
            sort=tuple(self._sort(item) for item in (document.get("sort") or {}).get("by", ())),
            **clauses,
        )

    def _source(self, document: Json) -> n.Source:
        return n.Source(self.at, self.node(document["expression"]), document["alias"])

    def _relationship(self, document: Json) -> n.Relationship:
        source, condition = self._source(document), self.node(document["suchThat"])
        return n.Relationship(self.at, source, condition, document["type"] == "Without")

    def _aggregate(self, document: Json) -> n.Aggregate:
        start = self.node(document["starting"]) if document.get("starting") else None
        distinct = bool(document.get("distinct"))
        return n.Aggregate(
            self.at, document["identifier"], distinct, start, self.node(document["expression"])
        )

    def _sort(self, document: Json) -> n.SortItem:
        descending = document["direction"] in ("desc", "descending")
        if document["type"] == "ByDirection":
            return n.SortItem(self.at, None, descending)
        if document["type"] == "ByColumn":
            return n.SortItem(self.at, n.Name(self.at, document["path"]), descending)
        return n.SortItem(self.at, self.node(document["expression"]), descending)

    def _retrieve(self, document: Json) -> n.Expression:
        type_ = self._named(document["dataType"])
        codes = self.node(document["codes"]) if document.get("codes") else None
        path, comparator = document.get("codeProperty"), document.get("codeComparator")
        context = self.node(document["context"]) if document.get("context") else None
        if codes is None:
            path = comparator = None
        return n.Retrieve(self.at, context, type_, path, comparator, codes)


def _any(at: n.At) -> n.NamedType:
    return n.NamedType(at, ("System", "Any"))


def _private(document: Json) -> bool:
    return document.get("accessLevel") == "Private"


def _names(document: Json) -> tuple[str, ...]:
    """`Library.Name` or `Name` of a reference."""
    library = document.get("libraryName")
    return (library, document["name"]) if library else (document["name"],)
