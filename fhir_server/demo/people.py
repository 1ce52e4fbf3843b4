"""The people and the services of the demo: invented, deterministic by seed, and nobody's real identity."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

NATIONAL_IDENTITY_NUMBER = "urn:oid:2.16.578.1.12.4.1.4.1"
ORGANISATION_NUMBER = "urn:oid:2.16.578.1.12.4.1.4.101"

FEMALE = (  # noqa: SIM905 - a column of names reads better than a list of quotes
    "Anne Inger Kari Marit Ingrid Liv Berit Astrid Solveig Randi Bjørg Gerd Ellen Marianne Turid Hilde "
    "Eva Nina Wenche Grethe Synnøve Åse Sunniva Ragnhild Borghild Máret Aud Torill Kirsten Sigrid"
).split()
MALE = (  # noqa: SIM905 - a column of names reads better than a list of quotes
    "Jan Per Bjørn Ole Lars Kjell Knut Arne Svein Thomas Hans Geir Tor Terje Odd Harald Leif Einar Rolf "
    "Sverre Trygve Øystein Åsmund Magne Halvor Ánte Sigurd Torbjørn Olav Gunnar"
).split()
FAMILY = (  # noqa: SIM905 - a column of names reads better than a list of quotes
    "Hansen Johansen Olsen Larsen Andersen Pedersen Nilsen Kristiansen Jensen Karlsen Berg Haugen Hagen "
    "Bakken Solberg Lie Moen Dahl Strand Myhre Eide Lund Bøe Sæther Tveit Nygård Aas Øvrebø Ruud Fossum "
    "Hætta Eira Brekke Skogen Vik Håland Rønning Kvamme Sandvik Tangen"
).split()

PROGRAMMES = ("copd", "heart-failure", "diabetes")
MUNICIPALITIES = ("Fjordvik", "Storlia", "Varvik")  # not to be found on any map
# What a patient reads best, most wanted first; Bokmål is what everybody's plan is written in.
LANGUAGES: tuple[tuple[tuple[str, ...], int], ...] = (
    (("nb",), 70),
    (("nn",), 14),
    (("se", "nb"), 6),
    (("en",), 10),
)


@dataclass(frozen=True, slots=True)
class Person:
    """One synthetic patient; `seed` is for whatever else is drawn for this person."""

    index: int
    seed: str
    programme: str
    municipality: str
    female: bool
    given: str
    family: str
    born: date
    number: str
    languages: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}"


def check_digits(digits: str) -> str | None:
    """The two mod-11 control digits after nine digits of an identity number; None where one would be 10."""
    first = -_weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2)) % 11
    second = -(_weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3)) + 2 * first) % 11
    return None if 10 in (first, second) else f"{first}{second}"


def national_identity_number(born: date, female: bool, serial: int) -> str | None:
    """A synthetic fødselsnummer: 80 is added to the month, which no number of a living person has.

    That is the convention of the Norwegian population register's test data (Tenor, Test-Norge). `serial` is
    0..249 for somebody born in the 1900s; about one serial in six has no valid control digits: None.
    """
    digits = f"{born.day:02}{born.month + 80:02}{born.year % 100:02}{2 * serial + (not female):03}"
    control = check_digits(digits)
    return control and digits + control


def organisation_number(serial: int) -> str:
    """The first valid organisation number from 310000000 + 10 * serial; real ones begin with 8 or 9."""
    while True:
        digits = f"31{serial:06}"
        control = -_weighted(digits, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
        if control != 10:
            return f"{digits}{control}"
        serial += 1


def _weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=True))


def people(count: int, seed: int) -> list[Person]:
    """`count` people, taking turns between the programmes; the first ones stay the same if there are more."""
    taken: set[str] = set()
    return [_person(index, f"{seed}/{index}", taken) for index in range(count)]


def _person(index: int, seed: str, taken: set[str]) -> Person:
    draw = random.Random(seed)  # noqa: S311 - synthetic people, not secrets
    female = draw.random() < 0.5
    born = date(1932, 1, 1) + timedelta(days=draw.randrange(46 * 365))
    return Person(
        index=index,
        seed=seed,
        programme=PROGRAMMES[index % len(PROGRAMMES)],
        municipality=MUNICIPALITIES[index // len(PROGRAMMES) % len(MUNICIPALITIES)],
        female=female,
        given=draw.choice(FEMALE if female else MALE),
        family=draw.choice(FAMILY),
        born=born,
        number=_unused_number(born, female, draw, taken),
        languages=draw.choices([spoken for spoken, _ in LANGUAGES], [weight for _, weight in LANGUAGES])[0],
    )


def _unused_number(born: date, female: bool, draw: random.Random, taken: set[str]) -> str:
    while True:
        number = national_identity_number(born, female, draw.randrange(250))
        if number and number not in taken:
            taken.add(number)
            return number


def patient(person: Person) -> dict[str, Any]:
    """The Patient resource."""
    slug = person.municipality.lower()
    return {
        "resourceType": "Patient",
        "identifier": [{"use": "official", "system": NATIONAL_IDENTITY_NUMBER, "value": person.number}],
        "active": True,
        "name": [{"use": "official", "family": person.family, "given": [person.given]}],
        "gender": "female" if person.female else "male",
        "birthDate": person.born.isoformat(),
        "address": [{"use": "home", "city": person.municipality, "country": "NO"}],
        "communication": [
            {
                "language": {"coding": [{"system": "urn:ietf:bcp:47", "code": language}]},
                "preferred": rank == 0,
            }
            for rank, language in enumerate(person.languages)
        ],
        "generalPractitioner": [{"reference": f"Practitioner/{slug}-fastlege-{person.index % 2 + 1}"}],
        "managingOrganization": {"reference": f"Organization/{slug}-oppfolging"},
    }


def care_team(municipality: str) -> str:
    """The reference to the team that follows up the patients of a municipality."""
    return f"CareTeam/{municipality.lower()}-oppfolging"


def service_resources() -> list[dict[str, Any]]:
    """Organizations, Practitioners and CareTeams of all municipalities, with ids of their own."""
    return [
        resource
        for serial, municipality in enumerate(MUNICIPALITIES)
        for resource in _municipality_resources(municipality, serial)
    ]


def _municipality_resources(municipality: str, serial: int) -> list[dict[str, Any]]:
    slug = municipality.lower()
    draw = random.Random(f"service/{slug}")  # noqa: S311
    organization = {
        "resourceType": "Organization",
        "id": f"{slug}-oppfolging",
        "identifier": [{"system": ORGANISATION_NUMBER, "value": organisation_number(10 * serial)}],
        "active": True,
        "name": f"{municipality} kommune, digital hjemmeoppfølging",
    }
    staff = [_practitioner(f"{slug}-{role}-{n}", draw) for role in ("fastlege", "sykepleier") for n in (1, 2)]
    team = {
        "resourceType": "CareTeam",
        "id": f"{slug}-oppfolging",
        "status": "active",
        "name": f"Oppfølgingstjenesten i {municipality}",
        "managingOrganization": [{"reference": f"Organization/{slug}-oppfolging"}],
        "participant": [{"member": {"reference": f"Practitioner/{one['id']}"}} for one in staff[2:]],
    }
    return [organization, *staff, team]


def _practitioner(identity: str, draw: random.Random) -> dict[str, Any]:
    female = draw.random() < 0.5
    return {
        "resourceType": "Practitioner",
        "id": identity,
        "active": True,
        "name": [{"family": draw.choice(FAMILY), "given": [draw.choice(FEMALE if female else MALE)]}],
        "gender": "female" if female else "male",
    }
