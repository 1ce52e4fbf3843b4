"""What all pages have in common: the document, its headings, fields and buttons.

https://www.w3.org/TR/WCAG22/, https://design-system.w3.org/
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files

from fhir_server.smart.pages.html import Child, Html, element, joined
from fhir_server.smart.pages.visit import Visit, hidden
from fhir_server.smart.pages.words import LANGUAGES, Words

STYLE = files("fhir_server.smart.pages").joinpath("style.css").read_bytes()
STYLE_URL = f"style.css?{sha256(STYLE).hexdigest()[:12]}"


def page(
    visit: Visit, title: str, *content: Child, problem: str = "", here: str = "", wide: bool = False
) -> Html:
    """The document. `problem` is said before anything else; `here` is the address that another language is
    asked for at ("sign-in?request=x"), where there is one."""
    words = visit.words
    said = f"{words.plain('error')}: {title}" if problem else title
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", f"{said} – Varde"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="robots", content="noindex"),
        element("meta", name="color-scheme", content="light dark"),
        element("link", rel="stylesheet", href=f"{visit.up}{STYLE_URL}"),
    )
    main = element(
        "main", _header(), element("h1", title), _problem(problem), *content, class_="wide" if wide else None
    )
    body = element("body", main, element("footer", _who(visit), _languages(words, here)))
    return Html("<!doctype html>" + element("html", head, body, lang=words.language))


def field(
    name: str,
    label: str,
    *,
    hint: str = "",
    wrong: bool = False,
    value: str = "",
    type: str = "text",
    autocomplete: str = "off",
    **more: str | int | bool | None,
) -> Html:
    """A labelled input, described by its hint."""
    described = f"{name}-hint" if hint else None
    return element(
        "div",
        element("label", label, for_=name),
        element("p", hint, id=described, class_="hint") if hint else None,
        element(
            "input",
            id=name,
            name=name,
            type=type,
            value=value or None,
            autocomplete=autocomplete,
            aria_describedby=described,
            aria_invalid="true" if wrong else None,
            **more,
        ),
        class_="field",
    )


def form(visit: Visit, action: str, marked: str, /, *content: Child, **fields: str) -> Html:
    """A form that is posted, marked as ours under that name, with these hidden fields."""
    kept = (hidden(key, value) for key, value in fields.items() if value)
    return element("form", visit.token(marked), kept, *content, method="post", action=f"{visit.up}{action}")


def button(label: Child, *, quiet: bool = False, **more: str | int | bool | None) -> Html:
    return element("button", label, type="submit", class_="quiet" if quiet else None, **more)


def link(label: str, href: str) -> Html:
    return element("a", label, href=href)


def paragraph(*content: Child, kind: str = "") -> Html:
    return element("p", *content, class_=kind or None)


def _header() -> Html:
    return element("p", element("span", class_="cairn", aria_hidden="true"), "Varde", class_="brand")


def _problem(problem: str) -> Html | None:
    return element("p", problem, role="alert", class_="problem") if problem else None


def _who(visit: Visit) -> Html | None:
    if visit.session is None:
        return None
    words = visit.words
    out = form(visit, "sign-out", "sign-out", button(words("sign-out.button"), quiet=True))
    return element("div", element("p", words("signed-in", name=visit.session.person.name)), out, class_="who")


def _languages(words: Words, here: str) -> Html | None:
    if not here:
        return None
    mark = "&" if "?" in here else "?"
    items = (
        element(
            "li",
            element("strong", name, lang=code, aria_current="true")
            if code == words.language
            else element("a", name, href=f"{here}{mark}language={code}", lang=code, hreflang=code),
        )
        for code, name in LANGUAGES.items()
    )
    return element("nav", element("ul", joined(*items)), aria_label=words.plain("language"))
