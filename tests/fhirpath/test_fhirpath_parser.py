"""https://hl7.org/fhirpath/N1/#grammar: what is read, and how it binds. The tree is CQL's."""

import pytest

from rules.fhirpath import CompileError
from rules.fhirpath.syntax import parse
from rules.language import nodes as n


def shown(node):
    """The tree with parentheses around everything."""
    match node:
        case n.Literal() | n.QuantityLiteral():
            return node.value
        case n.Name():
            return node.name
        case n.Member():
            return f"{shown(node.source)}.{node.name}"
        case n.Call():
            before = f"{shown(node.source)}." if node.source else ""
            return f"{before}{node.name}({', '.join(map(shown, node.arguments))})"
        case n.Parenthesised():
            return shown(node.expression)
        case n.TypeOperation():
            return f"({shown(node.operand)} {node.name} {'.'.join(node.type.parts)})"
        case n.Operation():
            return f"{node.name}({', '.join(map(shown, node.operands))})"
        case n.ListSelector():
            return "{}"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("Patient.name.given", "Patient.name.given"),
        ("a.b as Quantity | c", "Union((a.b As Quantity), c)"),
        ("a | b = c and d or e", "Or(And(Equal(Union(a, b), c), d), e)"),
        ("a or b and c xor d", "Xor(Or(a, And(b, c)), d)"),
        ("a implies b or c", "Implies(a, Or(b, c))"),
        ("1 + 2 * 3 - 4", "Subtract(Add(1, Multiply(2, 3)), 4)"),
        ("-a.b()", "Negate(a.b())"),
        ("-1 + 2", "Add(Negate(1), 2)"),
        ("1 > 2 is Boolean", "Greater(1, (2 Is Boolean))"),
        ("1 | 1 is Integer", "Union(1, (1 Is Integer))"),
        ("a in b | c", "In(a, Union(b, c))"),
        ("a < b = c", "Equal(Less(a, b), c)"),
        ("a = b in c", "In(Equal(a, b), c)"),
        ("a[0].b", "Indexer(a, 0).b"),
        ("a.where($this = 1)[$index]", "Indexer(a.where(Equal($this, 1)), $index)"),
        ("a.contains('x') and contains.is.as", "And(a.contains(x), contains.is.as)"),
        ("text.`div`", "text.div"),
        ("%resource.id & %`vs-x`", "Ampersand(%resource.id, %vs-x)"),
        ("value is FHIR.`Quantity`", "(value Is FHIR.Quantity)"),
        ("{}.empty()", "{}.empty()"),
        ("a // and so on\n /* a comment */ .b", "a.b"),
        ("first.last.exists", "first.last.exists"),
    ],
)
def test_how_operators_bind(text, tree):
    assert shown(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("'it\\'s'", "string", "it's"),
        ("'\\u00e5\\\"'", "string", 'å"'),
        ("true", "boolean", "true"),
        ("12", "number", "12"),
        ("12L", "long", "12L"),
        ("@2014-01", "date", "@2014-01"),
        ("@2014T", "datetime", "@2014T"),
        ("@T14:30", "time", "@T14:30"),
    ],
)
def test_literals(text, kind, value):
    tree = parse(text)
    assert isinstance(tree, n.Literal) and (tree.kind, tree.value) == (kind, value)


def test_a_number_with_a_unit_is_a_quantity():
    assert parse("4 days") == n.QuantityLiteral(n.At(1, 1), "4", "days")
    assert parse("4.5 'mg'") == n.QuantityLiteral(n.At(1, 1), "4.5", "mg")


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("", 1),
        ("a.", 3),
        ("a b", 3),
        ("a +", 4),
        ("a[", 3),
        ("(a", 3),
        ("a.where(b", 10),
        ("a as 'b'", 6),
        ("and", 1),
        ("'open", 1),
        ("'\\q'", 1),
        ("$that", 1),
        ("{1}", 2),
        ("{a: 1}", 2),
        ("[Observation]", 1),
        ("1 ^ 2", 3),
        ("1 : 2", 3),
        ("@T14:30Z", 8),
        ('"a"', 1),
        ("a between 1 and 2", 3),
        ("if a then b else c", 4),
    ],
)
def test_what_is_no_fhirpath_is_an_error_with_its_place(text, column):
    with pytest.raises(CompileError) as caught:
        parse(text)
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.line, diagnostic.column, diagnostic.kind) == (1, column, "syntax")
