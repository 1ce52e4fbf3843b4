"""Sign-in and sign-out of local users, and their passwords.

https://cheatsheetseries.owasp.org/cheatsheets/Authentication_Cheat_Sheet.html
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from fhir_server.smart import limits, providers, sessions, users
from fhir_server.smart.clients import Client
from fhir_server.smart.limits import TooMany
from fhir_server.smart.pages import noted, steps
from fhir_server.smart.pages.html import Html, element, joined
from fhir_server.smart.pages.layout import button, field, form, link, page, paragraph
from fhir_server.smart.pages.refusals import refused
from fhir_server.smart.pages.visit import Answer, Visit, at
from fhir_server.smart.providers import NotSignedIn
from fhir_server.smart.sessions import Person, Session, person_of
from fhir_server.smart.users import UserProblem
from fhir_server.store.base import Transaction


async def show(visit: Visit) -> Answer:
    """GET: the form, and why another provider did not sign somebody in."""
    name, reason = visit.asked("request"), visit.asked("not")
    problem = visit.words.plain(f"sign-in.not.{reason}") if reason in providers.REASONS else ""
    status = 400 if problem else 200
    if not name:
        return _form(visit, name, None, problem, status)
    waiting, client = await steps.found(visit, name)
    return _form(visit, name, client, problem, status, waiting.asked.login_hint)


async def sign_in(visit: Visit) -> Answer:
    """POST: a new session, and on to where the person came from; 401 with the form, 429 after many tries.

    An unknown user and a wrong password are answered in the same words after the same time.
    """
    visit.check("sign-in")
    name, username, password = visit.given("request"), visit.given("username"), visit.given("password")
    client = (await steps.found(visit, name))[1] if name else None
    normal = users.normal(username)
    try:
        limits.admit(visit.service, "sign-in", visit.address)
        await limits.attempt(visit.service, normal, visit.address)
    except TooMany as error:
        problem = visit.words.plain("sign-in.wait", time=visit.words.minutes(error.seconds))
        return _form(visit, name, client, problem, 429, username, error.seconds)
    user = await users.check(visit.service.store, username, password, visit.now)
    if user is None:
        whose = await users.find(visit.service.store, username)
        await noted.not_signed_in(visit, person_of(whose) if whose else None)
        return _form(visit, name, client, visit.words.plain("sign-in.wrong"), 401, username)
    await limits.succeeded(visit.service, normal, visit.address)
    await _begin(visit, person_of(user), lambda tx: sessions.begin_local(tx, user, visit.now))
    return _onward(visit, name)


async def _begin(visit: Visit, person: Person, begin: Callable[[Transaction], str]) -> None:
    """A session under a new id, whatever the browser brought; what it had before ends."""
    before = visit.session

    def work(tx: Transaction) -> str:
        if before:
            sessions.end(tx, before.key)
        noted.put(visit, tx, noted.event(visit, "sign-in", "login", person=person))
        return begin(tx)

    visit.cookies["session"] = await visit.service.store.transact(work)


def _onward(visit: Visit, name: str) -> Answer:
    return visit.go("consent" if name else "home", name)


def _form(
    visit: Visit,
    name: str,
    client: Client | None,
    problem: str = "",
    status: int = 200,
    username: str = "",
    wait: int = 0,
) -> Answer:
    words, wrong = visit.words, bool(problem)
    content = page(
        visit,
        words("sign-in.title"),
        paragraph(words("sign-in.app", app=client.name)) if client else None,
        form(
            visit,
            "sign-in",
            "sign-in",
            field(
                "username",
                words("sign-in.username"),
                value=username[:128],
                autocomplete="username",
                autocapitalize="none",
                spellcheck="false",
                maxlength=128,
                required=True,
                wrong=wrong,
                autofocus=not username,
            ),
            field(
                "password",
                words("sign-in.password"),
                type="password",
                autocomplete="current-password",
                maxlength=users.LONGEST,
                required=True,
                wrong=wrong,
                autofocus=bool(username),
            ),
            button(words("sign-in.button")),
            request=name,
        ),
        _providers(visit, name),
        problem=problem,
        here=at("sign-in", name),
    )
    return Answer(status, content, leads_to=steps.leads_to(client), wait=wait)


def _providers(visit: Visit, name: str) -> Html | None:
    """The other ways in: links, since they lead to other sites."""
    choices = visit.service.smart.providers.choices
    if not choices:
        return None
    words = visit.words
    ways = (
        element(
            "a", words("sign-in.provider", provider=label), href=at(f"leave/{quote(id_)}", name), class_="way"
        )
        for id_, label in choices
    )
    return joined(paragraph(words("sign-in.or"), kind="or"), *ways)


async def leave(visit: Visit) -> Answer:
    """GET: off to another provider, which knows who the person is."""
    id_, name = visit.part, visit.asked("request")
    if id_ not in dict(visit.service.smart.providers.choices):
        return refused(visit, "refused.not-found")
    if not visit.visit:
        visit.token("sign-in")  # what they come back to is this browser
    try:
        limits.admit(visit.service, "sign-in", visit.address)
        url = await providers.leave(visit.service, id_, visit.url(f"callback/{id_}"), visit.visit, name)
    except NotSignedIn as problem:
        return _not(visit, problem)
    return Answer(303, location=url)


async def arrive(visit: Visit) -> Answer:
    """GET: back from another provider, with whom it says it is."""
    try:
        who, name = await providers.arrive(visit.service, visit.part, visit.query, visit.visit)
    except NotSignedIn as problem:
        return _not(visit, problem)
    person = Person(who.subject, who.name, who.role, who.fhir_user, who.organizations)
    await _begin(visit, person, lambda tx: sessions.begin(tx, person, visit.part, visit.now))
    return _onward(visit, name)


def _not(visit: Visit, problem: NotSignedIn) -> Answer:
    """To the form again, and why; what the person came for is not lost."""
    return Answer(303, location=visit.url(at("sign-in", problem.back, **{"not": problem.reason})))


async def home(visit: Visit) -> Answer:
    """Where somebody who signs in without an application gets to."""
    if (away := signed_in(visit)) is not None:
        return away
    words = visit.words
    assert visit.session is not None
    entries = [("apps", "home.apps")]
    if visit.session.person.role == "practitioner":
        entries.insert(0, ("launch", "home.launch"))
    if visit.session.username:
        entries.append(("password", "home.password"))
    items = (element("li", link(words(text), href)) for href, text in entries)
    menu = element("ul", items, class_="menu")
    return Answer(200, page(visit, words("home.title"), menu, here="home"))


def signed_in(visit: Visit) -> Answer | None:
    """To sign-in, or to the choice of a password, for who must do that first."""
    if visit.session is None:
        return visit.go("sign-in")
    return visit.go("password") if visit.session.temporary else None


async def sign_out(visit: Visit) -> Answer:
    """POST: the session is over, here and in the store. GET: the button."""
    words = visit.words
    if visit.method == "POST":
        visit.check("sign-out")
        if visit.session:
            await visit.service.store.transact(_ending(visit, visit.session))
        visit.session, visit.cookies["session"] = None, None
        visit.visit, visit.cookies["visit"] = "", None
        done = paragraph(words("sign-out.done"))
        again = paragraph(link(words("sign-in.title"), "sign-in"))
        return Answer(200, page(visit, words("sign-out.done.title"), done, again))
    if visit.session is None:
        return visit.go("sign-in")
    content = form(visit, "sign-out", "sign-out", button(words("sign-out.button")))
    return Answer(200, page(visit, words("sign-out.title"), content, here="sign-out"))


def _ending(visit: Visit, session: Session) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        if sessions.end(tx, session.key):
            noted.put(visit, tx, noted.event(visit, "sign-in", "logout", person=session.person))

    return work


async def show_password(visit: Visit) -> Answer:
    """GET: the form for another password."""
    if visit.session is None:
        return visit.go("sign-in")
    if not visit.session.username:
        return visit.go("home")
    return _password_form(visit, visit.asked("request"))


async def change_password(visit: Visit) -> Answer:
    """POST: another password; all sessions of the user end, and this browser gets a new one."""
    session = visit.session
    if session is None or not session.username:
        return visit.go("sign-in")
    visit.check("password")
    name, current, new = visit.given("request"), visit.given("current"), visit.given("new")
    problem = _wrong(visit, current, new)
    if problem:
        return _password_form(visit, name, problem, 400)
    try:
        await limits.attempt(visit.service, session.username, visit.address)
    except TooMany as error:
        problem = visit.words.plain("sign-in.wait", time=visit.words.minutes(error.seconds))
        return _password_form(visit, name, problem, 429)
    user = await users.check(visit.service.store, session.username, current, visit.now)
    if user is None:
        return _password_form(visit, name, visit.words.plain("password.wrong"), 400)
    await limits.succeeded(visit.service, session.username, visit.address)
    try:
        changed = await users.with_new_password(user, new, visit.now)
    except UserProblem:  # pragma: no cover - _wrong has seen to it
        return _password_form(visit, name, visit.words.plain("password.long", length=users.LONGEST), 400)

    def begin(tx: Transaction) -> str:
        users.put(tx, changed)
        noted.put(visit, tx, noted.event(visit, "sign-in", "password-changed"))
        return sessions.begin_local(tx, changed, visit.now)

    await _begin(visit, session.person, begin)
    return visit.go("consent", name) if name else visit.go("password-done")


async def show_changed(visit: Visit) -> Answer:
    """GET: what a changed password leads to."""
    if (away := signed_in(visit)) is not None:
        return away
    words = visit.words
    done = paragraph(words("password.done"), kind="done")
    back = paragraph(link(words("home.title"), "home"))
    return Answer(200, page(visit, words("home.password"), done, back, here="password-done"))


def _wrong(visit: Visit, current: str, new: str) -> str:
    words = visit.words
    if len(new) < users.LENGTH:
        return words.plain("password.short", length=users.LENGTH)
    if len(new) > users.LONGEST:
        return words.plain("password.long", length=users.LONGEST)
    if new != visit.given("repeat"):
        return words.plain("password.differ")
    return words.plain("password.same") if new == current else ""


def _password_form(visit: Visit, name: str, problem: str = "", status: int = 200) -> Answer:
    words, session = visit.words, visit.session
    assert session is not None
    hint = words("password.hint", length=users.LENGTH)
    content = page(
        visit,
        words("password.title"),
        paragraph(words("password.temporary")) if session.temporary else None,
        form(
            visit,
            "password",
            "password",
            field(
                "current",
                words("password.current"),
                type="password",
                autocomplete="current-password",
                required=True,
            ),
            field(
                "new",
                words("password.new"),
                type="password",
                autocomplete="new-password",
                hint=hint,
                required=True,
                wrong=bool(problem),
            ),
            field(
                "repeat",
                words("password.repeat"),
                type="password",
                autocomplete="new-password",
                required=True,
                wrong=bool(problem),
            ),
            button(words("password.button")),
            request=name,
        ),
        problem=problem,
        here=at("password", name),
    )
    return Answer(status, content)
