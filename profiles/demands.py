"""What a place may ask of resources beyond R4, each by its name in profiles.context.Context.demands.

https://hl7.org/fhir/R4/validation.html. Rules that are not everybody's; HL7's validator has them by option.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from profiles.bundles import references
from profiles.parts import Part, extension, items, text
from profiles.problems import Place, Problems

# name -> what it asks, for people
DEMANDS: dict[str, str] = {
    "real-urls": "no URLs of examples (example.org)",
    "no-html": "no HTML in markdown, which else deserves a warning",
    "no-experimental": "no definitions that are experimental",
    "hl7-publication": "definitions of HL7's own say which work group owns them",
    "references": "references lead to a resource that is here",
}
# https://www.rfc-editor.org/rfc/rfc2606
_EXAMPLE = re.compile(
    r"[a-z]+://(?:[^/?#]*[.@])?(?:example\.(?:org|com|net)|[^/?#.]+\.example)(?:[:/?#]|$)", re.I
)
# A tag begins so; <https://...> and <name@host> are links of markdown itself.
_TAG = re.compile(r"<(?![a-z][a-z0-9+.\-]*:|[^\s<>@]+@)[/!]?[a-z]", re.I)
_CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)
_OF_HL7 = ("http://hl7.org/", "http://terminology.hl7.org/")
_WORK_GROUP = "http://hl7.org/fhir/StructureDefinition/structuredefinition-wg"
_LITERAL = re.compile(
    r"(?:https?://\S+/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/\S+)?|urn:(?:uuid|oid):\S+"
)


def look(resource: Part, at: Place, out: Problems) -> None:
    """Every resource of a thorough check, wherever it stands, where anything is demanded."""
    demands = out.context.demands
    if "no-experimental" in demands and resource.get("experimental") is True:
        out.add("business-rule", "A definition that is experimental is not wanted here", at)
    if "hl7-publication" in demands:
        url = text(resource, "url")
        if url and url.startswith(_OF_HL7) and extension(resource, _WORK_GROUP) is None:
            said = f"What HL7 publishes names the work group that owns it, by the extension {_WORK_GROUP}"
            out.add("business-rule", said, at)
    if "references" in demands:
        _check_references(resource, at, out)


def _check_references(resource: Part, at: Place, out: Problems) -> None:
    for reference, place in references(resource, at):
        target = reference.get("reference")
        if type(target) is not str or not (target.startswith("#") or _LITERAL.fullmatch(target)):
            continue
        if out.context.target(target, place) is None and not _is_parameter(target, place, out):
            out.add("not-found", f"What {place[2]} refers to is not here", place)


def _is_parameter(reference: str, at: Place, out: Problems) -> bool:
    """Whether another parameter of the Parameters around the place is that resource."""
    for around, _ in out.context.around(at):
        if around.get("resourceType") == "Parameters":
            return any(f"{r.get('resourceType')}/{r.get('id')}" == reference for r in _resources(around))
    return False


def _resources(parameters: Part) -> Iterator[Mapping[str, Any]]:
    waiting = [parameters]
    while waiting:
        holder = waiting.pop()
        for name in ("parameter", "part"):
            for part, _ in items(holder, name, (0, None, "")):
                waiting.append(part)
                if type(part.get("resource")) is dict:
                    yield part["resource"]


# What compiled checks call for elements of these types.


def real_url(value: Any, _: Any, at: Place, out: Problems) -> None:
    """A uri, url or canonical."""
    if type(value) is str and "real-urls" in out.context.demands and _EXAMPLE.match(value):
        out.add("invalid", "URLs of examples are not wanted here", at)


def plain_markdown(value: Any, _: Any, at: Place, out: Problems) -> None:
    """https://hl7.org/fhir/R4/datatypes.html#markdown: what looks like HTML is shown as it is, or lost."""
    if type(value) is str and "<" in value and _TAG.search(_CODE.sub("", value)):
        severity = "error" if "no-html" in out.context.demands else "warning"
        out.add("invalid", "The markdown has what looks like HTML: write &lt; for <", at, severity)
