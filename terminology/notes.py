"""What there is to say about the codings of one request, as it is found out.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from __future__ import annotations

from terminology.code_system import CodeSystem, Concept
from terminology.findings import Finding, finding


class Notes:
    """`issues` for the OperationOutcome, `messages` for the message, `unknown` the systems that are needed.

    `state` is the concept whose status is worth a word, `normal` the code as its system writes it.
    """

    def __init__(self) -> None:
        self.issues: list[Finding] = []
        self.messages: list[str] = []
        self.unknown: dict[str, None] = {}
        self.state: Concept | None = None
        self.state_path = ""
        self.normal: str | None = None

    @property
    def failed(self) -> bool:
        return any(issue.severity == "error" for issue in self.issues)

    def note(self, found: Finding | None) -> None:
        """An issue that is not worth a place in the message."""
        if found and found not in self.issues:
            self.issues.append(found)

    def say(self, found: Finding | None) -> None:
        """An issue that the message has too."""
        self.note(found)
        if found:
            self.messages.append(found.text)

    def add(self, found: Finding | None) -> None:
        """An issue; the message has the errors."""
        (self.say if found and found.severity == "error" else self.note)(found)

    def note_state(self, concept: Concept, path: str) -> None:
        """Remember a concept whose status is worth a word, the first inactive one before others."""
        first = self.state is None or (concept.inactive and not self.state.inactive)
        if first and (concept.inactive or concept.status):
            self.state, self.state_path = concept, path

    def unknown_code(self, system: CodeSystem, code: str, where: str) -> bool:
        """A code that its system does not have: an error, or only a warning (and True) of a fragment."""
        words = {"code": code, "system": system.url, "version": system.version}
        if system.content != "complete":
            self.note(finding("UNKNOWN_CODE_IN_FRAGMENT", where, **words))
            return True
        self.add(finding("Unknown_Code_in_Version" if system.version else "Unknown_Code_in", where, **words))
        return False
