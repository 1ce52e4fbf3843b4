"""The shape of codes whose systems give them a check digit: what is wrong can be told without the system.

https://confluence.ihtsdotools.org/display/DOCRELFMT/6+SNOMED+CT+Identifiers (SCTID, Verhoeff's check digit),
https://loinc.org/kb/users-guide/loinc-database-structure/ (LOINC_NUM, Luhn's check digit)
"""

from __future__ import annotations

import re

from terminology.implicit import LOINC, SNOMED

# Items 00 and 10 of the partition identifier say that an SCTID names a concept; 10 of an extension.
_CONCEPTS = frozenset({"00", "10"})
_SCTID = re.compile("[1-9][0-9]{5,17}").fullmatch
# An expression of several concepts, with their terms perhaps: not one identifier.
_EXPRESSION = re.compile(r"[\s:+|,={}()<]").search
_LOINC_NUM = re.compile("([0-9]{1,8})-([0-9])").fullmatch
# Parts (LP), answers (LA), answer lists (LL) and groups (LG), whose last digit is another; UMLS gave MTHU.
_LOINC_OTHER = re.compile("L[APLG][0-9]{1,8}-[0-9]|MTHU[0-9]{1,6}").fullmatch


def well_formed(system: str, code: str) -> bool:
    """Whether a code can be one of its system; True of systems whose codes may look like anything."""
    if system == SNOMED:
        return _EXPRESSION(code) is not None or is_concept_id(code)
    return system != LOINC or is_loinc_code(code)


def is_concept_id(code: str) -> bool:
    """Whether it is built as the identifier of a SNOMED CT concept."""
    return _SCTID(code) is not None and code[-3:-1] in _CONCEPTS and _passes_verhoeff(code)


def is_loinc_code(code: str) -> bool:
    """Whether it is built as a code of LOINC."""
    match = _LOINC_NUM(code)
    return _passes_luhn(match[1] + match[2]) if match else _LOINC_OTHER(code) is not None


def _passes_luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + place % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _passes_verhoeff(digits: str) -> bool:
    """Digits are elements of the dihedral group of order 10, permuted by their place."""
    sum_ = 0
    for place, digit in enumerate(reversed(digits)):
        sum_ = _product(sum_, _permuted(int(digit), place % 8))
    return sum_ == 0


def _product(one: int, other: int) -> int:
    """Rotations are 0 to 4, reflections 5 to 9."""
    if one < 5:
        return (one + other) % 5 if other < 5 else 5 + (one + other) % 5
    return 5 + (one - other) % 5 if other < 5 else (one - other) % 5


_PERMUTATION = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _permuted(digit: int, times: int) -> int:
    for _ in range(times):
        digit = _PERMUTATION[digit]
    return digit
