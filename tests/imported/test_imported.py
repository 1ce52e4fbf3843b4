"""Imports of tiny files in the layouts of the real releases: whole or not at all, and answered from."""

from __future__ import annotations

import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fhir_server import vocabulary
from fhir_server.app import create_app
from fhir_server.cli import app
from fhir_server.imported import Imported, ImportProblem
from fhir_server.imported import build as building
from fhir_server.imported.build import build
from fhir_server.imported.layouts import release
from fhir_server.settings import Settings
from terminology import expand as expanding
from terminology.asked import Asked, read
from terminology.expand import codes, expand
from terminology.findings import TerminologyError
from terminology.implicit import implicit_value_set
from terminology.library import Library
from terminology.lookup import lookup, relation
from terminology.members import members
from terminology.validate import validate_in_system
from tests.terminology.suite import Client

SCT = "http://snomed.info/sct"
ROOT, HEART, PULSE, OLD = "138875005", "364066008", "364075005", "271650001"
FSN, SYNONYM = "900000000000003001", "900000000000013009"
MODULE, REFSET = "900000000000207008", "51000202104"


def tabbed(*rows: str) -> str:
    return "".join("\t".join(row.split("|")) + "\r\n" for row in rows)


def snomed(folder: Path, *, concepts: str = "", extra: int = 0) -> Path:
    """A release in RF2, with Norwegian descriptions."""
    terminology = folder / "SnomedCT_Test" / "Snapshot" / "Terminology"
    language = folder / "SnomedCT_Test" / "Snapshot" / "Refset" / "Language"
    terminology.mkdir(parents=True, exist_ok=True)
    language.mkdir(parents=True, exist_ok=True)
    more = [f"{10_000_000 + number}|20240101|1|{MODULE}|900000000000074008" for number in range(extra)]
    (terminology / "sct2_Concept_Snapshot_INT_20240101.txt").write_text(
        tabbed(
            "id|effectiveTime|active|moduleId|definitionStatusId",
            *(
                f"{code}|20240101|{active}|{MODULE}|900000000000074008"
                for code, active in ((ROOT, 1), (HEART, 1), (PULSE, 1), (OLD, 0))
            ),
            *more,
        )
        + concepts,
        newline="",
    )
    texts = [
        ("680946014", ROOT, "en", FSN, "SNOMED CT Concept (SNOMED RT+CTV3)"),
        ("1001019", HEART, "en", FSN, "Cardiovascular observable (observable entity)"),
        ("1002014", HEART, "en", SYNONYM, "Cardiovascular observable"),
        ("1003016", PULSE, "en", FSN, "Heart rate (observable entity)"),
        ("1004010", PULSE, "en", SYNONYM, "Cardiac frequency"),
        ("1005011", PULSE, "en", SYNONYM, "Heart rate"),
        ("1006012", PULSE, "nb", SYNONYM, "Hjertefrekvens"),
        ("1007015", OLD, "en", FSN, "Old (observable entity)"),
    ]
    (terminology / "sct2_Description_Snapshot-en_INT_20240101.txt").write_text(
        tabbed(
            "id|effectiveTime|active|moduleId|conceptId|languageCode|typeId|term|caseSignificanceId",
            *(
                f"{i}|20240101|1|{MODULE}|{code}|{tongue}|{kind}|{term}|900000000000448009"
                for i, code, tongue, kind, term in texts
            ),
        ),
        newline="",
    )
    (terminology / "sct2_Relationship_Snapshot_INT_20240101.txt").write_text(
        tabbed(
            "id|effectiveTime|active|moduleId|sourceId|destinationId|relationshipGroup|typeId|characteristicTypeId|modifierId",
            f"2001021|20240101|1|{MODULE}|{HEART}|{ROOT}|0|116680003|900000000000011006|900000000000451002",
            f"2002025|20240101|1|{MODULE}|{PULSE}|{HEART}|0|116680003|900000000000011006|900000000000451002",
            f"2003021|20240101|0|{MODULE}|{OLD}|{HEART}|0|116680003|900000000000011006|900000000000451002",
        ),
        newline="",
    )
    preferred = [
        f"{uid}|20240101|1|{MODULE}|900000000000509007|{d}|900000000000548007"
        for uid, d in (("a", "1002014"), ("b", "1005011"), ("c", "1006012"))
    ]
    (language / "der2_cRefset_LanguageSnapshot-en_INT_20240101.txt").write_text(
        tabbed("id|effectiveTime|active|moduleId|refsetId|referencedComponentId|acceptabilityId", *preferred),
        newline="",
    )
    simple = folder / "SnomedCT_Test" / "Snapshot" / "Refset" / "Content"
    simple.mkdir(parents=True, exist_ok=True)
    (simple / "der2_Refset_SimpleSnapshot_INT_20240101.txt").write_text(
        tabbed(
            "id|effectiveTime|active|moduleId|refsetId|referencedComponentId",
            f"d|20240101|1|{MODULE}|{REFSET}|{PULSE}",
            f"e|20240101|1|{MODULE}|{REFSET}|{OLD}",
            f"f|20240101|0|{MODULE}|{REFSET}|{HEART}",
            f"g|20240101|1|{MODULE}|{REFSET}|999999999",
        ),
        newline="",
    )
    return folder / "SnomedCT_Test"


def filled(folder: Path) -> Library:
    return Library(lambda pattern: lambda text: False, large=Imported(folder))


def test_snomed_ct(tmp_path: Path) -> None:
    build(release("sct", snomed(tmp_path)), tmp_path / "out")
    library = filled(tmp_path / "out")
    system = library.code_system(SCT, None)
    assert system is not None and system.version == f"{SCT}/900000000000207008/version/20240101"
    assert relation(system, ROOT, PULSE) == "subsumes" and relation(system, OLD, PULSE) == "not-subsumed"
    pulse = system.find(PULSE)
    assert pulse is not None and pulse.display == "Heart rate" and pulse.parents == [HEART]
    (old,) = [system.find(OLD)]
    assert old is not None and old.inactive and old.display == "Old (observable entity)"
    asked = read(
        {
            "parameter": [
                {"name": "system", "valueUri": SCT},
                {"name": "code", "valueCode": PULSE},
                {"name": "displayLanguage", "valueCode": "nn"},
            ]
        }
    )
    told = {part["name"]: part for part in lookup(None, asked, library)["parameter"]}
    assert told["display"]["valueString"] == "Hjertefrekvens"
    below = implicit_value_set(f"{SCT}?fhir_vs=isa/{HEART}")
    assert below is not None
    inside = members(below, library)
    assert inside.has(SCT, PULSE) and inside.has(SCT, ROOT) is False
    assert {entry.code for entry in codes(below, Asked(), library)} == {HEART, PULSE}


def test_a_large_system_is_searched_and_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expanding, "MOST_OF_LARGE", 3)
    build(release("sct", snomed(tmp_path)), tmp_path / "out")
    library = filled(tmp_path / "out")
    everything = implicit_value_set(f"{SCT}?fhir_vs")
    assert everything is not None
    with pytest.raises(TerminologyError, match="too many codes"):
        expand(everything, Asked(), library, "urn:x", "now")
    for words in ("heart", "hjertefr", "rate hea", PULSE):
        asked = read({"parameter": [{"name": "filter", "valueString": words}]})
        found = expand(everything, asked, library, "urn:x", "now")["expansion"]["contains"]
        assert [item["code"] for item in found] == [PULSE]
    inside = members(everything, library)
    assert inside.has(SCT, PULSE) and inside.has(SCT, "404") is False and inside.whole == {SCT}


def test_a_zip_is_as_good_as_a_folder(tmp_path: Path) -> None:
    folder = snomed(tmp_path)
    archive = tmp_path / "SnomedCT.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for file in folder.rglob("*.txt"):
            made.write(file, str(file.relative_to(tmp_path)))
    build(release("sct", archive), tmp_path / "out")
    system = filled(tmp_path / "out").code_system(SCT, None)
    assert system is not None and PULSE in system.concepts


def test_an_import_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_EACH", 10)
    source, out = snomed(tmp_path, extra=100), tmp_path / "out"

    class Stopped(Exception):
        pass

    def stop_at(limit: int) -> Any:
        seen: list[int] = []

        def progress(done: int, total: int) -> None:
            seen.append(done)
            if len(seen) == limit:
                raise Stopped

        return progress

    for limit in (4, 3, 5):
        with pytest.raises(Stopped):
            build(release("sct", source), out, stop_at(limit))
        assert filled(out).code_system(SCT, None) is None
    begun: list[int] = []
    build(release("sct", source), out, lambda done, total: begun.append(done))
    assert begun[0] > 1000  # bytes that were not read again
    system = filled(out).code_system(SCT, None)
    assert system is not None and len(system.concepts) == 104
    whole = tmp_path / "whole"
    build(release("sct", source), whole)
    assert _content(out) == _content(whole)


def _content(folder: Path) -> list[Any]:
    (file,) = folder.glob("*.db")
    database = sqlite3.connect(file)
    tables = ("concept", "edge", "text", "property", "member")
    found = [sorted(database.execute(f"SELECT * FROM {table}"), key=str) for table in tables]
    database.close()
    return found


@pytest.mark.parametrize(
    "broken,why",
    [
        ("not a row\r\n", "line 106: the line has 1 columns instead of 5"),
        (tabbed(f"abc|20240101|1|{MODULE}|900000000000074008"), "line 106: it has an identifier"),
        (tabbed(f"{PULSE}|20240101|1|{MODULE}|900000000000074008"), "line 106: the code is there twice"),
        (tabbed(f"{PULSE}1|20240101|maybe|{MODULE}|900000000000074008"), "line 106: the column active"),
        ("x" * 70_000, "line 106: the line is longer"),
    ],
)
def test_a_broken_row_is_told_and_nothing_is_half_loaded(tmp_path: Path, broken: str, why: str) -> None:
    source = snomed(tmp_path, concepts=broken, extra=100)
    with pytest.raises(ImportProblem, match=why):
        build(release("sct", source), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


LOINC = (
    '"LOINC_NUM","COMPONENT","PROPERTY","TIME_ASPCT","SYSTEM","SCALE_TYP","METHOD_TYP","CLASS","VersionLastChanged","STATUS","SHORTNAME","LONG_COMMON_NAME"\r\n'
    '"8867-4","Heart rate","NRat","Pt","XXX","Qn","","HRTRATE.ATOM","2.73","ACTIVE","Heart rate","Heart rate"\r\n'
    '"8480-6","Intravascular systolic","Pres","Pt","Arterial system","Qn","","BP.ATOM","2.73","ACTIVE","BP sys","Systolic blood pressure"\r\n'
    '"1009-0","Old, ""quoted""","Prid","Pt","Ser","Ord","","BLDBK","2.73","DEPRECATED","Old","Old test"\r\n'
)


def test_loinc(tmp_path: Path) -> None:
    folder = tmp_path / "Loinc_2.77" / "LoincTable"
    folder.mkdir(parents=True)
    (folder / "Loinc.csv").write_text(LOINC, newline="")
    build(release("loinc", tmp_path / "Loinc_2.77"), tmp_path / "out")
    library = filled(tmp_path / "out")
    system = library.code_system("http://loinc.org", "2.77")
    assert system is not None and system.find("8480-6").display == "Systolic blood pressure"  # type: ignore[union-attr]
    asked = read(
        {
            "parameter": [
                {"name": "url", "valueUri": "http://loinc.org"},
                {"name": "code", "valueCode": "1009-0"},
            ]
        }
    )
    told = {part["name"]: part for part in validate_in_system(None, asked, library)["parameter"]}
    assert told["result"]["valueBoolean"] and told["inactive"]["valueBoolean"]
    of_class = {
        "resourceType": "ValueSet",
        "compose": {
            "include": [
                {
                    "system": "http://loinc.org",
                    "filter": [{"property": "CLASS", "op": "=", "value": "BP.ATOM"}],
                }
            ]
        },
    }
    assert set(members(of_class, library).pairs()) == {("http://loinc.org", "8480-6")}


@pytest.mark.parametrize(
    "kind,name,text,code,display,above",
    [
        (
            "icd10",
            "ICD10_2024.txt",
            "E11\tDiabetes mellitus type 2\nE119\tUten komplikasjoner\n",
            "E119",
            "Uten komplikasjoner",
            "E11",
        ),
        (
            "icpc2",
            "icpc2_2024.csv",
            "Kode;Tekst\nA;Allment\nA01;Smerte generell/flere steder\n",
            "A01",
            "Smerte generell/flere steder",
            "A",
        ),
        (
            "icpc2",
            "icpc2_2023.csv",
            "\ufeffKodeverdi;Kodetekst;Foreldrekode\nP1;Topp;\nP2;Under;P1\n",
            "P2",
            "Under",
            "P1",
        ),
        (
            "atc",
            "ATC-2024.csv",
            "ATC-kode,ATC-navn\nC,Hjerte\nC03,Diuretika\nC03C,Slyngediuretika\n",
            "C03C",
            "Slyngediuretika",
            "C03",
        ),
        (
            "nlk",
            "nlk_2024-05-01.csv",
            "NLK-kode;Norsk bruksnavn\nNPU03230;Kalium\n",
            "NPU03230",
            "Kalium",
            None,
        ),
        (
            "npu",
            "npu_2024.tsv",
            "NPU code\tShort definition\nNPU01994\tP-Calcium\n",
            "NPU01994",
            "P-Calcium",
            None,
        ),
    ],
)
def test_tables_of_codes_and_texts(
    tmp_path: Path, kind: str, name: str, text: str, code: str, display: str, above: str | None
) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    found = release(kind, file)
    build(found, tmp_path / "out")
    system = filled(tmp_path / "out").code_system(found.url, None)
    concept = system.find(code) if system else None
    assert concept is not None and concept.display == display
    assert concept.parents == ([above] if above else [])


@pytest.mark.parametrize(
    "kind,name,text,why",
    [
        ("icpc2", "icpc2_2024.csv", "Kode;Tekst\nA01\n", "line 2: the line has only 1 columns"),
        ("icpc2", "icpc2_2024.csv", "Kode;Tekst\nA01;Smerte\n;Uten kode\n", "line 3: the line has no code"),
        ("icpc2", "icpc2.csv", "Kode;Tekst\nA01;Smerte\n", "give --version"),
        ("icpc2", "icpc2_2024.csv", "Kode;Tekst\n", "There is no code in it"),
        ("loinc", "Loinc_2.77.csv", "x", "has the file Loinc.csv"),
        ("sct", "sct.txt", "x", "An RF2 release"),
        ("icd11", "x.csv", "x", "is none of"),
    ],
)
def test_what_is_no_release_is_refused(tmp_path: Path, kind: str, name: str, text: str, why: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(ImportProblem, match=why):
        build(release(kind, file), tmp_path / "out")
    assert not list(tmp_path.glob("out/*.db"))


def test_the_command(tmp_path: Path) -> None:
    file, out = tmp_path / "icpc2_2024.csv", tmp_path / "out"
    file.write_text("Kode;Tekst\nA01;Smerte\n")
    runner = CliRunner()
    done = runner.invoke(app, ["terminology", "import", "icpc2", str(file), "--folder", str(out)])
    assert done.exit_code == 0 and "|2024: 1 codes" in done.output
    shown = runner.invoke(app, ["terminology", "list", "--folder", str(out)])
    assert "urn:oid:2.16.578.1.12.4.1.1.7170|2024: 1 codes" in shown.output
    file.write_text("Kode;Tekst\nA01\n")
    refused = runner.invoke(app, ["terminology", "import", "icpc2", str(file), "--folder", str(out)])
    assert refused.exit_code == 1 and "line 2" in refused.output
    assert "|2024: 1 codes" in runner.invoke(app, ["terminology", "list", "--folder", str(out)]).output


def test_an_import_is_seen_by_a_server_that_runs(tmp_path: Path) -> None:
    systems = Imported(tmp_path / "out")
    assert systems(SCT) == []
    build(release("sct", snomed(tmp_path)), tmp_path / "out")
    assert len(systems(SCT)) == 1
    (tmp_path / "out" / "other.db").write_bytes(b"no database")
    assert len(systems(SCT)) == 1
    vocabulary.use_imported(systems)
    try:
        assert vocabulary.library().code_system(SCT, None) is not None
    finally:
        vocabulary.use_imported(lambda url: ())


def test_the_server_answers_from_it(tmp_path: Path) -> None:
    """Look-up, expansion, validation and a search below a code, of a system that no resource defines."""
    out = tmp_path / "out"
    build(release("sct", snomed(tmp_path)), out)
    client = Client(
        create_app(Settings(auth=False, store=f"sqlite:///{tmp_path}/varde.db", terminology=str(out)))
    )

    def get(path: str) -> Any:
        answer = client.send(path, None, {})
        assert answer.status_code == 200, answer.text
        return answer.json()

    told = get(f"CodeSystem/$lookup?system={SCT}&code={PULSE}&displayLanguage=nb")["parameter"]
    assert {"name": "display", "valueString": "Hjertefrekvens"} in told
    found = get(f"ValueSet/$expand?url={SCT}%3Ffhir_vs%3Disa/{HEART}&filter=rate")["expansion"]["contains"]
    assert [item["code"] for item in found] == [PULSE]
    path = f"ValueSet/$validate-code?url={SCT}%3Ffhir_vs%3Disa/{HEART}&system={SCT}&code="
    for code, right in ((PULSE, True), (ROOT, False)):
        assert {"name": "result", "valueBoolean": right} in get(f"{path}{code}")["parameter"]
    reading = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": SCT, "code": PULSE}]},
    }
    assert client.send("Observation", reading, {}).status_code == 201
    for code, count in ((HEART, 1), (ROOT, 1), (OLD, 0)):
        assert get(f"Observation?code:below={SCT}|{code}")["total"] == count
    assert get(f"Observation?code:in={SCT}%3Ffhir_vs%3Disa/{HEART}")["total"] == 1
    assert any(each["uri"] == SCT for each in get("metadata?mode=terminology")["codeSystem"])
    client.close()
    vocabulary.use_imported(lambda url: ())
