"""What an app is told of the place it was launched from.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#launch-context-arrives-with-your-access_token
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Context:
    """`patient` and `encounter` are ids; `fhirContext` are objects with reference, canonical or identifier.

    The names are those of the token response.
    """

    patient: str | None = None
    encounter: str | None = None
    fhirContext: tuple[Mapping[str, Any], ...] = ()
    need_patient_banner: bool | None = None
    intent: str | None = None
    smart_style_url: str | None = None
    tenant: str | None = None

    def parameters(self) -> dict[str, Any]:
        """Those that there is something to say about, as the token response and introspection have them."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None and value != ()}


NOWHERE = Context()
