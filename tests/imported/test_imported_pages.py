"""Imported code systems are paged, filtered and supplemented by their indexes; reference: the same in memory."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fhir_server.cli import app
from fhir_server.imported import Imported
from fhir_server.imported import build as building
from fhir_server.imported import system as reading
from fhir_server.imported.build import build
from fhir_server.imported.layouts import release
from terminology import expand as expanding
from terminology import members as membership
from terminology.asked import read
from terminology.expand import expand
from terminology.findings import TerminologyError
from terminology.implicit import implicit_value_set
from terminology.library import Library
from terminology.lookup import lookup
from terminology.members import members
from terminology.validate import validate_in_value_set
from tests.imported.test_imported import HEART, OLD, PULSE, REFSET, ROOT, SCT, snomed

ICPC = "urn:oid:2.16.578.1.12.4.1.1.7170"


def regex(pattern: str) -> Any:
    return lambda text: re.fullmatch(pattern, text) is not None


@pytest.fixture(scope="module")
def sct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sct")
    build(release("sct", snomed(folder)), folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def icpc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chapter with 200 codes, twenty of which are under another."""
    folder = tmp_path_factory.mktemp("icpc")
    rows = [f"A{n:03};Smerte nummer {n};{'A' if n % 10 else 'A001'}" for n in range(1, 201)]
    file = folder / "icpc2_2024.csv"
    file.write_text("\n".join(["Kode;Tekst;Foreldrekode", "A;Allment;", *rows]), encoding="utf-8")
    build(release("icpc2", file), folder / "out")
    return folder / "out"


def library(folder: Path, *resources: dict[str, Any]) -> Library:
    made = Library(regex, large=Imported(folder))
    for resource in resources:
        made.add(resource)
    return made


def asked(**values: Any) -> Any:
    return read({"parameter": [{"name": name, "valueString": str(value)} for name, value in values.items()]})


def expanded(known: Library, value_set: dict[str, Any], **values: Any) -> tuple[int, list[str]]:
    found = expand(value_set, asked(**values), known, "urn:x", "now")["expansion"]
    return found["total"], [item["code"] for item in found.get("contains", [])]


def value_set(system: str, *filters: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    include: dict[str, Any] = {"system": system}
    if filters:
        include["filter"] = [{"property": p, "op": op, "value": value} for p, op, value in filters]
    return {"resourceType": "ValueSet", "status": "active", "compose": {"include": [include], **more}}


def test_pages_of_a_whole_system_are_each_code_once(icpc: Path) -> None:
    known, everything = library(icpc), value_set(ICPC)
    whole = expanded(known, everything)
    assert whole[0] == 201 and whole[1][:2] == ["A", "A001"]
    pages = [expanded(known, everything, offset=offset, count=20) for offset in range(0, 220, 20)]
    assert {total for total, _ in pages} == {201}
    assert [code for _, page in pages for code in page] == whole[1]
    assert expanded(known, everything, offset=300, count=5) == (201, [])
    assert expanded(known, everything, count=0) == (201, [])
    with pytest.raises(TerminologyError, match="too many codes"):
        expanded(known, everything, count=expanding.MOST_LISTED + 1)


@pytest.mark.parametrize(
    "filters",
    [
        [("concept", "is-a", "A001")],
        [("concept", "descendent-of", "A001")],
        [("concept", "child-of", "A")],
        [("concept", "generalizes", "A010")],
        [("concept", "descendent-leaf", "A")],
        [("concept", "is-a", "A"), ("concept", "is-not-a", "A001")],
        [("concept", "is-a", "A001"), ("code", "regex", "A0[0-9]0")],
        [("concept", "is-a", "A"), ("concept", "descendent-of", "A001")],
    ],
)
def test_filters_are_answered_as_those_of_a_system_in_memory(
    icpc: Path, filters: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = library(icpc)
    large = known.code_system(ICPC, None)
    assert large is not None
    concepts = [
        {
            "code": code,
            "display": concept.display,
            "property": [{"code": "parent", "valueCode": parent} for parent in concept.parents],
        }
        for code, concept in large.concepts.items()
    ]
    small = Library(regex)
    small.add({"resourceType": "CodeSystem", "url": ICPC, "content": "complete", "concept": concepts})
    of_set = value_set(ICPC, *filters)
    total, right = expanded(small, of_set, excludeNested="true")
    assert total > 0
    assert expanded(known, of_set)[0] == total and set(expanded(known, of_set)[1]) == set(right)
    first = expanded(known, of_set, count=7)
    assert first[0] == total and first == expanded(known, of_set, count=7)  # counted, and remembered
    rest = [expanded(known, of_set, count=7, offset=offset)[1] for offset in range(7, total, 7)]
    assert sorted([*first[1], *(code for page in rest for code in page)]) == sorted(right)
    for limit in (membership.MOST_LISTED_OF_LARGE, 1):  # listed, and by a rule
        monkeypatch.setattr(membership, "MOST_LISTED_OF_LARGE", limit)
        inside = members(of_set, known)
        assert bool(inside.rules) is ((limit == 1 and total > 1) or (limit == 1 and len(filters) > 1))
        assert {code for code in large.concepts if inside.has(ICPC, code)} == set(right)
        assert inside.has(ICPC, "404") is False


def test_text_and_activity_select_pages(sct: Path) -> None:
    known = library(sct)
    everything = implicit_value_set(f"{SCT}?fhir_vs")
    assert everything is not None
    for count in ({}, {"count": 10}):
        assert expanded(known, everything, activeOnly="true", **count)[0] == 3
        assert expanded(known, everything, filter="observable", **count) == (3, [HEART, PULSE, OLD])
        both = {"filter": "observable", "activeOnly": "true", **count}
        assert expanded(known, everything, **both) == (2, [HEART, PULSE])
        assert expanded(known, everything, filter="hjerte cardiac", **count) == (1, [PULSE])  # of two texts
        assert expanded(known, everything, filter=PULSE[:4], **count)[1] == [HEART, PULSE]  # of the code
        assert expanded(known, everything, filter="_", **count)[0] in (0, 4)
    below = implicit_value_set(f"{SCT}?fhir_vs=isa/{HEART}")
    assert below is not None
    assert expanded(known, below, filter="rate", count=10) == (1, [PULSE])
    active = value_set(SCT, inactive=False)
    assert expanded(known, active, count=2)[0] == 3
    out = value_set(SCT, exclude=[{"system": SCT, "concept": [{"code": ROOT}]}])
    assert expanded(known, out, count=2) == (3, [HEART, PULSE])


def test_reference_sets(sct: Path) -> None:
    known = library(sct)
    in_set = implicit_value_set(f"{SCT}?fhir_vs=refset/{REFSET}")
    assert in_set is not None
    assert expanded(known, in_set) == expanded(known, in_set, count=9) == (2, [PULSE, OLD])
    inside = members(in_set, known)
    assert inside.has(SCT, PULSE) is True and inside.has(SCT, HEART) is False
    for code, right in ((PULSE, True), (HEART, False)):
        answer = validate_in_value_set(in_set, asked(system=SCT, code=code), known)
        assert answer["parameter"][0]["valueBoolean"] is right
    unknown = implicit_value_set(f"{SCT}?fhir_vs=refset/{PULSE}")
    assert unknown is not None
    with pytest.raises(TerminologyError, match="reference set"):
        expanded(known, unknown)


def test_what_no_index_answers_is_refused(sct: Path) -> None:
    known = library(sct)
    for of_property in (("display", "regex", ".*"), ("concept", "is-not-a", HEART), ("display", "=", "x")):
        with pytest.raises(TerminologyError, match="of this size"):
            expanded(known, value_set(SCT, of_property))
        with pytest.raises(TerminologyError, match="of this size"):
            members(value_set(SCT, of_property), known)


def test_a_question_that_takes_too_long_is_given_up(icpc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_STEPS", 100)
    monkeypatch.setattr(reading, "_MOST_STEPS", 1000)
    known, below = library(icpc), value_set(ICPC, ("concept", "is-a", "A"))
    with pytest.raises(TerminologyError, match="takes too long"):
        expanded(known, below, count=5)
    assert expanded(known, value_set(ICPC, ("concept", "is-a", "A010")), count=5)[0] == 1


def test_what_is_below_a_code_is_listed_as_far_as_it_is_asked_for(icpc: Path) -> None:
    system = library(icpc).code_system(ICPC, None)
    assert system is not None
    assert len(membership.subsumed(system, "A")) == 201 and len(membership.subsumed(system, "A", 10)) == 11


# Supplements

PACK = {
    "resourceType": "CodeSystem",
    "url": "http://varde.test/sct-nn",
    "version": "1",
    "status": "active",
    "content": "supplement",
    "supplements": SCT,
    "property": [{"code": "colour", "type": "string"}],
    "concept": [
        {
            "code": PULSE,
            "designation": [{"language": "nn", "value": "Hjartefrekvens"}],
            "property": [{"code": "colour", "valueString": "red"}],
        },
        {"code": "404", "designation": [{"language": "nn", "value": "Ingenting"}]},
    ],
}


def test_supplements_add_to_an_imported_system(sct: Path) -> None:
    known = library(sct, PACK)
    question = {"system": SCT, "code": PULSE, "useSupplement": "http://varde.test/sct-nn"}
    told = lookup(None, asked(**question, displayLanguage="nn"), known)["parameter"]
    said = {part["name"]: next((v for k, v in part.items() if k.startswith("value")), None) for part in told}
    assert said["display"] == "Hjartefrekvens" and said["used-supplement"] == "http://varde.test/sct-nn|1"
    assert not [part for part in told if "404" in str(part)]
    everything = implicit_value_set(f"{SCT}?fhir_vs")
    assert everything is not None
    with_it = {"useSupplement": "http://varde.test/sct-nn"}
    for count in ({}, {"count": 5}):
        assert expanded(known, everything, filter="hjartefr", **with_it, **count) == (1, [PULSE])
        assert expanded(known, everything, filter="hjartefr card", **with_it, **count) == (1, [PULSE])
        assert expanded(known, everything, filter="hjartefr", **count) == (0, [])
        red = value_set(SCT, ("colour", "=", "red"))
        assert expanded(known, red, **with_it, **count) == (1, [PULSE])
        with pytest.raises(TerminologyError, match=r"no such property|of this size"):
            expanded(known, red, **count)
    marked = red | {
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/valueset-supplement",
                "valueCanonical": PACK["url"],
            }
        ]
    }
    assert members(marked, known).has(SCT, PULSE) is True and members(marked, known).has(SCT, HEART) is False
    with pytest.raises(TerminologyError, match="supplement"):
        expanded(known, everything, count=1, useSupplement="http://varde.test/none")


# Files


def test_case_is_of_no_matter_by_an_index(tmp_path: Path) -> None:
    file = tmp_path / "ICD10_2024.txt"
    file.write_text("E11\tDiabetes mellitus type 2\nE119\tUten komplikasjoner\n")
    made = build(release("icd10", file), tmp_path / "out")
    known = library(tmp_path / "out")
    system = known.code_system("urn:oid:2.16.578.1.12.4.1.1.7110", None)
    assert system is not None and system.find("e119").code == "E119"  # type: ignore[union-attr]
    database = sqlite3.connect(made)
    plan = database.execute(
        "EXPLAIN QUERY PLAN SELECT code FROM concept WHERE code = 'e119' COLLATE NOCASE LIMIT 1"
    ).fetchall()
    database.close()
    assert "folded" in plan[0][3]
    whole = value_set("urn:oid:2.16.578.1.12.4.1.1.7110", ("concept", "is-a", "E11"))
    assert members(whole, known).has("urn:oid:2.16.578.1.12.4.1.1.7110", "e119") is True


def test_what_an_earlier_version_imported_is_named_and_not_read(tmp_path: Path) -> None:
    file, out = tmp_path / "icpc2_2024.csv", tmp_path / "out"
    file.write_text("Kode;Tekst\nA01;Smerte\n")
    made = build(release("icpc2", file), out)
    database = sqlite3.connect(made)
    database.execute("UPDATE meta SET value = '1' WHERE name = 'format'")
    database.commit()
    database.close()
    systems = Imported(out)
    assert systems(ICPC) == [] and systems.outdated == [f"{ICPC}|2024"]
    runner = CliRunner()
    shown = runner.invoke(app, ["terminology", "list", "--folder", str(out)])
    assert "import it again" in " ".join(shown.output.split())
    again = runner.invoke(app, ["terminology", "import", "icpc2", str(file), "--folder", str(out)])
    assert again.exit_code == 0 and systems.outdated == [] and len(systems(ICPC)) == 1


def test_an_import_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    source, out = snomed(tmp_path, extra=300), tmp_path / "out"
    killed = f"""
import os
from pathlib import Path
from fhir_server.imported import build as building
from fhir_server.imported.layouts import release
building._EACH = 50
def progress(done, total, seen=[]):
    seen.append(done)
    if len(seen) == 6:
        os._exit(9)
building.build(release("sct", Path({str(source)!r})), Path({str(out)!r}), progress)
"""
    done = subprocess.run([sys.executable, "-c", killed], check=False)
    assert done.returncode == 9 and Imported(out)(SCT) == []
    begun: list[int] = []
    building.build(release("sct", source), out, lambda done, total: begun.append(done))
    assert begun[0] > 5000  # bytes that were not read again
    (system,) = Imported(out)(SCT)
    assert len(system.concepts) == 304
    assert [file.suffix for file in out.iterdir()] == [".db"]
