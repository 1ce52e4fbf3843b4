"""The closed set of ways a request can fail, and the OperationOutcome each becomes.

https://hl7.org/fhir/R4/operationoutcome.html, https://hl7.org/fhir/R4/http.html#Status-Codes
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

# category -> (HTTP status, issue code of https://hl7.org/fhir/R4/valueset-issue-type.html)
CATEGORIES: dict[str, tuple[int, str]] = {
    "malformed": (400, "structure"),  # not JSON, not a resource
    "invalid": (400, "invalid"),  # a bad parameter, header or id
    "not-supported": (400, "not-supported"),
    "login": (401, "login"),  # no access token, or none that is good: http.py adds WWW-Authenticate
    "forbidden": (403, "forbidden"),  # known who asks, and not granted
    "not-found": (404, "not-found"),
    "unknown-type": (404, "not-supported"),
    "method-not-allowed": (405, "not-supported"),
    "not-acceptable": (406, "not-supported"),
    "conflict": (409, "conflict"),
    "stale": (409, "conflict"),  # a resource changed while a change to it was made
    "deleted": (410, "deleted"),
    "precondition-failed": (412, "conflict"),
    "multiple-matches": (412, "multiple-matches"),
    "too-large": (413, "too-long"),
    "unsupported-media-type": (415, "not-supported"),
    "unprocessable": (422, "processing"),
    "too-costly": (422, "too-costly"),
    "expired": (410, "expired"),  # a paging cursor that is no longer good
    "exception": (500, "exception"),
    "unavailable": (503, "transient"),
}


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue; `expression` is the FHIRPath of the element concerned."""

    severity: str  # fatal | error | warning | information
    code: str
    diagnostics: str
    expression: str | None = None
    rule: str = ""  # the profile, the invariant or the rule of a profile that it came from

    def as_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"severity": self.severity, "code": self.code, "diagnostics": self.diagnostics}
        if self.rule:
            out["details"] = {"text": self.rule}
        if self.expression:
            out["expression"] = [self.expression]
        return out


class FhirError(Exception):
    """A request that cannot be carried out: a category of the table above and at least one issue.

    Diagnostics are shown to the caller and may be logged: they never carry a person's identifiers.
    """

    def __init__(
        self,
        category: str,
        diagnostics: str = "",
        *,
        expression: str | None = None,
        issues: Sequence[Issue] = (),
    ) -> None:
        self.category = category
        self.status, code = CATEGORIES[category]
        self.issues = tuple(issues) or (Issue("error", code, diagnostics, expression),)
        super().__init__(self.issues[0].diagnostics)


def inside(error: FhirError, entry: str) -> FhirError:
    """The same error of a resource in a Bundle: `Patient.name` becomes `Bundle.entry[3].resource.name`."""
    return FhirError(error.category, issues=[_inside(issue, entry) for issue in error.issues])


def _inside(issue: Issue, entry: str) -> Issue:
    if not entry or (issue.expression or "").startswith("Bundle.entry["):
        return issue
    _, dot, rest = (issue.expression or "").partition(".")
    return replace(issue, expression=f"{entry}.resource{dot}{rest}" if issue.expression else entry)


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome resource of these issues (at least one)."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_json() for issue in issues]}
