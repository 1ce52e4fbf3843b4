"""One event of the log as it happens, and the few bytes it is kept as.

https://hl7.org/fhir/R4/auditevent.html. An event names people and resources by their references only, and has
no clinical content; resource.py makes AuditEvents of it.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

_FORM = 1  # of the bytes; an entry says which it has, as the log outlives the code
_encode = msgspec.json.Encoder().encode


class Who(NamedTuple):
    """Who asks, as far as it is known.

    `client` is the application's client_id, `user` the person's reference ("Practitioner/1"), `subject` how
    the issuer of the token names them, `role` that of the grant, `patient` the launch context's, `token` a
    name of the access token that gives no access, `purpose` a code of v3-ActReason, `organizations` ids of
    those acted for, `address` where the request came from.
    """

    client: str = ""
    user: str = ""
    subject: str = ""
    role: str = ""
    patient: str = ""
    token: str = ""
    purpose: str = ""
    organizations: tuple[str, ...] = ()
    address: str = ""


class Item(NamedTuple):
    """A resource that was read or written: `action` is C, R, U or D; `version` 0 where none is known;
    `patient` the id of the patient whose compartment it is in."""

    action: str
    type: str
    id: str
    version: int = 0
    patient: str = ""


class Event(NamedTuple):
    """What happened.

    `time` is microseconds since 1970 UTC. `kind` is "rest" or one of resource.KINDS (sign-ins, tokens, ...);
    `what` the interaction or what was done, `action` one of C R U D E, `status` as of HTTP. `request` is the
    request's id, `query` what was asked (see query.py), `items` single resources, `patients` those whose
    data a search, a history or an operation looked at, `beyond` how many more there were. `reason` is what a
    person gave, or why it was refused; `more` how many events like this one were counted and not written.
    """

    time: int
    kind: str
    what: str
    action: str
    status: int
    who: Who = Who()
    request: str = ""
    query: str = ""
    items: tuple[Item, ...] = ()
    patients: tuple[str, ...] = ()
    beyond: int = 0
    reason: str = ""
    more: int = 0


def pack(event: Event) -> bytes:
    """The event as compact JSON: arrays, with the fields in their order."""
    return _encode((_FORM, event))


def unpack(content: bytes) -> Event:
    """The event of these bytes; ValueError where they are none."""
    try:
        form, event = _decode(content)
    except msgspec.DecodeError as error:
        raise ValueError("not an entry of the log") from error
    if form != _FORM:
        raise ValueError("not an entry of the log, or one of a later Varde")
    return event


_decode = msgspec.json.Decoder(tuple[int, Event]).decode
