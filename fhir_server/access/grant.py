"""What one request is allowed: by whom it is made, through which application, with which scopes.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["patient", "user", "system"]
Role = Literal["patient", "related", "practitioner", "administrator", "system"]


@dataclass(frozen=True, slots=True)
class ResourceScope:
    """One SMART scope for resources, in the form of version 2.

    `type` is a resource type or "*"; `may` is a part of "cruds"; `criteria` are the search parameters that
    restrict it, as (name, value) in the order written.
    """

    level: Level
    type: str
    may: str
    criteria: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """What an access token stands for, or what the server allows itself.

    `client` is the application's client_id; `subject` who signed in, as the issuer names them; `user` their
    FHIR resource ("Practitioner/1", fhirUser), None where no person did. `patient` and `encounter` are the
    ids of the launch context. `organizations` are ids of Organizations that the user or the system acts for.
    `purpose` is a code of http://terminology.hl7.org/CodeSystem/v3-ActReason. `emergencies` are ids of
    patients for whom the user has broken the glass and the time is not over. `token` is an identifier of the
    token that may be logged: it gives no access.
    """

    client: str
    scopes: tuple[ResourceScope, ...]
    role: Role
    subject: str = ""
    user: str | None = None
    patient: str | None = None
    encounter: str | None = None
    organizations: tuple[str, ...] = ()
    purpose: str = "TREAT"
    emergencies: tuple[str, ...] = ()
    token: str = ""
