"""The choice of the patient, and of the encounter, that an application is opened for.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#requesting-context-with-scopes

Searches are forms that are posted: no name and no date of birth gets into a URL, a history or a log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fhir_server.errors import FhirError
from fhir_server.smart import patients
from fhir_server.smart.pages import noted, steps
from fhir_server.smart.pages.html import Html, element
from fhir_server.smart.pages.layout import button, field, form, page, paragraph
from fhir_server.smart.pages.steps import Step
from fhir_server.smart.pages.visit import Answer, Visit, at
from fhir_server.smart.pages.words import Words
from fhir_server.smart.patients import Encounter, Patient


@dataclass(frozen=True, slots=True)
class Search:
    """What was typed, and what it found; None where nothing has been looked for."""

    name: str = ""
    born: str = ""
    found: Sequence[Patient] | None = None
    next: str = ""
    problem: str = ""


async def searched(visit: Visit) -> Search:
    """What the form asks for; needs somebody who is signed in."""
    assert visit.session is not None
    name, born = visit.given("name").strip()[:200], visit.given("born").strip()[:20]
    if not name and not born:
        return Search(problem=visit.words.plain("patient.empty"))
    day = patients.read_date(born)
    if born and not day:
        return Search(name, born, problem=visit.words.plain("patient.bad-date"))
    person = visit.session.person
    try:
        found, next_ = await patients.search(visit.service, person, name, day, visit.given("after"))
    except FhirError as error:
        if error.category not in ("expired", "invalid"):
            raise
        found, next_ = await patients.search(visit.service, person, name, day)
    noted.searched(visit, "Patient", [each.id for each in found], name=name, birthdate=day)
    return Search(name, born, found, next_)


def picker(visit: Visit, action: str, search: Search, /, **kept: str) -> Html:
    """The search form, what it found as buttons (their values are ids), and the way to more."""
    words = visit.words
    asked = form(
        visit,
        action,
        action,
        field(
            "name", words("patient.name"), hint=words("patient.name.hint"), value=search.name, maxlength=200
        ),
        field(
            "born", words("patient.born"), value=search.born, hint=words("patient.born.hint"), maxlength=20
        ),
        button(words("patient.search"), name="do", value="search"),
        **kept,
    )
    if search.found is None:
        return asked
    heading = element("h2", words("patient.results"), id="found")
    if not search.found:
        return Html(asked + heading + element("p", words("patient.none"), role="status"))
    chosen = form(visit, action, action, _found(words, search.found), **kept)
    return Html(asked + heading + chosen + _more(visit, action, search, kept))


def _found(words: Words, found: Sequence[Patient]) -> Html:
    items = (
        element("li", element("button", _summary(words, each), type="submit", name="patient", value=each.id))
        for each in found
    )
    return element("ul", items, class_="found", aria_labelledby="found")


def _summary(words: Words, patient: Patient) -> Html:
    name = patient.name or words.plain("patient.unnamed")
    return Html(element("strong", element("bdi", name)) + element("span", described(words, patient)))


def described(words: Words, patient: Patient) -> str:
    """What tells a patient from others of that name."""
    parts = [words.plain("patient.of", date=words.date(patient.born))] if patient.born else []
    if patient.gender in ("male", "female", "other"):
        parts.append(words.plain(f"gender.{patient.gender}"))
    if patient.deceased:
        parts.append(words.plain("patient.deceased"))
    return ", ".join(parts)


def named(words: Words, patient: Patient) -> str:
    """The patient in one line."""
    name, more = patient.name or words.plain("patient.unnamed"), described(words, patient)
    return f"{name} ({more[0].lower()}{more[1:]})" if more else name


def _more(visit: Visit, action: str, search: Search, kept: dict[str, str]) -> Html:
    if not search.next:
        return Html()
    asked = {"name": search.name, "born": search.born, "after": search.next, "do": "search"}
    return form(visit, action, action, button(visit.words("patient.next"), quiet=True), **asked, **kept)


async def show_patient(visit: Visit) -> Answer:
    """GET: the search form."""
    return await _patient_page(visit, visit.asked("request"), Search())


async def choose_patient(visit: Visit) -> Answer:
    """POST: what a search finds, or on to the next page with the patient that was chosen."""
    visit.check("patient")
    name = visit.given("request")
    waiting, _ = await steps.found(visit, name)
    if visit.session is None or visit.session.temporary or not waiting.subject:
        return visit.go("consent", name)
    if not visit.given("patient"):
        return await _patient_page(visit, name, await searched(visit))
    patient = await patients.find(visit.service, visit.session.person, visit.given("patient"))
    if patient is None:
        return await _patient_page(visit, name, Search(problem=visit.words.plain("patient.gone")))
    await steps.put(visit, name, replace(waiting, patient=patient.id, encounter=None))
    return visit.go("consent", name)


async def _patient_page(visit: Visit, name: str, search: Search) -> Answer:
    waiting, client = await steps.found(visit, name)
    if visit.session is None or visit.session.temporary or not waiting.subject:
        return visit.go("consent", name)
    words = visit.words
    content = page(
        visit,
        words("patient.title"),
        paragraph(words("patient.app", app=client.name)),
        picker(visit, "patient", search, request=name),
        problem=search.problem,
        here=at("patient", name),
        wide=True,
    )
    return Answer(400 if search.problem else 200, content, leads_to=steps.leads_to(client))


async def show_encounter(visit: Visit) -> Answer:
    """GET: the patient's newest encounters."""
    name = visit.asked("request")
    step = await steps.reached(visit, name)
    if not isinstance(step, Step) or step.patient is None:
        return step if isinstance(step, Answer) else visit.go("consent", name)
    found = await patients.encounters(visit.service, step.session.person, step.patient.id)
    noted.searched(visit, "Encounter", [step.patient.id], patient=step.patient.id)
    words = visit.words
    choices = form(visit, "encounter", "encounter", _encounters(words, found), request=name)
    about = paragraph(words("encounter.app", app=step.client.name))
    who = paragraph(words("consent.patient", patient=named(words, step.patient)), kind="about")
    content = page(
        visit, words("encounter.title"), about, who, choices, here=at("encounter", name), wide=True
    )
    return Answer(200, content, leads_to=steps.leads_to(step.client))


async def choose_encounter(visit: Visit) -> Answer:
    """POST: on with that encounter, or with none."""
    visit.check("encounter")
    name, chosen = visit.given("request"), visit.given("encounter")
    step = await steps.reached(visit, name)
    if not isinstance(step, Step) or step.patient is None:
        return step if isinstance(step, Answer) else visit.go("consent", name)
    if chosen != "-":
        found = await patients.encounters(visit.service, step.session.person, step.patient.id)
        if chosen not in (each.id for each in found):
            return visit.go("encounter", name)
    await steps.put(visit, name, replace(step.pending, encounter="" if chosen == "-" else chosen))
    return visit.go("consent", name)


def _encounters(words: Words, found: Sequence[Encounter]) -> Html:
    items = [_encounter(words, each) for each in found]
    none = element("strong", words("encounter.none"))
    items.append(element("li", element("button", none, type="submit", name="encounter", value="-")))
    return element("ul", items, class_="found")


def _encounter(words: Words, encounter: Encounter) -> Html:
    what = element("strong", element("bdi", encounter.what or words.kind("Encounter")))
    when = (
        element("span", words("encounter.period", date=words.date(encounter.began)))
        if encounter.began
        else None
    )
    return element(
        "li", element("button", what, when, type="submit", name="encounter", value=encounter.id)
    )  # fmt: skip
