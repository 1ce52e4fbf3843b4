"""What the pages say, in the language of whoever reads them.

https://www.rfc-editor.org/rfc/rfc9110#section-12.5.4
"""

from __future__ import annotations

import re

from fhir_server.smart.pages import en, nb, nn
from fhir_server.smart.pages.html import Html, element, text

LANGUAGES = {"nb": "Bokmål", "nn": "Nynorsk", "en": "English"}
_TEXTS = {"nb": nb.TEXTS, "nn": nn.TEXTS, "en": en.TEXTS}
# What a reader of another language reads best: "no" is any Norwegian, and the neighbours read Bokmål.
_NEAREST = {"no": "nb", "nb": "nb", "nn": "nn", "da": "nb", "sv": "nb", "se": "nb", "en": "en"}
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_PLACE = re.compile(r"\{([a-z]+)\}")
_RANGE = re.compile(r"\s*([A-Za-z*]{1,8})(?:-[A-Za-z0-9\-]+)*\s*(?:;\s*q=([0-9.]{1,5})\s*)?")


class Words:
    """The texts of one language; `words(key, name=...)` is markup: what goes in is set apart and escaped."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = _TEXTS[language]

    def __call__(self, key: str, **parts: str | int) -> Html:
        pieces = _PLACE.split(self._texts[key])
        return Html("".join(_part(parts[piece]) if n % 2 else text(piece) for n, piece in enumerate(pieces)))

    def plain(self, key: str, **parts: str | int) -> str:
        """The same as text, for titles and labels: to be escaped like any other."""
        return _PLACE.sub(lambda place: str(parts[place[1]]), self._texts[key])

    def kind(self, type_: str) -> str:
        """What resources of a type are to people."""
        key = f"type.{type_}"
        return self._texts[key] if key in self._texts else self.plain("type.other", type=type_)

    def criterion(self, name: str) -> str:
        """What a search parameter that restricts a scope is to people."""
        return self._texts.get(f"criterion.{name}", name)

    def code(self, code: str) -> str:
        """What a code that restricts a scope is to people; the code itself where we have no words."""
        return self._texts.get(f"code.{code}", code)

    def date(self, written: str) -> str:
        """A date as people write it; one that is not whole as FHIR does."""
        match = _DATE.fullmatch(written)
        return f"{match[3]}.{match[2]}.{match[1]}" if match and self.language != "en" else written

    def minutes(self, seconds: float) -> str:
        count = max(1, -(-int(seconds) // 60))
        return self.plain("minute") if count == 1 else self.plain("minutes", count=count)

    def together(self, parts: list[str]) -> str:
        """a, b and c"""
        *first, last = parts
        return f"{', '.join(first)} {self._texts['and']} {last}" if first else last


def _part(content: str | int) -> Html:
    """Names of others are set apart: their letters must not change the direction of the sentence."""
    return content if isinstance(content, Html) else element("bdi", str(content))


def choose(*wishes: str | None, accept: str = "") -> str:
    """The first wish that is one of our languages, else what the browser asks for, else Bokmål."""
    for wish in wishes:
        for tag in (wish or "").split():  # ui_locales is a list with spaces between
            language = _NEAREST.get(tag.partition("-")[0].lower())
            if language:
                return language
    return _accepted(accept)


def _accepted(header: str) -> str:
    ranked: list[tuple[float, int, str]] = []
    for number, part in enumerate(header.split(",")[:20]):
        match = _RANGE.fullmatch(part)
        language = _NEAREST.get(match[1].lower()) if match else None
        if match and language:
            ranked.append((-_weight(match[2]), number, language))
    best = min(ranked, default=None)
    return best[2] if best and best[0] < 0 else "nb"


def _weight(written: str | None) -> float:
    try:
        return float(written) if written else 1.0
    except ValueError:
        return 0.0
