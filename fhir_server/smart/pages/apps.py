"""What applications a person has let in, and how each is put out again.

https://www.rfc-editor.org/rfc/rfc9700, https://www.rfc-editor.org/rfc/rfc7009
"""

from __future__ import annotations

from datetime import UTC, datetime

from fhir_server.smart import clients, consents, scopes
from fhir_server.smart.consents import Consent
from fhir_server.smart.pages import noted
from fhir_server.smart.pages.html import Html, element
from fhir_server.smart.pages.layout import button, form, page, paragraph
from fhir_server.smart.pages.scope_rows import rows
from fhir_server.smart.pages.sign_in import signed_in
from fhir_server.smart.pages.visit import Answer, Visit


async def show(visit: Visit) -> Answer:
    """GET: every application with what it may do."""
    return signed_in(visit) or await _page(visit)


async def revoke(visit: Visit) -> Answer:
    """POST: the application's tokens of this person are void, and it must ask again."""
    if (away := signed_in(visit)) is not None:
        return away
    visit.check("apps")
    assert visit.session is not None
    client = visit.given("client")
    revoked = noted.event(visit, "authorization", "revoked", client=client)
    await consents.revoke(
        visit.service, visit.session.person.subject, client, lambda tx: noted.put(visit, tx, revoked)
    )
    return await _page(visit, done=visit.words("apps.revoked"))


async def _page(visit: Visit, done: str = "") -> Answer:
    assert visit.session is not None
    words, subject = visit.words, visit.session.person.subject
    given = await consents.of(visit.service.store, subject, visit.now)
    named = [(each, await clients.find(visit.service.store, each.client)) for each in given]
    entries = [_entry(visit, each, client.name) for each, client in named if client is not None]
    content = page(
        visit,
        words("apps.title"),
        element("p", done, role="status", class_="done") if done else None,
        *(entries or [paragraph(words("apps.none"))]),
        here="apps",
        wide=True,
    )
    return Answer(200, content)


def _entry(visit: Visit, consent: Consent, name: str) -> Html:
    words = visit.words
    boxes = rows(scopes.parse(" ".join(consent.granted)), words)
    may = (element("li", row.text, element("small", f" – {row.more}") if row.more else None) for row in boxes)
    date = words.date(datetime.fromtimestamp(consent.at / 1_000_000, UTC).date().isoformat())
    since = [words("apps.since", date=date), " ", words("apps.remembered") if consent.remembered else None]
    out = button(words("apps.revoke", app=name), quiet=True)
    return element(
        "section",
        element("h2", element("bdi", name)),
        element("ul", may),
        paragraph(*since),
        form(visit, "apps", "apps", out, client=consent.client),
        class_="app",
    )
