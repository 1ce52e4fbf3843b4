"""A person with a browser, without scripts: follows redirects as far as this server goes, and sends forms."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx

SITE = "https://varde.test"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-x"
CHALLENGE = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@dataclass
class Form:
    """`fields` are sent as they are (hidden ones, values that are there, ticked boxes); `buttons` (name, value)."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)

    def value(self, name: str) -> str:
        return dict(self.fields)[name]


class _Reader(HTMLParser):
    """Forms, headings, text, and what all pages have to have."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.text: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        said = dict(attrs)
        self.elements.append((tag, said))
        if tag == "form":
            self.forms.append(Form(said["action"]))
        elif tag == "button" and self.forms and said.get("name"):
            self.forms[-1].buttons.append((said["name"], said.get("value", "")))
        elif tag == "input" and self.forms:
            self._input(said)

    def _input(self, said: dict[str, str]) -> None:
        pair = (said["name"], said.get("value") or "")
        if said.get("type") == "checkbox":
            self.forms[-1].boxes.append(pair[1])
        if said.get("type") != "checkbox" or "checked" in said:
            self.forms[-1].fields.append(pair)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


class Page:
    """An answer, and what of it a person sees."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer, self.status = answer, answer.status_code
        self.location = answer.headers.get("location", "")
        reader = _Reader()
        reader.feed(answer.text)
        self.forms, self.elements = reader.forms, reader.elements
        self.text = " ".join(" ".join(reader.text).split())

    def form(self, action: str) -> Form:
        return next(form for form in self.forms if form.action.removeprefix("../") == action)

    def has(self, tag: str, **attributes: str) -> bool:
        return any(
            tag == name and attributes.items() <= {k: v or "" for k, v in said.items()}.items()
            for name, said in self.elements
        )

    @property
    def said(self) -> dict[str, str]:
        """The parameters of where it leads."""
        return dict(parse_qsl(urlsplit(self.location).query, keep_blank_values=True))


def check(answer: httpx.Response) -> None:
    """What holds for every page: nobody else can frame, read, keep or script it, and anybody can use it.

    https://www.w3.org/TR/WCAG22/
    """
    policy = dict(
        part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["style-src"] == "'self'"
    assert policy["form-action"].split(" ")[0] == "'self'"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.status_code != 500
    page = Page(answer)
    (style,) = (said["href"] or "" for tag, said in page.elements if tag == "link")
    assert urljoin(str(answer.url), style).partition("?")[0] == f"{SITE}/auth/style.css"
    tags = [tag for tag, _ in page.elements]
    assert not {"script", "iframe", "img", "style", "object"} & set(tags)
    assert not [
        name for _, said in page.elements for name in said if name.startswith("on") or name == "style"
    ]
    assert page.has("html", lang=answer.headers["content-language"])
    assert (tags.count("h1"), tags.count("main"), tags.count("title")) == (1, 1, 1)
    labelled = {said.get("for") for tag, said in page.elements if tag == "label"}
    ids = [said["id"] for _, said in page.elements if "id" in said]
    assert len(ids) == len(set(ids))
    for tag, said in page.elements:
        if tag == "input" and said.get("type") not in (
            "hidden",
            "checkbox",
        ):  # boxes are inside of their labels
            assert said["id"] in labelled
            assert said.get("aria-describedby", ids[0] if ids else None) in ids
        if tag == "form":
            assert said["method"] == "post"
    assert all("token" in dict(form.fields) for form in page.forms)


class Visitor:
    """One browser with its cookies."""

    def __init__(self, app: Any, runner: asyncio.Runner, address: str = "192.0.2.7") -> None:
        self._runner = runner
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=(address, 4711)), base_url=SITE, timeout=60
        )
        self.headers = {"accept-language": "en"}

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie.name: cookie.value or "" for cookie in self._http.cookies.jar}

    def plant(self, name: str, value: str) -> None:
        self._http.cookies.delete(name) if name in self._http.cookies else None
        self._http.cookies.set(name, value, domain="varde.test", path="/")

    def close(self) -> None:
        self._runner.run(self._http.aclose())

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {**self.headers, **more.pop("headers", {})}
        answer = self._runner.run(self._http.request(method, path, headers=headers, **more))
        if answer.headers.get("content-type", "").startswith("text/html"):
            check(answer)
        return answer

    def get(self, path: str, **more: Any) -> Page:
        return self._follow(self.request("GET", path, **more))

    def post(self, path: str, data: Any, **more: Any) -> Page:
        """A form, its fields as pairs (a name may come several times) or as a dict."""
        pairs = list(data.items()) if isinstance(data, dict) else data
        content = str(httpx.QueryParams(pairs)).encode()
        more.setdefault("headers", {}).setdefault("content-type", "application/x-www-form-urlencoded")
        return self._follow(self.request("POST", path, content=content, **more))

    def send(self, page: Page, action: str, without: str = "", **values: str) -> Page:
        """Fill a form of a page in and send it; `without` a field."""
        kept = [pair for pair in page.form(action).fields if pair[0] not in (*values, without)]
        return self.post(urljoin(str(page.answer.url), page.form(action).action), [*kept, *values.items()])

    def sign_in(self, page: Page, username: str, password: str = "") -> Page:
        return self.send(
            page, "sign-in", username=username, password=password or f"{username} has a password"
        )

    def _follow(self, answer: httpx.Response) -> Page:
        while answer.status_code in (302, 303, 307) and answer.headers["location"].startswith(
            f"{SITE}/auth/"
        ):
            assert answer.status_code == 303
            answer = self.request("GET", answer.headers["location"])
        return Page(answer)
