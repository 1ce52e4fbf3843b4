"""Typed nodes to Python expressions, with the statements that they need in front of them."""

from __future__ import annotations

import re
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

from rules.emit.dates import Dates
from rules.emit.invariants import UNNAMED, Dependencies, same
from rules.emit.operators import function_of, type_name
from rules.emit.source import Function, Loop, Module, readable
from rules.language.errors import CompileError, Diagnostic
from rules.model import instances
from rules.model.values import DATA_LISTS
from rules.runtime import bounds, interval, temporal, values
from rules.typed.tree import Typed, TypedLibrary
from rules.typed.types import (
    ANY,
    BOOLEAN,
    DATETIME,
    DECIMAL,
    INTEGER,
    LONG,
    STRING,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Named,
    Type,
)

# What costs nothing, or must stay in its place.
_NEVER_LIFTED = frozenset(
    {"Literal", "Null", "Quantity", "Ratio", "AliasRef", "QueryLetRef", "OperandRef", "ElementRef", "Local"}
    | {"Code", "Concept", "CodeSystem", "ValueSet", "CodeRef", "ConceptRef", "CodeSystemRef", "ValueSetRef"}
    | {"ToConcept", "MinValue", "MaxValue", "Case", "Is"}
)
# What takes longer than to look it up.
_REMEMBERED = frozenset({"ModelConversion", "Add", "Subtract", "Interval", "Query"})
_LONGEST = 160  # characters of an operand before it gets a name of its own
CLASSES: dict[str, type] = {
    "Boolean": bool,
    "Integer": int,
    "Long": values.Long,
    "Decimal": Decimal,
    "String": str,
    "Date": temporal.Date,
    "DateTime": temporal.DateTime,
    "Time": temporal.Time,
    "Quantity": values.Quantity,
    "Ratio": values.Ratio,
    "Code": values.Code,
    "Concept": values.Concept,
    "CodeSystem": values.CodeSystem,
    "ValueSet": values.ValueSet,
    "Any": object,
}


# Conversions that cannot fail: of constants they are constants.
_FOLDED = frozenset({"ToConcept", "ToDecimal", "ToLong", "ToQuantity", "ToDateTime"})
_CONSTANT = re.compile(r"K\d+|\(?-?\d+\)?")


def _is_string(node: Typed) -> bool:
    return node.op == "Literal" and node.type == STRING


def is_data(type_: Type) -> bool:
    """Whether a list holds nothing but values of data models."""
    if not isinstance(type_, ListOf):
        return False
    element = type_.element
    options = element.options if isinstance(element, ChoiceOf) else (element,)
    return all(isinstance(option, Named) and option.model != "System" for option in options)


class Expressions:
    """Writes the body of one function. `locals` maps aliases, lets and operands to Python names."""

    def __init__(
        self, module: Module, function: Function, library: TypedLibrary, names: dict[str, str]
    ) -> None:
        self.module = module
        self.out = function
        self.library = library
        self.locals: dict[str, str] = dict(names)
        self.never_null: set[str] = set()
        self.dependencies = Dependencies()
        self.limited: dict[int, Dates] = {}  # by the id of the Retrieve node

    def expression(self, node: Typed) -> str:
        """The Python expression that gives the node's value."""
        if self.out.loops and node.op not in _NEVER_LIFTED:
            lifted = self._lifted_out(node)
            if lifted is not None:
                return lifted
        return self._written(node)

    def _lifted_out(self, node: Typed) -> str | None:
        """A name for what would be the same in each round of the innermost loop: computed when it is first
        needed, and so never if no round comes to it; None for what does change."""
        names = self.dependencies.of(node)
        if UNNAMED in names or (node.op == "As" and node.operands[0].op == "Null"):
            return None
        loops = self.out.loops
        needed = [self.out.bound.get(self.locals[name]) for name in names]
        level = max((loops.index(loop) for loop in needed if loop in loops), default=-1)
        if level == len(loops) - 1:
            return self._remembered(node, loops[-1], names)
        if level >= 0 and self.cannot_fail(node):
            with self.out.within(loops[: level + 1]):
                return self._written(node)
        loop = loops[level] if level >= 0 else None
        known = self.out.known if loop is None else loop.known
        name = known.get(same(node))
        if name is None:
            name = known[same(node)] = self.out.fresh("h")
            if loop is not None:
                self.out.bound[name] = loop
            self.out.lift(loop, f"{name} = UNSET")
        with self.out.block(f"if {name} is UNSET:"), self.out.within(loops[: level + 1]):
            self.out.assign(name, self._written(node))
        return name

    def _remembered(self, node: Typed, loop: Loop, names: frozenset[str]) -> str | None:
        """In an inner loop, which goes over one list again and again: what depends on its item alone is
        computed once for each item."""
        if loop.first is None or node.op not in _REMEMBERED:
            return None
        if any(self.locals[name] != loop.item for name in names):
            return None
        if self.cannot_fail(node):
            return None
        place = loop.known.get(same(node))
        if place is None:
            place = loop.known[same(node)] = self.out.fresh("p")
            self.out.beside(loop, place, f"[[UNSET] for _ in {loop.over}]")
        name = self.out.fresh("h")
        self.out.bound[name] = loop
        self.out.add(f"{name} = {place}[0]")
        with self.out.block(f"if {name} is UNSET:"):
            self.out.add(f"{name} = {place}[0] = {self._written(node)}")
        return name

    def cannot_fail(self, node: Typed) -> bool:
        """Whether it is a conversion that is made of each item before it is needed."""
        return False

    def _written(self, node: Typed) -> str:
        line = self.out.line
        if node.at is not None:
            self.out.line = node.at.line
        method = getattr(self, f"_{node.op.lower()}", None)
        text: str = method(node) if method is not None else self._call(node)
        if node.at is not None and len(text) > _LONGEST:
            text = self.out.hold(text)
        self.out.line = line
        return text

    def guarded(self, held: str, text: str) -> str:
        """The expression, or null where the name it looks into is."""
        return text if held in self.never_null else f"(None if {held} is None else {text})"

    def measured(self, type_: Type, text: str) -> str:
        """The expression, stopped if its value has grown beyond measure: what has a name can be doubled."""
        return f"c.measured({text})" if isinstance(type_, ListOf) or type_ in (STRING, ANY) else text

    def held(self, node: Typed) -> str:
        """A name that holds the node's value."""
        return self.out.hold(self.expression(node))

    def unsupported(self, node: Typed, what: str) -> CompileError:
        line, column = (node.at.line, node.at.column) if node.at else (1, 1)
        return CompileError([Diagnostic(line, column, "unsupported", what)])

    # Operators

    def _call(self, node: Typed) -> str:
        function = function_of(node.op, [operand.type for operand in node.operands])
        if node.op in DATA_LISTS and is_data(node.operands[0].type):
            function = DATA_LISTS[node.op]
        if function is None:
            types = ", ".join(str(operand.type) for operand in node.operands)
            raise self.unsupported(node, f"{node.op}({types}) is not supported")
        operands = [self.expression(operand) for operand in node.operands]
        if "precision" in node.fields:
            operands.append(repr(node.fields["precision"]))
        text = f"{self.module.bind(function)}({', '.join(operands)})"
        if node.op in _FOLDED and all(_CONSTANT.fullmatch(operand) for operand in operands):
            return self.module.constant(text)
        return text

    def _in(self, node: Typed) -> str:
        """In a list of strings that is written out: a look-up in a set."""
        item, whole = node.operands
        strings = [operand.fields["value"] for operand in whole.operands if _is_string(operand)]
        if whole.op != "List" or len(strings) < len(whole.operands) or not strings or item.type != STRING:
            return self._call(node)
        return f"({self.expression(item)} in {self.module.constant(f'frozenset({sorted(set(strings))!r})')})"

    def _and(self, node: Typed) -> str:
        """False if either is, then null if either is; what follows a False is not evaluated."""
        return self._lazy(node, "False", "True")

    def _or(self, node: Typed) -> str:
        return self._lazy(node, "True", "False")

    def _lazy(self, node: Typed, decisive: str, neutral: str) -> str:
        left, right = node.operands
        result = self.out.fresh()
        self.out.add(f"{result} = {self.expression(left)}")
        with self.out.block(f"if {result} is not {decisive}:"):
            second = self.held(right)
            with self.out.block(f"if {result} is {neutral} or {second} is {decisive}:"):
                self.out.add(f"{result} = {second}")
        return result

    def _implies(self, node: Typed) -> str:
        left, right = node.operands
        result = self.out.fresh()
        self.out.add(f"{result} = {self.expression(left)}")
        with self.out.block(f"if {result} is False:"):
            self.out.add(f"{result} = True")
        with self.out.block("else:"):
            second = self.held(right)
            with self.out.block(f"if {result} or {second}:"):
                self.out.add(f"{result} = {second}")
        return result

    def _not(self, node: Typed) -> str:
        operand = self.held(node.operands[0])
        return f"(None if {operand} is None else not {operand})"

    def _isnull(self, node: Typed) -> str:
        return f"({self.held(node.operands[0])} is None)"

    def _istrue(self, node: Typed) -> str:
        return f"({self.expression(node.operands[0])} is True)"

    def _isfalse(self, node: Typed) -> str:
        return f"({self.expression(node.operands[0])} is False)"

    def _if(self, node: Typed) -> str:
        condition, then, otherwise = node.operands
        result = self.out.fresh()
        with self.out.block(f"if {self.expression(condition)}:"):
            self.out.add(f"{result} = {self.expression(then)}")
        with self.out.block("else:"):
            self.out.add(f"{result} = {self.expression(otherwise)}")
        return result

    def _case(self, node: Typed) -> str:
        """Each condition is evaluated only when all before it did not hold, hence the nesting."""
        result = self.out.fresh()
        comparand = node.fields["comparand"]
        held = Typed("Local", comparand.type, [], {"text": self.held(comparand)}) if comparand else None
        with self.out.block("while True:"):
            for condition, value in node.fields["items"]:
                if held is not None:
                    condition = Typed("Equal", BOOLEAN, [held, condition], {}, condition.at)
                with self.out.block(f"if {self.expression(condition)}:"):
                    self.out.add(f"{result} = {self.expression(value)}")
                    self.out.add("break")
            self.out.add(f"{result} = {self.expression(node.fields['else'])}")
            self.out.add("break")
        return result

    def _local(self, node: Typed) -> str:
        text: str = node.fields["text"]
        return text

    def _coalesce(self, node: Typed) -> str:
        if len(node.operands) == 1:
            function = function_of("Coalesce", [node.operands[0].type])
            assert function is not None
            return f"{self.module.bind(function)}({self.expression(node.operands[0])})"
        result = self.out.fresh()
        self.out.add(f"{result} = {self.expression(node.operands[0])}")
        with ExitStack() as stack:
            for operand in node.operands[1:]:
                stack.enter_context(self.out.block(f"if {result} is None:"))
                self.out.add(f"{result} = {self.expression(operand)}")
        return result

    # Literals and selectors

    def _null(self, node: Typed) -> str:
        return "None"

    def _literal(self, node: Typed) -> str:
        value = node.fields["value"]
        if node.type == STRING:
            return repr(value)
        if node.type == BOOLEAN:
            return "True" if value == "true" else "False"
        if node.type == INTEGER:
            return str(int(value)) if not value.startswith("-") else f"({int(value)})"
        if node.type == LONG:
            return self.module.constant(f"{self.module.bind(values.Long)}({int(value)})")
        if node.type == DECIMAL:
            return self.module.constant(f"{self.module.bind(Decimal)}({value!r})")
        return self._temporal(node.type, node.fields["constant"])

    def _temporal(self, type_: Type, value: Any) -> str:
        name = self.module.bind(CLASSES[type_name(type_)])
        offset = f", {value.offset}" if type_ == DATETIME else ""
        return self.module.constant(f"{name}({value.fields!r}{offset})")

    def _quantity(self, node: Typed) -> str:
        value = self.decimal(node.fields["value"])
        return self.module.constant(f"{self.module.bind(values.Quantity)}({value}, {node.fields['unit']!r})")

    def decimal(self, value: Any) -> str:
        return f"{self.module.bind(Decimal)}({str(value)!r})"

    def _ratio(self, node: Typed) -> str:
        sides = ", ".join(self.expression(operand) for operand in node.operands)
        return self.module.constant(f"{self.module.bind(values.Ratio)}({sides})")

    def _minvalue(self, node: Typed) -> str:
        return f"{self.module.bind(bounds.minimum)}({type_name(node.type)!r})"

    def _maxvalue(self, node: Typed) -> str:
        return f"{self.module.bind(bounds.maximum)}({type_name(node.type)!r})"

    def _interval(self, node: Typed) -> str:
        low, high = (self.expression(operand) for operand in node.operands)
        assert isinstance(node.type, IntervalOf)
        ends = (node.fields["lowClosed"], node.fields["highClosed"])
        closed = ", ".join(self.expression(end) if isinstance(end, Typed) else str(end) for end in ends)
        made = self.module.bind(interval.interval)
        return f"{made}({low}, {high}, {closed}, {type_name(node.type.point)!r})"

    def _list(self, node: Typed) -> str:
        return f"[{', '.join(self.expression(operand) for operand in node.operands)}]"

    def _tuple(self, node: Typed) -> str:
        elements = [f"{name!r}: {self.expression(value)}" for name, value in node.fields["elements"]]
        return f"{self.module.bind(values.Tuple)}({{{', '.join(elements)}}})"

    def _instance(self, node: Typed) -> str:
        type_ = node.type
        assert isinstance(type_, Named)
        if type_.model != "System":
            return self._data(node, type_)
        elements = []
        for name, value in node.fields["elements"]:
            text = self.expression(value)
            if isinstance(value.type, ListOf):
                text = f"tuple({text} or ())"
            elements.append(f"{name}={text}")
        return f"{self.module.bind(CLASSES[type_.name])}({', '.join(elements)})"

    def _data(self, node: Typed, type_: Named) -> str:
        """An instance of a model's type, as it is in JSON."""
        written = [f"{name!r}: {self.expression(value)}" for name, value in node.fields["elements"]]
        elements = f"{{{', '.join(written)}}}"
        if self.library.models.is_primitive(type_):
            return f"{self.module.bind(instances.primitive)}({elements})"
        resource = self.library.models.is_subtype(type_, Named(type_.model, "Resource"))
        return f"{self.module.bind(instances.structure)}({type_.name if resource else None!r}, {elements})"

    def _tolist(self, node: Typed) -> str:
        operand = self.held(node.operands[0])
        if _CONSTANT.fullmatch(operand):
            return f"[{operand}]"
        return f"([] if {operand} is None else [{operand}])"

    # Clinical values; definitions of them are constants

    def _code(self, node: Typed) -> str:
        system = self.defined(node.fields["system"])
        arguments = [repr(node.fields["code"]), repr(system.fields["id"]), repr(system.fields["version"])]
        arguments.append(repr(node.fields["display"]))
        return self.module.constant(f"{self.module.bind(values.Code)}({', '.join(arguments)})")

    def _concept(self, node: Typed) -> str:
        codes = "".join(f"{self.expression(code)}, " for code in node.fields["codes"])
        display = repr(node.fields["display"])
        return self.module.constant(f"{self.module.bind(values.Concept)}(({codes}), {display})")

    def _codesystem(self, node: Typed) -> str:
        arguments = ", ".join(repr(node.fields[name]) for name in ("id", "version", "name"))
        return self.module.constant(f"{self.module.bind(values.CodeSystem)}({arguments})")

    def _valueset(self, node: Typed) -> str:
        arguments = ", ".join(repr(node.fields[name]) for name in ("id", "version", "name"))
        systems = "".join(f"{self.expression(system)}, " for system in node.fields["codesystems"])
        return self.module.constant(f"{self.module.bind(values.ValueSet)}({arguments}, ({systems}))")

    def defined(self, node: Typed) -> Typed:
        """What a reference to a code system, value set, code or concept stands for."""
        library = self.library
        if node.fields.get("libraryName") is not None:
            library = library.includes[node.fields["libraryName"]]
        table: dict[str, Typed] = getattr(library, f"{node.op.removesuffix('Ref').lower()}s")
        return table[node.fields["name"]]

    def _reference(self, node: Typed) -> str:
        outer = self.library
        if node.fields["libraryName"] is not None:
            self.library = outer.includes[node.fields["libraryName"]]
        inner = Typed(node.op, node.type, [], {**node.fields, "libraryName": None})
        text = self.expression(self.defined(inner))
        self.library = outer
        return text

    _codesystemref = _valuesetref = _coderef = _conceptref = _reference

    # References

    def _aliasref(self, node: Typed) -> str:
        return self.locals[node.fields["name"]]

    _queryletref = _operandref = _aliasref

    def _elementref(self, node: Typed) -> str:
        return self.locals[""]

    def _expressionref(self, node: Typed) -> str:
        library, name = node.fields["libraryName"], node.fields["name"]
        prefix, names = self._prefix(library)
        number = list(names.expressions).index(name)
        function = f"{prefix}define_{number}_{readable(name)}"
        if context := node.fields.get("each"):
            return self.out.once(f"c.each({context!r}, {function})")
        return self.out.once(
            f"{function}(c.unfiltered)" if node.fields.get("unfiltered") else f"{function}(c)"
        )

    def _prefix(self, library: str | None) -> tuple[str, TypedLibrary]:
        if library is None:
            return "", self.library
        return f"L{list(self.library.includes).index(library)}_", self.library.includes[library]

    def _parameterref(self, node: Typed) -> str:
        prefix, names = self._prefix(node.fields["libraryName"])
        number = list(names.parameters).index(node.fields["name"])
        return self.out.once(f"{prefix}parameter_{number}_{readable(node.fields['name'])}(c)")

    def _functionref(self, node: Typed) -> str:
        prefix, _ = self._prefix(node.fields["libraryName"])
        function = node.fields["function"]
        operands = "".join(f", {self.expression(operand)}" for operand in node.operands)
        return f"{prefix}function_{function.number}_{readable(function.name)}(c{operands})"
