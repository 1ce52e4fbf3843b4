"""ICD-10 and ICPC-2 as ClaML and as FinnKode's tables, in tiny hand-made files of the same layout."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fhir_server.imported import Imported, ImportProblem
from fhir_server.imported.build import build
from fhir_server.imported.layouts import release
from terminology.code_system import CodeSystem, Concept
from terminology.lookup import relation

TODAY = date(2026, 11, 22)

CLAML = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE ClaML SYSTEM "ClaML.dtd">
<ClaML version="2.0.0">
  <Meta name="lang" value="nb"/>
  <Identifier authority="test" uid="prøve"/>
  <Title date="2024-01-01" name="ICD-10-prøve" version="2024">Prøve</Title>
  <ClassKinds><ClassKind name="chapter"/><ClassKind name="block"/><ClassKind name="category"/></ClassKinds>
  <RubricKinds><RubricKind name="preferred"/><RubricKind name="inclusion"/></RubricKinds>
  <Class code="IV" kind="chapter">
    <SubClass code="E10-E14"/>
    <Rubric kind="preferred"><Label xml:lang="nb">Indre sykdommer</Label></Rubric>
  </Class>
  <Class code="E10-E14" kind="block">
    <SuperClass code="IV"/>
    <SubClass code="E11"/>
    <Rubric kind="preferred"><Label xml:lang="nb">Sukkersyke</Label></Rubric>
  </Class>
  <Class code="E11" kind="category">
    <SuperClass code="E10-E14"/>
    <Rubric id="r1" kind="preferred"><Label xml:lang="nb" xml:space="default">Type 2
      <Reference class="in brackets" code="X1">X1.-</Reference> &amp; annet</Label></Rubric>
    <Rubric kind="inclusion"><Label xml:lang="nb"><Fragment type="item">voksen</Fragment><Fragment>alder</Fragment></Label></Rubric>
    <Rubric kind="preferred"><Label xml:lang="en">Type 2, in English</Label></Rubric>
    <Rubric kind="exclusion"><Label>noe annet</Label></Rubric>
  </Class>
</ClaML>
"""


def row(code: str, text: str, parent: str | None = None, **more: str | None) -> dict[str, str | None]:
    usual = {
        "Tekst_med_maksimalt_60_tegn": text[:60],
        "Gyldig_fra": "1999-01-01T00:00:00",
        "Gyldig_til": None,
    }
    return {"Kode": code, "Tekst_uten_lengdebegrensning": text, "Foreldrekode": parent, **usual, **more}


ROWS = [
    row("A00-A09", "Tarm", Tekst_med_maksimalt_60_tegn=None),
    row("A00", "Kolera med en tekst som er mye lengre enn de seksti tegnene som får plass", "A00-A09"),
    row("A00.0", "Kolera, biovar", "A00", Uspesifikk_kode="Ja", Gyldig_til="2999-12-31T00:00:00"),
    row("A00.1", "Kolera, gammel", "A00", Gyldig_til="2004-12-31T23:59:00"),
]


def as_json(rows: list[dict[str, Any]]) -> str:
    return json.dumps(rows)


def as_xml(rows: list[dict[str, Any]]) -> str:
    def element(each: dict[str, Any]) -> str:
        parts = (f"  <{name}>{value}</{name}>\n" for name, value in each.items() if value is not None)
        return f"<Rad>\n{''.join(parts)}</Rad>\n"

    return f'<?xml version="1.0"?>\n<Kodeverk>\n{"".join(map(element, rows))}</Kodeverk>\n'


def as_csv(rows: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for each in rows for name in each))
    lines = [";".join(f'"{each.get(name) or ""}"' for name in names) for each in rows]
    return "\ufeff" + "\r\n".join([";".join(name.replace("_", " ") for name in names), *lines])


def imported(tmp_path: Path, kind: str, name: str, text: str) -> CodeSystem:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8", newline="")
    build(release(kind, file, today=TODAY), tmp_path / "out")
    (system,) = Imported(tmp_path / "out")("")
    return system


def found(system: CodeSystem, code: str) -> Concept:
    concept = system.find(code)
    assert concept is not None
    return concept


def test_claml(tmp_path: Path) -> None:
    system = imported(tmp_path, "icd10", "icd10.xml", CLAML)
    assert (system.url, system.version, system.language) == ("urn:oid:2.16.578.1.12.4.1.1.7110", "2024", "nb")
    assert found(system, "E11").display == "Type 2 X1.- & annet"
    names = {(text.value, (text.use or {}).get("display")) for text in found(system, "E11").designations}
    assert names == {("voksen alder", "inclusion")}
    assert relation(system, "IV", "E11") == "subsumes" and found(system, "E11").parents == ["E10-E14"]
    assert found(system, "e11").code == "E11" and system.content == "complete"


def test_claml_whose_codes_are_made_of_two_is_a_fragment(tmp_path: Path) -> None:
    modifier = """<ModifierClass modifier="S4" code=".0"><SuperClass code="S4"/>
        <Rubric kind="preferred"><Label>Med koma</Label></Rubric></ModifierClass><Class code="IV"""
    system = imported(tmp_path, "icd10", "icd10.xml", CLAML.replace('<Class code="IV', modifier, 1))
    assert system.content == "fragment" and len(system.concepts) == 3


@pytest.mark.parametrize("form,suffix", [(as_json, "json"), (as_xml, "xml"), (as_csv, "csv")])
def test_tables_of_finnkode(tmp_path: Path, form: Any, suffix: str) -> None:
    system = imported(tmp_path, "icd10", f"ICD-10_2026.{suffix}", form(ROWS))
    assert system.version == "2026" and len(system.concepts) == 4
    cholera = found(system, "A00")
    assert cholera.display == ROWS[1]["Tekst_uten_lengdebegrensning"] and cholera.children == [
        "A00.0",
        "A00.1",
    ]
    (short,) = cholera.designations
    assert short.use == {"display": "60 tegn"} and len(short.value) <= 60
    assert {"code": "Uspesifikk_kode", "valueString": "Ja"} in found(system, "A00.0").properties
    assert [found(system, code).inactive for code in ("A00.0", "A00.1")] == [False, True]
    assert relation(system, "A00-A09", "A00.1") == "subsumes"


@pytest.mark.parametrize(
    "name,text,why",
    [
        ("x_2026.xml", CLAML.replace("E10-E14</", "</"), None),
        ("x_2026.xml", CLAML[:-20], r"line 25: it is no XML"),
        ("x_2026.xml", CLAML.replace('code="E11" kind', 'code="E10-E14" kind'), "line 18: the code E10-E14 is there twice"),
        ("x_2026.xml", CLAML.replace("Indre sykdommer", ""), "line 12: the Class IV has no preferred Rubric"),
        ("x_2026.xml", CLAML.replace('<Class code="IV"', "<Class"), "line 9: a Class has no code"),
        ("x_2026.xml", "<a>" * 60 + "</a>" * 60, "nest more than 50 deep"),
        ("x_2026.xml", "<a/>", "There is no code in it"),
        ("x_2026.xml", "", "it is no XML"),
        ("x_2026.xml", CLAML.replace("Indre", "x" * 70_000), "a text is longer"),
        ("x_2026.xml", CLAML.replace("Indre", "&annen;"), "entities are not read"),
        ("x_2026.json", "{}", "it is no list of rows"),
        ("x_2026.json", "[", "it is no JSON"),
        ("x_2026.json", "[" * 100_000, "it is no JSON"),
        ("x_2026.json", as_json([*ROWS, row("", "Uten kode")]), "row 5: there is no code"),
        ("x_2026.xml", as_xml([*ROWS, row("A1", "")]), "line 32: there is no code, or no text"),
        ("x_2026.csv", as_csv([*ROWS, row("", "Uten kode")]), "line 6: there is no code"),
        ("x.json", as_json(ROWS), "give --version"),
    ],
)  # fmt: skip
def test_what_is_broken_is_told_and_nothing_is_half_loaded(
    tmp_path: Path, name: str, text: str, why: str | None
) -> None:
    if why is None:
        assert imported(tmp_path, "icd10", name, text)
        return
    with pytest.raises(ImportProblem, match=why):
        imported(tmp_path, "icd10", name, text)
    assert not list(tmp_path.glob("out/*"))


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    bomb = ['<!ENTITY a "aaaaaaaaaa">', *(f'<!ENTITY {n} "{"&a;" * 10}">' for n in "bcdefgh")]
    for declared in (
        "".join(bomb),
        '<!ENTITY x SYSTEM "file:///etc/passwd">',
        '<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;',
    ):
        text = CLAML.replace('<!DOCTYPE ClaML SYSTEM "ClaML.dtd">', f"<!DOCTYPE ClaML [{declared}]>")
        with pytest.raises(ImportProblem, match="entities are not read"):
            imported(tmp_path, "icd10", "x_2026.xml", text.replace("Indre", "&h;&x;"))
