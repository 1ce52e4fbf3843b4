"""Filters of a search as a client meets them, on both stores: https://hl7.org/fhir/R4/search.html"""

from __future__ import annotations

from urllib.parse import quote

import pytest

LOINC, UCUM = "http://loinc.org", "http://unitsofmeasure.org"
HCS = "https://example.org/hue"


def quantity(value, code, **more):
    return {"value": value, "unit": code, "system": UCUM, "code": code, **more}


def reading(id, code, display, patient, **more):
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code, "display": display}]},
        "subject": {"reference": f"Patient/{patient}"},
        **more,
    }


def pressure(id, patient, systolic, diastolic):
    components = [
        {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": quantity(value, "mm[Hg]")}
        for code, value in (("8480-6", systolic), ("8462-4", diastolic))
    ]
    return reading(id, "85354-9", "Blood pressure panel", patient, component=components)


COLOURS = {
    "resourceType": "CodeSystem",
    "id": "hue",
    "url": HCS,
    "status": "active",
    "content": "complete",
    "concept": [
        {"code": "warm", "concept": [{"code": "red", "concept": [{"code": "crimson"}]}, {"code": "orange"}]},
        {"code": "cold", "concept": [{"code": "blue"}]},
    ],
}
WARM = {
    "resourceType": "ValueSet",
    "id": "warm",
    "url": "https://example.org/warm",
    "status": "active",
    "compose": {
        "include": [
            {"system": HCS, "filter": [{"property": "concept", "op": "descendent-of", "value": "warm"}]}
        ],
        "exclude": [{"system": HCS, "concept": [{"code": "crimson"}]}],
    },
}
LISTED = {
    "resourceType": "ValueSet",
    "id": "listed",
    "url": "https://example.org/listed",
    "status": "active",
    "expansion": {"timestamp": "2026-01-01", "contains": [{"system": HCS, "code": "blue"}]},
}
BOTH = {
    "resourceType": "ValueSet",
    "id": "both",
    "url": "https://example.org/both",
    "status": "active",
    "compose": {
        "include": [{"valueSet": ["https://example.org/warm"]}, {"valueSet": ["https://example.org/listed"]}]
    },
}
ROUND = {
    "resourceType": "ValueSet",
    "id": "round",
    "url": "https://example.org/round",
    "status": "active",
    "compose": {"include": [{"valueSet": ["https://example.org/round"]}]},
}


def place(id, latitude, longitude, part_of=None):
    made = {"resourceType": "Location", "id": id, "position": {"latitude": latitude, "longitude": longitude}}
    return made | ({"partOf": {"reference": f"Location/{part_of}"}} if part_of else {})


def condition(id, colour, patient="ada"):
    return {
        "resourceType": "Condition",
        "id": id,
        "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": HCS, "code": colour}], "text": f"A {colour} sort of thing"},
    }


RESOURCES = [
    {"resourceType": "Organization", "id": "bergen", "name": "Haukeland", "partOf": {"reference": "Organization/west"}},
    {"resourceType": "Organization", "id": "west", "name": "Helse Vest"},
    {
        "resourceType": "Patient",
        "id": "ada",
        "gender": "female",
        "name": [{"family": "Lovelace", "given": ["Ada"]}],
        "managingOrganization": {"reference": "Organization/bergen"},
        "identifier": [
            {
                "type": {"coding": [{"system": "urn:types", "code": "MR"}], "text": "Record number"},
                "system": "urn:a",
                "value": "1|2",
            }
        ],
        "text": {"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\"><b>Grønn</b> hund</div>"},
    },
    {"resourceType": "Patient", "id": "bob", "gender": "male", "name": [{"family": "O'Brien, Jr"}]},
    pressure("bp1", "ada", 150, 80),
    pressure("bp2", "bob", 120, 95),
    reading("w1", "29463-7", "Body weight", "ada", valueQuantity=quantity(91.5, "kg")),
    reading("w2", "29463-7", "Body weight", "bob", valueQuantity=quantity(200, "[lb_av]")),
    reading("w3", "29463-7", "Body weight", "bob", valueQuantity=quantity(90, "kg", comparator=">")),
    reading("w4", "29463-7", "Body weight", "bob", valueQuantity={"value": 95, "unit": "kg"}),
    reading("t1", "8310-5", "Body temperature", "bob", valueQuantity=quantity(98.6, "[degF]")),
    condition("c1", "red"),
    condition("c2", "crimson"),
    condition("c3", "blue", "bob"),
    {"resourceType": "Condition", "id": "c4", "subject": {"reference": "Patient/bob"}, "code": {"text": "none"}},
    place("oslo", 59.9139, 10.7522),
    place("drammen", 59.7439, 10.2045, "oslo"),
    place("bergen", 60.3913, 5.3221),
    place("suva", -18.1416, 178.4419),
    place("apia", -13.8333, -171.7667, "drammen"),
    {"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "HH"},
     "subject": {"reference": "Patient/ada"}, "location": [{"location": {"reference": "Location/drammen"}}]},
    {"resourceType": "Encounter", "id": "e2", "status": "finished", "class": {"code": "HH"},
     "subject": {"reference": "Patient/bob"}, "location": [{"location": {"reference": "Location/oslo"}}]},
    {"resourceType": "List", "id": "l1", "status": "current", "mode": "working",
     "entry": [{"item": {"reference": "Patient/bob"}}, {"item": {"reference": "Observation/w1"}}]},
    {"resourceType": "DocumentReference", "id": "d1", "status": "current", "content": [{"attachment": {"title": "a"}}],
     "relatesTo": [{"code": "replaces", "target": {"reference": "DocumentReference/x"}},
                   {"code": "signs", "target": {"reference": "DocumentReference/y"}}]},
    {"resourceType": "MolecularSequence", "id": "m1", "coordinateSystem": 0,
     "referenceSeq": {"chromosome": {"coding": [{"code": "7"}]}, "genomeBuild": "GRCh38",
                      "windowStart": 10, "windowEnd": 90},
     "variant": [{"start": 1, "end": 5}, {"start": 10, "end": 50}]},
    COLOURS, WARM, LISTED, BOTH, ROUND,
]  # fmt: skip


@pytest.fixture
def filled(fhir):
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in RESOURCES
    ]
    answer = fhir.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert {entry["response"]["status"] for entry in answer.json()["entry"]} == {"201 Created"}, answer.text
    return fhir


def found(fhir, query):
    type, _, text = query.partition("?")
    pairs = "&".join(
        "=".join(quote(side, safe="$|,:\\") for side in pair.partition("=")[::2]) for pair in text.split("&")
    )
    answer = fhir.get(f"/{type}?{pairs}", prefer="handling=strict")
    assert answer.status_code == 200, (query, answer.text)
    ids = {entry["resource"]["id"] for entry in answer.json().get("entry", ())}
    assert answer.json()["total"] == len(ids)
    return ids


UCUM_KG = f"{UCUM}|kg"
FOUND = {
    # quantities in any unit of the same dimension, https://hl7.org/fhir/R4/search.html#quantity
    f"Observation?value-quantity=gt90|{UCUM_KG}": {"w1", "w2", "w3"},
    f"Observation?value-quantity=91.5|{UCUM_KG}": {"w1"},
    f"Observation?value-quantity=91500|{UCUM}|g": {"w1"},
    f"Observation?value-quantity=201.7|{UCUM}|[lb_av]": {"w1"},
    f"Observation?value-quantity=202|{UCUM}|[lb_av]": {"w1"},
    f"Observation?value-quantity=91|{UCUM_KG}": {"w2"},
    f"Observation?value-quantity=37|{UCUM}|Cel": {"t1"},
    f"Observation?value-quantity=37.5|{UCUM}|Cel": set(),
    f"Observation?value-quantity=gt200|{UCUM_KG}": {"w3"},
    f"Observation?value-quantity=lt91|{UCUM_KG}": {"w2", "w3"},
    "Observation?value-quantity=gt94||kg": {"w3", "w4"},
    "Observation?value-quantity=95": {"w4"},
    f"Observation?combo-value-quantity=ge20|{UCUM}|kPa": set(),
    f"Observation?combo-value-quantity=ge19|{UCUM}|kPa": {"bp1"},
    # composites: the parts within one element
    "Observation?component-code-value-quantity=8480-6$gt140": {"bp1"},
    "Observation?component-code-value-quantity=8480-6$95": set(),
    f"Observation?component-code-value-quantity={LOINC}|8462-4$gt90|{UCUM}|mm[Hg]": {"bp2"},
    f"Observation?component-code-value-quantity={LOINC}|8462-4$gt12|{UCUM}|kPa": {"bp2"},
    "Observation?component-code-value-quantity=8480-6$gt140,8462-4$gt90": {"bp1", "bp2"},
    f"Observation?code-value-quantity={LOINC}|29463-7$gt91|{UCUM_KG}": {"w1", "w3"},
    f"Observation?combo-code-value-quantity=29463-7$91.5|{UCUM_KG}": {"w1"},
    "Observation?combo-code-value-quantity=8480-6$150": {"bp1"},
    "Observation?combo-code-value-quantity=85354-9$150": set(),
    "DocumentReference?relationship=replaces$DocumentReference/x": {"d1"},
    "DocumentReference?relationship=signs$DocumentReference/x": set(),
    "MolecularSequence?chromosome-variant-coordinate=7$ge10$le50": {"m1"},
    "MolecularSequence?chromosome-variant-coordinate=7$le5$ge50": set(),
    "MolecularSequence?chromosome-variant-coordinate=8$ge10$le50": set(),
    "MolecularSequence?chromosome-window-coordinate=7$10$90": {"m1"},
    # modifiers of tokens
    "Observation?code:text=body": {"w1", "w2", "w3", "w4", "t1"},
    "Observation?code:text=weight": set(),
    "Observation?combo-code:text=Blood press": {"bp1", "bp2"},
    "Condition?code:text=a red": {"c1"},
    "Patient?identifier:text=record": {"ada"},
    "Patient?identifier:of-type=urn:types|MR|1\\|2": {"ada"},
    "Patient?identifier:of-type=urn:types|MR|1": set(),
    "Patient?identifier=urn:a|1\\|2": {"ada"},
    "Condition?code:in=https://example.org/warm": {"c1"},
    "Condition?code:in=ValueSet/listed": {"c3"},
    "Condition?code:in=https://example.org/both": {"c1", "c3"},
    "Condition?code:not-in=https://example.org/both": {"c2", "c4"},
    f"Condition?code:below={HCS}|warm": {"c1", "c2"},
    f"Condition?code:below={HCS}|red": {"c1", "c2"},
    f"Condition?code:above={HCS}|crimson": {"c1", "c2"},
    "Condition?code:not=red,blue": {"c2", "c4"},
    "Condition?code:missing=true": set(),
    # hierarchies of resources
    "Encounter?location:below=Location/oslo": {"e1", "e2"},
    "Encounter?location:below=drammen": {"e1"},
    "Encounter?location:above=Location/apia": {"e1", "e2"},
    "Encounter?location:above=Location/oslo": {"e2"},
    # chains, https://hl7.org/fhir/R4/search.html#chaining
    "Observation?subject:Patient.name=ada": {"bp1", "w1"},
    "Observation?subject.name=ada": {"bp1", "w1"},
    "Observation?patient.name:exact=Ada&code=29463-7": {"w1"},
    "Observation?subject:Patient.organization.name=hauke": {"bp1", "w1"},
    "Observation?subject:Patient.organization.partof.name=helse": {"bp1", "w1"},
    "Observation?subject:Patient.organization:missing=true": {"bp2", "w2", "w3", "w4", "t1"},
    "Observation?subject:Patient.gender=male&component-code-value-quantity=8462-4$gt90": {"bp2"},
    "Observation?subject:Patient.name=nobody": set(),
    "Observation?subject:Group.code=a": set(),
    "Patient?_has:Observation:patient:code=8310-5": {"bob"},
    "Patient?_has:Observation:patient:component-code-value-quantity=8480-6$gt140": {"ada"},
    "Patient?_has:Condition:patient:code:below=https://example.org/hue|cold": {"bob"},
    "Organization?_has:Patient:organization:_has:Condition:patient:code=crimson": {"bergen"},
    "Organization?_has:Patient:organization:name=ada&name=hauk": {"bergen"},
    "Encounter?subject:Patient._has:Observation:patient:code=8310-5": {"e2"},
    "Observation?subject:Patient._has:Condition:patient:code=crimson&code=29463-7": {"w1"},
    "Patient?_has:Observation:patient:subject:Patient.name=lovelace": {"ada"},
    "Patient?_list=l1": {"bob"},
    "Observation?_list=l1": {"w1"},
    "Patient?name=O'Brien\\, Jr": {"bob"},
    # text
    "Patient?_text=gronn": set(),
    "Patient?_text=Grønn": {"ada"},
    "Patient?_text=hund grø": {"ada"},
    "Patient?_text=katt": set(),
    "Patient?_content=lovelace": {"ada"},
    "Condition?_content=sort thing red": {"c1"},
    # the language of _filter, https://hl7.org/fhir/R4/search_filter.html
    "Patient?_filter=name eq ada": {"ada"},
    'Patient?_filter=name eq "lovelace" or gender eq male': {"ada", "bob"},
    'Patient?_filter=(name co "love" or name sw "o\'br") and not (gender eq female)': {"bob"},
    "Patient?_filter=organization pr false": {"bob"},
    "Patient?_filter=organization.name sw hauke": {"ada"},
    "Patient?_filter=organization[name sw hauke].partof.name co vest": {"ada"},
    "Patient?_filter=organization[name sw other].name sw hauke": set(),
    "Patient?_filter=organization re Organization/bergen": {"ada"},
    f"Observation?_filter=code eq {LOINC}|29463-7 and value-quantity gt 94": {"w2", "w3", "w4"},
    "Observation?_filter=subject.name eq ada and not (code eq 29463-7)": {"bp1"},
    "Observation?_filter=patient.name eq ada and status ne final or code eq 8310-5": {"t1"},
    f"Condition?_filter=code sb {HCS}|red": {"c1", "c2"},
    "Condition?_filter=code in https://example.org/warm": {"c1"},
    "Encounter?_filter=date po 2026 or subject eq Patient/ada": {"e1"},
    # places
    "Location?near=59.9|10.7|60|km": {"oslo", "drammen"},
    "Location?near=59.9|10.7|25": {"oslo"},
    "Location?near=59.9|10.7": {"oslo", "drammen"},
    "Location?near=59.9|10.7|20000|m": {"oslo"},
    "Location?near=-16|-179.5|1000": {"suva", "apia"},
    "Location?near=90|0|3500": {"oslo", "drammen", "bergen"},
}


def test_what_is_asked_is_what_is_found(filled):
    assert {query: found(filled, query) for query in FOUND} == FOUND


REFUSED = {
    "Condition?code:in=https://example.org/unknown": "not-supported",
    "Condition?code:in=https://example.org/round": "not-supported",
    "Condition?code:below=red": "invalid",
    "Condition?code:below=urn:unknown|red": "not-supported",
    f"Condition?code:below={HCS}|unknown": "invalid",
    "Encounter?location:below=Patient/1": "invalid",
    "Encounter?location:Unknown.name=a": "not-supported",
    "Patient?_has:Observation:patient=1": "invalid",
    "Patient?_has:Unknown:patient:code=1": "invalid",
    "Patient?_has:Observation:value-quantity:code=1": "not-supported",
    "Patient?_has": "not-supported",
    "Patient?name.given=a": "not-supported",
    "Patient?_list=$current-allergies": "not-supported",
    "Location?near=a|b": "invalid",
    "Patient?_filter=name": "invalid",
    "Patient?_filter=name eq": "invalid",
    "Patient?_filter=name xx a": "invalid",
    'Patient?_filter=name eq "a': "invalid",
    "Patient?_filter=(name eq a": "invalid",
    "Patient?_filter=name eq a)": "invalid",
    "Patient?_filter=" + "(" * 30 + "name eq a" + ")" * 30: "invalid",
    "Patient?_filter=name ew a": "not-supported",
    "Patient?_filter=unknown eq a": "not-supported",
    "Patient?_filter=birthdate eq x": "invalid",
    "Patient?_filter=gender pr maybe": "invalid",
    "Patient?age=old": "invalid",
    "Location?near=91|0": "invalid",
    "Location?near=1|1|-1": "invalid",
    "Location?near=1|1|nan": "invalid",
    "Location?near=1|1|1|kg": "invalid",
    "Observation?code-value-quantity=a": "invalid",
    "Observation?code-value-quantity=a$b": "invalid",
    "Observation?code-value-quantity=a$1$2": "invalid",
    "Observation?subject:" + "Patient.link:" * 20 + "Patient.name=a": "invalid",
    "Patient?" + "_has:Observation:patient:subject:Patient." * 8 + "name=a": "invalid",
}


def test_what_cannot_be_asked_is_refused(filled):
    for query, code in REFUSED.items():
        answer = filled.get(f"/{quote(query, safe='/?=&|$:')}", prefer="handling=strict")
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, code), (query, answer.text)


def test_age_is_of_today(fhir, clock):
    """https://hl7.org/fhir/R4/patient-extensions.html: today is the 21st of November 2026."""
    for id, born, more in (
        ("a", "1956-11-21", {}),
        ("b", "1956-11-22", {}),
        ("c", "1990-01-01", {}),
        ("d", "1956-01-01", {"deceasedBoolean": True}),
        ("e", "1956-01-01", {"deceasedBoolean": False, "multipleBirthBoolean": True}),
    ):
        fhir.put(f"/Patient/{id}", {"resourceType": "Patient", "id": id, "birthDate": born, **more})
    fhir.put("/Patient/f", {"resourceType": "Patient", "id": "f"})
    asked = {
        "70": "ae",
        "ge70": "ae",
        "gt69": "ae",
        "gt70": "",
        "69": "b",
        "lt70": "bc",
        "le69": "bc",
        "ne70": "bc",
        "ap75": "abe",
    }
    assert {text: found(fhir, f"Patient?age={text}") for text in asked} == {
        text: set(ids) for text, ids in asked.items()
    }
    assert found(fhir, "Patient?birthOrderBoolean=true") == {"e"}


def test_a_query_string_without_measure_does_no_harm(filled):
    """A thousand values, ten thousand characters, a hundred conditions."""
    for query in (
        "code=" + ",".join(map(str, range(1000))),
        "code=" + "x" * 10_000,
        "&".join(["code=a"] * 400),
    ):
        assert filled.get(f"/Observation?{query}").status_code in (200, 400)
