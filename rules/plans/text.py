"""Sentences in Norwegian and English, built side by side so that neither can be forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Text:
    """One sentence in Norwegian (bokmål) and in English."""

    nb: str
    en: str

    def __add__(self, other: Text) -> Text:
        return Text(f"{self.nb} {other.nb}", f"{self.en} {other.en}")


def number(value: Decimal) -> Text:
    """A number as each language writes it: at most four decimals, no trailing zeros that were computed."""
    rounded = round(value, 4) if -(value.as_tuple().exponent if value.is_finite() else 0) > 4 else value  # type: ignore[operator]
    plain = f"{rounded:f}"
    if rounded is not value and "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return Text(plain.replace(".", ",").replace("-", "−"), plain.replace("-", "−"))


def quantity(value: Decimal, unit: str) -> Text:
    """A number and its unit; annotations such as {score} are for machines and left out."""
    shown = "" if unit in ("1", "") or unit.startswith("{") else " " + _SPOKEN_UNITS.get(unit, unit)
    written = number(value)
    return Text(written.nb + shown, written.en + shown)


_SPOKEN_UNITS = {"mm[Hg]": "mmHg", "Cel": "°C", "[degF]": "°F", "[lb_av]": "lb", "{beats}/min": "/min"}

ZONES = {"yellow": Text("gul", "yellow"), "red": Text("rød", "red")}
