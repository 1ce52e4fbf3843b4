"""What is wrong with a code, a value set or a request, in the words and codes that terminology clients know.

https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/CodeSystem-tx-issue-type.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_ISSUE_TYPES = "http://hl7.org/fhir/tools/CodeSystem/tx-issue-type"
_MESSAGE_ID = "http://hl7.org/fhir/StructureDefinition/operationoutcome-message-id"

# message id -> (severity, issue code, tx-issue-type, text). The ids are those of the terminology ecosystem.
_MESSAGES: dict[str, tuple[str, str, str | None, str]] = {
    "ABSTRACT_CODE_NOT_ALLOWED": (
        "error",
        "business-rule",
        "code-rule",
        "Code '{system}#{code}' is abstract, and not allowed in this context",
    ),
    "CODESYSTEM_CS_NO_SUPPLEMENT": (
        "error",
        "invalid",
        "invalid-data",
        "CodeSystem {canonical} is a supplement, so can't be used as a value in Coding.system",
    ),
    "CODE_CASE_DIFFERENCE": (
        "information",
        "business-rule",
        "code-rule",
        "The code '{code}' differs from the correct code '{right}' by case. Although the code system "
        "'{canonical}' is case insensitive, implementers are strongly encouraged to use the "
        "correct case anyway",
    ),
    "CONCEPT_DEPRECATED_IN_VALUESET": (
        "warning",
        "business-rule",
        "code-comment",
        "The presence of the concept '{code}' in the system '{system}' in the value set "
        "{value_set} is marked "
        "with a status of {status} and its use should be reviewed",
    ),
    "Coding_has_no_system__cannot_validate": (
        "warning",
        "invalid",
        "invalid-data",
        "Coding has no system. A code with no system has no defined meaning, and it cannot be validated. "
        "A system should be provided",
    ),
    "Coding_has_no_code__cannot_validate": (
        "warning",
        "invalid",
        "invalid-data",
        "Coding has no code and cannot be validated",
    ),
    "DEPRECATED_CONCEPT_FOUND": (
        "warning",
        "business-rule",
        "code-comment",
        "The concept '{code}' is deprecated and its use should be reviewed",
    ),
    "Display_Name_WS_for__should_be_one_of__instead_of": (
        "error",
        "invalid",
        "invalid-display",
        "Wrong whitespace in Display Name '{display}' for {system}#{code}. {valid} "
        "(for the language(s) '{languages}')",
    ),
    "Display_Name_for__should_be_one_of__instead_of": (
        "error",
        "invalid",
        "invalid-display",
        "Wrong Display Name '{display}' for {system}#{code}. {valid} (for the language(s) '{languages}')",
    ),
    "FILTER_NOT_UNDERSTOOD": (
        "error",
        "not-supported",
        "vs-invalid",
        "The filter {property} {op} '{value}' on the system {system} is not understood: {reason}",
    ),
    "INACTIVE_CONCEPT_FOUND": (
        "warning",
        "business-rule",
        "code-comment",
        "The concept '{code}' has a status of {status} and its use should be reviewed",
    ),
    "INACTIVE_DISPLAY_FOUND": (
        "warning",
        "invalid",
        "display-comment",
        "'{display}' is no longer considered a correct display for code '{code}' (status = {status}). "
        "The correct display is one of {valid}.",
    ),
    "INVALID_DISPLAY_NAME": (
        "error",
        "processing",
        "invalid-display",
        "Invalid displayLanguage: '{languages}'",
    ),
    "MSG_DEPRECATED": (
        "information",
        "business-rule",
        "status-check",
        "Reference to deprecated {type} {canonical}",
    ),
    "MSG_DRAFT": ("information", "business-rule", "status-check", "Reference to draft {type} {canonical}"),
    "MSG_EXPERIMENTAL": (
        "information",
        "business-rule",
        "status-check",
        "Reference to experimental {type} {canonical}",
    ),
    "MSG_RETIRED": (
        "information",
        "business-rule",
        "status-check",
        "Reference to retired {type} {canonical}",
    ),
    "MSG_WITHDRAWN": (
        "information",
        "business-rule",
        "status-check",
        "Reference to withdrawn {type} {canonical}",
    ),
    "NO_VALID_DISPLAY_AT_ALL": (
        "warning",
        "invalid",
        "invalid-display",
        "Cannot validate display '{display}' for {system}#{code}: no display is known for the code",
    ),
    "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_ERR": (
        "error",
        "invalid",
        "invalid-display",
        "Wrong Display Name '{display}' for {system}#{code}. There are no valid display names found for "
        "language(s) '{languages}'. Default display is '{default}'",
    ),
    "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_OK": (
        "information",
        "invalid",
        "invalid-display",
        "There are no valid display names found for the code {system}#{code} for language(s) '{languages}'. "
        "The display is '{display}' which is a valid display for the default language",
    ),
    "None_of_the_provided_codes_are_in_the_value_set_one": (
        "error",
        "code-invalid",
        "not-in-vs",
        "The provided code {coding} was not found in the value set '{value_set}'",
    ),
    "STATUS_CODE_WARNING_CODE": (
        "error",
        "business-rule",
        "code-rule",
        "The concept '{code}' is valid but is not active",
    ),
    "TX_GENERAL_CC_ERROR_MESSAGE": (
        "error",
        "code-invalid",
        "not-in-vs",
        "No valid coding was found for the value set '{value_set}'",
    ),
    "Terminology_TX_System_Relative": (
        "error",
        "invalid",
        "invalid-data",
        "Coding.system must be an absolute reference, not a local reference",
    ),
    "Terminology_TX_System_ValueSet2": (
        "error",
        "invalid",
        "invalid-data",
        "The Coding references a value set, not a code system ('{system}')",
    ),
    "UNABLE_TO_HANDLE_SYSTEM_FILTER_WITH_NO_VALUE": (
        "error",
        "invalid",
        "vs-invalid",
        "The system {system} filter with property = {property}, op = {op} has no value",
    ),
    "UNABLE_TO_INFER_CODESYSTEM": (
        "error",
        "not-found",
        "cannot-infer",
        "The System URI could not be determined for the code '{code}' in the ValueSet '{value_set}': "
        "it is in none of its code systems [{systems}]",
    ),
    "Unable_to_resolve_system__value_set_has_multiple_matches": (
        "error",
        "not-found",
        "cannot-infer",
        "The System URI could not be determined for the code '{code}' in the ValueSet '{value_set}': "
        "value set expansion has multiple matches: [{systems}]",
    ),
    "UNKNOWN_CODESYSTEM": (
        "error",
        "not-found",
        "not-found",
        "A definition for CodeSystem '{system}' could not be found, so the code cannot be validated",
    ),
    "UNKNOWN_CODESYSTEM_EXP": (
        "error",
        "not-found",
        "not-found",
        "A definition for CodeSystem '{system}' could not be found, so the value set cannot be expanded",
    ),
    "UNKNOWN_CODESYSTEM_VERSION": (
        "error",
        "not-found",
        "not-found",
        "A definition for CodeSystem '{system}' version '{version}' could not be found, so "
        "the code cannot be "
        "validated. Valid versions: {versions}",
    ),
    "UNKNOWN_CODESYSTEM_VERSION_EXP": (
        "error",
        "not-found",
        "not-found",
        "A definition for CodeSystem '{system}' version '{version}' could not be found, so "
        "the value set cannot "
        "be expanded. Valid versions: {versions}",
    ),
    "UNKNOWN_CODESYSTEM_VERSION_NONE": (
        "error",
        "not-found",
        "not-found",
        "A definition for CodeSystem '{system}' version '{version}' could not be found, so "
        "the code cannot be "
        "validated. No versions of this code system are known",
    ),
    "UNKNOWN_CODESYSTEM_VERSION_EXP_NONE": (
        "error",
        "not-found",
        "not-found",
        "A definition for CodeSystem '{system}' version '{version}' could not be found, so "
        "the value set cannot "
        "be expanded. No versions of this code system are known",
    ),
    "UNKNOWN_CODE_IN_FRAGMENT": (
        "warning",
        "code-invalid",
        "invalid-code",
        "Unknown Code '{code}' in the CodeSystem '{system}' version '{version}' - note that "
        "the code system is "
        "labeled as a fragment, so the code may be valid in some other fragment",
    ),
    "Unable_to_resolve_value_Set_": (
        "error",
        "not-found",
        "not-found",
        "A definition for the value Set '{value_set}' could not be found",
    ),
    "Unknown_Code_in_Version": (
        "error",
        "code-invalid",
        "invalid-code",
        "Unknown code '{code}' in the CodeSystem '{system}' version '{version}'",
    ),
    "Unknown_Code_in": (
        "error",
        "code-invalid",
        "invalid-code",
        "Unknown code '{code}' in the CodeSystem '{system}'",
    ),
    "VALUESET_CIRCULAR_REFERENCE": (
        "error",
        "processing",
        "vs-invalid",
        "Found a circularity pointing to {value_set} processing ValueSet with pathway {pathway}",
    ),
    "VALUESET_SUPPLEMENT_MISSING": (
        "error",
        "not-found",
        "not-found",
        "Required supplement not found: {supplement}",
    ),
    "VALUESET_TOO_COSTLY": (
        "error",
        "too-costly",
        None,
        "The value set '{value_set}' expansion has too many codes to display (>{limit}); ask "
        "for a part of it "
        "with count and offset, or with a filter",
    ),
    "VALUESET_VALUE_MISMATCH": (
        "error",
        "invalid",
        "vs-invalid",
        "The code system '{system}' version '{version}' in the ValueSet include is different "
        "to the one in the "
        "value ('{given}')",
    ),
    "VALUESET_VALUE_MISMATCH_CHANGED": (
        "error",
        "invalid",
        "vs-invalid",
        "The code system '{system}' version '{version}' resulting from the version "
        "'{include}' in the ValueSet "
        "include is different to the one in the value ('{given}')",
    ),
    "VALUESET_VALUE_MISMATCH_DEFAULT": (
        "warning",
        "invalid",
        "vs-invalid",
        "The code system '{system}' version '{version}' for the versionless include in the "
        "ValueSet include is "
        "different to the one in the value ('{given}')",
    ),
    "VALUESET_VERSION_CHECK": (
        "error",
        "exception",
        "version-error",
        "The version '{version}' is not allowed for system '{system}': required to be '{wanted}' by a "
        "version-check parameter",
    ),
    "VS_EXP_IMPORT_UNK": (
        "error",
        "not-found",
        "not-found",
        "Unable to find included value set '{value_set}'",
    ),
    "VS_EXP_IMPORT_UNK_PINNED": (
        "error",
        "not-found",
        "not-found",
        "Unable to find included value set '{value_set}' version '{version}'",
    ),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One issue of an OperationOutcome. `kind` is a code of tx-issue-type, `expression` a FHIRPath."""

    severity: str  # error | warning | information
    code: str  # of https://hl7.org/fhir/R4/valueset-issue-type.html
    text: str
    kind: str | None = None
    message: str | None = None
    expression: str | None = None

    def as_json(self) -> dict[str, Any]:
        """OperationOutcome.issue."""
        details: dict[str, Any] = {"text": self.text}
        if self.kind:
            details["coding"] = [{"system": _ISSUE_TYPES, "code": self.kind}]
        issue: dict[str, Any] = {"severity": self.severity, "code": self.code, "details": details}
        if self.message:
            issue["extension"] = [{"url": _MESSAGE_ID, "valueString": self.message}]
        if self.expression:
            issue["expression"] = [self.expression]
        return issue


def finding(
    message: str, expression: str | None = None, /, severity: str | None = None, **words: Any
) -> Finding:
    """The finding of a message id; `words` fill its text."""
    usual, code, kind, text = _MESSAGES[message]
    said = text.format(**{name: "" if word is None else word for name, word in words.items()})
    return Finding(severity or usual, code, said, kind, message, expression)


class TerminologyError(Exception):
    """What cannot be answered. `category`: invalid (400) | not-found (404) | unprocessable (422)."""

    def __init__(self, found: Finding, category: str = "unprocessable") -> None:
        self.finding, self.category = found, category
        super().__init__(found.text)


def refuse(code: str, text: str, category: str = "invalid") -> TerminologyError:
    """An error that has no message id of its own."""
    return TerminologyError(Finding("error", code, text), category)


def outcome(findings: list[Finding]) -> dict[str, Any]:
    """An OperationOutcome of at least one finding."""
    return {"resourceType": "OperationOutcome", "issue": [found.as_json() for found in findings]}
