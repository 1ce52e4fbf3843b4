"""One request and its response as the interactions see them, whether alone or an entry of a Bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.access.grant import Grant
from fhir_server.alerts import Memory
from fhir_server.audit.journal import Journal
from fhir_server.audit.trail import Trail
from fhir_server.errors import FhirError
from fhir_server.resource_json import decode
from fhir_server.smart.memory import Memory as SmartMemory
from fhir_server.store.base import Store, Version

# They say how a response is written, never what is found.
_FORM = frozenset({"_format", "_pretty"})
_MAX_PAIRS = 1000
_RETURNS = frozenset({"minimal", "representation", "OperationOutcome"})


@dataclass(frozen=True, slots=True)
class Policy:
    """What the specification leaves to whoever runs the server: how many resources a conditional delete may
    delete, whether a change of a resource must say which version it is made from, the profiles that what is
    written must follow, by resource type, whether it must also follow those that it claims, and what gets a
    Provenance of the server's own (fhir_server.provenance): all, changes or none. How many minutes emergency
    access lasts, the reference of who is told of each, and what $validate asks beyond R4
    (profiles.demands)."""

    deletes: int = 1
    versioned_updates: bool = False
    profiles: tuple[tuple[str, tuple[str, ...]], ...] = ()
    claims: bool = True
    provenance: str = "changes"
    emergency_minutes: int = 60
    privacy_officer: str = ""
    demands: frozenset[str] = frozenset()

    def profiles_of(self, type_: str) -> tuple[str, ...]:
        return next((urls for name, urls in self.profiles if name == type_), ())


@dataclass(frozen=True, slots=True)
class Service:
    """What every interaction works with: the store, the sources of time and of ids, the secret that seals
    the links to a search's next pages, the patients' rules as they were compiled from this store,
    whether searches may ask for their plan, what validation has compiled (fhir_server.conformance), and what
    the authorization server remembers besides.

    `grant` is what the request is allowed, None where access control is off and for the server itself. With
    one (fhir_server.access.seen_by), `store` has what the requester may see, and `behind` is the real one.

    `journal` is the log of accesses, None where it is off; `trail` what it will say of this request, None for
    what the server does of its own accord. `asserted` is a Provenance that the request brings along."""

    store: Store
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    started: datetime
    key: bytes = b""
    rules: Memory = field(default_factory=Memory)
    policy: Policy = Policy()
    explains: bool = False
    knows: dict[str, Any] = field(default_factory=dict)
    smart: SmartMemory = field(default_factory=SmartMemory.fresh)
    grant: Grant | None = None
    behind: Store | None = None
    journal: Journal | None = None
    trail: Trail | None = None
    asserted: dict[str, Any] | None = None

    @property
    def whole(self) -> Store:
        """The store with nothing hidden, for what the server needs itself and no requester is shown:
        definitions, terminology, alerts, audit, and to write."""
        return self.behind or self.store


@dataclass(frozen=True, slots=True)
class Prefer:
    """https://hl7.org/fhir/R4/http.html#ops and #handling; `returns` None when the client did not say."""

    returns: str | None = None
    strict: bool = False
    asynchronous: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """`query` is as in the URL, still encoded; `headers` have lower-case names.

    `body` has the bytes, and `media` says what they are (a format of negotiation.py). A resource that came as
    XML, or in an entry of a Bundle, is decoded already, in `resource`. `member` is the type, or *, that is
    searched for in a compartment.
    """

    method: str
    base: str
    type: str = ""
    id: str = ""
    version: str = ""
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    resource: Any = None
    media: str = "json"
    member: str = ""

    @property
    def content(self) -> Any:
        """The resource that was sent, not validated yet; FhirError("malformed") where it is no object."""
        return decode(self.body) if self.resource is None else self.resource

    @property
    def prefer(self) -> Prefer:
        return parse_prefer(self.headers.get("prefer", ""))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The parameters of the URL without `_format` and `_pretty`."""
        return [pair for pair in parse_pairs(self.query) if pair[0] not in _FORM] if self.query else []


@dataclass(frozen=True, slots=True)
class Response:
    """`body` is JSON, which a client that wants XML gets as that, unless `media_type` says what else it is.

    `version` gives ETag and Last-Modified, and Location when `located`; `headers` are sent as they are.
    """

    status: int
    body: bytes | None = None
    version: Version | None = None
    located: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    media_type: str | None = None


def traced(service: Service, trail: Trail) -> Service:
    """The service for a request whose trail this is.

    What a read shows is in its answer: it needs no trail, and is the one where it would be felt.
    """
    if trail.interaction in ("read", "vread"):
        return service
    return replace(service, store=trail.over(service.store), behind=service.whole, trail=trail)


def parse_pairs(query: str) -> list[tuple[str, str]]:
    """Name and value of each parameter, decoded, in order; FhirError("invalid") for what is not UTF-8."""
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PAIRS)
    except UnicodeDecodeError:
        raise FhirError("invalid", "The parameters are not UTF-8") from None
    except ValueError:
        raise FhirError("invalid", f"More than {_MAX_PAIRS} parameters") from None


@lru_cache(maxsize=64)
def parse_prefer(header: str) -> Prefer:
    """What a Prefer header asks for; preferences that we do not know are ignored (RFC 7240)."""
    returns, strict, asynchronous = None, False, False
    for part in header.replace(";", ",").split(","):
        name, _, value = (text.strip().strip('"') for text in part.partition("="))
        if name.lower() == "return" and value in _RETURNS:
            returns = value
        elif name.lower() == "handling":
            strict = value.lower() == "strict"
        elif name.lower() == "respond-async":
            asynchronous = True
    return Prefer(returns, strict, asynchronous)
