"""https://hl7.org/fhir/R4/binary.html#rest: a Binary as the content it is, where FHIR is not asked for."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.exchange import Response
from fhir_server.negotiation import is_resource, names_resource
from fhir_server.resource_json import decode_stored

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+\-]+/[A-Za-z0-9!#$&^_.+\-]+(\s*;[\x20-\x7e]*)?").fullmatch
# A page or a script that somebody stored must not run as if it were ours.
_HARMLESS = (
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "sandbox; default-src 'none'"),
)


def is_read_as_content(interaction: str, type_: str, accept: str | None, format_: str | None) -> bool:
    """Whether a read is of the content: unless FHIR is specifically requested, it is."""
    if type_ != "Binary" or interaction not in ("read", "vread") or format_ is not None:
        return False
    return not (accept and names_resource(accept))


def as_content(response: Response, accept: str | None) -> Response:
    """The answer to such a read; as FHIR where the Binary has no content, or none that we could name.

    FhirError("not-acceptable") where the client takes no content of this type.
    """
    resource = decode_stored(response.body or b"{}")
    media_type, data = resource.get("contentType", ""), resource.get("data")
    if response.status != 200 or data is None or not _MEDIA_TYPE(media_type):
        return response
    if not _takes(accept or "*/*", media_type.partition(";")[0].strip().lower()):
        raise FhirError("not-acceptable", f"The content is {media_type}, its FHIR form application/fhir+json")
    return replace(response, body=base64.b64decode(data), media_type=media_type, headers=_HARMLESS)


def is_sent_as_content(interaction: str, type_: str, content_type: str | None) -> bool:
    """Whether a body is the content of a Binary to be: anything that does not say it is FHIR."""
    written = type_ == "Binary" and interaction in ("create", "update")
    return written and bool(content_type) and not is_resource(content_type or "")


def of_content(body: bytes, id_: str, headers: Mapping[str, str]) -> dict[str, Any]:
    """The Binary of a body; FhirError("unsupported-media-type") for a type that is none."""
    content_type = headers.get("content-type", "").strip()
    if not _MEDIA_TYPE(content_type):
        raise FhirError("unsupported-media-type", "The Content-Type is none")
    resource: dict[str, Any] = {"resourceType": "Binary", "contentType": content_type}
    if id_:
        resource["id"] = id_
    if "x-security-context" in headers:
        resource["securityContext"] = {"reference": headers["x-security-context"]}
    if body:
        resource["data"] = base64.b64encode(body).decode()
    return resource


def _takes(accept: str, media_type: str) -> bool:
    major = media_type.partition("/")[0]
    named = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return not named.isdisjoint({"*/*", f"{major}/*", media_type})
