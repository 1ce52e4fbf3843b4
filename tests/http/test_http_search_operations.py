"""$everything, $lastn and $stats, on both stores: https://hl7.org/fhir/R4/operationslist.html"""

from __future__ import annotations

from decimal import Decimal

import pytest

from fhir_server.resource_json import decode
from profiles.structure import validate
from tests.http.test_http_search_results import RESOURCES, found, links

UCUM, LOINC, OTHER = "http://unitsofmeasure.org", "http://loinc.org", "urn:other"


def weight(id, value, day, codings=((LOINC, "29463-7"),), patient="p9", unit="kg", **more):
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"coding": [{"system": system, "code": code} for system, code in codings]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": f"2026-02-{day:02}",
        "valueQuantity": {"value": value, "system": UCUM, "code": unit},
        **more,
    }


WEIGHTS = [
    {"resourceType": "Patient", "id": "p9"},
    weight("a", 90, 1),
    weight("b", 92, 2),
    weight("c", 94, 3, [(OTHER, "w")]),
    weight("d", 96, 4, [(LOINC, "29463-7"), (OTHER, "w")]),
    weight("e", 10, 5, [(LOINC, "8310-5")], unit="Cel"),
    weight("f", 220.462262184877581, 6, unit="[lb_av]"),
    weight("g", 90, 7, patient="p8"),
    {**weight("h", 0, 8), "valueQuantity": {"value": 5, "comparator": ">", "system": UCUM, "code": "kg"}},
    {**weight("i", 500, 9), "status": "entered-in-error"},
    {"resourceType": "Observation", "id": "j", "status": "final", "code": {"text": "mood"},
     "subject": {"reference": "Patient/p9"}, "valueString": "fine"},
]  # fmt: skip


@pytest.fixture
def filled(fhir):
    for each in [*RESOURCES, *WEIGHTS]:
        assert fhir.put(f"/{each['resourceType']}/{each['id']}", each).status_code == 201
    return fhir


def ids(bundle, mode="match"):
    return [each.partition("/")[2] for each in found(bundle, mode)]


def test_everything_of_a_patient(filled):
    bundle = filled.get("/Patient/p1/$everything").json()
    assert found(bundle)[0] == "Patient/p1"
    assert set(found(bundle)) == {
        "Patient/p1", "Condition/c1", "Encounter/e1", *(f"Observation/o{n}" for n in (0, 1, 2, 3, 7))
    }  # fmt: skip
    assert set(found(bundle, "include")) == {"Organization/a", "Practitioner/d"}
    assert bundle["total"] == 8
    assert filled.get("/Patient/p1/$everything").json() == bundle
    pages, page = [], filled.get("/Patient/p1/$everything?_count=3").json()
    while True:
        pages += found(page)
        assert page["total"] == 8
        if "next" not in links(page):
            break
        page = filled.get(links(page)["next"]).json()
    assert pages == found(bundle)


def test_everything_in_part(filled):
    def asked(query):
        return set(found(filled.get(f"/Patient/p1/$everything?{query}").json()))

    assert asked("_type=Condition,Encounter") == {"Condition/c1", "Encounter/e1"}
    assert asked("start=2026-01-03&end=2026-01-03&_type=Observation") == {"Observation/o2", "Observation/o7"}
    assert asked("_since=2030-01-01") == set()
    post = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Condition"}]}
    assert found(filled.post("/Patient/p1/$everything", post).json()) == ["Condition/c1"]
    assert filled.get("/Patient/p1/$everything?_count=1&_type=Observation&_cursor=x").status_code == 400
    for bad in ("start=x", "_type=Unknown", "_count=-1", "nonsense=1"):
        assert filled.get(f"/Patient/p1/$everything?{bad}").status_code == 400, bad
    assert filled.get("/Patient/nobody/$everything").status_code == 404
    filled.delete("/Patient/p4")
    assert filled.get("/Patient/p4/$everything").status_code == 410


def test_everything_of_all_patients_and_of_an_encounter(filled):
    everybody = filled.get("/Patient/$everything?_count=1000").json()
    assert {"Patient/p1", "Patient/p2", "Observation/a", "Condition/c1"} <= set(found(everybody))
    assert not {"Organization/a", "Practitioner/d"} & set(found(everybody))
    encounter = filled.get("/Encounter/e1/$everything").json()
    assert set(found(encounter)) == {"Encounter/e1", "Condition/c1"}
    assert set(found(encounter, "include")) == {"Patient/p1"}


def test_the_newest_of_each_kind(filled):
    bundle = filled.get("/Observation/$lastn?patient=p9&status:not=entered-in-error").json()
    assert ids(bundle) == ["h", "e", "j"], "LOINC and the other code are one kind, since a reading has both"
    bundle = filled.get("/Observation/$lastn?subject=Patient/p9&max=3&status:not=entered-in-error").json()
    assert ids(bundle) == ["h", "f", "d", "e", "j"]
    assert ids(filled.get("/Observation/$lastn?patient=p9&max=2&code=urn:other|w").json()) == ["d", "c"]
    post = {"resourceType": "Parameters", "parameter": [{"name": "patient", "valueString": "p9"},
            {"name": "max", "valueInteger": 1}, {"name": "code", "valueString": "8310-5"}]}  # fmt: skip
    assert ids(filled.post("/Observation/$lastn", post).json()) == ["e"]
    assert links(bundle)["self"].startswith(f"{filled.base}/Observation/$lastn?")
    for bad in ("max=1", "patient=p9&max=0", "patient=p9&max=x", "patient=p9&_sort=date"):
        assert filled.get(f"/Observation/$lastn?{bad}").status_code == 400, bad


def test_statistics(filled):
    names = "average,maximum,minimum,count,total-count,median,std-dev,sum,variance,80-percent,4-lower,skew"
    answer = filled.get(f"/Observation/$stats?subject=Patient/p9&code={LOINC}|29463-7&statistic={names}")
    assert answer.status_code == 200, answer.text
    (part,) = answer.json()["parameter"]
    assert (part["name"], validate(decode(answer.content))) == ("statistics", [])
    reckoned = {
        each["code"]["coding"][0]["code"]: Decimal(str(each["valueQuantity"]["value"]))
        for each in part["resource"]["component"]
    }
    pounds = Decimal("0.45359237")
    close = {name: round(value * pounds if name not in ("count", "total-count", "variance", "skew") else value, 3)
             for name, value in reckoned.items()}  # fmt: skip
    # 90, 92, 96 and 100 kg, the newest of them in pounds
    assert close["average"] == Decimal("94.5")
    assert (close["maximum"], close["minimum"], close["median"]) == (100, 90, 94)
    assert (close["count"], close["total-count"], close["sum"]) == (4, 5, 378)
    assert close["80-percent"] == 100
    assert close["4-lower"] == 90
    assert close["std-dev"] == Decimal("4.435")
    assert part["resource"]["component"][0]["valueQuantity"]["code"] == "[lb_av]"


def test_statistics_of_nothing_and_of_what_is_not_asked_well(filled):
    answer = filled.get("/Observation/$stats?subject=Patient/p9&code=unknown&statistic=average,count").json()
    average, count = answer["parameter"][0]["resource"]["component"]
    assert "dataAbsentReason" in average
    assert count["valueQuantity"]["value"] == 0
    answer = filled.get(
        "/Observation/$stats?subject=Patient/p9&code=29463-7&statistic=count&include=true&limit=2"
    ).json()
    assert [part["name"] for part in answer["parameter"]] == ["statistics", "source", "source"]
    for bad in ("", "subject=Patient/p9", "subject=Patient/p9&code=a", "subject=Patient/p9&code=a&statistic=regression",
                "subject=Patient/p9&code=a&statistic=sum&duration=x"):  # fmt: skip
        assert filled.get(f"/Observation/$stats?{bad}").status_code == 400, bad
