"""https://hl7.org/fhir/R4/search.html#number, https://hl7.org/fhir/R4/search.html#quantity"""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.search.query import MAX_NUMBER, MIN_NUMBER

UCUM = "http://unitsofmeasure.org"


def risk(value):
    return {"resourceType": "RiskAssessment", "prediction": [{"probabilityDecimal": value}]}


def risk_range(**ends):
    ends = {name: {"value": value} for name, value in ends.items()}
    return {"resourceType": "RiskAssessment", "prediction": [{"probabilityRange": ends}]}


def weight(value, **more):
    quantity = {"value": value, "unit": "kilo", "system": UCUM, "code": "kg", **more}
    return {"resourceType": "Observation", "valueQuantity": quantity}


@pytest.mark.parametrize(
    ("query", "value", "found"),
    [
        ("100", "99.5", True),
        ("100", "100.5", False),
        ("100", "99.49", False),
        ("100.00", "99.995", True),
        ("100.00", "100.005", False),
        ("1e2", "50", True),
        ("1e2", "149.99", True),
        ("1e2", "150", False),
        ("1.00e2", "100.4", True),
        ("1.00e2", "100.5", False),
        ("-5", "-5.4", True),
        ("0", "0.4", True),
        ("ne100", "100", False),
        ("ne100", "101", True),
        ("gt100", "100", False),
        ("gt100", "100.001", True),
        ("lt100", "99.999", True),
        ("lt100", "100", False),
        ("ge100", "100", True),
        ("le100", "100", True),
        ("ge100", "99.999", False),
        ("sa100", "100.1", True),
        ("eb100", "99.9", True),
        ("ap100", "110", True),
        ("ap100", "111", False),
        ("ap-100", "-92", True),
        ("ap0", "0.3", True),
        ("1e+2", "100", True),
        ("5.40e-3", "0.005404", True),
    ],
)
def test_numbers(finds, query, value, found):
    assert finds(f"probability={query}", risk(Decimal(value))) == found


def test_an_integer_is_found_exactly(finds):
    sequence = {"resourceType": "MolecularSequence", "variant": [{"start": 101}]}
    assert finds("variant-start=101", sequence)
    assert not finds("variant-start=100", sequence)
    assert not finds("variant-start=101.4", sequence)


@pytest.mark.parametrize("value", ["", "abc", "1,", "1e", "NaN", "Infinity", ".5", "1.", "0x1", "１", "5|a"])
def test_values_that_are_no_number(bad_value, asked, value):
    if value:
        bad_value("RiskAssessment", f"probability={value}")


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1e99999", "1e-99999", "9" * 400])
def test_huge_numbers_are_clamped_and_not_refused(finds, asked, rows, text):
    asked("RiskAssessment", f"probability={text}")
    low, high = rows(risk(Decimal(text)))["number"][0][1:]
    assert MIN_NUMBER <= low == high <= MAX_NUMBER
    assert finds(f"probability=ge{text}", risk(Decimal(text)))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("value-quantity=91.50", True),
        ("value-quantity=91.5", True),
        ("value-quantity=91", False),
        ("value-quantity=92", True),
        (f"value-quantity=91.5|{UCUM}|kg", True),
        (f"value-quantity=91.5|{UCUM}|g", False),
        ("value-quantity=91.5|http://example.org|kg", False),
        ("value-quantity=91.5||kg", True),
        ("value-quantity=91.5||kilo", True),
        ("value-quantity=91.5||g", False),
        (f"value-quantity=91.5|{UCUM}|", True),
        ("value-quantity=91.5||", True),
        (f"value-quantity=gt90|{UCUM}|kg", True),
        (f"value-quantity=lt90|{UCUM}|kg", False),
        ("value-quantity=ap100||kg", True),
        ("value-quantity=1,91.5", True),
        ("combo-value-quantity=91.50", True),
        ("component-value-quantity=91.50", False),
        ("value-quantity:missing=false", True),
    ],
)
def test_quantities(finds, query, found):
    assert finds(query, weight(Decimal("91.50"))) == found


def test_components_are_values_of_the_panel(finds):
    panel = {"resourceType": "Observation", "component": [{"valueQuantity": {"value": 120}}]}
    assert finds("component-value-quantity=120", panel)
    assert finds("combo-value-quantity=gt119", panel)
    assert finds("value-quantity:missing=true", panel)


@pytest.mark.parametrize(
    ("comparator", "query", "found"),
    [
        ("<", "lt300", True), ("<", "gt300", False), ("<", "300", False),
        (">", "gt1000", True), (">", "lt300", False), (">=", "ge300", True),
    ],
)  # fmt: skip
def test_a_comparator_opens_the_range(finds, comparator, query, found):
    assert finds(f"value-quantity={query}", weight(300, comparator=comparator)) == found


def test_money_has_its_currency_for_a_code(finds):
    invoice = {"resourceType": "Invoice", "totalNet": {"value": Decimal("99.90"), "currency": "NOK"}}
    assert finds("totalnet=99.90|urn:iso:std:iso:4217|NOK", invoice)
    assert finds("totalnet=99.90||NOK", invoice)
    assert not finds("totalnet=99.90||EUR", invoice)


def test_ages_and_ranges(finds, rows):
    condition = {"resourceType": "Condition", "onsetAge": {"value": 42, "unit": "years", "code": "a"}}
    assert finds("onset-age=42||a", condition)
    between = {"low": {"value": 40, "code": "a"}, "high": {"value": 50, "code": "a"}}
    assert finds("onset-age=gt49", {"resourceType": "Condition", "onsetRange": between})
    assert not finds("onset-age=42", {"resourceType": "Condition", "onsetRange": between})
    above = {"resourceType": "Condition", "onsetRange": {"low": {"value": 40, "code": "a"}}}
    assert rows(above)["quantity"] == (("onset-age", Decimal(40), MAX_NUMBER, "", "a", ""),)


def test_sampled_data_is_its_bounds(rows):
    data = {
        "origin": {"value": 2048, "code": "mV"}, "period": 10, "dimensions": 1, "factor": Decimal("-0.5"),
        "lowerLimit": -200, "upperLimit": 400, "data": "10 -20 E 30.5 U",
    }  # fmt: skip
    found = rows({"resourceType": "Observation", "valueSampledData": data})["quantity"]
    assert ("value-quantity", Decimal("1848.0"), Decimal("2058.0"), "", "mV", "") in found


@pytest.mark.parametrize("value", [True, "12", None, {}, Decimal("NaN"), float("inf")])
def test_a_quantity_without_a_number_is_left_out(rows, value):
    found = rows(weight(value)).get("quantity", ())
    assert all(MIN_NUMBER <= row[1] <= row[2] <= MAX_NUMBER for row in found)
    assert not found or value == float("inf")


@pytest.mark.parametrize("value", ["5|mg", "5|a|b|c", "|a|b", "x|a|b", "5||a\\b"])
def test_values_that_are_no_quantity(bad_value, value):
    bad_value("Observation", f"value-quantity={value}")


# The same in fractions, from the rule of the page alone.


def interval(text):
    """[low, high): half a unit of the last digit written to either side."""
    mantissa, _, exponent = text.partition("e")
    places = len(mantissa.partition(".")[2]) - int(exponent or 0)
    half = Fraction(1, 2) * Fraction(10) ** -places
    return Fraction(text) - half, Fraction(text) + half


def expected(prefix, text, low, high):
    exact, (start, end) = Fraction(text), interval(text)
    return {
        "eq": start <= low and high < end,
        "ne": not (start <= low and high < end),
        "gt": high > exact,
        "lt": low < exact,
        "ge": high >= exact,
        "le": low <= exact,
        "sa": low > exact,
        "eb": high < exact,
    }[prefix]


numbers = st.decimals(-3, 3, places=2).map(lambda number: f"{number:f}")
texts = st.one_of(
    st.decimals(-3, 3, places=0).map(lambda number: f"{number:f}"),
    st.decimals(-3, 3, places=1).map(lambda number: f"{number:f}"),
    numbers,
    st.tuples(st.integers(-9, 9), st.integers(-2, 1)).map(lambda parts: f"{parts[0]}e{parts[1]}"),
)
prefixes = st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])


@settings(deadline=None, max_examples=300)
@given(prefix=prefixes, text=texts, value=numbers)
def test_prefixes_on_numbers(prefix, text, value):
    found = found_by(f"probability={prefix}{text}", risk(Decimal(value)))
    assert found == expected(prefix, text, Fraction(value), Fraction(value))


@settings(deadline=None, max_examples=200)
@given(prefix=prefixes, text=texts, ends=st.tuples(numbers, numbers))
def test_prefixes_on_ranges(prefix, text, ends):
    low, high = sorted(map(Decimal, ends))
    found = found_by(f"probability={prefix}{text}", risk_range(low=low, high=high))
    assert found == expected(prefix, text, Fraction(low), Fraction(high))


def found_by(query, resource):
    return found_by.finds(query, resource)


@pytest.fixture(autouse=True)
def _finds_for_the_properties(finds):
    """Hypothesis and function-scoped fixtures do not mix; finds has no state."""
    found_by.finds = finds
