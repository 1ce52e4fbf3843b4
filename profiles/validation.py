"""The thorough validation of a resource: its type, the profiles it claims and those asked for, its context.

https://hl7.org/fhir/R4/validation.html. profiles/structure.py alone decides quickly what may be stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from profiles import (
    bundles,
    code_systems,
    codings,
    concept_maps,
    demands,
    element_ids,
    extensions,
    measure_reports,
    operations,
    questionnaires,
    search_parameters,
    signatures,
    structure_definitions,
    value_sets,
)
from profiles.conformance import Check, bound_by, conform
from profiles.context import Context
from profiles.findings import Findings, too_long
from profiles.problems import Place, Problem, Problems, TooLong, TooMany, inside
from profiles.structure import THOROUGH, place_of
from profiles.vital_signs import vital_signs

__all__ = ["validate_thoroughly"]


def validate_thoroughly(context: Context, also: Iterable[str] = ()) -> list[Problem]:
    """Everything there is to say of context.document, which is also held to the profiles in `also`.

    Never raises, whatever the document is. At most 100 findings, and a note if there are more; an error where
    looking for them had to be given up.
    """
    out, document = Findings(context), context.document
    root = place_of(document)
    try:
        THOROUGH.check_resource(document, root, out)
        if type(document) is dict:
            for url in also:
                conform(document, (url,), root, out)
    except TooLong:
        return [*dict.fromkeys(out.found), too_long(root)]
    except TooMany:
        more = Problem("information", "informational", "There is more to check or to say than this", root[2])
        return [*dict.fromkeys(out.found), more]
    return list(dict.fromkeys(out.found))


def look_closer(value: Mapping[str, Any], at: Place, out: Problems) -> None:
    """What a thorough check looks at in every resource, wherever it stands."""
    for index, url in enumerate(_claimed(value)):
        if type(url) is str:
            place = inside(inside(at, "meta"), "profile", index)
            _conform_claimed(value, url, at, place, out)
    for url in vital_signs(value):
        conform(value, (url,), at, out)
    element_ids.check(value, at, out)
    if out.context.demands:
        demands.look(value, at, out)
    closer = _CLOSER.get(str(value.get("resourceType")))
    if closer:
        closer(value, at, out)


def check_bundle(bundle: Mapping[str, Any], at: Place, out: Problems) -> None:
    bundles.check(bundle, at, out)
    signatures.check(bundle, at, out)


# What a resource of a type is held to beyond its definition.
_CLOSER: dict[str, Check] = {
    "Bundle": check_bundle,
    "CapabilityStatement": search_parameters.check_capabilities,
    "CodeSystem": code_systems.check,
    "ConceptMap": concept_maps.check,
    "MeasureReport": measure_reports.check,
    "OperationDefinition": operations.check,
    "QuestionnaireResponse": questionnaires.check,
    "SearchParameter": search_parameters.check,
    "StructureDefinition": structure_definitions.check,
    "ValueSet": value_sets.check,
}


def _claimed(value: Mapping[str, Any]) -> list[Any]:
    meta = value.get("meta")
    profiles = meta.get("profile") if type(meta) is dict else None
    return profiles if type(profiles) is list else []


def _conform_claimed(value: Any, url: str, at: Place, claim: Place, out: Problems) -> None:
    definition = out.context.definition(url)
    if definition and definition.get("type") != value.get("resourceType"):
        out.add("invalid", f"{url} is a profile of {definition.get('type')}", claim)
        return
    conform(value, (url,), at, out)


THOROUGH.names.update(
    bound_by=bound_by,
    known_extension=extensions.known_extension,
    known_code=codings.known_code,
    known_unit=codings.known_unit,
    named_absolutely=codings.named_absolutely,
    without_entities=codings.without_entities,
    absolute=codings.absolute,
    real_url=demands.real_url,
    plain_markdown=demands.plain_markdown,
    coded=codings.coded,
)
THOROUGH.closer = look_closer
