"""PlanDefinitions as rules: which conditions of which libraries, in which zone, for which readings.

https://hl7.org/fhir/R4/plandefinition.html. A rule is an action on the first level. Its zones are its
sub-actions with conditions of their own, or it itself where it has none: so that yellow turns red within one
Flag, and rules that have nothing to do with each other have Flags of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.alerts.libraries import CQL, Libraries, Resource, Source, Unusable, Used
from fhir_server.alerts.plan_definition import auto_resolve_of, code_filters, label_of, on_readings, period_of
from fhir_server.alerts.value_sets import ValueSets
from rules import cql, fhirpath
from rules.plans import Coding, Text
from rules.plans.plan import ZONE_URL
from rules.values import ValueSet

ECA_RULE: Final = "eca-rule"
# R4 has text/cql alone; R4B and the guide "Using CQL with FHIR" tell a name from an expression.
NAMES: Final = frozenset(("text/cql-identifier", "text/cql.identifier"))
FHIRPATH: Final = "text/fhirpath"
EXPRESSIONS: Final = frozenset(("text/cql-expression", "text/cql.expression"))
_ZONE_OF_PRIORITY: Final = {"stat": "red", "asap": "red"}
_ZONE_TYPES: Final = frozenset(
    ("Boolean", "String", "Code", "Concept", "Any", "FHIR.boolean", "FHIR.string", "FHIR.code", "FHIR.Coding",
     "FHIR.CodeableConcept")
)  # fmt: skip
_HEADER: Final = (
    "using FHIR version '4.0.1'\ninclude FHIRHelpers version '4.0.1' called FHIRHelpers\n",
    'context Patient\ndefine "condition":\n',
)


@dataclass(frozen=True, slots=True)
class Condition:
    """What has to hold: a definition of a library, with what it asks of the data, or an expression of
    FHIRPath over the reading that is judged."""

    used: Used | None
    define: str
    needs: cql.Needs
    expression: fhirpath.Expression | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """What is found when all conditions hold: the zone, unless a condition gives one, and what is told."""

    conditions: tuple[Condition, ...]
    zone: str
    text: Text
    expression: str


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a part of a definition cannot judge: the element, what is wrong with it, and which rule it is."""

    expression: str
    message: str
    code: str = "business-rule"
    key: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class CqlRule:
    """`codes` are those whose readings trigger it, None for every reading; `libraries` all that take part."""

    key: str
    definition: str
    label: Text
    actions: tuple[Action, ...]
    codes: frozenset[Coding] | None
    auto_resolve: int
    period: tuple[int | None, int | None]
    libraries: tuple[Used, ...] = ()

    @property
    def needs(self) -> tuple[cql.Needs, ...]:
        return tuple(condition.needs for action in self.actions for condition in action.conditions)

    def triggered(self, codes: frozenset[Coding]) -> bool:
        return self.codes is None or not self.codes.isdisjoint(codes)

    def in_force(self, moment: int) -> bool:
        """Whether the definition's effectivePeriod contains the moment (microseconds since 1970)."""
        start, end = self.period
        return (start is None or moment >= start) and (end is None or moment < end)


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """One PlanDefinition: `reference` names its version; `everybody`: readings trigger it by themselves."""

    reference: str
    id: str
    status: str
    everybody: bool
    rules: tuple[CqlRule, ...]
    flaws: tuple[Flaw, ...]
    label: Text


@dataclass(slots=True)
class _Branch:
    """The actions below one on the first level, while they are read."""

    actions: list[Action] = field(default_factory=list)
    triggers: list[dict[str, Any]] = field(default_factory=list)


class Reader:
    """Reads one PlanDefinition; without `value_sets` (when it is written) what triggers it is left open."""

    def __init__(self, resource: Resource, libraries: Libraries, value_sets: ValueSets | None = None) -> None:
        self._resource = resource
        self._libraries = libraries
        self._value_sets = value_sets
        self._flaws: list[Flaw] = []
        self._named: list[Used] = []
        self._lost = False  # whether a library is missing from them
        self._key = ""
        self._whole = True  # so far, of the rule that is being read
        coded = (resource.get("type") or {}).get("coding") or ()
        self._everybody = any(coding.get("code") == ECA_RULE for coding in coded)

    def read(self) -> Definition:
        """Never raises for what a valid PlanDefinition may contain."""
        resource = self._resource
        has_conditions = any(_conditions(action) for _, action in _tree(resource, "PlanDefinition"))
        if has_conditions:
            self._named = list(self._libraries_named())
        rules = []
        for position, action in enumerate(resource.get("action") or ()):
            self._key = f"plan-definition.{resource.get('id')}.{action.get('id') or position + 1}"
            rule = self._rule(action, f"PlanDefinition.action[{position}]") if has_conditions else None
            if rule is not None:
                rules.append(rule)
        return Definition(
            _versioned(resource),
            str(resource.get("id")),
            str(resource.get("status")),
            self._everybody,
            tuple(rules),
            tuple(self._flaws),
            label_of(resource, resource, Text(str(resource.get("id")), str(resource.get("id")))),
        )

    def _flaw(self, expression: str, message: str, code: str = "business-rule") -> None:
        self._whole = False
        self._flaws.append(Flaw(expression, message, code, self._key))

    # Libraries

    def _libraries_named(self) -> Iterator[Used]:
        for position, canonical in enumerate(self._resource.get("library") or ()):
            used = canonical and self._library(str(canonical), f"PlanDefinition.library[{position}]")
            if used:
                yield used
            elif canonical:
                self._lost = True

    def _library(self, canonical: str, where: str) -> Used | None:
        resource = self._libraries.by_canonical(canonical)
        if resource is None:
            self._flaw(where, f"there is no Library {canonical} on this server", "not-found")
            return None
        try:
            used = self._libraries.compiled(resource)
        except Unusable as problem:
            self._flaw(where, str(problem), problem.code)
            return None
        except cql.CompileError as error:
            self._flaw(where, f"the Library {canonical} does not compile: {error.diagnostics[0]}", "invalid")
            return None
        for one in used.all():
            if one.status != "active" and self._resource.get("status") == "active":
                name = canonical if one is used else one.library.name
                self._flaw(where, f"the Library {name} is {one.status}: only active ones judge")
                return None
        return used

    # Actions

    def _rule(self, action: dict[str, Any], where: str) -> CqlRule | None:
        branch = _Branch()
        self._whole = True
        label = label_of(action, self._resource, label_of(self._resource, self._resource, _UNNAMED))
        self._read(action, where, (), "yellow", label, branch)
        judges = not self._everybody or any(map(on_readings, branch.triggers))
        if not branch.actions or not judges or not self._whole:
            return None
        used = {
            used.reference + used.key: used
            for a in branch.actions
            for c in a.conditions
            for used in (c.used.all() if c.used else ())
        }
        try:
            codes = self._codes(branch)
        except Unusable as problem:
            self._flaw(where, str(problem), "not-found")
            return None
        return CqlRule(
            self._key,
            _versioned(self._resource),
            label,
            tuple(branch.actions),
            codes,
            auto_resolve_of(action),
            period_of(self._resource.get("effectivePeriod") or {}),
            tuple(one for one in used.values() if one.reference),
        )

    def _read(
        self,
        action: dict[str, Any],
        where: str,
        above: tuple[Condition, ...],
        zone: str,
        label: Text,
        branch: _Branch,
    ) -> None:
        zone = self._zone(action, where) or zone
        label = label_of(action, self._resource, label)
        branch.triggers += action.get("trigger") or ()
        conditions = (*above, *self._conditions(action, where))
        below = list(enumerate(action.get("action") or ()))
        if any(_conditions(inner) for _, sub in below for _, inner in _tree({"action": [sub]}, "")):
            for position, sub in below:
                self._read(sub, f"{where}.action[{position}]", conditions, zone, label, branch)
        elif conditions:
            branch.actions.append(Action(conditions, zone, label, where))

    def _zone(self, action: dict[str, Any], where: str) -> str | None:
        for position, extension in enumerate(action.get("extension") or ()):
            if extension.get("url") == ZONE_URL:
                zone = extension.get("valueCode")
                if zone in ("yellow", "red"):
                    return str(zone)
                self._flaw(f"{where}.extension[{position}]", "the zone of a finding is yellow or red")
        priority = action.get("priority")
        return _ZONE_OF_PRIORITY.get(str(priority), "yellow") if priority else None

    def _conditions(self, action: dict[str, Any], where: str) -> Iterator[Condition]:
        for position, condition in enumerate(action.get("condition") or ()):
            place = f"{where}.condition[{position}].expression"
            if condition.get("kind") != "applicability":
                self._flaw(
                    f"{where}.condition[{position}].kind", "only applicability is judged", "not-supported"
                )
            elif not isinstance(condition.get("expression"), dict):
                self._flaw(f"{where}.condition[{position}]", "a condition needs an expression", "required")
            elif (found := self._condition(condition["expression"], place)) is not None:
                yield found
            else:
                self._whole = False  # without this condition the others must not judge

    def _condition(self, expression: dict[str, Any], where: str) -> Condition | None:
        language, text = expression.get("language"), str(expression.get("expression") or "").strip()
        if language == FHIRPATH and text:
            return self._fhirpath(text, where)
        if language not in {CQL, FHIRPATH, *NAMES, *EXPRESSIONS}:
            self._flaw(f"{where}.language", f"conditions in {language} are not supported", "not-supported")
            return None
        if not text:
            self._flaw(where, "the expression is missing", "required")
            return None
        libraries: Sequence[Used] = self._named
        if "reference" in expression:
            named = self._library(str(expression["reference"]), f"{where}.reference")
            if named is None:
                return None
            libraries = [named]
        if language not in EXPRESSIONS:
            for used in libraries:
                if (name := _defined(used, text)) is not None:
                    return self._checked(used, name, where)
        if language in NAMES:
            if libraries is not self._named or not self._lost:  # else it may be in the one that is missing
                self._flaw(f"{where}.expression", f"no library of the PlanDefinition defines {text}")
            return None
        return self._inline(text, libraries, where)

    def _fhirpath(self, text: str, where: str) -> Condition | None:
        try:
            expression = fhirpath.compile(text, "Observation")
        except fhirpath.CompileError as error:
            for diagnostic in error.diagnostics:
                self._flaw(f"{where}.expression", str(diagnostic), "invalid")
            return None
        return Condition(None, text, cql.Needs((), ()), expression)

    def _inline(self, text: str, libraries: Sequence[Used], where: str) -> Condition | None:
        """An expression is compiled as the one definition of a library that includes the PlanDefinition's."""
        own = {used.library.name: used for used in libraries if used.library.name}
        lines = [f"include {_quoted(name)} called {_quoted(name)}\n" for name in own]
        header = "".join((_HEADER[0], *lines, _HEADER[1]))
        source = Source(CQL, (header + text).encode(), where)
        try:
            used = Libraries(self._libraries.find, known=own).compile(source)
        except cql.CompileError as error:
            above = header.count("\n")
            for d in error.diagnostics:
                self._flaw(
                    f"{where}.expression",
                    f"{max(d.line - above, 1)}:{d.column}: {d.kind}: {d.message}",
                    "invalid",
                )
            return None
        return self._checked(used, "condition", where)

    def _checked(self, used: Used, name: str, where: str) -> Condition | None:
        expression = used.library.compiled.typed.expressions[name]
        if expression.context not in ("Patient", "Unfiltered"):
            said = f"is in the context {expression.context}; a condition is in that of the Patient"
            self._flaw(f"{where}.expression", said)
            return None
        type_ = str(expression.body.type)
        if type_ not in _ZONE_TYPES:
            said = f"is of type {type_}; a condition is a Boolean, or a zone as a String or Code"
            self._flaw(f"{where}.expression", said)
            return None
        needs = cql.needs(used.library, name)
        return Condition(used, name, needs)

    # Triggers

    def _codes(self, branch: _Branch) -> frozenset[Coding] | None:
        """The codes of the readings to judge: as the triggers say, or else as the conditions look for."""
        if self._value_sets is None:
            return None
        found: set[Coding] = set()
        filters = [f for t in branch.triggers if self._everybody and on_readings(t) for f in code_filters(t)]
        if filters and all(filters):
            for listed in filters:
                for code_filter in listed:
                    found |= self._filtered(code_filter)
            return frozenset(found)
        for action in branch.actions:
            for condition in action.conditions:
                for retrieve in condition.needs.retrieves:
                    if retrieve.type == "Observation":
                        if retrieve.path != "code" or not retrieve.codes:
                            return None
                        found |= self._coded(retrieve.codes)
        return frozenset(found) or None

    def _filtered(self, code_filter: dict[str, Any]) -> set[Coding]:
        listed = {(c.get("system", ""), c.get("code", "")) for c in code_filter.get("code") or ()}
        canonical = code_filter.get("valueSet")
        return listed | (self._coded(ValueSet(canonical)) if canonical else set())

    def _coded(self, codes: Any) -> set[Coding]:
        assert self._value_sets is not None
        listed = self._value_sets.look_up(codes).codes if isinstance(codes, ValueSet) else codes
        return {(code.system or "", code.code or "") for code in listed}


_UNNAMED = Text("Regel", "Rule")


def _tree(resource: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every action below, with its place."""
    for position, action in enumerate(resource.get("action") or ()):
        place = f"{where}.action[{position}]"
        yield place, action
        yield from _tree(action, place)


def _conditions(action: dict[str, Any]) -> bool:
    return bool(action.get("condition"))


def _versioned(resource: Resource) -> str:
    version = (resource.get("meta") or {}).get("versionId")
    reference = f"PlanDefinition/{resource.get('id')}"
    return f"{reference}/_history/{version}" if version else reference


def _defined(used: Used, text: str) -> str | None:
    """The definition that a text names, plainly, quoted, or behind the library's name."""
    defines = used.library.defines
    library = used.library.name or ""
    for prefix in ("", f"{library}.", f'"{library}".'):
        if text.startswith(prefix):
            name = text.removeprefix(prefix)
            for candidate in (name, name[1:-1] if name[:1] == name[-1:] == '"' else name):
                if candidate in defines:
                    return candidate
    return None


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
