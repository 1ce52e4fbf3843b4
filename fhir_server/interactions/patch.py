"""https://hl7.org/fhir/R4/http.html#patch: JSON Patch, XML Patch and FHIRPath Patch, alone or in a Bundle.

The patch is applied to the current version before the transaction, and commits only if it is current still.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fhir_server.errors import FhirError, Issue
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.incoming import read_resource, target_criteria
from fhir_server.interactions.outgoing import answer
from fhir_server.negotiation import JSON_PATCH, XML_PATCH, patch_format
from fhir_server.patch import fhirpath_patch, json_patch, xml_patch
from fhir_server.preconditions import parse_etags
from fhir_server.write import Change, commit
from profiles.primitives import is_base64
from profiles.structure import validate

Patch = Callable[[Any], Any]
_READERS: dict[str, Callable[[bytes], Patch]] = {JSON_PATCH: json_patch.read, XML_PATCH: xml_patch.read}


async def patch(service: Service, request: Request) -> Response:
    """200; 404 or 410 where there is nothing to patch, 412 where If-Match does not hold or several match.

    422 where the patch does not fit the resource, or what it makes of it is not valid.
    """
    (outcome,) = await commit(service, [change(service, request)], request.base)
    return answer(request, outcome)


def change(service: Service, request: Request) -> Change:
    """To the id in the URL, or to the one resource that the URL's criteria find."""
    criteria = target_criteria(service, request, "A patch")
    work = _read(request)

    def edit(change: Change, tree: dict[str, Any]) -> Change:
        patched = work(tree)
        _check_identity(tree, patched)
        return replace(change, resource=read_resource(replace(request, resource=patched)))

    return Change(
        "PATCH",
        request.type,
        request.id or None,
        criteria=criteria,
        if_match=parse_etags(request.headers.get("if-match"), "If-Match"),
        if_none_match=parse_etags(request.headers.get("if-none-match"), "If-None-Match"),
        edit=edit,
        versioned=service.policy.versioned_updates,
    )


def _read(request: Request) -> Patch:
    """What the request asks to be done, as a function from the current resource to the new one."""
    if request.media in _READERS:
        return _READERS[request.media](request.body)
    resource = request.content
    type_ = resource.get("resourceType") if isinstance(resource, dict) else None
    if type_ == "Binary":
        return _read_binary(resource)
    if type_ == "Parameters":
        problems = [Issue(p.severity, p.code, p.diagnostics, p.expression) for p in validate(resource)]
        if problems:
            raise FhirError("unprocessable", issues=problems)
        return fhirpath_patch.read(resource)
    raise FhirError("malformed", "A patch is a JSON Patch, an XML Patch or a Parameters resource")


def _read_binary(binary: dict[str, Any]) -> Patch:
    """A patch as an entry of a Bundle carries it, https://hl7.org/fhir/R4/http.html#patch-bundle."""
    found = patch_format(binary.get("contentType"))
    data = binary.get("data")
    if found not in _READERS:
        raise FhirError(
            "malformed", "The Binary must be a JSON Patch or an XML Patch", expression="Binary.contentType"
        )
    if not isinstance(data, str) or not is_base64(data):
        raise FhirError("malformed", "The Binary has no base64", expression="Binary.data")
    try:
        return _READERS[found](base64.b64decode(data))
    except binascii.Error:
        raise FhirError("malformed", "The Binary has no base64", expression="Binary.data") from None


def _check_identity(before: dict[str, Any], patched: Any) -> None:
    if not isinstance(patched, dict):
        raise FhirError("unprocessable", "The patch leaves no resource")
    for name in ("resourceType", "id"):
        if patched.get(name) != before[name]:
            where = f"{before['resourceType']}.{name}" if name == "id" else before["resourceType"]
            raise FhirError(
                "unprocessable", f"A patch cannot change the {name} of a resource", expression=where
            )
