"""The typed tree as ELM JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from rules.elm.names import NARY, OPERANDS, SCHEMA, SYSTEM_URI, qualified, specifier
from rules.language.nodes import At
from rules.runtime.temporal import PRECISIONS, Time
from rules.typed.tree import QueryClauses, Typed, TypedFunction, TypedLibrary
from rules.typed.types import (
    BOOLEAN,
    CODE,
    CONCEPT,
    DATE,
    DATETIME,
    DECIMAL,
    INTEGER,
    TIME,
    IntervalOf,
    ListOf,
    Named,
    is_of_model,
    options_of,
)

Json = dict[str, Any]
_REFERENCES: Final = frozenset(
    {"ExpressionRef", "ParameterRef", "CodeSystemRef", "ValueSetRef", "CodeRef", "ConceptRef"}
)


def write_library(library: TypedLibrary, uris: dict[str, str]) -> Json:
    """`{"library": {...}}`; `uris` are the URIs of the data models by name."""
    return Writer(library, {"System": SYSTEM_URI, **uris}).library_json()


class Writer:
    """Writes one library."""

    def __init__(self, library: TypedLibrary, uris: dict[str, str]) -> None:
        self.library = library
        self.uris = uris
        # Alias of each helper library: the conversions that CQL leaves out are calls of it in ELM.
        self.helpers = {i.name: (alias, i.version) for alias, i in library.includes.items() if i.name}

    def library_json(self) -> Json:
        library = self.library
        found: Json = {"identifier": _given(id=library.name, version=library.version)}
        found["schemaIdentifier"] = dict(SCHEMA)
        usings = [{"localIdentifier": "System", "uri": SYSTEM_URI}]
        usings += [
            _given(localIdentifier=name, uri=self.uris.get(name, name), version=version)
            for name, version in library.usings
        ]
        statements = self._statements()
        sections = {
            "usings": usings,
            "includes": [
                _given(localIdentifier=alias, path=name, version=version)
                for name, (alias, version) in self.helpers.items()
            ],
            "parameters": [self._parameter(name) for name in library.parameters],
            "codeSystems": [self._vocabulary(node) for node in library.codesystems.values()],
            "valueSets": [self._vocabulary(node) for node in library.valuesets.values()],
            "codes": [self._code_definition(node) for node in library.codes.values()],
            "concepts": [self._concept_definition(node) for node in library.concepts.values()],
            "contexts": [{"name": name} for name in self._contexts()],
            "statements": statements,
        }
        found |= {name: {"def": definitions} for name, definitions in sections.items() if definitions}
        return {"library": found}

    def _contexts(self) -> list[str]:
        contexts = [e.context for e in self.library.expressions.values()]
        return [name for name in dict.fromkeys(contexts) if name != "Unfiltered"]

    # Definitions

    def _parameter(self, name: str) -> Json:
        parameter = self.library.parameters[name]
        found = {"name": name, "accessLevel": _access(parameter.private)}
        found["parameterTypeSpecifier"] = specifier(parameter.type, self.uris)  # type: ignore[assignment]
        if parameter.default is not None:
            found["default"] = self.node(parameter.default)  # type: ignore[assignment]
        return found

    def _vocabulary(self, node: Typed) -> Json:
        fields = node.fields
        found = _given(name=fields["name"], id=fields["id"], version=fields["version"])
        if systems := [_reference(system) for system in fields.get("codesystems", ())]:
            found["codeSystem"] = systems
        return {**found, "accessLevel": _access(fields["private"])}

    def _code_definition(self, node: Typed) -> Json:
        fields = node.fields
        found = _given(name=fields["name"], id=fields["code"], display=fields["display"])
        return {
            **found,
            "accessLevel": _access(fields["private"]),
            "codeSystem": _reference(fields["system"]),
        }

    def _concept_definition(self, node: Typed) -> Json:
        fields = node.fields
        found = _given(name=fields["name"], display=fields["display"])
        codes = [_reference(code) for code in fields["codes"]]
        return {**found, "accessLevel": _access(fields["private"]), "code": codes}

    def _statements(self) -> list[Json]:
        """In the order of the text."""
        found: list[tuple[At, Json]] = []
        for e in self.library.expressions.values():
            head = {"name": e.name, "context": e.context, "accessLevel": _access(e.private)}
            found.append((e.at, {**_located(e.at), **head, "expression": self.node(e.body)}))
        found += [(function.at, self._function(function)) for function in self.library.functions]
        return [json for _, json in sorted(found, key=lambda pair: (pair[0].line, pair[0].column))]

    def _function(self, function: TypedFunction) -> Json:
        operands = [
            {"name": name, "operandTypeSpecifier": specifier(type_, self.uris)}
            for name, type_ in function.operands
        ]
        found: Json = {"type": "FunctionDef", **_located(function.at), "name": function.name}
        found |= {"context": function.context, "accessLevel": _access(function.private), "operand": operands}
        found["resultTypeSpecifier"] = specifier(function.type, self.uris)
        if function.fluent:
            found["fluent"] = True
        if function.external:
            found["external"] = True
        if function.body is not None:
            found["expression"] = self.node(function.body)
        return found

    # Nodes

    def node(self, node: Typed) -> Json:
        """The JSON of an expression."""
        method = getattr(self, f"_{node.op.lower()}", None)
        if method is not None:
            found: Json = method(node)
        elif node.op in _REFERENCES:
            found = {"type": node.op, **_reference(node)}
        else:
            found = self._operator(node)
        return {**found, **_located(node.at), "resultTypeSpecifier": specifier(node.type, self.uris)}

    def _operator(self, node: Typed) -> Json:
        found: Json = {"type": node.op}
        if precision := node.fields.get("precision"):
            found["precision"] = precision.capitalize()
        names = OPERANDS.get(node.op)
        operands = [self.node(operand) for operand in node.operands]
        if names is not None:
            return found | dict(zip(names, operands, strict=False))
        if len(operands) == 1 and node.op not in NARY:
            return {**found, "operand": operands[0]}
        return {**found, "operand": operands} if operands else found

    def _literal(self, node: Typed) -> Json:
        if node.type in (DATE, DATETIME, TIME):
            return self._moment(node)
        assert isinstance(node.type, Named)
        value = node.fields["value"]
        return {"type": "Literal", "valueType": qualified(node.type, self.uris), "value": value}

    def _moment(self, node: Typed) -> Json:
        """A literal of time is the call of its constructor."""
        value = node.fields["constant"]
        names = PRECISIONS[3 if isinstance(value, Time) else 0 :]
        found: Json = {"type": str(node.type)}
        for name, field in zip(names, value.fields, strict=False):
            found[name] = self._number(INTEGER, str(field))
        if node.type == DATETIME and value.offset is not None:
            hours = Decimal(value.offset) / 60
            found["timezoneOffset"] = self._number(
                DECIMAL, f"{hours.normalize():f}" if hours % 1 else f"{hours}.0"
            )
        return found

    def _number(self, type_: Named, value: str) -> Json:
        return {"type": "Literal", "valueType": qualified(type_, self.uris), "value": value}

    def _quantity(self, node: Typed) -> Json:
        return {"type": "Quantity", "value": Decimal(node.fields["value"]), "unit": node.fields["unit"]}

    def _ratio(self, node: Typed) -> Json:
        sides = [self._quantity(side) for side in node.operands]
        return {"type": "Ratio", "numerator": sides[0], "denominator": sides[1]}

    def _interval(self, node: Typed) -> Json:
        low, high = (self.node(operand) for operand in node.operands)
        found: Json = {"type": "Interval"}
        for name in ("lowClosed", "highClosed"):
            closed = node.fields[name]
            found |= {f"{name}Expression": self.node(closed)} if isinstance(closed, Typed) else {name: closed}
        return {**found, "low": low, "high": high}

    def _list(self, node: Typed) -> Json:
        return {"type": "List", "element": [self.node(operand) for operand in node.operands]}

    def _elements(self, node: Typed) -> list[Json]:
        return [{"name": name, "value": self.node(value)} for name, value in node.fields["elements"]]

    def _tuple(self, node: Typed) -> Json:
        return {"type": "Tuple", "element": self._elements(node)}

    def _instance(self, node: Typed) -> Json:
        class_type = qualified(node.fields["classType"], self.uris)
        return {"type": "Instance", "classType": class_type, "element": self._elements(node)}

    def _code(self, node: Typed) -> Json:
        found = _given(type="Code", code=node.fields["code"], display=node.fields["display"])
        return {**found, "system": _reference(node.fields["system"])}

    def _concept(self, node: Typed) -> Json:
        codes = [self._code(code) for code in node.fields["codes"]]
        return {**_given(type="Concept", display=node.fields["display"]), "code": codes}

    def _minvalue(self, node: Typed) -> Json:
        return {"type": node.op, "valueType": qualified(node.fields["valueType"], self.uris)}

    _maxvalue = _minvalue

    def _is(self, node: Typed) -> Json:
        type_ = specifier(node.fields["isType"], self.uris)
        return {"type": "Is", "isTypeSpecifier": type_, "operand": self.node(node.operands[0])}

    def _as(self, node: Typed) -> Json:
        type_ = specifier(node.fields["asType"], self.uris)
        found = {"type": "As", "strict": node.fields["strict"], "asTypeSpecifier": type_}
        return {**found, "operand": self.node(node.operands[0])}

    def _case(self, node: Typed) -> Json:
        found: Json = {"type": "Case"}
        if node.fields["comparand"] is not None:
            found["comparand"] = self.node(node.fields["comparand"])
        found["caseItem"] = [
            {"when": self.node(condition), "then": self.node(value)}
            for condition, value in node.fields["items"]
        ]
        return {**found, "else": self.node(node.fields["else"])}

    def _aliasref(self, node: Typed) -> Json:
        return {"type": node.op, "name": node.fields["name"]}

    _queryletref = _operandref = _aliasref

    def _functionref(self, node: Typed) -> Json:
        operands = [self.node(operand) for operand in node.operands]
        return {"type": "FunctionRef", **_reference(node), "operand": operands}

    def _invalueset(self, node: Typed) -> Json:
        return self._terminology(node, "valueset")

    _anyinvalueset = _invalueset

    def _incodesystem(self, node: Typed) -> Json:
        return self._terminology(node, "codesystem")

    _anyincodesystem = _incodesystem

    def _modelconversion(self, node: Typed) -> Json:
        source = node.fields["from"] or next(o for o in options_of(node.operands[0].type) if is_of_model(o))
        model = self.library.models.by_name[source.model]
        assert model.helpers is not None
        alias, _ = self.helpers.setdefault(model.helpers, (model.helpers, model.version))
        operands = [self.node(operand) for operand in node.operands]
        return {"type": "FunctionRef", "libraryName": alias, "name": node.fields["name"], "operand": operands}

    def _terminology(self, node: Typed, name: str) -> Json:
        item, whole = node.operands
        found = {"type": node.op, OPERANDS[node.op][0]: self.node(item)}
        if whole.op in _REFERENCES and whole.op != "ExpressionRef":
            return {**found, name: _reference(whole)}
        return {**found, f"{name}Expression": self.node(whole)}

    # Elements and conversions

    def _property(self, node: Typed) -> Json:
        (source,) = node.operands
        if source.op == "AliasRef":
            return {"type": "Property", "path": node.fields["path"], "scope": source.fields["name"]}
        return {"type": "Property", "path": node.fields["path"], "source": self.node(source)}

    def _over(self, source: Typed, returned: Typed) -> Json:
        """A query that makes of each X of the source what is returned."""
        clauses = {"expression": self.node(returned), "distinct": False}
        sources = [{"alias": "X", "expression": self.node(source)}]
        return {"type": "Query", "source": sources, "relationship": [], "return": clauses}

    def _propertyofeach(self, node: Typed) -> Json:
        (source,) = node.operands
        assert isinstance(source.type, ListOf)
        alias = Typed("AliasRef", source.type.element, [], {"name": "X"})
        element = Typed("Property", node.fields["elementType"], [alias], {"path": node.fields["path"]})
        found = self._over(source, element)
        known = Typed("Not", BOOLEAN, [Typed("IsNull", BOOLEAN, [element])])
        found["where"] = self.node(known)
        return {"type": "Flatten", "operand": found} if isinstance(element.type, ListOf) else found

    def _convertlist(self, node: Typed) -> Json:
        (source,) = node.operands
        assert isinstance(source.type, ListOf)
        alias = Typed("AliasRef", source.type.element, [], {"name": "X"})
        return self._over(source, _placed(node.fields["by"], alias))

    def _convertinterval(self, node: Typed) -> Json:
        (source,) = node.operands
        assert isinstance(source.type, IntervalOf)
        found: Json = {"type": "Interval"}
        for end in ("low", "high"):
            bound = Typed("Property", source.type.point, [source], {"path": end})
            found[end] = self.node(_placed(node.fields["by"], bound))
            closed = Typed("Property", BOOLEAN, [source], {"path": f"{end}Closed"})
            found[f"{end}ClosedExpression"] = self.node(closed)
        condition = self.node(Typed("IsNull", BOOLEAN, [source]))
        return {"type": "If", "condition": condition, "then": {"type": "Null"}, "else": found}

    # Queries

    def _query(self, node: Typed) -> Json:
        clauses: QueryClauses = node.fields["clauses"]
        found: Json = {"type": "Query"}
        found["source"] = [{"alias": alias, "expression": self.node(e)} for alias, e in clauses.sources]
        if clauses.lets:
            found["let"] = [{"identifier": name, "expression": self.node(e)} for name, e in clauses.lets]
        found["relationship"] = [
            {
                "type": "Without" if negated else "With",
                "alias": alias,
                "expression": self.node(source),
                "suchThat": self.node(condition),
            }
            for alias, source, condition, negated in clauses.relationships
        ]
        if clauses.where is not None:
            found["where"] = self.node(clauses.where)
        if clauses.returns is not None:
            found["return"] = {"expression": self.node(clauses.returns), "distinct": clauses.distinct}
        if clauses.aggregate is not None:
            name, start, body, distinct = clauses.aggregate
            found["aggregate"] = {
                "identifier": name,
                "distinct": distinct,
                "starting": self.node(start),
                "expression": self.node(body),
            }
        if clauses.sort:
            found["sort"] = {"by": [self._sort(key, descending) for key, descending in clauses.sort]}
        return found

    def _sort(self, key: Typed | None, descending: bool) -> Json:
        direction = "desc" if descending else "asc"
        if key is None:
            return {"type": "ByDirection", "direction": direction}
        if key.op == "Property" and key.operands[0].op == "AliasRef":
            return {"type": "ByColumn", "direction": direction, "path": key.fields["path"]}
        return {"type": "ByExpression", "direction": direction, "expression": self.node(key)}

    def _retrieve(self, node: Typed) -> Json:
        fields = node.fields
        found: Json = {"type": "Retrieve", "dataType": qualified(fields["dataType"], self.uris)}
        if "context" in fields:
            found["context"] = self.node(fields["context"])
        if "codes" in fields:
            found |= {"codeProperty": fields["codeProperty"], "codeComparator": fields["codeComparator"]}
            found["codes"] = self.node(_listed(fields["codes"]))
        return found


def _listed(codes: Typed) -> Typed:
    """The codes of a retrieve as ELM has them, where a Concept is a list of its codes."""
    if codes.type != CONCEPT:
        return codes
    return Typed("Property", ListOf(CODE), [codes], {"path": "codes"}, codes.at)


def _given(**values: Any) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _located(at: At | None) -> Json:
    return {"locator": f"{at.line}:{at.column}"} if at is not None else {}


def _access(private: bool) -> str:
    return "Private" if private else "Public"


def _reference(node: Typed) -> Json:
    return _given(name=node.fields.get("name"), libraryName=node.fields.get("libraryName"))


def _placed(node: Typed, element: Typed) -> Typed:
    """The conversion of one element with the element in its place."""
    if node.op == "ElementRef":
        return element
    operands = [_placed(operand, element) for operand in node.operands]
    fields = dict(node.fields)
    if node.op == "Instance":
        fields["elements"] = [(name, _placed(value, element)) for name, value in fields["elements"]]
    if node.op == "Case":
        fields["items"] = [(_placed(c, element), _placed(v, element)) for c, v in fields["items"]]
    return Typed(node.op, node.type, operands, fields, node.at)
