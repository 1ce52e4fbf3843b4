"""What a search finds, by the words of https://hl7.org/fhir/R4/search.html: plain, slow, over resources as they are.

Knows a few parameters of three types, each by hand; shares no code with the server. Times are compared as
datetimes, numbers as fractions, units by a table of their own.
"""

from __future__ import annotations

import calendar
import re
import unicodedata
from datetime import UTC, datetime, timedelta
from fractions import Fraction

EVER, NEVER = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
GRAMS = {"kg": Fraction(1000), "g": Fraction(1), "mg": Fraction(1, 1000), "[lb_av]": Fraction("453.59237")}
UCUM = "http://unitsofmeasure.org"


# -- values ----------------------------------------------------------------------------------------


def span(text):
    """[from, to) that a date of its precision covers; without a zone it is in UTC."""
    date, _, time = text.partition("T")
    parts = [int(part) for part in date.split("-")]
    if not time:
        low = datetime(*[*parts, 1, 1][:3], tzinfo=UTC)
        if len(parts) == 1:
            days = 366 if calendar.isleap(parts[0]) else 365
        else:
            days = 1 if len(parts) == 3 else calendar.monthrange(*parts)[1]
        return low, low + timedelta(days=days)
    clock, sign, offset = re.fullmatch(r"([0-9:.]+)(?:Z|([+-])([0-9:]+))?", time).groups()
    hours, minutes, *seconds = clock.split(":")
    low = datetime(*parts, int(hours), int(minutes), tzinfo=UTC)
    width = timedelta(minutes=1)
    if seconds:
        whole, _, fraction = seconds[0].partition(".")
        low += timedelta(seconds=int(whole))
        width = timedelta(seconds=1)
        if fraction:
            low += timedelta(microseconds=int(fraction.ljust(6, "0")))
            width = timedelta(microseconds=10 ** (6 - len(fraction)))
    if sign:
        h, m = map(int, offset.split(":"))
        low -= (1 if sign == "+" else -1) * timedelta(hours=h, minutes=m)
    return low, low + width


def period(value):
    start = span(value["start"])[0] if "start" in value else NEVER
    end = span(value["end"])[1] if "end" in value else EVER
    return start, end


def fold(text):
    text = unicodedata.normalize("NFKD", text.replace("'", "")).casefold()
    text = "".join(char for char in text if not unicodedata.combining(char))
    return " ".join(re.sub(r"[\W_]+", " ", text).split())


# -- parameters ------------------------------------------------------------------------------------


def names(resource, *parts):
    found = []
    for name in resource.get("name", ()):
        for part in parts:
            value = name.get(part, ())
            found += [value] if isinstance(value, str) else value
    return found


def codings(concept):
    return [(each.get("system", ""), each.get("code", "")) for each in concept.get("coding", ())]


def components(resource):
    return resource.get("component", ())


def references(*values):
    return [value["reference"] for value in values if value]


def dates(resource):
    if "effectiveDateTime" in resource:
        return [span(resource["effectiveDateTime"])]
    return [period(resource["effectivePeriod"])] if "effectivePeriod" in resource else []


PARAMETERS = {
    "Patient": {
        "name": ("string", lambda r: names(r, "text", "family", "given", "prefix", "suffix")),
        "family": ("string", lambda r: names(r, "family")),
        "birthdate": ("date", lambda r: [span(r["birthDate"])] if "birthDate" in r else []),
        "gender": ("token", lambda r: [("", r["gender"])] if "gender" in r else []),
        "active": ("token", lambda r: [("", str(r["active"]).lower())] if "active" in r else []),
        "identifier": (
            "token",
            lambda r: [(i.get("system", ""), i["value"]) for i in r.get("identifier", ())],
        ),
        "organization": ("reference", lambda r: references(r.get("managingOrganization"))),
    },
    "Organization": {
        "name": ("string", lambda r: [r["name"]] if "name" in r else []),
        "partof": ("reference", lambda r: references(r.get("partOf"))),
    },
    "Observation": {
        "status": ("token", lambda r: [("", r["status"])]),
        "code": ("token", lambda r: codings(r["code"])),
        "date": ("date", dates),
        "value-quantity": ("quantity", lambda r: [r["valueQuantity"]] if "valueQuantity" in r else []),
        "subject": ("reference", lambda r: references(r.get("subject"))),
        "patient": (
            "reference",
            lambda r: [each for each in references(r.get("subject")) if each.startswith("Patient/")],
        ),
        "performer": ("reference", lambda r: references(*r.get("performer", ()))),
        "has-member": ("reference", lambda r: references(*r.get("hasMember", ()))),
        "component-code": ("token", lambda r: [c for part in components(r) for c in codings(part["code"])]),
        "component-value-quantity": (
            "quantity",
            lambda r: [part["valueQuantity"] for part in components(r) if "valueQuantity" in part],
        ),
        "combo-code": (
            "token",
            lambda r: codings(r["code"]) + [c for part in components(r) for c in codings(part["code"])],
        ),
    },
}
TARGETS = {
    "organization": ("Organization",),
    "partof": ("Organization",),
    "subject": ("Patient", "Group", "Device", "Location"),
    "patient": ("Patient",),
    "performer": ("Patient", "Organization", "Practitioner", "PractitionerRole", "CareTeam", "RelatedPerson"),
    "has-member": ("Observation", "QuestionnaireResponse", "MolecularSequence"),
}
IMPLIED = {
    "gender": "http://hl7.org/fhir/administrative-gender",
    "status": "http://hl7.org/fhir/observation-status",
    "active": "http://hl7.org/fhir/special-values",
}


# -- matching --------------------------------------------------------------------------------------


def lies(prefix, value, low, high):
    """Whether the range of a resource lies to the range of a search value as the table of prefixes says."""
    start, end = value
    return {
        "eq": low <= start and end <= high,
        "ne": not (low <= start and end <= high),
        "gt": end > high,
        "lt": start < low,
        "ge": end > high or (low <= start and end <= high),
        "le": start < low or (low <= start and end <= high),
        "sa": start >= high,
        "eb": end <= low,
    }[prefix]


def split_prefix(text):
    return (
        (text[:2], text[2:]) if text[:2] in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb") else ("eq", text)
    )


def date_matches(value, text):
    prefix, rest = split_prefix(text)
    low, high = span(rest)
    if prefix == "ge":  # reaches above the range, or is not before it
        return value[1] > high or value[0] >= low
    if prefix == "le":
        return value[0] < low or value[1] <= high
    return lies(prefix, value, low, high)


def number_matches(low, high, text, factor=Fraction(1)):
    """Ranges are closed below; eq and ne take the range that the digits imply, the others the number."""
    prefix, rest = split_prefix(text)
    number, digits = Fraction(rest), len(rest.partition(".")[2])
    half = Fraction(1, 2) / 10**digits
    within = (number - half) * factor <= low and high < (number + half) * factor
    number *= factor
    return {
        "eq": within,
        "ne": not within,
        "gt": high > number,
        "lt": low < number,
        "ge": high >= number,
        "le": low <= number,
        "sa": low > number,
        "eb": high < number,
    }[prefix]


def quantity_matches(value, text):
    number, *unit = text.split("|")
    low = high = Fraction(str(value["value"]))
    if value.get("comparator") in (">", ">="):
        high = Fraction(10) ** 300
    if value.get("comparator") in ("<", "<="):
        low = -(Fraction(10) ** 300)
    if not unit:
        return number_matches(low, high, number)
    system, code = unit
    if not system:
        return code in (value.get("code"), value.get("unit")) and number_matches(low, high, number)
    if system == UCUM and code in GRAMS:
        if value.get("system") != UCUM or value.get("code") not in GRAMS:
            return False
        own = GRAMS[value["code"]]
        return number_matches(low * own, high * own, number, GRAMS[code])
    return (value.get("system"), value.get("code")) == (system, code) and number_matches(low, high, number)


def token_matches(code, value, text):
    system, bar, plain = text.rpartition("|")
    if not bar:
        return value[1] == text
    if code in IMPLIED and system:
        return (system, plain) in ((IMPLIED[code], value[1]), (IMPLIED[code], ""))
    return value[0] == system and plain in ("", value[1])


def reference_matches(code, value, text, modifier):
    if modifier:
        text = f"{modifier}/{text}"
    if "/" in text:
        return value == text
    return value.partition("/")[2] == text and value.partition("/")[0] in TARGETS[code]


def plain(type, code, modifier, text, resource):
    kind, values_of = PARAMETERS[type][code]
    values = values_of(resource)
    if modifier == "missing":
        return (not values) == (text == "true")
    if modifier == "not":
        return not plain(type, code, "", text, resource)
    texts = text.split(",")
    if kind == "string":
        test = {
            "exact": lambda value, one: value == one,
            "contains": lambda value, one: fold(one) in fold(value),
            "": lambda value, one: fold(value).startswith(fold(one)),
        }[modifier]
        return any(test(value, one) for value in values for one in texts)
    if kind == "token":
        return any(token_matches(code, value, one) for value in values for one in texts)
    if kind == "date":
        return any(date_matches(value, one) for value in values for one in texts)
    if kind == "quantity":
        return any(quantity_matches(value, one) for value in values for one in texts)
    return any(reference_matches(code, value, one, modifier) for value in values for one in texts)


def composite(code, text, resource):
    """component-code-value-quantity within one component, code-value-quantity of the resource itself."""
    elements = components(resource) if code.startswith("component") else [resource]
    return any(
        any(token_matches("code", value, one.partition("$")[0]) for value in codings(element["code"]))
        and "valueQuantity" in element
        and quantity_matches(element["valueQuantity"], one.partition("$")[2])
        for element in elements
        for one in text.split(",")
    )


def matches(resource, name, text, everything):
    """Whether one filter holds for a resource; `everything` is {"Patient/1": resource}."""
    type = resource["resourceType"]
    if name.startswith("_has:"):
        _, source, code, rest = name.split(":", 3)
        here = f"{type}/{resource['id']}"
        return any(
            here in PARAMETERS[source][code][1](other) and matches(other, rest, text, everything)
            for other in everything.values()
            if other["resourceType"] == source
        )
    head, dot, rest = name.partition(".")
    code, _, modifier = head.partition(":")
    if dot:
        targets = [each for each in PARAMETERS[type][code][1](resource) if each in everything]
        allowed = (modifier,) if modifier else TARGETS[code]
        return any(
            matches(everything[each], rest, text, everything)
            for each in targets
            if each.partition("/")[0] in allowed and knows(each.partition("/")[0], rest)
        )
    if code == "_id":
        return resource["id"] in text.split(",")
    if code.endswith("code-value-quantity"):
        return composite(code, text, resource)
    return plain(type, code, modifier, text, resource)


def knows(type, name):
    code = name.partition(".")[0].partition(":")[0]
    if type == "Observation" and code.endswith("code-value-quantity"):
        return True
    return code in ("_has", "_id") or code in PARAMETERS.get(type, {})


def search(type, filters, resources):
    """The resources of a type for which all filters hold."""
    everything = {f"{each['resourceType']}/{each['id']}": each for each in resources}
    found = [each for each in resources if each["resourceType"] == type]
    return [each for each in found if all(matches(each, *one, everything) for one in filters)]


def ordered(type, resources, key):
    """By the least value of a parameter, whichever way; those without one last."""
    code, down = key.removeprefix("-"), key.startswith("-")

    def value(resource):
        kind, values_of = PARAMETERS[type][code]
        values = values_of(resource)
        if kind == "date":
            return min((start for start, _ in values), default=None)
        return min((fold(each) for each in values), default=None) if kind == "string" else None

    present = sorted((each for each in resources if value(each) is not None), key=value, reverse=down)
    return [value(each) for each in present] + [None] * (len(resources) - len(present))
