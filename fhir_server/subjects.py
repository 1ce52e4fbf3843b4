"""Patients that a resource names by an identifier alone: found when it is written, for search and rules.

https://hl7.org/fhir/R4/references.html#logical. What is stored stays as it was sent. A patient who is put on
record later does not claim what was written before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.search.extract import confining
from fhir_server.search.query import And, Match, Query, Test, Values
from fhir_server.store.base import Transaction

NOBODY, SEVERAL = "nobody", "several"


def logical(resource: dict[str, Any] | None) -> tuple[str, str] | None:
    """(system, value) of the identifier where `subject` has nothing else to say who it is."""
    subject = (resource or {}).get("subject")
    if not isinstance(subject, dict) or "reference" in subject or subject.get("type", "Patient") != "Patient":
        return None
    identifier = subject.get("identifier")
    if not isinstance(identifier, dict) or not identifier.get("value"):
        return None
    return identifier.get("system") or "", identifier["value"]


class Subjects:
    """The patients behind identifiers, as one transaction sees them."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._found: dict[tuple[str, str], list[str]] = {}

    def located(self, type_: str, resource: dict[str, Any], values: Values) -> Values:
        """The search values, and those by which the resource belongs to the patient that is meant.

        It belongs to nobody where the identifier leads to nobody, or to several.
        """
        codes = confining(type_)
        subject = resource.get("subject")
        if isinstance(subject, dict) and subject.get("type", "Patient") != "Patient":
            return values
        for code, *found, system, value in values.rows.get("reference", ()):
            if value and code in codes and not any(found):
                ids = self._ids(system, value)
                if len(ids) != 1:
                    return replace(values, patient=None)
                more = tuple((code, "Patient", ids[0], "", "", "") for code in sorted(codes))
                rows = {**values.rows, "reference": (*values.rows["reference"], *more)}
                return Values(rows, ids[0], values.moment)
        return values

    def named(self, resource: dict[str, Any] | None) -> dict[str, Any] | None:
        """The resource as rules see it: with a reference to the patient that is meant."""
        identifier = logical(resource)
        ids = self._ids(*identifier) if identifier else []
        if resource is None or len(ids) != 1:
            return resource
        return {**resource, "subject": {**resource["subject"], "reference": f"Patient/{ids[0]}"}}

    def problem(self, resource: dict[str, Any]) -> str:
        """NOBODY or SEVERAL where that is whom the identifier of the subject leads to, else ""."""
        identifier = logical(resource)
        ids = self._ids(*identifier) if identifier else [""]
        return NOBODY if not ids else SEVERAL if len(ids) > 1 else ""

    def _ids(self, system: str, value: str) -> list[str]:
        """At most two ids of current Patients."""
        key = (system, value)
        if key not in self._found:
            tests = (Test("system", "=", system), Test("code", "=", value))
            where = And((Match("token", "identifier", tests),))
            found = self._tx.search(Query("Patient", where, count=2))
            self._found[key] = [version.id for version in found]
        return self._found[key]
