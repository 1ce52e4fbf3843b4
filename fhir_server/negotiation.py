"""Which representation a client takes and sends: JSON, under any of its names.

https://hl7.org/fhir/R4/http.html#mime-type, https://hl7.org/fhir/R4/http.html#parameters
"""

from __future__ import annotations

from functools import lru_cache

from fhir_server.errors import FhirError

CONTENT_TYPE = b"application/fhir+json; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
_JSON = frozenset({"application/fhir+json", "application/json", "text/json", "application/json+fhir"})
_ANY = frozenset({"*/*", "application/*", "text/*"})


def check_accept(accept: str | None, format_: str | None) -> None:
    """FhirError("not-acceptable") unless JSON will do; `_format` outranks the Accept header."""
    if format_ is not None:
        # A + in the URL that was not escaped came as a blank.
        good = format_ == "json" or _is_json(format_.replace(" ", "+"))
    else:
        good = not accept or _accepts(accept)
    if not good:
        raise FhirError("not-acceptable", "This server speaks JSON: application/fhir+json")


@lru_cache(maxsize=256)
def _accepts(accept: str) -> bool:
    return any(_accepts_one(part) for part in accept.split(","))


def _accepts_one(part: str) -> bool:
    media_type, *parameters = (text.strip().lower() for text in part.split(";"))
    refused = any(text.startswith("q=") and not text[2:].strip("0.") for text in parameters)
    return not refused and (media_type in _ANY or _is_json(";".join([media_type, *parameters])))


def check_content_type(content_type: str | None, encoding: str | None, form: bool = False) -> None:
    """FhirError("unsupported-media-type") unless the body is JSON (or a form), in UTF-8, not compressed.

    A body that does not say what it is counts as what is expected.
    """
    if encoding and encoding.strip().lower() != "identity":
        raise FhirError("unsupported-media-type", "A body must not be compressed")
    if content_type and not (_is_form(content_type) if form else _is_json(content_type)):
        expected = FORM if form else "application/fhir+json"
        raise FhirError("unsupported-media-type", f"The body must be {expected}, in UTF-8")


def _is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == FORM


@lru_cache(maxsize=256)
def _is_json(media_type: str) -> bool:
    name, *parameters = (text.strip().lower() for text in media_type.split(";"))
    said = dict(text.replace('"', "").replace(" ", "").partition("=")[::2] for text in parameters)
    return (
        name in _JSON
        and said.get("charset", "utf-8") in ("utf-8", "utf8")
        and said.get("fhirversion", "4.0").startswith("4.0")
    )
