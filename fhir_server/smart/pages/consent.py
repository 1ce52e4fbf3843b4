"""The page that asks a person what an application may do, and takes the answer.

https://hl7.org/fhir/smart-app-launch/app-launch.html, https://www.rfc-editor.org/rfc/rfc6749#section-4.1.1
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from fhir_server.smart.pages import steps
from fhir_server.smart.pages.choose import named
from fhir_server.smart.pages.html import Html, element
from fhir_server.smart.pages.layout import button, form, page, paragraph
from fhir_server.smart.pages.scope_rows import Row, chosen, gives_something, rows
from fhir_server.smart.pages.steps import Step
from fhir_server.smart.pages.visit import Answer, Visit, at
from fhir_server.smart.pages.words import Words


async def show(visit: Visit) -> Answer:
    """GET: the next thing to be asked; consent, when everything else is known."""
    step = await steps.proceed(visit, visit.asked("request"))
    return step if isinstance(step, Answer) else Answer(200, _page(visit, step), leads_to=_leads_to(step))


async def decide(visit: Visit) -> Answer:
    """POST: a code for what is ticked, or access_denied. A form that was answered already does nothing.

    What is ticked are numbers of the rows that this person would be shown now: a form cannot ask for more.
    """
    name = visit.given("request")
    visit.check(f"consent {name}")
    step = await steps.reached(visit, name)
    if isinstance(step, Answer):
        return step
    ticked = {value for key, value in visit.form if key == "scope"}
    granted = chosen(step.scopes, ticked)
    if visit.given("decision") != "allow" or not gives_something(granted):
        return await steps.deny(visit, step)
    remember = visit.given("remember") == "yes" and step.has_own_address
    return await steps.grant(visit, step, granted, remember=remember)


def _page(visit: Visit, step: Step) -> Html:
    words, client = visit.words, step.client
    boxes = rows(step.scopes, words)
    return page(
        visit,
        words.plain("consent.title", app=client.name),
        paragraph(words("consent.patient", patient=named(words, step.patient)), kind="about")
        if step.patient and not _is_own(step)
        else None,
        paragraph(words("consent.asks", app=client.name)),
        form(
            visit,
            "consent",
            f"consent {step.name}",
            *(_group(words, step, group, boxes) for group in ("own", "user", "you")),
            _remember(words) if step.has_own_address else None,
            button(words("consent.allow"), name="decision", value="allow"),
            button(words("consent.deny"), quiet=True, name="decision", value="deny"),
            request=step.name,
        ),
        paragraph(_destination(words, step.asked.redirect_uri), kind="hint"),
        paragraph(words("consent.end"), kind="hint"),
        here=at("consent", step.name),
        wide=True,
    )


def _group(words: Words, step: Step, group: str, boxes: Sequence[Row]) -> Html | None:
    mine = [row for row in boxes if row.group == group]
    if not mine:
        return None
    return element("fieldset", element("legend", _legend(words, step, group)), *map(_box, mine))


def _legend(words: Words, step: Step, group: str) -> Html:
    if group == "own" and not _is_own(step) and step.patient:
        return words("consent.patients", patient=step.patient.name or words.plain("patient.unnamed"))
    return words({"own": "consent.own", "user": "consent.user", "you": "consent.you"}[group])


def _box(row: Row) -> Html:
    box = element("input", type="checkbox", name="scope", value=row.value, checked=True)
    more = element("small", element("bdi", row.more)) if row.more else None
    return element("label", box, element("span", row.text, more), class_="choice")


def _remember(words: Words) -> Html:
    box = element("input", type="checkbox", name="remember", value="yes")
    return element("label", box, element("span", words("consent.remember")), class_="choice remember")


def _destination(words: Words, uri: str) -> Html:
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return words("consent.to", address=parts.netloc)
    return words("consent.on-device")


def _is_own(step: Step) -> bool:
    return step.session.person.role == "patient"


def _leads_to(step: Step) -> tuple[str, ...]:
    return steps.leads_to(step.client)
