"""Entity tags, and the conditions that If-Match, If-None-Match and If-Modified-Since set.

https://hl7.org/fhir/R4/http.html#concurrency, https://hl7.org/fhir/R4/http.html#cread
"""

from __future__ import annotations

import re

from fhir_server.errors import FhirError
from fhir_server.instants import parse_http_date
from fhir_server.store.base import Version

# One entity tag of a list; what is inside the quotes is a version id, weak or not.
_ETAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*')
_BARE = re.compile(r"[A-Za-z0-9\-.]{1,64}")
ANY = frozenset({"*"})


def etag(version: int) -> str:
    return f'W/"{version}"'


def parse_etags(text: str | None, header: str) -> frozenset[str] | None:
    """The version ids of a list of entity tags, ANY for `*`, None for no header.

    FhirError("invalid") for what is neither.
    """
    if text is None:
        return None
    if text.strip() == "*":
        return ANY
    tags = [_ETAG.fullmatch(part) for part in text.split(",")]
    if not all(tags):
        raise FhirError("invalid", f'{header} must be an entity tag such as W/"1"')
    return frozenset(tag[1] for tag in tags if tag)


def check(
    current: Version | None, if_match: frozenset[str] | None, if_none_match: frozenset[str] | None
) -> None:
    """Hold a write's conditions against the current version; FhirError("precondition-failed")."""
    exists = current is not None and not current.deleted
    version = str(current.version) if current and exists else ""
    if if_match is not None and not (exists and (if_match == ANY or version in if_match)):
        raise FhirError("precondition-failed", _mismatch(version))
    if if_none_match is not None and exists and (if_none_match == ANY or version in if_none_match):
        raise FhirError("precondition-failed", f"If-None-Match: the resource exists, at version {version}")


def _mismatch(version: str) -> str:
    if not version:
        return "If-Match: the resource does not exist"
    return f"If-Match: the current version is {version}"


def not_modified(version: Version, if_none_match: str | None, if_modified_since: str | None) -> bool:
    """Whether a reader already has this version; If-None-Match outranks If-Modified-Since.

    A bare version id counts as its entity tag: fhirpy sends one, and a read can do no harm.
    """
    if if_none_match is not None:
        if _BARE.fullmatch(if_none_match):
            return if_none_match == str(version.version)
        tags = parse_etags(if_none_match, "If-None-Match") or frozenset()
        return tags == ANY or str(version.version) in tags
    since = parse_http_date(if_modified_since) if if_modified_since else None
    return since is not None and version.updated // 1_000_000 <= since


def present(found: Version | None, type: str, said: str = "There is no such") -> Version:
    """The version. FhirError("not-found") where there is none, "deleted" where that is what it says."""
    if found is None:
        raise FhirError("not-found", f"{said} {type}")
    if found.deleted:
        raise FhirError("deleted", f"This {type} was deleted, as version {found.version}")
    return found
