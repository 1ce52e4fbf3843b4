"""Authorization codes: what a person approved, until the app fetches its tokens for it.

https://www.rfc-editor.org/rfc/rfc6749#section-4.1, https://www.rfc-editor.org/rfc/rfc7636,
https://www.rfc-editor.org/rfc/rfc9700#section-2.1.1
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import msgspec

from fhir_server.access.grant import Role
from fhir_server.instants import microseconds
from fhir_server.smart import scopes
from fhir_server.smart.clients import Client
from fhir_server.smart.context import NOWHERE, Context
from fhir_server.store.base import Store, Transaction

if TYPE_CHECKING:
    from fhir_server.exchange import Service

KIND = "code"
LIFETIME = 60 * 1_000_000  # microseconds
# How long a code that was used is remembered, so that who uses it again is found out.
REMEMBERED = 24 * 3600 * 1_000_000
_CHALLENGE = re.compile(r"[A-Za-z0-9_\-]{43}")  # the base64url of a SHA-256
_VERIFIER = re.compile(r"[A-Za-z0-9._~\-]{43,128}")


class Who(Protocol):
    """A person who signed in. `subject` is unique and stays theirs; `fhir_user` is their FHIR resource."""

    @property
    def subject(self) -> str: ...
    @property
    def role(self) -> Role: ...
    @property
    def fhir_user(self) -> str | None: ...
    @property
    def organizations(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person approved for an app. `scope` is granted, with spaces between; `base` the FHIR base.

    `auth_time` is when they proved who they are (microseconds since 1970 UTC), `session` the key of the
    session record that an online refresh token lasts as long as.
    """

    client: str
    scope: str
    base: str
    subject: str
    role: Role
    user: str | None
    organizations: tuple[str, ...]
    auth_time: int
    context: Context = NOWHERE
    nonce: str | None = None
    session: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """`family`: what came of it, once it was used."""

    approval: Approval
    redirect_uri: str
    challenge: str
    family: str | None = None


def is_challenge(text: str) -> bool:
    """Whether this can be the S256 challenge of a verifier."""
    return bool(_CHALLENGE.fullmatch(text))


def is_answered(challenge: str, verifier: str) -> bool:
    """Whether the verifier is the one that the challenge was made from; never where they are the same."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    return hmac.compare_digest(challenge, _base64url(digest))


async def issue(
    service: Service,
    client: Client,
    redirect_uri: str,
    code_challenge: str,
    scope: str,
    who: Who,
    base: str,
    *,
    context: Context = NOWHERE,
    nonce: str | None = None,
    auth_time: int,
    session: str = "",
) -> str:
    """A code for what the person approved: `scope` is what is left of what was asked, as the consent has it.

    What the client is not registered for, or nobody of that role can allow, is left out once more; so are
    patient/ scopes without a patient. Raises ValueError for what authorize has to refuse before: another
    redirect URI, no S256 challenge, no scope left, or a patient's app in the context of another patient.
    """
    if redirect_uri not in client.redirect_uris or not is_challenge(code_challenge):
        raise ValueError("the redirect_uri or the code_challenge was not checked")
    own = _own(who) if who.role == "patient" else None
    if who.role == "patient" and (own is None or context.patient not in (None, own)):
        raise ValueError("a patient's app is in the context of that patient")
    granted = scopes.granted(scope, client.scope, who.role)
    patient = context.patient or (own if _about_patient(granted) else None)
    if patient is None:
        granted = scopes.without_patient(granted)
    if not granted:
        raise ValueError("there is no scope to grant")
    approval = Approval(
        client.id,
        scopes.printed(granted),
        base,
        who.subject,
        who.role,
        who.fhir_user,
        who.organizations,
        auth_time,
        replace(context, patient=patient),
        nonce,
        session,
    )
    content = msgspec.json.encode(Code(approval, redirect_uri, code_challenge))
    code, now = secrets.token_urlsafe(32), microseconds(service.clock())
    await service.store.transact(lambda tx: tx.keep(KIND, hashed(code), content, now + LIFETIME))
    return code


def take(tx: Transaction, code: str, family: str, now: int) -> Code | None:
    """The code, to be used now and never again; from now on it stands for that family of tokens.

    None where there is no such code. One that was used before says in `family` what came of it.
    """
    content = tx.record(KIND, hashed(code), now=now)
    if content is None:
        return None
    found = msgspec.json.decode(content, type=Code)
    if found.family is None:
        used = replace(found, family=family)
        tx.keep(KIND, hashed(code), msgspec.json.encode(used), now + REMEMBERED)
    return found


async def drop(store: Store, *, subject: str | None = None, client: str | None = None) -> None:
    """Codes of a person, of a client, or of both together that nobody has used yet are worth nothing now."""
    after = ""
    while page := await store.records(KIND, after):
        read = [(key, msgspec.json.decode(content, type=Code)) for key, content in page]
        gone = [
            key
            for key, code in read
            if code.family is None
            and subject in (None, code.approval.subject)
            and client in (None, code.approval.client)
        ]
        await store.transact(partial(_forget, gone))
        after = page[-1][0]


def _forget(keys: list[str], tx: Transaction) -> None:
    for key in keys:
        tx.forget(KIND, key)


def hashed(secret: str) -> str:
    """Under which a code or a token is kept: whoever reads the store cannot use them."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _own(who: Who) -> str | None:
    """The id of the patient that a user is."""
    return (who.fhir_user or "").partition("Patient/")[2] or None


def _about_patient(granted: tuple[scopes.Scope, ...]) -> bool:
    return any(
        scope.text == "launch/patient" or (scope.resource is not None and scope.resource.level == "patient")
        for scope in granted
    )


def _base64url(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
