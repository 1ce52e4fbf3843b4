"""What an operation is asked, read from its Parameters: languages, versions, what to list and what to check.

https://hl7.org/fhir/R4/valueset-operation-expand.html, https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from terminology.code_system import value_of
from terminology.findings import TerminologyError, finding, refuse
from terminology.languages import Languages, parse
from terminology.versions import split

_RULES = {
    "system-version": ("default", "CodeSystem"),
    "check-system-version": ("check", "CodeSystem"),
    "force-system-version": ("force", "CodeSystem"),
    "default-valueset-version": ("default", "ValueSet"),
    "check-valueset-version": ("check", "ValueSet"),
    "force-valueset-version": ("force", "ValueSet"),
}
_FLAGS = frozenset(
    {
        "activeOnly", "excludeNested", "includeDesignations", "includeDefinition", "excludeNotForUI",
        "excludePostCoordinated", "lenient-display-validation", "valueset-membership-only", "versionsMatch",
        "inferSystem", "abstract", "reverse",
    }
)  # fmt: skip
_NUMBERS = frozenset({"count", "offset"})
_LISTS = frozenset({"designation", "property", "useSupplement", "exclude-system", "displayLanguage"})
_EXPANSION_PARAMETER = "/StructureDefinition/valueset-expansion-parameter"


@dataclass(frozen=True, slots=True)
class Rule:
    """A version rule of the request. mode: default | check | force."""

    mode: str
    kind: str
    url: str
    version: str
    name: str


@dataclass(frozen=True, slots=True)
class Dependency:
    """A value that a translation may depend on: of which element, and as which codes of which systems."""

    element: str
    codes: frozenset[tuple[str | None, str]]


@dataclass(frozen=True)
class Asked:
    """`values`: the first value of each parameter, flags and numbers as such; `lists`: those that repeat."""

    values: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    languages: Languages | None = None
    header: Languages | None = None  # Accept-Language, which a displayLanguage goes before
    dependencies: tuple[Dependency, ...] = ()

    def flag(self, name: str, usual: bool = False) -> bool:
        return bool(self.values.get(name, usual))

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) and value else None

    def several(self, name: str) -> tuple[str, ...]:
        return self.lists.get(name, ())

    @property
    def wanted(self) -> Languages | None:
        """The languages to answer in."""
        return self.languages or self.header

    @property
    def language_names(self) -> str:
        """As a sentence names them."""
        return self.wanted.text if self.wanted else "--"

    def version(self, kind: str, url: str, version: str | None) -> str | None:
        """Which version the rules make of one that was (or was not) named."""
        rules = [rule for rule in self.rules if rule.kind == kind and rule.url == url]
        forced = next((rule.version for rule in rules if rule.mode == "force"), None)
        usual = [rule.version for mode in ("default", "check") for rule in rules if rule.mode == mode]
        return forced or version or next(iter(usual), None)

    def checks(self, url: str) -> list[Rule]:
        return [rule for rule in self.rules if rule.mode == "check" and rule.url == url]

    def within(self, value_set: dict[str, Any]) -> Asked:
        """With the parameters that a value set brings along, which the request's own go before."""
        asked = self
        compose = value_set.get("compose", {})
        for extension in compose.get("extension", []):
            if extension.get("url", "").endswith(_EXPANSION_PARAMETER):
                parts = {part.get("url"): part for part in extension.get("extension", [])}
                name = value_of(parts.get("name", {}))
                if name not in asked.values and name not in asked.lists:
                    asked = asked._with({"name": name, **_only_value(parts.get("value", {}))})
        if asked.wanted is None and value_set.get("language"):
            asked = replace(asked, header=_languages(value_set["language"]))
        return asked

    def _with(self, part: dict[str, Any]) -> Asked:
        return read({"parameter": [part]}, base=self)


def read(parameters: dict[str, Any], accept_language: str | None = None, base: Asked | None = None) -> Asked:
    """What a Parameters resource asks. TerminologyError where a value makes no sense."""
    base = base or Asked()
    values, lists, rules = dict(base.values), dict(base.lists), list(base.rules)
    dependencies = list(base.dependencies)
    for part in parameters.get("parameter", []):
        name, value = part.get("name", ""), part.get("resource", value_of(part))
        if name in _RULES:
            rules.append(_rule(name, value))
        elif name == "dependency":
            dependencies.append(_dependency(part))
        elif name in _LISTS:
            lists[name] = (*lists.get(name, ()), str(value))
        elif name == "profile" and isinstance(value, dict):
            inner = read(value, base=Asked(values, lists, tuple(rules)))
            values, lists, rules = inner.values, inner.lists, list(inner.rules)
        elif name not in values:
            values[name] = _value(name, value)
    said = lists.get("displayLanguage")
    languages = _languages(",".join(said)) if said else None
    header = _languages(accept_language, True) if accept_language else base.header
    return Asked(values, lists, tuple(rules), languages, header, tuple(dependencies))


def _dependency(part: dict[str, Any]) -> Dependency:
    """R4 has element and concept, R5 attribute and value[x]."""
    parts = {inner.get("name"): value_of(inner) for inner in part.get("part", [])}
    element = parts.get("element") or parts.get("attribute")
    said = parts.get("concept", parts.get("value"))
    if not isinstance(element, str) or said is None:
        raise refuse("invalid", "A dependency has an element and its concept")
    if not isinstance(said, dict):
        return Dependency(element, frozenset({(None, str(said))}))
    codings = said.get("coding", [said] if "code" in said else [])
    codes = {(coding.get("system"), coding.get("code", "")) for coding in codings}
    return Dependency(element, frozenset(codes | ({(None, said["text"])} if "text" in said else set())))


def _value(name: str, value: Any) -> Any:
    if name in _FLAGS:
        if value not in (True, False, "true", "false"):
            raise refuse("invalid", f"The parameter {name} takes true or false")
        return value in (True, "true")
    if name in _NUMBERS:
        text = str(value)
        if not text.isascii() or not text.isdecimal() or len(text) > 9:
            raise refuse("invalid", f"The parameter {name} takes a number that is not negative")
        return int(text)
    return value


def _rule(name: str, value: Any) -> Rule:
    url, version = split(str(value))
    if not version:
        raise refuse("invalid", f"The parameter {name} takes a canonical with a version: url|version")
    mode, kind = _RULES[name]
    return Rule(mode, kind, url, version, name)


def _languages(text: str, lenient: bool = False) -> Languages | None:
    try:
        return parse(text)
    except ValueError:
        if lenient:  # a header that a browser sends is no reason to refuse
            return None
        raise TerminologyError(finding("INVALID_DISPLAY_NAME", languages=text), "invalid") from None


def _only_value(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key.startswith("value")}
