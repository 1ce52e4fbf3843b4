"""Where a signed-in clinician opens an application for a patient: an EHR launch from our own page.

https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-ehr-launch
"""

from __future__ import annotations

from fhir_server.smart import authorize, clients, launch, patients
from fhir_server.smart.clients import Client
from fhir_server.smart.context import Context
from fhir_server.smart.launch import Launch
from fhir_server.smart.pages import noted, steps
from fhir_server.smart.pages.choose import Search, named, picker, searched
from fhir_server.smart.pages.html import Html, element, joined
from fhir_server.smart.pages.layout import button, form, page, paragraph
from fhir_server.smart.pages.refusals import refused
from fhir_server.smart.pages.sign_in import signed_in
from fhir_server.smart.pages.visit import Answer, Visit, hidden
from fhir_server.smart.patients import Patient


async def show(visit: Visit) -> Answer:
    """GET: the search for the patient."""
    return _away(visit) or await _page(visit)


async def open_app(visit: Visit) -> Answer:
    """POST: what a search finds; the applications to open for a patient; or off to one of them."""
    if (away := _away(visit)) is not None:
        return away
    visit.check("launch")
    assert visit.session is not None
    if visit.given("do") == "search":
        return await _page(visit, await searched(visit))
    patient = None
    if visit.given("patient"):
        patient = await patients.find(visit.service, visit.session.person, visit.given("patient"))
        if patient is None:
            return await _page(visit, Search(problem=visit.words.plain("patient.gone")))
        noted.read(visit, patient.id)
    client = await clients.find(visit.service.store, visit.given("client"))
    if client is None or client.launch_url is None:
        return await _apps_page(visit, patient)
    return await _launched(visit, client, patient)


def _away(visit: Visit) -> Answer | None:
    if (away := signed_in(visit)) is not None:
        return away
    allowed = visit.session is not None and visit.session.person.role == "practitioner"
    return None if allowed else refused(visit, "refused.role")


async def _launched(visit: Visit, client: Client, patient: Patient | None) -> Answer:
    assert visit.session is not None and client.launch_url is not None
    context = Context(patient=patient.id if patient else None, need_patient_banner=True)
    begun = Launch(client.id, context, visit.session.person.subject)
    token = await visit.service.store.transact(lambda tx: launch.begin(tx, begun, visit.now))
    return Answer(303, location=launch.url(client.launch_url, visit.base, token))


async def _page(visit: Visit, search: Search | None = None) -> Answer:
    words, search = visit.words, search or Search()
    without = form(visit, "launch", "launch", button(words("launch.without"), quiet=True), do="open")
    content = page(
        visit,
        words("launch.title"),
        element("h2", words("launch.with")),
        picker(visit, "launch", search),
        without,
        problem=search.problem,
        here="launch",
        wide=True,
    )
    return Answer(400 if search.problem else 200, content)


async def _apps_page(visit: Visit, patient: Patient | None) -> Answer:
    words = visit.words
    apps = [client for client in await clients.everyone(visit.service.store) if client.launch_url]
    if not apps:
        return Answer(200, page(visit, words("launch.title"), paragraph(words("launch.none"))))
    about = paragraph(words("launch.for", patient=named(words, patient)), kind="about") if patient else None
    content = page(
        visit,
        words("launch.title"),
        about,
        element("h2", words("launch.choose"), id="apps"),
        form(
            visit,
            "launch",
            "launch",
            hidden("patient", patient.id) if patient else None,
            element("ul", joined(*map(_app, apps)), class_="found", aria_labelledby="apps"),
        ),
        paragraph(element("a", words("launch.other"), href="launch")),
        wide=True,
    )
    sources = dict.fromkeys(source for client in apps for source in steps.leads_to(client))
    return Answer(200, content, leads_to=tuple(sources))


def _app(client: Client) -> Html:
    name = element("strong", element("bdi", client.name))
    address = element("span", authorize.origin_of(client.launch_url or ""))
    return element("li", element("button", name, address, type="submit", name="client", value=client.id))
