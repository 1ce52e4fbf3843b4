"""The R4 definitions, read from the derived table beside this file.

https://hl7.org/fhir/R4/definition.html. profiles/generate.py writes the table and explains its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from profiles.defects import INVARIANTS, mended

FOLDER = Path(__file__).parent / "r4"
PUBLISHED = Path(__file__).parent / "published"
CODES = Path(__file__).parent / "codes"
# Code systems that others keep and give to all, as a list of code and name: file -> what the CodeSystem says.
LISTS = {
    # Vaccines, of the CDC (public domain). The list as of the version; a stored CodeSystem may be newer.
    "cvx.tsv": {"url": "http://hl7.org/fhir/sid/cvx", "version": "20250903", "name": "CVX", "language": "en"},
}


@dataclass(frozen=True, slots=True)
class Invariant:
    """A constraint (https://hl7.org/fhir/R4/conformance-rules.html#constraints).

    severity error | warning | information (a best practice).
    """

    key: str
    severity: str
    expression: str


@dataclass(frozen=True, slots=True)
class TypeRef:
    """One type that an element may have.

    `code` is a data type, a primitive, "Resource" or the path of a backbone element
    ("Observation.component"). `targets` are the resource types that a Reference or canonical may point to,
    empty = any. `profile` names the entry of Definitions.types that constrains `code` (SimpleQuantity).
    """

    code: str
    targets: tuple[str, ...] = ()
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """https://hl7.org/fhir/R4/terminologies.html#strength: required | extensible | preferred.

    `widest` is the value set that no code may leave whatever the strength (maxValueSet).
    """

    strength: str
    value_set: str
    widest: str | None = None


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type, https://hl7.org/fhir/R4/elementdefinition.html.

    `name` comes without "[x]"; `max` None = *; `content_reference` is the path whose definition this element
    shares (its TypeRef says the same). `value_set` is the canonical of a *required* binding, and
    `required_codes` its codes where they can be listed (else None); systems are in Definitions.value_sets.
    `binding` is there for bindings of every strength but example.
    """

    name: str
    min: int
    max: int | None
    types: tuple[TypeRef, ...]
    choice: bool = False
    content_reference: str | None = None
    value_set: str | None = None
    required_codes: frozenset[str] | None = None
    binding: Binding | None = None
    modifier: bool = False
    summary: bool = False
    invariants: tuple[Invariant, ...] = ()

    @property
    def properties(self) -> dict[str, TypeRef]:
        """The JSON property names that this element goes by, each with its type."""
        if not self.choice:
            return {self.name: self.types[0]}
        return {f"{self.name}{type_.code[0].upper()}{type_.code[1:]}": type_ for type_ in self.types}


@dataclass(frozen=True, slots=True)
class TypeDef:
    """A resource type, data type, primitive or backbone element.

    `kind` is resource, complex-type, primitive-type or backbone. `elements` holds inherited ones as well, in
    the order of the specification. `pattern` is a primitive's regular expression as published.
    `invariants` are the type's own and those of its bases.
    """

    name: str
    kind: str
    base: str | None
    elements: Mapping[str, Element]
    abstract: bool = False
    pattern: str | None = None
    invariants: tuple[Invariant, ...] = ()


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a composite parameter: the canonical of the parameter it is, and where to find it."""

    definition: str
    expression: str


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """A search parameter, https://hl7.org/fhir/R4/searchparameter.html.

    `expression` is None for those that a server computes (_text, _content, _filter, ...). From
    Definitions.search_parameters it holds only the alternatives that can apply to the type asked for.
    """

    url: str
    code: str
    type: str
    base: tuple[str, ...]
    expression: str | None = None
    targets: tuple[str, ...] = ()
    comparators: tuple[str, ...] = ()
    modifiers: tuple[str, ...] = ()
    multiple_or: bool = True
    multiple_and: bool = True
    components: tuple[Component, ...] = ()


class Definitions:
    """Everything the table holds, each part read when it is first asked for. Get it from load()."""

    @cached_property
    def types(self) -> Mapping[str, TypeDef]:
        """Type name or backbone path -> its definition."""
        return _Types(self._rows, self.value_sets)

    @cached_property
    def _rows(self) -> dict[str, Any]:
        return _read("types.json")

    @cached_property
    def resource_types(self) -> tuple[str, ...]:
        """The concrete resource types, in alphabetical order."""
        rows = self._rows.items()
        return tuple(name for name, row in rows if row["kind"] == "resource" and "abstract" not in row)

    @cached_property
    def value_sets(self) -> Mapping[str, Mapping[str, frozenset[str]]]:
        """Canonical of a value set -> {code system: codes}, of the required bindings that can be listed."""
        return {
            url: {system: frozenset(codes) for system, codes in systems.items()}
            for url, systems in _read("value_sets.json").items()
        }

    @cached_property
    def profiles(self) -> Mapping[str, dict[str, Any]]:
        """Canonical -> the profiles and extensions of R4, their differentials without prose, and our own."""
        text = (FOLDER / "profiles.json").read_bytes()
        return _Profiles(msgspec.json.decode(text, type=dict[str, msgspec.Raw]) | self.published)

    @cached_property
    def later_extensions(self) -> Mapping[str, bool]:
        """URL -> whether it changes meaning, of the extensions that HL7 defined after R4.

        By name only, of hl7.fhir.uv.extensions 5.3.0 (CC0): what they hold is not known here.
        """
        rows = (line.split("\t") for line in (CODES / "extensions.tsv").read_text("utf-8").splitlines())
        return {f"http://hl7.org/fhir/StructureDefinition/{name}": bool(flags) for name, *flags in rows}

    @cached_property
    def published(self) -> dict[str, msgspec.Raw]:
        """Canonical -> the StructureDefinitions of Varde itself, as text."""
        texts = [file.read_bytes() for file in sorted(PUBLISHED.glob("StructureDefinition-*.json"))]
        return {msgspec.json.decode(text)["url"]: msgspec.Raw(text) for text in texts}

    @cached_property
    def code_systems(self) -> Mapping[str, dict[str, Any]]:
        """URL -> CodeSystem resource: HL7's own for R4 (names, no definitions), those of LISTS, and ours."""
        return _read("code_systems.json") | _listed() | _published("CodeSystem")

    @cached_property
    def code_sets(self) -> Mapping[str, dict[str, Any]]:
        """URL -> ValueSet resource, of those of R4 that are made of `code_systems` and units, and ours."""
        return _read("code_sets.json") | _published("ValueSet")

    @cached_property
    def all_search_parameters(self) -> tuple[SearchParameter, ...]:
        """Every search parameter, as published: those of R4, and the few that Varde adds."""
        text = (FOLDER / "search_parameters.json").read_bytes()
        ours = sorted(PUBLISHED.glob("SearchParameter-*.json"))
        added = [msgspec.json.decode(file.read_bytes(), type=SearchParameter) for file in ours]
        return (*msgspec.json.decode(text, type=dict[str, SearchParameter]).values(), *added)

    @cached_property
    def search_parameter_resources(self) -> dict[str, dict[str, Any]]:
        """URL -> what SearchParameter says of a parameter's code, type, base and expression."""
        return {
            parameter.url: {
                "resourceType": "SearchParameter",
                "url": parameter.url,
                "code": parameter.code,
                "type": parameter.type,
                "base": list(parameter.base),
                "expression": parameter.expression,
            }
            for parameter in self.all_search_parameters
        }

    @cached_property
    def compartments(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """Compartment ("Patient", ...) -> {resource type: search parameter codes that put it there}."""
        return {
            name: {type_: tuple(codes) for type_, codes in members.items()}
            for name, members in _read("compartments.json").items()
        }

    @cached_property
    def enumerations(self) -> Mapping[str, str]:
        """Path of an element of type code -> name of its required binding (ObservationStatus)."""
        return _read("enumerations.json")

    @property
    def patient_compartment(self) -> Mapping[str, tuple[str, ...]]:
        """https://hl7.org/fhir/R4/compartmentdefinition-patient.html"""
        return self.compartments["Patient"]

    @cached_property
    def _search_parameters(self) -> dict[str, tuple[SearchParameter, ...]]:
        return {}

    def search_parameters(self, type_: str) -> tuple[SearchParameter, ...]:
        """Those of a resource type, with the ones of Resource and DomainResource, in order of their codes."""
        if type_ not in self._search_parameters:
            bases = set(self.bases(type_))
            found = [
                narrow(parameter, bases)
                for parameter in self.all_search_parameters
                if not bases.isdisjoint(parameter.base)
            ]
            self._search_parameters[type_] = tuple(sorted(found, key=lambda parameter: parameter.code))
        return self._search_parameters[type_]

    def bases(self, type_: str) -> tuple[str, ...]:
        """The type itself and what it specialises: Patient, DomainResource, Resource."""
        chain = []
        current: str | None = type_
        while current:
            chain.append(current)
            current = self.types[current].base
        return tuple(chain)


@cache
def load() -> Definitions:
    """The definitions of R4 4.0.1, one copy per process."""
    return Definitions()


def built_in(type_: str, url: str) -> dict[str, Any] | None:
    """What is kept of a CodeSystem, ValueSet or SearchParameter of R4 itself or of Varde, by its URL."""
    definitions = load()
    if type_ == "SearchParameter":
        return definitions.search_parameter_resources.get(url)
    kept = {"CodeSystem": definitions.code_systems, "ValueSet": definitions.code_sets}.get(type_, {})
    return kept.get(url)


def _published(type_: str) -> dict[str, dict[str, Any]]:
    resources = (msgspec.json.decode(file.read_bytes()) for file in sorted(PUBLISHED.glob(f"{type_}-*.json")))
    return {resource["url"]: resource for resource in resources}


def _listed() -> dict[str, dict[str, Any]]:
    found = {}
    for name, facts in LISTS.items():
        rows = (line.split("\t") for line in (CODES / name).read_text("utf-8").splitlines())
        system: dict[str, Any] = {"resourceType": "CodeSystem", "status": "active", "content": "complete"}
        concepts = [{"code": code, "display": display} for code, display in rows]
        found[facts["url"]] = {**system, **facts, "concept": concepts}
    return found


def _read(name: str) -> dict[str, Any]:
    return msgspec.json.decode((FOLDER / name).read_bytes(), type=dict[str, Any])


class _Profiles(Mapping[str, dict[str, Any]]):
    """Decodes a profile each time it is asked for: who compiles it keeps what was made of it."""

    def __init__(self, rows: Mapping[str, msgspec.Raw]) -> None:
        self._rows = rows

    def __getitem__(self, url: str) -> dict[str, Any]:
        return mended(_decode(self._rows[url]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


# Numbers keep their text, as in every resource that a fixed value is compared with.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode


class _Types(Mapping[str, TypeDef]):
    """Builds a TypeDef when it is first asked for: a server needs few of the 680 and should start at once."""

    def __init__(self, rows: Mapping[str, Any], value_sets: Mapping[str, Any]) -> None:
        self._rows = rows
        self._value_sets = value_sets
        self._built: dict[str, TypeDef] = {}

    def __getitem__(self, name: str) -> TypeDef:
        found = self._built.get(name)
        if found is None:
            found = self._built[name] = self._build(name, self._rows[name])
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _build(self, name: str, row: Mapping[str, Any]) -> TypeDef:
        base = self[row["base"]] if row["base"] else None
        elements = dict(base.elements) if base else {}
        for facts in row["elements"]:
            element = _element(self._value_sets, *facts)
            elements[element.name] = element
        return TypeDef(
            name=name,
            kind=row["kind"],
            base=row["base"],
            elements=MappingProxyType({n: e for n, e in elements.items() if e.max != 0}),
            abstract=row.get("abstract", False),
            pattern=row.get("pattern"),
            invariants=(base.invariants if base else ()) + _invariants(row.get("invariants", ())),
        )


def _element(
    value_sets: Mapping[str, Any],
    name: str,
    minimum: int,
    maximum: int | None,
    types: list[str],
    flags: str = "",
    value_set: str = "",
    invariants: Iterable[list[str]] = (),
) -> Element:
    choice = name.endswith("[x]")
    binding = _binding(value_set)
    required = binding.value_set if binding and binding.strength == "required" else None
    return Element(
        name=name[:-3] if choice else name,
        min=minimum,
        max=maximum,
        types=tuple(map(_type_ref, types)),
        choice=choice,
        content_reference=types[0][1:] if types[0].startswith("#") else None,
        value_set=required,
        required_codes=_codes(value_sets.get(required or "")),
        binding=binding,
        modifier="m" in flags,
        summary="s" in flags,
        invariants=_invariants(invariants),
    )


_STRENGTHS = {"+": "extensible", "?": "preferred"}


@cache
def _binding(text: str) -> Binding | None:
    """The Binding of "url", "+url" or "?url", perhaps with " widest"; None of ""."""
    if not text:
        return None
    value_set, _, widest = text.lstrip("+?").partition(" ")
    return Binding(_STRENGTHS.get(text[0], "required"), value_set, widest or None)


def _invariants(rows: Iterable[list[str]]) -> tuple[Invariant, ...]:
    return tuple(Invariant(key, severity, INVARIANTS.get(key, text)) for key, severity, text in rows)


@cache
def _type_ref(text: str) -> TypeRef:
    """The TypeRef of "code", "code target target", "code=profile" or "#path"."""
    code, *targets = text.removeprefix("#").split(" ")
    code, _, profile = code.partition("=")
    return TypeRef(code, tuple(targets), profile or None)


def _codes(systems: Mapping[str, frozenset[str]] | None) -> frozenset[str] | None:
    if systems is None:
        return None
    sets = tuple(systems.values())
    return sets[0] if len(sets) == 1 else frozenset().union(*sets)


def narrow(parameter: SearchParameter, bases: set[str]) -> SearchParameter:
    """The parameter with only those alternatives of its expression that start at one of these types."""
    if parameter.expression is None or len(parameter.base) == 1:
        return parameter
    own = [part for part in alternatives(parameter.expression) if start(part) in bases]
    return replace(parameter, expression=" | ".join(own))


def alternatives(expression: str) -> list[str]:
    """The operands of the `|` that stand outside all parentheses."""
    parts, depth = [""], 0
    for char in expression:
        depth += (char == "(") - (char == ")")
        if char == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


def start(expression: str) -> str:
    """The first name of a path: Patient in `(Patient.deceased as dateTime)`."""
    return expression.lstrip("( ").partition(".")[0].strip()
