"""What is not granted at all is refused (403), before anything is looked at.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources:
c create, r read, vread and the history of a resource, u update and patch, d delete, s search and the history
of a type. What is granted in part shows in what is found: a resource that is not within the grant is 404.
What changes something is looked at again where it is written (writing.py), whatever it came by.
"""

from __future__ import annotations

from fhir_server.access.grant import Grant
from fhir_server.errors import FhirError

# Interaction -> the permission that it takes for the type in its URL.
_OF_TYPE = {
    "create": "c",
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "everything": "r",
    "Library/$evaluate": "r",
    "update": "u",
    "patch": "u",
    "meta-add": "u",
    "meta-delete": "u",
    "delete": "d",
    "search-type": "s",
    "history-type": "s",
    "lastn": "s",
    "stats": "s",
}
_OF_SEVERAL = frozenset({"search-system", "search-compartment"})
_OF_ALL = frozenset({"history-system"})
_OF_SERVER = frozenset({"reindex", "reindex-status"})
_NAMES = {"c": "create", "r": "read", "u": "update", "d": "delete", "s": "search"}


def check(grant: Grant | None, interaction: str, type: str = "", id: str = "", member: str = "") -> None:
    """FhirError("forbidden") for an interaction of which the grant has nothing.

    `interaction` is its name in the routes, `type` the type in the URL ("" for the system), `member` the type
    searched for in a compartment (or *).
    """
    if grant is None:
        return
    if interaction == "meta":
        interaction = "read" if id else "history-type" if type else "history-system"
    if interaction in _OF_TYPE:
        permission = _OF_TYPE[interaction]
        if not permits(grant, type, permission):
            raise FhirError("forbidden", f"The access token has no scope to {_NAMES[permission]} {type}")
    elif interaction in _OF_SEVERAL:
        if not permits(grant, member if member != "*" else "", "s"):
            raise FhirError("forbidden", "The access token has no scope to search here")
    elif interaction in _OF_ALL:
        if not _has_all(grant):
            raise FhirError(
                "forbidden", "This is for backend services and administrators with system/ scopes"
            )
    elif interaction in _OF_SERVER and not _administers(grant):
        raise FhirError("forbidden", "This is for administrators")


def permits(grant: Grant, type: str, permission: str) -> bool:
    """Whether a scope has the permission for the type, or ("") for any."""
    return any(permission in scope.may and (not type or scope.type in ("*", type)) for scope in grant.scopes)


def _has_all(grant: Grant) -> bool:
    return grant.role in ("system", "administrator") and any(
        scope.level == "system" and scope.type == "*" and "s" in scope.may for scope in grant.scopes
    )


def _administers(grant: Grant) -> bool:
    return grant.role == "administrator" or (
        grant.role == "system"
        and any(
            scope.level == "system" and scope.type in ("*", "SearchParameter") and "u" in scope.may
            for scope in grant.scopes
        )
    )
