"""Codes with check digits: what cannot be a code of SNOMED CT or LOINC is told without either."""

from __future__ import annotations

import pytest

from terminology.identifiers import well_formed

SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"


@pytest.mark.parametrize(
    ("system", "code"),
    [
        (SNOMED, "431314004"),
        (SNOMED, "74400008"),
        (SNOMED, "1104051000000101"),  # of an extension
        (SNOMED, "431314004 |Peripheral oxygen saturation|"),
        (SNOMED, "71388002 : 405815000 = 122456005"),
        (LOINC, "8867-4"),
        (LOINC, "85354-9"),
        (LOINC, "LA6576-8"),
        (LOINC, "LP7789-5"),
        (LOINC, "MTHU000998"),
        ("http://example.org/codes", "whatever"),
    ],
)
def test_what_may_be_a_code(system, code):
    assert well_formed(system, code)


@pytest.mark.parametrize(
    ("system", "code"),
    [
        (SNOMED, "1"),
        (SNOMED, "431314005"),  # the check digit
        (SNOMED, "431314004x"),
        (SNOMED, "0431314004"),
        (SNOMED, "1234567019"),  # a description's partition
        (LOINC, "8867-5"),
        (LOINC, "8867"),
        (LOINC, "test"),
    ],
)
def test_what_cannot(system, code):
    assert not well_formed(system, code)


@pytest.mark.parametrize("place", range(9))
def test_a_changed_digit_is_found_wherever_it_is(place):
    right = "431314004"
    others = {right[:place] + digit + right[place + 1 :] for digit in "0123456789"} - {right}
    assert not any(well_formed(SNOMED, code) for code in others)
