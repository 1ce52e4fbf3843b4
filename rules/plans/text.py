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
    """A number as each language writes it: at most four decimals, no trailing zeros that were computed.

    From 10^15 on, which nobody measures at home, it is written with an exponent: nobody counts digits.
    """
    if value.adjusted() >= 15:
        plain = f"{value:.4E}"
    else:
        plain = f"{value:.4f}"
        exponent = value.as_tuple().exponent
        plain = plain.rstrip("0").rstrip(".") if exponent < -4 else f"{value:f}"  # type: ignore[operator]
    return Text(plain.replace(".", ",").replace("-", "−"), plain.replace("-", "−"))


def quantity(value: Decimal, unit: str) -> Text:
    """A number and its unit; annotations such as {score} are for machines and left out."""
    shown = "" if unit in ("1", "") or unit.startswith("{") else " " + _SPOKEN_UNITS.get(unit, unit)
    written = number(value)
    return Text(written.nb + shown, written.en + shown)


_SPOKEN_UNITS = {"mm[Hg]": "mmHg", "Cel": "°C", "[degF]": "°F", "[lb_av]": "lb", "{beats}/min": "/min"}

ZONES = {"yellow": Text("gul", "yellow"), "red": Text("rød", "red")}
