"""Languages as they are asked for (displayLanguage, Accept-Language), and which of several texts they mean.

https://www.rfc-editor.org/rfc/rfc4647, https://hl7.org/fhir/R4/languages.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAG = re.compile(r"\*|[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_ITEM = re.compile(r"\s*([^;\s]+)\s*(?:;\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*)?")
# Readers of one of Norway's written languages read the other, and would rather than English.
_NEAR: dict[str, tuple[str, ...]] = {
    "nb": ("nb", "no", "nn", "en"),
    "nn": ("nn", "no", "nb", "en"),
    "no": ("no", "nb", "nn", "en"),
}


@dataclass(frozen=True, slots=True)
class Languages:
    """The languages asked for, the best first. `text` is what was said, `hard`: nothing else will do."""

    tags: tuple[str, ...]
    text: str
    hard: bool = False

    @property
    def named(self) -> tuple[str, ...]:
        """Without `*`."""
        return tuple(tag for tag in self.tags if tag != "*")

    @property
    def near(self) -> tuple[str, ...]:
        """With what readers of them would rather have than nothing: nb, then nn, then English, and back."""
        tags: list[str] = []
        for tag in self.named:
            tags += [tag, *(() if self.hard else _NEAR.get(primary(tag), ()))]
        return tuple(dict.fromkeys(tags))


def parse(text: str) -> Languages:
    """`nb, nn;q=0.8, *;q=0`. ValueError where it is no list of language tags."""
    found: list[tuple[float, int, str]] = []
    hard = False
    for place, item in enumerate(text.split(",")):
        match = _ITEM.fullmatch(item)
        if match is None or not _TAG.fullmatch(match[1]):
            raise ValueError(text)
        quality = float(match[2]) if match[2] else 1.0
        if quality > 0:
            found.append((-quality, place, match[1]))
        elif match[1] == "*":
            hard = True
    tags = tuple(tag for _, _, tag in sorted(found))
    return Languages(tags, ", ".join(part.strip() for part in text.split(",")) if hard else text, hard)


def primary(tag: str) -> str:
    """The language without script and region."""
    return tag.partition("-")[0].lower()


def speaks(wanted: str, tag: str) -> bool:
    """Whether a text in `tag` is in the language wanted; regions do not matter, and `no` is nb or nn."""
    pair = {primary(wanted), primary(tag)}
    return len(pair) == 1 or ("no" in pair and pair <= {"no", "nb", "nn"})


def closeness(wanted: str, tag: str) -> int:
    """0 for the very tag, more the further away (for what `speaks`)."""
    wanted, tag = wanted.lower(), tag.lower()
    return (
        0
        if wanted == tag
        else 1
        if tag.startswith(f"{wanted}-")
        else 2
        if wanted.startswith(f"{tag}-")
        else 3
    )
