"""A request to one of the endpoints that applications call, and the answer to it.

https://www.rfc-editor.org/rfc/rfc6749#section-3.2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.exchange import parse_pairs
from fhir_server.smart.refusal import Refusal
from fhir_server.smart.terms import Places


@dataclass(frozen=True, slots=True)
class Asked:
    """`form` has each parameter once; `authorization` is that header, `address` where it came from."""

    places: Places
    form: Mapping[str, str]
    authorization: str = ""
    address: str = ""

    def required(self, name: str) -> str:
        value = self.form.get(name)
        if not value:
            raise Refusal("invalid_request", f"The parameter {name} is missing")
        return value


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is sent as JSON; None for none."""

    body: Mapping[str, Any] | None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def read_form(body: bytes) -> dict[str, str]:
    """The parameters of a form; those without a value count as omitted, none may come twice."""
    try:
        pairs = parse_pairs(body.decode("ascii"))
    except (UnicodeDecodeError, FhirError):
        raise Refusal("invalid_request", "The body is not a form that is encoded as UTF-8") from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Refusal("invalid_request", "A parameter came more than once")
    return {name: value for name, value in form.items() if value}
