"""Markup is escaped by construction, and every text is there in every language."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.smart.pages import en, nb, nn
from fhir_server.smart.pages import words as words_module
from fhir_server.smart.pages.html import Html, element, joined, text
from fhir_server.smart.pages.layout import STYLE
from fhir_server.smart.pages.words import Words, choose

PAGES = Path(words_module.__file__).parent


class Reader(HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.seen: list[object] = []
        self.data = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.data += data


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.text())
def test_no_text_becomes_markup(content: str) -> None:
    plain = "".join(letter for letter in content if text(letter))
    reader = Reader(element("p", content, title=content))
    assert reader.seen == [("p", [("title", plain)])]
    assert reader.data == plain


@pytest.mark.parametrize("letter", ["\x00", "\x1b", "\x85", "\u200b", "\u202e", "\u2066", "\ufeff", "\ud800"])
def test_what_cannot_be_seen_is_left_out(letter: str) -> None:
    assert text(f"a{letter}b") == "ab"


def test_markup_is_not_escaped_again() -> None:
    assert joined(element("b", "<"), None, ["&", element("br")]) == "<b>&lt;</b>&amp;<br>"


def test_attributes() -> None:
    assert element("input", class_="a", aria_label='"', required=True, value=None, size=3) == (
        '<input class="a" aria-label="&quot;" required size="3">'
    )


@pytest.mark.parametrize("name", ["onclick", "style", "a b", "x>", ""])
def test_attributes_that_no_page_has(name: str) -> None:
    with pytest.raises(ValueError, match="No attribute"):
        element("p", **{name: "x"})


def test_each_text_is_there_in_each_language_with_the_same_parts() -> None:
    places = {
        language: {key: sorted(re.findall(r"\{[a-z]+\}", text)) for key, text in texts.items()}
        for language, texts in (("nb", nb.TEXTS), ("nn", nn.TEXTS), ("en", en.TEXTS))
    }
    assert places["nb"] == places["nn"] == places["en"]


def test_each_text_is_used() -> None:
    code = "".join(
        path.read_text("utf-8") for path in PAGES.glob("*.py") if path.stem not in ("nb", "nn", "en")
    )
    built = (
        "type.",
        "code.",
        "criterion.",
        "gender.",
        "sign-in.not.",
        "refused.client",
        "refused.redirect",
        "refused.repeated",
    )
    named = re.findall(r"[\"'\[]([a-z\-.]+)[\"'\]]", code)
    assert [key for key in nb.TEXTS if key not in named and not key.startswith(built)] == []


def test_what_goes_into_a_text_is_escaped_and_set_apart() -> None:
    assert Words("en")("sign-in.app", app="<b>") == "Sign in to continue to <bdi>&lt;b&gt;</bdi>."
    assert Words("en")("sign-in.app", app=Html("<i>x</i>")) == "Sign in to continue to <i>x</i>."


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "nb"),
        ("no", "nb"),
        ("nb-NO,nb;q=0.9,en;q=0.8", "nb"),
        ("nn-NO, nb;q=0.9", "nn"),
        ("en-GB", "en"),
        ("de, fr;q=0.9", "nb"),
        ("de, en;q=0.1", "en"),
        ("en;q=0.4, nn;q=0.5", "nn"),
        ("en;q=0", "nb"),
        ("da", "nb"),
        ("en;q=x, \x00", "nb"),
        ("*", "nb"),
    ],
)
def test_the_language_that_a_browser_asks_for(accept: str, language: str) -> None:
    assert choose(accept=accept) == language


def test_a_wish_comes_before_what_the_browser_asks_for() -> None:
    assert choose("", None, "nn", accept="en") == "nn"
    assert choose("xx en", accept="nb") == "en"


def test_dates_and_times_as_people_write_them() -> None:
    assert Words("nb").date("1952-03-27") == "27.03.1952"
    assert Words("en").date("1952-03-27") == "1952-03-27"
    assert Words("nb").date("1952-03") == "1952-03"
    assert [Words("en").minutes(seconds) for seconds in (1, 60, 61)] == ["1 minute", "1 minute", "2 minutes"]
    assert Words("nb").together(["a"]) == "a"
    assert Words("nb").together(["a", "b", "c"]) == "a, b og c"


def colours(style: str) -> list[dict[str, str]]:
    """The light palette and the dark one."""
    light, dark = style.split("prefers-color-scheme: dark")
    return [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", part)) for part in (light, dark)]


def contrast(one: str, other: str) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""

    def luminance(colour: str) -> float:
        parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", colours(STYLE.decode()), ids=["light", "dark"])
def test_contrast(palette: dict[str, str]) -> None:
    """https://www.w3.org/TR/WCAG22/#contrast-enhanced, and for what is no text #non-text-contrast"""
    text = [("ink", "paper"), ("ink", "ground"), ("soft", "paper"), ("soft", "ground"), ("on-fire", "fire")]
    text += [("fire", "paper"), ("fire", "ground"), ("wrong", "wrong-ground")]
    assert all(contrast(palette[one], palette[other]) >= 7 for one, other in text)
    drawn = [
        ("line", "paper"),
        ("line", "ground"),
        ("focus", "paper"),
        ("focus", "ground"),
        ("wrong", "paper"),
    ]
    assert all(contrast(palette[one], palette[other]) >= 3 for one, other in drawn)
