"""https://hl7.org/fhirpath/N1/#grammar: what is read, how it binds, and where the subset says no."""

import pytest

from rules.fhirpath.lexer import CompileError
from rules.fhirpath.nodes import Binary, Call, Index, IsType, Literal, Member, OfType
from rules.fhirpath.parser import parse


def test_a_path_is_members_from_the_left():
    assert parse("Patient.name.given") == Member(Member(Member(None, "Patient", 0), "name", 8), "given", 13)


def test_as_binds_tighter_than_union_and_the_path_tighter_than_as():
    tree = parse("a.b as Quantity | c")
    assert isinstance(tree, Binary) and tree.op == "|"
    assert tree.left == OfType(Member(Member(None, "a", 0), "b", 2), "Quantity", 4)


def test_union_binds_tighter_than_equality_and_equality_than_and_and_and_than_or():
    tree = parse("a | b = c and d or e")
    assert tree.op == "or" and tree.left.op == "and" and tree.left.left.op == "="
    assert tree.left.left.left.op == "|"


def test_operators_of_one_level_bind_from_the_left():
    tree = parse("a and b and c")
    assert tree.left.op == "and" and tree.right == Member(None, "c", 12)


@pytest.mark.parametrize(
    "text", ["a as Quantity", "(a as Quantity)", "a.as(Quantity)", "a.ofType(FHIR.Quantity)"]
)
def test_every_way_to_ask_for_a_type(text):
    tree = parse(text)
    assert isinstance(tree, OfType) and tree.type == "Quantity"


def test_is_as_an_operator_and_as_a_function():
    assert isinstance(parse("resolve() is Patient"), IsType)
    assert isinstance(parse("resolve().is(Patient)"), IsType)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("'it\\'s'", "it's"),
        ("'\\u00e5'", "å"),
        ("true", True),
        ("false", False),
        ("12", 12),
        ("'a|b'", "a|b"),
    ],
)
def test_literals(text, value):
    tree = parse(text)
    assert isinstance(tree, Literal) and tree.value == value and type(tree.value) is type(value)


def test_index_call_delimited_name_and_comments():
    assert isinstance(parse("a[0]"), Index)
    assert parse("a.where(b, c)") == Call(
        Member(None, "a", 0), "where", (Member(None, "b", 8), Member(None, "c", 11)), 2
    )
    assert parse("`div`.a // and so on").child == Member(None, "div", 0)
    assert parse("a /* a comment */ .b").name == "b"


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", 0),
        ("a.", 2),
        ("a b", 2),
        ("a + b", 2),
        ("a > b", 2),
        ("a in b", 2),
        ("a xor b", 2),
        ("a[b]", 2),
        ("a[1.5]", 2),
        ("(a", 2),
        ("a.where(b", 9),
        ("a as 'b'", 5),
        ("'open", 0),
        ("'\\q'", 0),
        ("@2020", 0),
        ("%resource", 0),
        ("$that", 0),
    ],
)
def test_what_is_not_in_the_subset_is_an_error_with_its_place(text, at):
    with pytest.raises(CompileError) as caught:
        parse(text)
    assert caught.value.at == at, str(caught.value)
    assert str(at) in str(caught.value)
