"""$validate-code of a ValueSet or a CodeSystem: whether a code is right, and what else there is to say.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html,
https://hl7.org/fhir/R4/codesystem-operation-validate-code.html
"""

from __future__ import annotations

from typing import Any

from terminology.asked import Asked
from terminology.check import Check, Found
from terminology.code_system import CodeSystem, preferred
from terminology.displays import wrong_display
from terminology.findings import Finding, TerminologyError, finding, outcome, refuse
from terminology.library import Library, canonical_of
from terminology.resolve import status_finding, unknown_system
from terminology.versions import joined, order

Resource = dict[str, Any]
_NOTHING = (
    "Unable to find code to validate (looked for coding | codeableConcept | code+system | "
    "code+inferSystem in parameters"
)
# What the codings of a CodeableConcept may come to before the answer would be a page nobody reads.
_MOST_CODINGS = 100


def validate_in_value_set(resource: Resource, asked: Asked, library: Library) -> Resource:
    """Parameters with result, message, issues and what was understood. TerminologyError where the request or
    the value set makes no sense."""
    mode, codings, concept = coded(asked, of_system=False)
    asked = asked.within(resource)
    validation = _Validation(resource, mode, codings, concept, asked, library)
    try:
        validation.check.prepare(resource)
    except TerminologyError as error:
        if error.finding.message != "Unable_to_resolve_value_Set_":
            raise
        return validation.failed(error.finding)
    return validation.run()


def validate_in_system(resource: Resource | None, asked: Asked, library: Library) -> Resource:
    """As validate_in_value_set, against a code system (None: the one that the parameters name)."""
    mode, codings, concept = coded(asked, True, resource.get("url") if resource else None)
    url = resource.get("url") if resource else asked.text("url") or codings[0].get("system")
    version = resource.get("version") if resource else asked.text("version") or codings[0].get("version")
    empty = {"resourceType": "ValueSet", "url": url, "status": "active"}
    if not url:
        validation = _Validation(empty, mode, codings, concept, asked, library, internal=True)
        return validation.failed(
            finding("Coding_has_no_system__cannot_validate", validation.paths[0] or None)
        )
    for coding in codings:
        coding.setdefault("system", url)
    if resource:
        library.add(resource)
    system = library.code_system(
        url, asked.version("CodeSystem", url, version), asked.several("useSupplement")
    )
    if system is None:
        validation = _Validation(empty, mode, codings, concept, asked, library, internal=True)
        return validation.failed(_no_system(library, url, version, validation.path(0, "system")))
    value_set = {
        **empty,
        "url": system.resource.get("valueSet", f"{url}/vs"),
        "version": system.version,
        "compose": {"include": [{"system": url, **({"version": system.version} if system.version else {})}]},
    }
    validation = _Validation(value_set, mode, codings, concept, asked, library, internal=True)
    validation.check.prepare(value_set)
    return validation.run()


def _no_system(library: Library, url: str, version: str | None, where: str) -> Finding:
    supplement = library.find("CodeSystem", url, version)
    if supplement and supplement.get("content") == "supplement":
        return finding("CODESYSTEM_CS_NO_SUPPLEMENT", where, canonical=canonical_of(supplement))
    if library.versions("ValueSet", url):
        return finding("Terminology_TX_System_ValueSet2", where, system=url)
    return unknown_system(library, url, version, where)


def coded(
    asked: Asked, of_system: bool, url: str | None = None
) -> tuple[str, list[Resource], Resource | None]:
    """How the code was given (code, coding or codeableConcept), its codings, and the CodeableConcept.

    `url`: the code system that is asked, where it is known without being named.
    """
    concept, coding = asked.values.get("codeableConcept"), asked.values.get("coding")
    if isinstance(concept, dict):
        codings = [dict(part) for part in concept.get("coding", []) if isinstance(part, dict)]
        if len(codings) > _MOST_CODINGS:
            raise refuse("too-costly", f"A CodeableConcept may have {_MOST_CODINGS} codings here")
        if codings:
            return "codeableConcept", codings, concept
    if isinstance(coding, dict):
        return "coding", [dict(coding)], None
    code = asked.text("code")
    system = url or (asked.text("url") if of_system else None) or asked.text("system")
    if code and (system or asked.flag("inferSystem")):
        version = asked.text("version" if of_system else "systemVersion")
        given = {"code": code, "system": system, "version": version, "display": asked.text("display")}
        return "code", [{key: value for key, value in given.items() if value}], None
    raise refuse("invalid", _NOTHING)


class _Validation:
    """One request on its way from codings to Parameters."""

    def __init__(
        self,
        resource: Resource,
        mode: str,
        codings: list[Resource],
        concept: Resource | None,
        asked: Asked,
        library: Library,
        internal: bool = False,
    ) -> None:
        self.resource, self.mode, self.codings, self.concept = resource, mode, codings, concept
        self.asked, self.library, self.internal = asked, library, internal
        root = {"code": "", "coding": "Coding"}
        self.paths = [root.get(mode, f"CodeableConcept.coding[{index}]") for index in range(len(codings))]
        self.check = Check(asked, library, infer=mode == "code" and asked.flag("inferSystem"))
        self.found: tuple[int, Found] | None = None  # the first coding that is in the value set
        self.elsewhere: Found | None = None  # where it is not: what it is in its own code system

    @property
    def name(self) -> str:
        return canonical_of(self.resource)

    def path(self, index: int, element: str) -> str:
        base = self.paths[index]
        return f"{base}.{element}" if base else element

    def run(self) -> Resource:
        if not self.internal:
            self.check.note(status_finding(self.resource, self.resource, "ValueSet"))
        inside: bool | None = False
        no_code = False
        for index, coding in enumerate(self.codings):
            if not coding.get("code"):
                self.check.say(finding("Coding_has_no_code__cannot_validate", self.paths[index] or None))
                no_code = True
                break
            result, found = self.check.coding(self.resource, coding, self.paths[index])
            if result is not False and inside is not True:
                inside = result
            if result is True and found:
                self._accept(index, coding, found)
            else:
                self._explain(index, coding, result)
        if inside is False and not (no_code and self.mode != "codeableConcept"):
            self._refuse()
        return self._answer(inside)

    def _accept(self, index: int, coding: Resource, found: Found) -> None:
        if self.found is None:
            self.found = (index, found)
        self._check_display(index, coding, found)

    def _check_display(self, index: int, coding: Resource, found: Found) -> None:
        display = coding.get("display")
        if not display or not found.texts:
            return
        language = found.system.language if found.system else None
        where = self.path(index, "display")
        system = coding.get("system") or found.system_url
        wrong = wrong_display(found.texts, display, system, coding["code"], language, self.asked, where)
        told = wrong is None or wrong.message != "INACTIVE_DISPLAY_FOUND"
        (self.check.say if told else self.check.note)(wrong)

    def _explain(self, index: int, coding: Resource, result: bool | None) -> None:
        """Why a coding is not in the value set, as far as its own code system can tell."""
        system = coding.get("system")
        if result is False and self.mode == "codeableConcept" and not self.internal:
            self.check.note(self._not_in(coding, self.path(index, "code"), "information"))
        if not system or self.asked.flag("valueset-membership-only"):
            return
        if "://" not in system and not system.startswith(("urn:", "mailto:")):
            self.check.add(finding("Terminology_TX_System_Relative", self.path(index, "system")))
        version = coding.get("version") or self._version_in_value_set(system)
        wanted = self.asked.version("CodeSystem", system, version)
        known = self.library.code_system(system, wanted, self.check.supplements)
        if known is None:
            found = _no_system(self.library, system, wanted, self.path(index, "system"))
            self.check.unknown_system(found, system, wanted)
            return
        self._look_at(index, coding, known)

    def _look_at(self, index: int, coding: Resource, known: CodeSystem) -> None:
        self.check.note(status_finding(known.resource, self.resource, "CodeSystem"))
        concept = known.find(coding["code"])
        if concept is None:
            self.check.unknown_code(known, coding["code"], self.path(index, "code"))
            return
        found = self.check.found(known, concept)
        if (
            self.mode == "codeableConcept"
            and self.concept is not None
            and "version" not in coding
            and known.version
        ):
            listed = self.concept["coding"]
            listed = [c | {"version": known.version} if i == index else c for i, c in enumerate(listed)]
            self.concept = self.concept | {"coding": listed}
        self.check.note_state(concept, self.paths[index])
        self._check_display(index, coding, found)
        if self.elsewhere is None:
            self.elsewhere = found

    def _version_in_value_set(self, system: str) -> str | None:
        includes = self.resource.get("compose", {}).get("include", [])
        named = [part["version"] for part in includes if part.get("system") == system and part.get("version")]
        return max(named, key=order, default=None)

    def _refuse(self) -> None:
        if self.internal and self.check.failed:
            return
        if self.mode == "codeableConcept":
            self.check.add(finding("TX_GENERAL_CC_ERROR_MESSAGE", value_set=self.name))
        else:
            self.check.add(self._not_in(self.codings[0], self.path(0, "code")))

    def _not_in(self, coding: Resource, where: str, severity: str | None = None) -> Finding:
        text = f"{joined(coding.get('system', ''), coding.get('version'))}#{coding['code']}"
        if coding.get("display"):
            text += f" ('{coding['display']}')"
        message = "None_of_the_provided_codes_are_in_the_value_set_one"
        said = finding(message, where, severity, coding=f"'{text}'", value_set=self.name)
        if severity is None:
            return said
        return Finding(said.severity, said.code, said.text, "this-code-not-in-vs", message, where)

    def _answer(self, inside: bool | None) -> Resource:
        check = self.check
        self._tell_state()
        valid = inside is True and not check.failed
        parts: list[Resource] = [{"name": "result", "valueBoolean": valid}]
        index, found = self.found or (0, self.elsewhere)
        if self.found or self.mode != "codeableConcept":
            parts += self._understood(self.codings[index], found)
        for system in check.unknown:
            if inside is False:
                parts.append({"name": "x-unknown-system", "valueCanonical": system})
            elif not valid:
                parts.append({"name": "x-caused-by-unknown-system", "valueCanonical": system})
        return self._parameters(parts)

    def _understood(self, coding: Resource, found: Found | None) -> list[Resource]:
        """What the answer repeats of the code, and adds to it."""
        parts: list[Resource] = [{"name": "code", "valueCode": coding["code"]}] if coding.get("code") else []
        system = coding.get("system") or (found.system_url if found else None)
        if system:
            parts.append({"name": "system", "valueUri": system})
        version = (found.version if found else None) or coding.get("version")
        if version:
            parts.append({"name": "version", "valueString": version})
        shown = preferred(found.texts, self.asked.wanted) or preferred(found.texts, None) if found else None
        if shown:
            parts.append({"name": "display", "valueString": shown.value})
        if self.check.normal:
            parts.append({"name": "normalized-code", "valueCode": self.check.normal})
        state = self.check.state
        if (
            state
            and state.inactive
            and (self.mode != "codeableConcept" or self.check.state_path in self.paths)
        ):
            parts.append({"name": "inactive", "valueBoolean": True})
            if state.status and state.status != "inactive":
                parts.append({"name": "status", "valueCode": state.status})
        elif state and (state.status or "").lower() == "deprecated":
            parts.append({"name": "status", "valueCode": "deprecated"})
        return parts

    def _tell_state(self) -> None:
        state, where = self.check.state, self.check.state_path or "code"
        if state is None:
            return
        if state.inactive:
            status = state.status or "inactive"
            said = status if status == "inactive" else f"{status} and inactive"
            self.check.say(finding("INACTIVE_CONCEPT_FOUND", where, code=state.code, status=said))
        elif (state.status or "").lower() == "deprecated":
            self.check.say(finding("DEPRECATED_CONCEPT_FOUND", where, code=state.code))

    def failed(self, problem: Finding) -> Resource:
        """The answer where the check could not even begin."""
        self.check.add(problem)
        parts: list[Resource] = [{"name": "result", "valueBoolean": False}]
        if self.mode != "codeableConcept":
            parts += self._understood(self.codings[0], None)
        if (
            problem.code == "not-found"
            and problem.message
            and problem.message.startswith("UNKNOWN_CODESYSTEM")
        ):
            coding = self.codings[0]
            version = coding.get("version") if "NONE" not in problem.message else None
            parts.append(
                {"name": "x-unknown-system", "valueCanonical": joined(coding.get("system", ""), version)}
            )
        return self._parameters(parts)

    def _parameters(self, parts: list[Resource]) -> Resource:
        if self.check.messages:
            parts.append({"name": "message", "valueString": "; ".join(sorted(set(self.check.messages)))})
        if self.concept is not None:
            parts.append({"name": "codeableConcept", "valueCodeableConcept": self.concept})
        if self.check.issues:
            parts.append({"name": "issues", "resource": outcome(self.check.issues)})
        return {"resourceType": "Parameters", "parameter": parts}
