"""Three-valued logic (https://cql.hl7.org/09-b-cqlreference.html#logical-operators-3); null is None."""

from __future__ import annotations


def and_(left: bool | None, right: bool | None) -> bool | None:
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def or_(left: bool | None, right: bool | None) -> bool | None:
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def not_(value: bool | None) -> bool | None:
    return None if value is None else not value


def xor(left: bool | None, right: bool | None) -> bool | None:
    return None if left is None or right is None else left is not right


def implies(left: bool | None, right: bool | None) -> bool | None:
    return or_(not_(left), right)
