"""The operators.

https://hl7.org/fhirpath/N1/#operations. What the types already decide is decided here; operands that no
operation fits are a CompileError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from rules.fhirpath import comparing, numbers, registry, types, values
from rules.fhirpath.syntax import stripped
from rules.fhirpath.writer import EMPTY, Gathered, Item, Scope, Sink, Value, negated
from rules.language import nodes as n
from rules.runtime import logic

if TYPE_CHECKING:
    from rules.fhirpath.emitter import Emitter

_ORDER: Final = {
    "Less": ("<", comparing.less),
    "LessOrEqual": ("<=", comparing.at_most),
    "Greater": (">", comparing.greater),
    "GreaterOrEqual": (">=", comparing.at_least),
}
_ARITHMETIC: Final[dict[str, tuple[str, Callable[..., Any]]]] = {
    "Add": ("+", numbers.add),
    "Subtract": ("-", numbers.subtract),
    "Multiply": ("*", numbers.multiply),
    "Divide": ("/", numbers.divide),
    "TruncatedDivide": ("div", numbers.whole_divide),
    "Modulo": ("mod", numbers.modulo),
}


def _operands(e: Emitter, node: n.Operation, scope: Scope) -> tuple[Value, Value]:
    left, right = node.operands
    return e.value(left, e.branch(scope, 2)), e.value(right, e.branch(scope, 2))


def _says(kind: str) -> str:
    return kind.removeprefix("System.")


# Equality and order


def _plain(left: Value, right: Value) -> bool:
    """Whether Python's own comparison is FHIRPath's."""
    if left.type == right.type:
        return left.type in (types.STRING, types.BOOLEAN, *types.NUMBERS)
    return left.type in types.NUMBERS and right.type in types.NUMBERS


def _equality(name: str, sign: str, of_values: Any, of_lists: Any) -> None:
    def as_value(e: Emitter, node: n.Operation, scope: Scope) -> Value:
        left, right = (e.operand(operand, e.branch(scope, 2)) for operand in node.operands)
        if EMPTY in (left.type, right.type):
            return Value("None", types.BOOLEAN)
        e.needs_context = True
        if left.many or right.many:
            return Value(f"{e.bind(of_lists)}({e.as_list(left)}, {e.as_list(right)})", types.BOOLEAN)
        if not _plain(left, right):
            return Value(f"{e.bind(of_values)}({left.text}, {right.text})", types.BOOLEAN)
        return _compared(e, left, sign, right)

    def as_condition(e: Emitter, node: n.Operation, scope: Scope) -> str:
        left, right = (e.operand(operand, e.branch(scope, 2)) for operand in node.operands)
        if left.many or right.many or EMPTY in (left.type, right.type) or not _plain(left, right):
            if EMPTY in (left.type, right.type):
                return "False"
            e.needs_context = True
            function = of_lists if left.many or right.many else of_values
            sides = [e.as_list(side) if function is of_lists else side.text for side in (left, right)]
            return f"{e.bind(function)}({sides[0]}, {sides[1]}) is True"
        if sign == "==" and not (left.null and right.null):
            return f"{left.text} == {right.text}"
        if not left.null and not right.null:
            return f"{left.text} {sign} {right.text}"
        found = _compared(e, left, sign, right)
        return f"({found.text}) is True"

    registry.OPERATORS[name] = as_value
    registry.CONDITIONS[name] = as_condition


def _compared(e: Emitter, left: Value, sign: str, right: Value) -> Value:
    """A comparison by Python's own operator, nothing where a side is."""
    names = [e.hold(side.text) if side.null else side.text for side in (left, right)]
    missing = [f"{name} is None" for name, side in zip(names, (left, right), strict=True) if side.null]
    test = f"{names[0]} {sign} {names[1]}"
    if not missing:
        return Value(f"({test})", types.BOOLEAN, null=False)
    return Value(f"(None if {' or '.join(missing)} else {test})", types.BOOLEAN)


_equality("Equal", "==", comparing.equal, comparing.equal_lists)
_equality("NotEqual", "!=", comparing.unequal, comparing.unequal_lists)


def _equivalence(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    left, right = (e.operand(operand, e.branch(scope, 2)) for operand in node.operands)
    e.needs_context = True
    if left.many or right.many:
        text = f"{e.bind(comparing.equivalent_lists)}({e.as_list(left)}, {e.as_list(right)})"
    else:
        text = f"{e.bind(comparing.equivalent)}({left.text}, {right.text})"
    return Value(text, types.BOOLEAN, null=False)


def _no_equivalence(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    return Value(negated(_equivalence(e, node, scope).text), types.BOOLEAN, null=False)


registry.OPERATORS["Equivalent"] = _equivalence
registry.OPERATORS["NotEquivalent"] = _no_equivalence


def _order(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    sign, function = _ORDER[node.name]
    left, right = _operands(e, node, scope)
    if EMPTY in (left.type, right.type):
        return Value("None", types.BOOLEAN)
    if types.BOOLEAN not in (left.type, right.type) and _plain(left, right):
        return _compared(e, left, sign, right)
    if not _have_order(left.type, right.type):
        e.problem(f"{_says(left.type)} and {_says(right.type)} have no order", node.at)
    e.needs_context = True
    return Value(f"{e.bind(function)}({left.text}, {right.text})", types.BOOLEAN)


def _have_order(left: str, right: str) -> bool:
    if types.ANY in (left, right):
        return True
    amounts = {types.QUANTITY, *types.NUMBERS}
    days = {types.DATE, types.DATETIME}
    return any(left in kinds and right in kinds for kinds in (amounts, days, {types.TIME}, {types.STRING}))


registry.OPERATORS.update(dict.fromkeys(_ORDER, _order))


# Logic


def _lazily(
    e: Emitter,
    node: n.Operation,
    scope: Scope,
    decided: str,
    join: Callable[[Value, Value], tuple[str, bool]],
) -> Value:
    """The right side is only evaluated where the left one does not decide."""
    left = e.boolean(node.operands[0], e.branch(scope, 2))
    out, at = e.out, len(e.out.lines)
    name = e.fresh()
    e.add(f"{name} = {left.text}")
    e.add(f"if {name} is not {decided}:")
    before = len(out.lines)
    out.depth += 1
    right = e.boolean(node.operands[1], e.branch(scope, 2))
    out.depth -= 1
    simple = not left.null or "(" not in right.text
    if len(out.lines) == before and simple:  # nothing to be done for the right side: one expression
        del out.lines[at:]
        text, null = join(left, right)
        return Value(text, types.BOOLEAN, null=null)
    out.depth += 1
    text, null = join(Value(name, types.BOOLEAN, null=left.null), right)
    e.add(f"{name} = {text}")
    out.depth -= 1
    if node.name == "Implies":  # what is false implies anything; `and` and `or` are what decided them
        e.add(f"else: {name} = True")
    return Value(name, types.BOOLEAN, null=null)


def _and(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    def join(left: Value, right: Value) -> tuple[str, bool]:
        if left.null:
            return f"{e.bind(logic.and_)}({left.text}, {right.text})", True
        return f"({left.text} and {right.text})", right.null

    return _lazily(e, node, scope, "False", join)


def _or(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    def join(left: Value, right: Value) -> tuple[str, bool]:
        if left.text == "False":
            return right.text, right.null
        if left.null:
            return f"{e.bind(logic.or_)}({left.text}, {right.text})", True
        return f"({left.text} or {right.text})", right.null

    return _lazily(e, node, scope, "True", join)


def _implies(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    def join(left: Value, right: Value) -> tuple[str, bool]:
        if left.null:
            return f"{e.bind(logic.implies)}({left.text}, {right.text})", True
        return f"(not {left.text} or {right.text})", right.null

    return _lazily(e, node, scope, "False", join)


def _xor(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    left, right = (e.boolean(operand, e.branch(scope, 2)) for operand in node.operands)
    if left.null or right.null:
        return Value(f"{e.bind(logic.xor)}({left.text}, {right.text})", types.BOOLEAN)
    return Value(f"({left.text} is not {right.text})", types.BOOLEAN, null=False)


registry.OPERATORS.update({"And": _and, "Or": _or, "Implies": _implies, "Xor": _xor})


def _test_of_two(word: str) -> Callable[[Emitter, n.Operation, Scope], str]:
    """`and` and `or` as a test: no more than true matters."""

    def test(e: Emitter, node: n.Operation, scope: Scope) -> str:
        left = e.condition(node.operands[0], e.branch(scope, 2))
        out, at = e.out, len(e.out.lines)
        name = e.fresh()
        e.add(f"{name} = {left}")
        e.add(f"if {name}:" if word == "and" else f"if not {name}:")
        before = len(out.lines)
        out.depth += 1
        right = e.condition(node.operands[1], e.branch(scope, 2))
        out.depth -= 1
        if len(out.lines) == before:
            del out.lines[at:]
            return f"({left} {word} {right})"
        out.depth += 1
        e.add(f"{name} = {right}")
        out.depth -= 1
        return name

    return test


registry.CONDITIONS.update({"And": _test_of_two("and"), "Or": _test_of_two("or")})


# Arithmetic


def _arithmetic(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    sign, function = _ARITHMETIC[node.name]
    left, right = _operands(e, node, scope)
    if EMPTY in (left.type, right.type):
        return Value("None", EMPTY)
    kind = _result(node.name, left.type, right.type)
    if kind is None:
        e.problem(f"{sign} is not defined for {_says(left.type)} and {_says(right.type)}", node.at)
        return Value("None", EMPTY)
    e.needs_context = True
    return Value(e.hold(f"{e.bind(function)}({left.text}, {right.text})"), kind)


def _result(name: str, left: str, right: str) -> str | None:
    """The type of the result, or None where the operation is not defined."""
    if types.ANY in (left, right):
        return types.ANY
    if left in types.NUMBERS and right in types.NUMBERS:
        if name == "TruncatedDivide":
            return types.INTEGER if types.LONG not in (left, right) else types.LONG
        if name == "Divide" or types.DECIMAL in (left, right):
            return types.DECIMAL
        return types.LONG if types.LONG in (left, right) else types.INTEGER
    if name in ("Add", "Subtract") and left in types.TIMES and right == types.QUANTITY:
        return left
    if name == "Add" and left == right == types.STRING:
        return types.STRING
    amounts = {types.QUANTITY, *types.NUMBERS}
    if (
        types.QUANTITY in (left, right)
        and {left, right} <= amounts
        and name not in ("TruncatedDivide", "Modulo")
    ):
        return types.QUANTITY
    return None


registry.OPERATORS.update(dict.fromkeys(_ARITHMETIC, _arithmetic))


def _ampersand(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    left, right = _operands(e, node, scope)
    for side in (left, right):
        if side.type not in (types.STRING, types.ANY, EMPTY):
            e.problem(f"& is for strings, not for {_says(side.type)}", node.at)
    return Value(
        e.hold(f"{e.bind(numbers.concatenate)}({left.text}, {right.text})"), types.STRING, null=False
    )


def _sign(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    operand = stripped(node.operands[0])
    found = e.value(operand, scope)
    if found.type not in (types.ANY, EMPTY, types.QUANTITY, *types.NUMBERS):
        e.problem(f"a sign stands before numbers, not before {_says(found.type)}", node.at)
    if node.name == "Positive":
        return (
            Value(f"{e.bind(numbers.positive)}({found.text})", found.type)
            if found.type == types.ANY
            else found
        )
    if found.type == types.INTEGER and found.text.isdigit():
        return Value(f"-{found.text}", found.type, null=False)
    return Value(f"{e.bind(numbers.negate)}({found.text})", found.type)


registry.OPERATORS.update({"Ampersand": _ampersand, "Negate": _sign, "Positive": _sign})


# Collections


def _membership(e: Emitter, node: n.Operation, scope: Scope) -> Value:
    one, many = node.operands if node.name == "In" else reversed(node.operands)
    value = e.value(one, e.branch(scope, 2))
    held = e.hold(value.text)
    items = e.items(many, e.branch(scope, 2))
    e.needs_context = True
    null = value.null
    return Value(f"{e.bind(comparing.among)}({held}, {items.text})", types.BOOLEAN, null=null)


registry.OPERATORS.update({"In": _membership, "Contains": _membership})


def _union(e: Emitter, node: n.Operation, scope: Scope, sink: Sink) -> None:
    unite(e, list(node.operands), scope, sink)


def unite(e: Emitter, nodes: list[n.Expression], scope: Scope, sink: Sink) -> None:
    """The items of all nodes, each once."""
    gathered = e.gather_all(nodes, scope)
    e.needs_context = True
    text = f"{e.bind(comparing.distinct)}({gathered.text}, {converter(e, gathered.item)})"
    e.each(replace(gathered, text=text), sink)


def converter(e: Emitter, item: Item) -> str:
    """The name of the function by which items of this type are compared."""
    if item.type == types.ANY or item.type == EMPTY:
        return e.bind(values.same)
    return e.bind(values.converter(item.type) if not item.type.startswith("System.") else values.same)


def _indexer(e: Emitter, node: n.Operation, scope: Scope, sink: Sink) -> None:
    """`source[index]`"""
    index = e.value(node.operands[1], scope)
    if index.type not in (types.INTEGER, types.ANY, EMPTY):
        e.problem("an index is a whole number", node.at)
    check_order(e, node.operands[0], node.at)
    held = e.hold(index.text if index.type != types.ANY else f"{e.bind(values.integer)}({index.text})")
    gathered = e.gather(node.operands[0], scope)
    test = f"0 <= {held} < len({gathered.text})" if not held.isdigit() else f"len({gathered.text}) > {held}"
    if index.null:
        test = f"{held} is not None and {test}"
    pick(e, gathered, test, held, sink)


def pick(e: Emitter, gathered: Gathered, test: str, index: str, sink: Sink) -> None:
    """One item of a list, if it is there."""
    with e.block(f"if {test}:"):
        at = len(e.out.lines)
        name = e.fresh("v")
        e.add(f"{name} = {gathered.text}[{index}]")
        e.element(name, replace(gathered, item=replace(gathered.item, many=False)), sink)
        if len(e.out.lines) == at + 1:
            del e.out.lines[at]


def check_order(e: Emitter, source: n.Expression, at: n.At) -> None:
    """In strict mode the order of children() may not matter."""
    source = stripped(source)
    if e.strict and isinstance(source, n.Call) and source.name in ("children", "descendants"):
        e.problem(f"{source.name}() has no order", at)


registry.COLLECTIONS.update({"Union": _union, "Indexer": _indexer})
