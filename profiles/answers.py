"""What the extensions of a question ask of its answers: bounds, lengths, patterns, units, attachments.

https://hl7.org/fhir/R4/questionnaire-profiles.html (minValue, maxValue, minLength, regex, ... of R4 itself)
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from profiles.conformance import beyond
from profiles.context import is_member
from profiles.parts import Part, items
from profiles.problems import Place, Problems
from rules.runtime import regex
from rules.runtime.errors import EvaluationError

_HL7 = "http://hl7.org/fhir/StructureDefinition/"
_MEGABYTE = 1024 * 1024
_LONGEST_PATTERN = 1000


@dataclass(frozen=True, slots=True)
class _Limit:
    value: Any


def asked(question: Part, name: str) -> Iterator[Any]:
    """The values of a question's extensions of that name."""
    for extension, _ in items(question, "extension", (0, None, "")):
        if extension.get("url") == _HL7 + name:
            yield from (value for key, value in extension.items() if key.startswith("value"))


def check(question: Part, value: Any, at: Place, out: Problems) -> None:
    """One answer, whose type is right already."""
    for name, lower in (("minValue", True), ("maxValue", False)):
        for limit in asked(question, name):
            if _is_beyond(value, limit, lower):
                out.add(
                    "invalid", f"The answer must be at {'least' if lower else 'most'} {str(limit)[:40]}", at
                )
    if isinstance(value, str):
        _check_text(question, value, at, out)
    elif isinstance(value, Decimal):
        _check_decimals(question, value, at, out)
    elif isinstance(value, Mapping):
        _check_object(question, value, at, out)


def _is_beyond(value: Any, limit: Any, lower: bool) -> bool:
    if isinstance(value, str) and isinstance(limit, str) and value[2:3] == limit[2:3] == ":":  # times of day
        return value < limit if lower else value > limit
    if isinstance(limit, dict):
        return isinstance(value, dict) and beyond(value, _Limit(limit), lower)
    return not isinstance(value, dict) and beyond(value, _Limit(limit), lower)


def _check_text(question: Part, value: str, at: Place, out: Problems) -> None:
    for least in asked(question, "minLength"):
        if isinstance(least, int) and len(value) < least:
            out.add("invalid", f"The answer must have {least} characters", at)
    for pattern in asked(question, "regex"):
        if isinstance(pattern, str) and _matches(pattern, value) is False:
            out.add("invalid", f"The answer must be as {pattern[:200]} says", at)


def _matches(pattern: str, value: str) -> bool | None:
    """None for what is no expression, or would take too long."""
    if len(pattern) > _LONGEST_PATTERN:
        return None
    try:
        compiled = regex.expression(f"\\A(?:{pattern})\\Z")
    except Exception:  # re.error, and what its parser makes of nesting beyond its depth
        return None
    try:
        return compiled.search(value) is not None
    except EvaluationError:
        return None


def _check_decimals(question: Part, value: Decimal, at: Place, out: Problems) -> None:
    exponent = value.as_tuple().exponent
    for most in asked(question, "maxDecimalPlaces"):
        if isinstance(most, int) and isinstance(exponent, int) and -exponent > most:
            out.add("invalid", f"The answer may have {most} decimals", at)


def _check_object(question: Part, value: Mapping[str, Any], at: Place, out: Problems) -> None:
    if "contentType" in value or "data" in value or "size" in value:
        _check_attachment(question, value, at, out)
    reference = value.get("reference")
    types = [type_ for type_ in asked(question, "questionnaire-referenceResource") if isinstance(type_, str)]
    if types and isinstance(reference, str) and (named := _type(reference, value)) and named not in types:
        out.add("structure", f"The answer must refer to {' or '.join(types[:10])}", at)
    if "value" in value:
        _check_unit(question, value, at, out)


def _type(reference: str, value: Mapping[str, Any]) -> str | None:
    """The type that a reference names."""
    parts = reference.partition("/_history/")[0].rsplit("/", 2)
    if len(parts) > 1 and parts[-2][:1].isupper():
        return parts[-2]
    type_ = value.get("type")
    return type_ if isinstance(type_, str) else None


def _check_attachment(question: Part, value: Mapping[str, Any], at: Place, out: Problems) -> None:
    kinds = [kind for kind in asked(question, "mimeType") if isinstance(kind, str)]
    given = value.get("contentType")
    if kinds and isinstance(given, str) and given.partition(";")[0] not in kinds:
        out.add("invalid", f"The attachment must be {' or '.join(kinds[:10])}", at)
    for most in asked(question, "maxSize"):
        if isinstance(most, int | Decimal) and _size(value) > most * _MEGABYTE:
            out.add("too-long", f"The attachment may have {most} megabytes", at)


def _size(attachment: Mapping[str, Any]) -> int:
    data, size = attachment.get("data"), attachment.get("size")
    try:
        held = len(b64decode(data)) if isinstance(data, str) else 0
    except binascii.Error:
        held = 0
    return max(held, size if isinstance(size, int) else 0)


def _check_unit(question: Part, value: Mapping[str, Any], at: Place, out: Problems) -> None:
    options = [option for option in asked(question, "questionnaire-unitOption") if isinstance(option, dict)]
    unit = (value.get("system"), value.get("code"))
    if options and unit not in [(option.get("system"), option.get("code")) for option in options]:
        out.add("code-invalid", "The unit is none of those of the question", at)
    for value_set in asked(question, "questionnaire-unitValueSet"):
        if isinstance(value_set, str) and is_member(value, value_set, out.context.member) is False:
            out.add("code-invalid", f"The unit is not in the value set {value_set[:200]}", at)
