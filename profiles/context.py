"""What a check may ask beyond the value before it: other resources, value sets, other profiles.

https://hl7.org/fhir/R4/references.html#literal, https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from profiles.findings import Refusals
from profiles.problems import Place, Problems, TooLong, TooMany
from rules.fhirpath import Environment
from terminology.code_system import CodeSystem

# value set, system (None where the element has none), code -> whether it is in it; None: cannot be known here
Member = Callable[[str, str | None, str], bool | None]
# system, code -> whether the code is one of the system's; None: the system is not known (whole) here
Known = Callable[[str, str], bool | None]
MOST_STEPS = 500_000
_RESTFUL = re.compile(
    r"(?P<base>https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]+)?"
)
_VERSION = re.compile(r"/_history/[A-Za-z0-9\-.]{1,64}$")


def _unknown(*_: Any) -> None:
    return None


@dataclass(slots=True)
class Context:
    """One validation: the whole resource, and what the server knows.

    `check` gives the compiled check of a profile's canonical or None; `resolve` the resource that a reference
    leads to outside the document, or None; `definition` a StructureDefinition or Questionnaire by its
    canonical, `artifact` any conformance resource by its type and canonical; `system` a code system by its
    URL (terminology.code_system.CodeSystem), as far as it is here: a fragment too. `demands` are those of
    profiles.demands that are made.
    """

    document: Any
    check: Callable[[str], Any] = _unknown
    member: Member = _unknown
    known: Known = _unknown
    resolve: Callable[[str], Any] = _unknown
    definition: Callable[[str], Any] = _unknown
    artifact: Callable[[str, str], Any] = _unknown
    system: Callable[[str], CodeSystem | None] = _unknown
    demands: frozenset[str] = frozenset()
    environment: Environment = field(init=False)
    memo: dict[tuple[int, str], bool] = field(default_factory=dict)
    active: set[tuple[int, str]] = field(default_factory=set)
    bundles: dict[int, dict[str, Any]] = field(default_factory=dict)  # of a Bundle, its entries by fullUrl
    insides: dict[int, dict[str, Any]] = field(default_factory=dict)  # of a resource, what it contains by id
    steps: int = 0

    def __post_init__(self) -> None:
        self.environment = Environment(
            resolve=self.resolve, member_of=self.member_of, conforms_to=self.conforms_to
        )

    def member_of(self, value: Any, value_set: str) -> bool | None:
        """FHIRPath's memberOf() asks this."""
        return is_member(value, value_set, self.member)

    def conforms_to(self, value: Any, url: str) -> bool | None:
        """FHIRPath's conformsTo() asks this."""
        check = self.check(url)
        return None if check is None else self.passes(value, url, check, (0, None, "Resource"))

    def spend(self) -> None:
        """Each look at another profile and at a slice counts: none may keep the server busy for long."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TooLong

    def passes(self, value: Any, key: str, check: Callable[[Any, Place, Problems], None], at: Place) -> bool:
        """Whether a value passes a check, found out once."""
        memo = (id(value), key)
        known = self.memo.get(memo)
        if known is None:
            if memo in self.active:
                return True  # it is being judged further up, which is where it will fail if it does
            self.spend()
            quiet = Refusals(self)
            self.active.add(memo)
            try:
                check(value, at, quiet)
            except TooLong:
                raise
            except TooMany:
                pass  # it fails many times over
            finally:
                self.active.discard(memo)
            known = self.memo[memo] = not quiet.failed
        return known

    # Resources around a place.

    def around(self, at: Place) -> Iterator[tuple[Any, str | None]]:
        """The resources that enclose a place, innermost first, each with the fullUrl of its entry."""
        steps: list[Place] = []
        place: Place | None = at
        while place is not None and place[1] is not None:
            steps.append(place)
            place = place[1]
        value, url, found = self.document, None, [(self.document, None)]
        for step in reversed(steps):
            if not isinstance(value, dict):
                break
            if step[2] == "resource" and isinstance(value.get("fullUrl"), str):
                url = value["fullUrl"]
            value = value.get(step[2])
            if len(step) == 4:
                value = value[step[3]] if isinstance(value, list) and step[3] < len(value) else None
            if isinstance(value, dict) and "resourceType" in value:
                found.append((value, url if step[2] == "resource" else found[-1][1]))
                url = None if step[2] == "resource" else url
        yield from reversed(found)

    def target(self, reference: str, at: Place) -> Any:
        """The resource that a reference at this place leads to, or None."""
        if reference.startswith("#"):
            return self._contained(reference[1:], at)
        base = None
        for resource, url in self.around(at):
            if resource.get("resourceType") == "Bundle":
                found = self.entry(resource, reference, base)
                if found is not None:
                    return found
            base = base or url
        return self.resolve(reference)

    def _contained(self, id_: str, at: Place) -> Any:
        for resource, _ in self.around(at):
            if not isinstance(resource.get("contained"), list):
                continue
            if not id_:
                return resource
            inside = self.insides.get(id(resource))
            if inside is None:
                inside = self.insides[id(resource)] = _by_id(resource["contained"])
            if id_ in inside:
                return inside[id_]
        return None

    def entry(self, bundle: Mapping[str, Any], reference: str, url: str | None) -> Any:
        """What a reference in the entry with that fullUrl leads to inside the Bundle, or None."""
        entries = self.bundles.get(id(bundle))
        if entries is None:
            entries = self.bundles[id(bundle)] = _entries(bundle)
        plain = _VERSION.sub("", reference)
        if plain in entries:
            return entries[plain]
        if match := _RESTFUL.fullmatch(url or ""):
            return entries.get(match["base"] + plain)
        return None


def is_member(value: Any, value_set: str, member: Member) -> bool | None:
    """Whether a code, Coding, CodeableConcept or Quantity is in a value set; None: cannot be known."""
    if type(value) is str:
        return member(value_set, None, value)
    if type(value) is not dict:
        return None
    listed = value.get("coding")
    if type(listed) is not list and "code" not in value:
        return False if "text" in value else None
    codings = listed if type(listed) is list else [value]
    answers = [_coding_member(coding, value_set, member) for coding in codings if type(coding) is dict]
    if True in answers:
        return True
    return None if None in answers or not answers else False


def _coding_member(coding: Mapping[str, Any], value_set: str, member: Member) -> bool | None:
    system, code = coding.get("system"), coding.get("code")
    if type(code) is not str:
        return False
    return member(value_set, system if type(system) is str else "", code)


def _by_id(contained: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in contained:
        if isinstance(item, dict) and isinstance(item.get("id"), str):
            found.setdefault(item["id"], item)
    return found


def _entries(bundle: Mapping[str, Any]) -> dict[str, Any]:
    listed = bundle.get("entry")
    entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    found: dict[str, Any] = {}
    for entry in entries:
        url, resource = entry.get("fullUrl"), entry.get("resource")
        if isinstance(url, str) and isinstance(resource, dict):
            found.setdefault(_VERSION.sub("", url), resource)
    return found
