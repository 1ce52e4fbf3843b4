"""The way of an authorization request through the pages: what is still to be asked, and its answer.

https://hl7.org/fhir/smart-app-launch/app-launch.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fhir_server.audit.event import Event
from fhir_server.smart import authorize, clients, codes, consents, launch, patients, pending, scopes
from fhir_server.smart.authorize import Asked, Refused
from fhir_server.smart.clients import Client
from fhir_server.smart.consents import Consent
from fhir_server.smart.context import Context
from fhir_server.smart.pages import noted
from fhir_server.smart.pages.visit import Answer, Visit
from fhir_server.smart.patients import Patient
from fhir_server.smart.pending import Pending
from fhir_server.smart.scopes import Scope
from fhir_server.smart.sessions import Session
from fhir_server.store.base import Transaction


class Lost(Exception):
    """A page of a request that nobody can go on with; `reason` is a text of the pages ("refused.gone")."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Step:
    """A request as far as it has come, with who is signed in. `scopes` are those that may be granted;
    `patient` who it is about, once that is known."""

    name: str
    pending: Pending
    client: Client
    session: Session
    scopes: tuple[Scope, ...]
    context: Context
    patient: Patient | None = None

    @property
    def asked(self) -> Asked:
        return self.pending.asked

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(scope.text for scope in self.scopes)

    @property
    def has_own_address(self) -> bool:
        """Whether nobody but the client gets what is sent to its redirect URI (RFC 8252, section 8.6)."""
        return self.client.confidential or self.asked.redirect_uri.startswith("https://")


async def proceed(visit: Visit, name: str) -> Answer | Step:
    """The next page for a request, or the answer to the application; the Step where consent is asked."""
    step = await reached(visit, name)
    if isinstance(step, Answer):
        return step
    if step.pending.encounter is None and _needs_encounter(step):
        _never_silently(step.asked, "interaction_required")
        return visit.go("encounter", name)
    return await _remembered(visit, step) or step


async def reached(visit: Visit, name: str) -> Answer | Step:
    """As proceed, up to where it is known who signed in and which patient it is about."""
    waiting, client = await found(visit, name)
    session = visit.session
    if session is None or session.began < waiting.fresh:
        _never_silently(waiting.asked, "login_required")
        return visit.go("sign-in", name)
    if session.temporary:
        return visit.go("password", name)
    waiting = await _bound(visit, name, waiting, session)
    step = await _with_context(visit, Step(name, waiting, client, session, (), Context()))
    step = replace(step, scopes=_grantable(step))
    if step.patient is None and _needs_patient(step):
        _never_silently(waiting.asked, "interaction_required")
        return visit.go("patient", name)
    return step


async def found(visit: Visit, name: str) -> tuple[Pending, Client]:
    """The request of that name and its client; Lost where it is answered, has run out or never was."""
    waiting = await pending.find(visit.service.store, name, visit.now) if name else None
    client = await clients.find(visit.service.store, waiting.asked.client) if waiting else None
    if waiting is None or client is None:
        raise Lost("refused.gone")
    if visit.session and waiting.subject not in ("", visit.session.person.subject):
        raise Lost("refused.other-user")
    visit.prefer(waiting.asked.locales)
    return waiting, client


async def put(visit: Visit, name: str, waiting: Pending) -> None:
    """Keep what was chosen, unless the request has been answered meanwhile."""

    def work(tx: Transaction) -> bool:
        there = pending.end(tx, name, visit.now)
        if there:
            pending.put(tx, name, waiting)
        return there

    if not await visit.service.store.transact(work):
        raise Lost("refused.gone")


async def grant(visit: Visit, step: Step, granted: tuple[Scope, ...], *, remember: bool) -> Answer:
    """The code, to the application; and that it was given is noted for the person to see."""
    session, texts = step.session, tuple(scope.text for scope in granted)
    consent = Consent(step.client.id, step.texts, texts, visit.now, remember)
    given = _event(visit, step, "granted")

    def work(tx: Transaction) -> bool:
        if not pending.end(tx, step.name, visit.now):
            return False
        if step.asked.launch and not launch.end(tx, step.asked.launch):
            return False
        consents.put(tx, session.person.subject, consent)
        noted.put(visit, tx, given)
        return True

    if not await visit.service.store.transact(work):
        raise Lost("refused.gone")
    code = await codes.issue(
        visit.service,
        step.client,
        step.asked.redirect_uri,
        step.asked.challenge,
        " ".join(texts),
        session.person,
        visit.base,
        context=step.context,
        nonce=step.asked.nonce or None,
        auth_time=session.began,
        session=session.key,
    )
    return _back(visit, step, code=code, state=step.asked.state)


async def deny(visit: Visit, step: Step) -> Answer:
    """Tell the application that the person refuses."""

    def work(tx: Transaction) -> bool:
        ended = pending.end(tx, step.name, visit.now)
        if ended:
            noted.put(visit, tx, _event(visit, step, "denied"))
        return ended

    if not await visit.service.store.transact(work):
        raise Lost("refused.gone")
    raise step.asked.refused("access_denied", "The user did not give access")


def _event(visit: Visit, step: Step, what: str) -> Event:
    patient = step.patient.id if step.patient else None
    return noted.event(visit, "authorization", what, client=step.client.id, patient=patient)


def _back(visit: Visit, step: Step, **parameters: str) -> Answer:
    return Answer(303, location=authorize.response(step.asked.redirect_uri, visit.issuer, **parameters))


def _never_silently(asked: Asked, error: str) -> None:
    if "none" in asked.prompt:
        raise asked.refused(error, "It cannot be answered without asking the user")


async def _bound(visit: Visit, name: str, waiting: Pending, session: Session) -> Pending:
    """The request belongs to the first person who goes on with it: no other can choose a patient for them."""
    if waiting.subject:
        return waiting
    waiting = replace(waiting, subject=session.person.subject)
    await put(visit, name, waiting)
    return waiting


async def _with_context(visit: Visit, step: Step) -> Step:
    """With the context of its launch, or with the patient that the person is, relates to or has chosen."""
    asked, person = step.asked, step.session.person
    context = Context(patient=step.pending.patient, encounter=step.pending.encounter or None)
    if asked.launch:
        context = await _launched(visit, step)
    if person.role in ("patient", "related"):
        own = await patients.own_patient(visit.service, person)
        if context.patient not in (None, own):
            raise asked.refused("access_denied", "The user has no access to the patient of the launch")
        context = replace(context, patient=own)
    if context.patient is None:
        return replace(step, context=context)
    patient = await patients.find(visit.service, person, context.patient)
    if patient is None:
        raise asked.refused("access_denied", "The user has no access to the patient")
    noted.read(visit, patient.id)
    return replace(step, context=context, patient=patient)


async def _launched(visit: Visit, step: Step) -> Context:
    begun = await launch.find(visit.service.store, step.asked.launch, visit.now)
    if begun is None or begun.client != step.client.id:
        raise step.asked.refused("invalid_request", "The launch is not known, or has run out")
    if begun.subject not in ("", step.session.person.subject):
        raise step.asked.refused("access_denied", "Another user has begun the launch")
    return begun.context


def _grantable(step: Step) -> tuple[Scope, ...]:
    person = step.session.person
    granted = scopes.granted(" ".join(step.asked.scope), step.client.scope, person.role)
    if person.role in ("patient", "related") and step.patient is None:
        granted = scopes.without_patient(granted)
    if not granted:
        raise step.asked.refused("invalid_scope", "Nothing of the scope can be granted to this user")
    return granted


def _needs_patient(step: Step) -> bool:
    own = step.session.person.role in ("patient", "related")
    about = any(scope.resource and scope.resource.level == "patient" for scope in step.scopes)
    return not own and (about or "launch/patient" in step.texts or "launch/encounter" in step.texts)


def _needs_encounter(step: Step) -> bool:
    return "launch/encounter" in step.texts and step.patient is not None and step.context.encounter is None


async def _remembered(visit: Visit, step: Step) -> Answer | None:
    """The answer without asking, where the person has said so and the address is the client's for sure."""
    subject, asked = step.session.person.subject, step.asked
    consent = await consents.find(visit.service.store, subject, step.client.id, visit.now)
    texts = consent.answers(step.texts) if consent and step.has_own_address else None
    if texts is not None and "consent" not in asked.prompt:
        granted = scopes.parse(" ".join(texts))
        return await grant(visit, step, granted, remember=True)
    _never_silently(asked, "consent_required")
    return None


def leads_to(client: Client | None) -> tuple[str, ...]:
    """Where the forms on the way may lead in the end: to the client's own addresses."""
    if client is None:
        return ()
    urls = (*client.redirect_uris, *([client.launch_url] if client.launch_url else ()))
    return tuple(dict.fromkeys(source for url in urls if (source := authorize.origin_of(url))))


def refusal(visit: Visit, refused: Refused) -> Answer:
    return Answer(303, location=authorize.refusal(refused, visit.issuer))
