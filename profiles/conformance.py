"""Whether a value is as profiles say: their compiled checks, and what these call.

https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from profiles.context import is_member
from profiles.definitions import Binding, Definitions, load
from profiles.differential import read_profile
from profiles.discriminators import Reached, reach
from profiles.emit_profile import EmittedProfile, emit_profile
from profiles.invariants import invariant
from profiles.problems import Place, Problems, inside
from profiles.structure import chosen, target
from profiles.tree import HL7, Profile, ProfileError
from terminology import ucum

Check = Callable[[Any, Place, Problems], None]
UCUM = "http://unitsofmeasure.org"
MOST_ACTIVE = 40  # profiles inside profiles, references followed from reference to reference


class Profiles:
    """The StructureDefinitions that are known: R4's own, and `added` (canonical -> definition).

    Each is compiled when it is first needed. Once made it does not change: what is added makes a new one.
    """

    def __init__(
        self, added: Mapping[str, dict[str, Any]] | None = None, definitions: Definitions | None = None
    ) -> None:
        self.definitions = definitions or load()
        self.added = {} if added is None else added
        self._profiles: dict[str, Profile] = {}
        self._checks: dict[str, Check] = {}

    def definition(self, canonical: str) -> dict[str, Any] | None:
        """The StructureDefinition of a canonical, perhaps with |version; None where it is not known."""
        url, _, version = canonical.partition("|")
        found = self.added.get(canonical) or self.added.get(url) or self.definitions.profiles.get(url)
        return found if found and (not version or _is_version(version, found.get("version"))) else None

    def profile(self, canonical: str) -> Profile | None:
        """Its tree; None where it is not known, ProfileError where it makes no sense."""
        found = self._profiles.get(canonical)
        if found is None:
            definition = self.definition(canonical)
            if definition is None or not constrains(definition):
                return None
            found = self._profiles[canonical] = read_profile(definition, self.constraining, self.definitions)
        return found

    def constraining(self, canonical: str) -> dict[str, Any] | None:
        """The definition of a profile; None for that of a type, which the table has."""
        found = self.definition(canonical)
        return found if found and constrains(found) else None

    def check(self, canonical: str) -> Check | None:
        """The compiled check of a profile; None and ProfileError as in `profile`."""
        found = self._checks.get(canonical)
        if found is None:
            profile = self.profile(canonical)
            if profile is None:
                return None
            found = self._checks[canonical] = self.compile(profile)
        return found

    def compile(self, profile: Profile) -> Check:
        emitted = self.emit(profile)
        names = {**_NAMES, **emitted.constants}
        code = compile(emitted.module, f"<profile {profile.url}>", "exec")
        exec(code, names)  # noqa: S102 - a tree that we built
        check: Check = names[emitted.root]
        return check

    def emit(self, profile: Profile) -> EmittedProfile:
        return emit_profile(profile, self.definitions, self._sensible)

    def _sensible(self, canonical: str) -> Profile | None:
        """The profile that another one mentions; its own faults are reported where it is used."""
        try:
            return self.profile(canonical)
        except ProfileError:
            return None


def constrains(definition: Mapping[str, Any]) -> bool:
    """Whether a StructureDefinition is a profile of a type, and not the definition of one."""
    base = definition.get("baseDefinition")
    of_its_own_type = base == f"{HL7}{definition.get('type')}"  # a profile, though it calls itself a new type
    return base is not None and (of_its_own_type or definition.get("derivation") != "specialization")


def _is_version(wanted: str, version: Any) -> bool:
    return version == wanted or str(version).startswith(wanted + ".")


# What compiled checks call.


def conform(value: Any, urls: tuple[str, ...], at: Place, out: Problems) -> None:
    """The value must be as one of these profiles says."""
    context = out.context
    if len(urls) > 1:
        _conform_to_one(value, urls, at, out)
        return
    checks = {url: check for url in urls if (check := _check(url, at, out))}
    for url, check in checks.items():
        key = (id(value), url)
        if key in context.active or len(context.active) > MOST_ACTIVE:
            continue
        context.spend()
        context.active.add(key)
        before, out.rule = out.rule, url.partition("|")[0]
        try:
            check(value, at, out)
        finally:
            out.rule = before
            context.active.discard(key)


def _conform_to_one(value: Any, urls: tuple[str, ...], at: Place, out: Problems) -> None:
    unknown = Problems(out.context)
    unknown.rule = out.rule
    checks = {url: check for url in urls if (check := _check(url, at, unknown))}
    if any(out.context.passes(value, url, check, at) for url, check in checks.items()):
        return
    if unknown.found:
        out.found += unknown.found[:1]
    else:
        out.add("structure", f"{at[2]} is as none of its profiles say: {', '.join(urls[:10])}", at)


def _check(url: str, at: Place, out: Problems) -> Check | None:
    """The check of a profile; why there is none becomes a finding."""
    if url.startswith(HL7) and "." not in url and url.removeprefix(HL7) in _TYPES:
        return None  # the type itself, which is judged anyway
    try:
        check: Check | None = out.context.check(url)
    except ProfileError as error:
        # Who claims it or asks for it must be told. That another profile mentions it is no resource's fault.
        severity = "warning" if out.rule else "error"
        out.add("exception", f"The profile {url} makes no sense: {str(error)[:500]}", at, severity, url)
        return None
    if check is None:
        out.add("not-found", f"The profile {url} is not known here, so it is not judged", at, "warning", url)
    return check


def follow(value: Any, urls: tuple[str, ...], at: Place, out: Problems) -> None:
    """What a Reference leads to, if it can be looked at, must be as one of the target profiles says."""
    reference = value.get("reference") if type(value) is dict else None
    target = out.context.target(reference, at) if type(reference) is str else None
    if type(target) is not dict:
        return
    context, type_ = out.context, target.get("resourceType")
    for url in urls:
        if url.startswith(HL7) and url.removeprefix(HL7) in _TYPES:
            if url.removeprefix(HL7) in load().bases(str(type_) if type_ in _TYPES else "Resource"):
                return
            continue
        check = _check(url, at, out)
        if check is None or len(context.active) > MOST_ACTIVE:
            return
        definition = context.definition(url)
        if definition and definition.get("type") != type_:
            continue
        if context.passes(target, url, check, (0, None, type_)):
            return
    out.add(
        "structure", f"{at[2]} leads to a resource that is as none of these say: {', '.join(urls[:10])}", at
    )


def reference_as(value: Any, asked: tuple[tuple[str, ...], str], at: Place, out: Problems) -> None:
    """https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.type.aggregation"""
    reference = value.get("reference") if type(value) is dict else None
    if type(reference) is not str:
        return
    ways, versioning = asked
    if ways:
        way = "contained" if reference.startswith("#") else "referenced"
        if way == "referenced" and "bundled" in ways and "referenced" not in ways:
            if not _is_bundled(reference, at, out):
                out.add("structure", f"{at[2]} must lead to a resource in the same Bundle", at)
        elif way not in ways and not (way == "referenced" and "bundled" in ways):
            out.add("structure", f"{at[2]} must lead to a resource that is {' or '.join(ways)}", at)
    has_version = "/_history/" in reference
    if versioning == "specific" and not has_version and not reference.startswith("#"):
        out.add("structure", f"{at[2]} must name a version", at)
    elif versioning == "independent" and has_version:
        out.add("structure", f"{at[2]} must not name a version", at)


def _is_bundled(reference: str, at: Place, out: Problems) -> bool:
    base = None
    for resource, url in out.context.around(at):
        if resource.get("resourceType") == "Bundle":
            return out.context.entry(resource, reference, base) is not None
        base = base or url
    return True  # there is no Bundle around it that could hold it


def fits(value: Any, pattern: Any) -> bool:
    """https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.pattern_x_"""
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and fits(value[name], wanted) for name, wanted in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(fits(one, wanted) for one in value) for wanted in pattern)
    return bool(value == pattern)


def has_choice(value: Mapping[str, Any], choices: Mapping[str, Any]) -> bool:
    return any(name in choices or (name[:1] == "_" and name[1:] in choices) for name in value)


def beyond(value: Any, limit: Any, lower: bool) -> bool:
    """Whether a value is beyond minValue or maxValue; values that cannot be compared are not."""
    wanted = limit.value
    if isinstance(value, dict) and isinstance(wanted, dict):
        value, wanted = comparable(value, wanted)
    numbers = (int, Decimal)
    if isinstance(value, numbers) and isinstance(wanted, numbers):
        return value < wanted if lower else value > wanted
    if isinstance(value, str) and isinstance(wanted, str):
        one, other = _moment(value), _moment(wanted)
        if one is None or other is None or (one.tzinfo is None) != (other.tzinfo is None):
            return False
        return one < other if lower else one > other
    return False


def comparable(quantity: Mapping[str, Any], limit: Mapping[str, Any]) -> tuple[Any, Any]:
    """The numbers of two quantities in the same unit; None and None where there is none."""
    value, wanted = quantity.get("value"), limit.get("value")
    if all(quantity.get(name) == limit.get(name) for name in ("system", "code")):
        return value, wanted
    units = quantity.get("code"), limit.get("code")
    numbers = isinstance(value, int | Decimal) and isinstance(wanted, int | Decimal)
    if quantity.get("system") == limit.get("system") == UCUM and numbers and all(units):
        with suppress(ucum.UnitError):
            return ucum.convert(Decimal(str(value)), str(units[0]), str(units[1])), wanted
    return None, None


def _moment(text: str) -> datetime | None:
    try:
        padded = text + "-01-01"[len(text) - 4 :] if len(text) in (4, 7) else text
        moment = datetime.fromisoformat(padded)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment


def bound_by(value: Any, binding: Binding, at: Place, out: Problems) -> None:
    """https://hl7.org/fhir/R4/terminologies.html#strength, and the widest value set that a code may be of:
    https://hl7.org/fhir/R4/extension-elementdefinition-maxvalueset.html
    """
    member = out.context.member
    is_text = type(value) is dict and value.keys().isdisjoint(("coding", "code"))
    if binding.widest and not is_text and is_member(value, binding.widest, member) is False:
        url = binding.widest.partition("|")[0]
        out.add("code-invalid", f"{at[2]} must be from the value set {url}, the widest of its binding", at)
        return
    if binding.strength == "example":
        return
    if binding.strength != "required" and is_text:
        return  # a text of one's own, which only a required binding does not allow
    inside_ = is_member(value, binding.value_set, member)
    if inside_ is None or inside_:
        return
    url = binding.value_set.partition("|")[0]
    severity = {"required": "error", "extensible": "warning"}.get(binding.strength, "information")
    what = "must be" if binding.strength == "required" else "should be"
    out.add("code-invalid", f"{at[2]} {what} from the value set {url} ({binding.strength})", at, severity)


def beside(value: Mapping[str, Any], name: str) -> list[tuple[int, Any]]:
    """What stands beside each primitive of a list (`_given`), by its place; None where nothing does."""
    values, extras = value.get(name), value.get("_" + name)
    values, extras = (each if type(each) is list else [] for each in (values, extras))
    length = max(len(values), len(extras))
    return list(enumerate([*extras, *[None] * (length - len(extras))]))


def beside_choice(value: Mapping[str, Any], choices: Mapping[str, tuple[str, str]]) -> tuple[Any, str | None]:
    """What stands beside the primitive that a choice is, and what a path calls it; None for no choice."""
    for name, (_, label) in choices.items():
        if name in value or "_" + name in value:
            return value.get("_" + name), label
    return None, None


def any_equal(found: list[Reached], wanted: Any) -> bool:
    return any(value == wanted for value, _, _ in found)


def any_fits(found: list[Reached], wanted: Any) -> bool:
    return any(fits(value, wanted) for value, _, _ in found)


def any_member(found: list[Reached], value_set: str, out: Problems) -> bool:
    return any(is_member(value, value_set, out.context.member) for value, _, _ in found)


def any_type(found: list[Reached], types: frozenset[str]) -> bool:
    return any(
        type_ in types if type_ else type(value) is not dict or _resource_type(value) in types | {None}
        for value, type_, _ in found
    )


def _resource_type(value: Mapping[str, Any]) -> Any:
    return value.get("resourceType")


def any_conforms(found: list[Reached], urls: tuple[str, ...], out: Problems) -> bool:
    for value, _, at in found:
        for url in urls:
            name = url.removeprefix(HL7)
            if name in _TYPES:
                if type(value) is dict and value.get("resourceType") == name:
                    return True
            elif (
                (check := _check(url, at, out))
                and _is_of(value, url, out)
                and out.context.passes(value, url, check, at)
            ):
                return True
    return False


def _is_of(value: Any, url: str, out: Problems) -> bool:
    """Whether a resource is of the type that the profile is of."""
    definition = out.context.definition(url)
    name = value.get("resourceType") if type(value) is dict else None
    return not (name and definition) or definition.get("type") == name


def any_passes(found: list[Reached], check: Check, name: str, out: Problems) -> bool:
    return any(out.context.passes(value, name, check, at) for value, _, at in found)


_TYPES = load().types
_NAMES: dict[str, Any] = {
    "fits": fits,
    "bound_by": bound_by,
    "beside": beside,
    "beside_choice": beside_choice,
    "beyond": beyond,
    "target": target,
    "follow": follow,
    "reference_as": reference_as,
    "conform": conform,
    "invariant": invariant,
    "chosen": chosen,
    "has_choice": has_choice,
    "reach": reach,
    "any_equal": any_equal,
    "any_fits": any_fits,
    "any_member": any_member,
    "any_type": any_type,
    "any_conforms": any_conforms,
    "any_passes": any_passes,
}
__all__ = ["Profiles", "conform", "inside"]
