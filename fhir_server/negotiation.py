"""Which representation a client takes and sends: JSON or XML, under any of their names, and patches.

https://hl7.org/fhir/R4/http.html#mime-type, https://hl7.org/fhir/R4/http.html#parameters,
https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fhir_server.errors import FhirError

JSON, XML, FORM, JSON_PATCH, XML_PATCH = "json", "xml", "form", "json-patch", "xml-patch"
CONTENT_TYPE = {JSON: b"application/fhir+json; charset=utf-8", XML: b"application/fhir+xml; charset=utf-8"}
_FORM_TYPE = "application/x-www-form-urlencoded"
_NAMES = {
    **dict.fromkeys(
        ("application/fhir+json", "application/json", "text/json", "application/json+fhir"), JSON
    ),
    **dict.fromkeys(("application/fhir+xml", "application/xml", "text/xml", "application/xml+fhir"), XML),
    _FORM_TYPE: FORM,
    "application/json-patch+json": JSON_PATCH,
    "application/xml-patch+xml": XML_PATCH,
}
_ANY = frozenset({"*/*", "application/*", "text/*"})
_RESOURCES = frozenset({JSON, XML})


def response_format(accept: str | None, format_: str | None) -> str:
    """JSON or XML, whatever the client likes best; `_format` outranks the Accept header.

    FhirError("not-acceptable") where neither will do.
    """
    if format_ is not None:
        # A + in the URL that was not escaped came as a blank.
        found = format_ if format_ in _RESOURCES else _resource_format(format_.replace(" ", "+"))
    else:
        found = _preferred(accept) if accept else JSON
    if found is None:
        raise FhirError(
            "not-acceptable", "This server speaks JSON and XML: application/fhir+json, application/fhir+xml"
        )
    return found


@lru_cache(maxsize=256)
def _preferred(accept: str) -> str | None:
    """The format with the highest q, the first named among equals; a name outranks a wildcard."""
    named: dict[str, float] = {}
    others = 0.0
    for part in accept.split(","):
        media_type, *parameters = (text.strip().lower() for text in part.split(";"))
        quality = next((_quality(text[2:]) for text in parameters if text.startswith("q=")), 1.0)
        found = _resource_format(";".join([media_type, *parameters]))
        if found:
            named[found] = max(quality, named.get(found, 0.0))
        elif media_type in _ANY:
            others = max(quality, others)
    wanted = {**named, **{format_: others for format_ in (JSON, XML) if format_ not in named}}
    best = max(wanted, key=lambda format_: wanted[format_])
    return best if wanted[best] > 0 else None


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def body_format(content_type: str | None, expected: frozenset[str]) -> str:
    """What a body says it is, one of those expected; JSON or a form where it does not say.

    FhirError("unsupported-media-type") for anything else, and for what is not in UTF-8.
    """
    if not content_type:
        found: str | None = JSON if JSON in expected else FORM
    else:
        found = _format(content_type)
    if found is None or found not in expected:
        names = sorted(name for name, format_ in _NAMES.items() if format_ in expected and _is_usual(name))
        raise FhirError("unsupported-media-type", f"The body must be {' or '.join(names)}, in UTF-8")
    return found


def names_resource(accept: str) -> bool:
    """Whether an Accept header names FHIR's JSON or XML, wildcards aside."""
    return any(map(_resource_format, accept.split(",")))


def is_resource(content_type: str) -> bool:
    """Whether a body says that it is FHIR's JSON or XML, of whatever version or encoding."""
    return _NAMES.get(content_type.partition(";")[0].strip().lower()) in _RESOURCES


def patch_format(content_type: Any) -> str | None:
    """JSON_PATCH, XML_PATCH or something else for the content type of a Binary."""
    return _format(content_type) if isinstance(content_type, str) else None


def _is_usual(name: str) -> bool:
    return "fhir+" in name or "patch" in name or name == _FORM_TYPE


def _resource_format(media_type: str) -> str | None:
    found = _format(media_type)
    return found if found in _RESOURCES else None


@lru_cache(maxsize=256)
def _format(media_type: str) -> str | None:
    """JSON, XML, ... for a media type of that kind, in UTF-8 and of FHIR 4.0 as far as it says."""
    name, *parameters = (text.strip().lower() for text in media_type.split(";"))
    said = dict(text.replace('"', "").replace(" ", "").partition("=")[::2] for text in parameters)
    good = said.get("charset", "utf-8") in ("utf-8", "utf8") and said.get("fhirversion", "4.0").startswith(
        "4.0"
    )
    return _NAMES.get(name) if good else None
