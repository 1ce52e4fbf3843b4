"""Launches from an EHR: a token that stands for the context which an application is opened in.

https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-ehr-launch,
https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from fhir_server.smart.context import Context
from fhir_server.store.base import Store, Transaction

KIND = "launch"
LASTS = 10 * 60 * 1_000_000  # microseconds
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
_OWN_PARAMETERS = frozenset(("patient", "encounter"))  # never in fhirContext


class LaunchProblem(Exception):
    """What is wrong with a context that an EHR sent, as a sentence."""


@dataclass(frozen=True, slots=True)
class Launch:
    """`client` is the application that it is for; `subject` the person who launches, "" where the EHR does
    not say; `by` the client_id of the EHR, "" for our own launcher."""

    client: str
    context: Context
    subject: str = ""
    by: str = ""


def begin(tx: Transaction, launch: Launch, now: int) -> str:
    """Keep a launch; its token, which is good for ten minutes and one authorization."""
    token = secrets.token_urlsafe(32)
    tx.keep(KIND, _key(token), msgspec.json.encode(launch), now + LASTS)
    return token


async def find(store: Store, token: str, now: int) -> Launch | None:
    """The launch of a token, if it is still good."""
    content = await store.record(KIND, _key(token), now=now)
    return msgspec.json.decode(content, type=Launch) if content else None


def end(tx: Transaction, token: str) -> bool:
    """The launch has led to an authorization; whether it had not before."""
    return tx.forget(KIND, _key(token))


def url(launch_url: str, base: str, token: str) -> str:
    """Where the browser goes to open the application."""
    return f"{launch_url}{'&' if '?' in launch_url else '?'}{urlencode({'iss': base, 'launch': token})}"


def read_context(said: Any) -> Context:
    """The context in the JSON of an EHR; LaunchProblem for what is not as SMART says."""
    if not isinstance(said, dict):
        raise LaunchProblem("The context must be an object")
    unknown = set(said) - set(_READERS)
    if unknown:
        raise LaunchProblem(f"The context may have {', '.join(_READERS)}, and nothing else")
    read: dict[str, Any] = {name: _READERS[name](name, value) for name, value in said.items()}
    return Context(**read)


def _read_id(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise LaunchProblem(f"{name} must be the id of a resource")
    return value


def _read_text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 1000:
        raise LaunchProblem(f"{name} must be a text of 1 to 1000 characters")
    return value


def _read_flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise LaunchProblem(f"{name} must be true or false")
    return value


def _read_url(name: str, value: Any) -> str:
    parts = urlsplit(_read_text(name, value))
    if parts.scheme != "https" or not parts.netloc:
        raise LaunchProblem(f"{name} must be an https URL")
    return str(value)


def _read_objects(name: str, value: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(value, list) or not 0 < len(value) <= 50:
        raise LaunchProblem(f"{name} must be a list of 1 to 50 objects")
    for item in value:
        _check_object(name, item)
    return tuple(value)


def _check_object(name: str, item: Any) -> None:
    """https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#fhircontext-exp"""
    known = ("reference", "canonical", "identifier", "type", "role")
    if not isinstance(item, dict) or not set(item) <= set(known):
        raise LaunchProblem(f"{name} has objects of {', '.join(known)}")
    if not any(key in item for key in known[:3]):
        raise LaunchProblem(f"An object of {name} needs a reference, a canonical or an identifier")
    reference = item.get("reference")
    if reference is None:
        return
    if not isinstance(reference, str) or not _REFERENCE.fullmatch(reference):
        raise LaunchProblem(f"A reference in {name} must be Type/id")
    if reference.partition("/")[0].lower() in _OWN_PARAMETERS and "role" not in item:
        raise LaunchProblem(f"Patient and Encounter stand in their own parameters, not in {name}")


_READERS = {
    "patient": _read_id,
    "encounter": _read_id,
    "fhirContext": _read_objects,
    "need_patient_banner": _read_flag,
    "smart_style_url": _read_url,
    "intent": _read_text,
    "tenant": _read_text,
}


def _key(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
