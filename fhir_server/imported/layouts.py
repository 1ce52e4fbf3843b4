"""The files of the releases as they are published, and what their columns mean.

SNOMED CT: https://confluence.ihtsdotools.org/display/DOCRELFMT (RF2); LOINC: https://loinc.org/kb/users-guide;
ICD-10, ICPC-2 and the laboratory codes: tables of codes and texts, as Helsedirektoratet publishes them.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from fhir_server.imported import classification
from fhir_server.imported.problem import ImportProblem
from fhir_server.imported.rows import (
    Concept,
    Described,
    Member,
    Parent,
    Parse,
    Preferred,
    Property,
    Release,
    Row,
    Stage,
    Text,
)

_IS_A = "116680003"
_FSN, _SYNONYM = "900000000000003001", "900000000000013009"
_PREFERRED = "900000000000548007"
_EDITIONS = {"INT": "900000000000207008", "NO1000202": "51000202101"}
_SCTID = re.compile(r"[1-9][0-9]{5,17}")
_OID = "urn:oid:2.16.578.1.12.4.1.1"
# kind -> URL, name, language of the texts. Their files are tables of a code and a text.
TABLES = {
    "icd10": (f"{_OID}.7110", "ICD10", "nb"),
    "icpc2": (f"{_OID}.7170", "ICPC2", "nb"),
    "nlk": (f"{_OID}.7280", "NLK", "nb"),
    "npu": ("http://npu-terminology.org", "NPU", "en"),
    "atc": ("http://www.whocc.no/atc", "ATC", "nb"),
}
KINDS = ("sct", "loinc", *TABLES)


def release(kind: str, path: Path, version: str | None = None, today: date | None = None) -> Release:
    """The release of a kind in a file, a folder or a zip. ImportProblem where it is none.

    `today`: codes whose time was over before it are inactive.
    """
    files = _files(path)
    if kind == "sct":
        return _snomed(files, version)
    if kind == "loinc":
        return _loinc(path, files, version)
    if kind not in TABLES:
        raise ImportProblem(f"{kind} is none of {', '.join(KINDS)}")
    return _table(kind, path, files, version, today or datetime.now(UTC).date())


# name -> (size, open)
Files = dict[str, tuple[int, Callable[[], IO[bytes]]]]


def _files(path: Path) -> Files:
    if path.is_dir():
        found = [file for file in sorted(path.rglob("*")) if file.is_file()]
        return {str(file.relative_to(path)): _on_disk(file) for file in found}
    if not path.is_file():
        raise ImportProblem("There is no such file or folder", str(path))
    if not zipfile.is_zipfile(path):
        return {path.name: _on_disk(path)}
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
    return {info.filename: (info.file_size, partial(_in_zip, path, info.filename)) for info in infos}


def _on_disk(path: Path) -> tuple[int, Callable[[], IO[bytes]]]:
    def opened() -> IO[bytes]:
        return path.open("rb")

    return path.stat().st_size, opened


def _in_zip(path: Path, name: str) -> IO[bytes]:
    return zipfile.ZipFile(path).open(name)


def _named(files: Files, pattern: str) -> list[str]:
    return [name for name in files if re.fullmatch(pattern, PurePosixPath(name).name)]


def _stage(files: Files, name: str, parser: Callable[[str], Parse], headed: bool = True) -> Stage:
    size, opened = files[name]
    return Stage(PurePosixPath(name).name, size, opened, parser, headed)


# SNOMED CT


def _snomed(files: Files, version: str | None) -> Release:
    concepts = _named(files, r"x?sct2_Concept_Snapshot_.*\.txt")
    descriptions = _named(files, r"x?sct2_Description_Snapshot.*\.txt")
    relationships = _named(files, r"x?sct2_Relationship_Snapshot_.*\.txt")
    languages = _named(files, r"x?der2_cRefset_LanguageSnapshot.*\.txt")
    if not (concepts and descriptions and relationships and languages):
        raise ImportProblem(
            "An RF2 release has snapshots of concepts, descriptions, relationships and languages"
        )
    parsers = (
        (concepts, _columns(5, _concept)),
        (languages, _columns(7, _language)),
        (descriptions, _columns(9, _description)),
        (relationships, _columns(10, _relationship)),
        (_named(files, r"x?der2_Refset_Simple.*Snapshot.*\.txt"), _columns(6, _member)),
    )
    stages = [_stage(files, name, parser) for names, parser in parsers for name in names]
    return Release(
        "http://snomed.info/sct", "SNOMEDCT", version or _edition(concepts[-1]), "en", tuple(stages), ()
    )


def _edition(name: str) -> str:
    """The version URI, which the name of the file tells: sct2_Concept_Snapshot_INT_20240101.txt."""
    match = re.search(r"Snapshot_([A-Z]+[0-9]*)_([0-9]{8})", name)
    if match is None or match[1] not in _EDITIONS:
        raise ImportProblem("Which edition it is cannot be told from the name: give --version", name)
    return f"http://snomed.info/sct/{_EDITIONS[match[1]]}/version/{match[2]}"


def _columns(count: int, read: Callable[[list[str]], Iterator[Row]]) -> Callable[[str], Parse]:
    """A parser of tab-separated lines of so many columns, with names in the first."""

    def parse(line: str) -> Iterator[Row]:
        columns = line.split("\t")
        if len(columns) != count:
            raise ValueError(f"the line has {len(columns)} columns instead of {count}")
        if columns[2] not in ("0", "1"):
            raise ValueError("the column active is neither 0 nor 1")
        return read(columns)

    def parser(first: str) -> Parse:
        if len(first.split("\t")) != count or not first.startswith("id\teffectiveTime\tactive"):
            raise ValueError("the first line does not name the columns of this file")
        return parse

    return parser


def _sctid(text: str) -> str:
    if not _SCTID.fullmatch(text):
        raise ValueError("it has an identifier that is none of SNOMED CT")
    return text


def _concept(columns: list[str]) -> Iterator[Row]:
    yield Concept(_sctid(columns[0]), None, columns[2] == "0")


def _language(columns: list[str]) -> Iterator[Row]:
    if columns[2] == "1" and columns[6] == _PREFERRED:
        yield Preferred(_sctid(columns[5]))


def _description(columns: list[str]) -> Iterator[Row]:
    if columns[2] == "0":
        return
    code, language, kind, value = _sctid(columns[4]), columns[5], columns[6], columns[7]
    if kind == _FSN:
        yield Text(code, value, language, _FSN, 1 if language == "en" else None)
    elif kind == _SYNONYM:
        rank = 0 if language == "en" else None
        yield Described(_sctid(columns[0]), Text(code, value, language, _SYNONYM, rank))


def _relationship(columns: list[str]) -> Iterator[Row]:
    if columns[2] == "1" and columns[7] == _IS_A:
        yield Parent(_sctid(columns[4]), _sctid(columns[5]))


def _member(columns: list[str]) -> Iterator[Row]:
    if columns[2] == "1":
        yield Member(_sctid(columns[5]), _sctid(columns[4]))


# Tables with commas, semicolons or tabs


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        rows = list(csv.reader(io.StringIO(line), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"the line is no row of a table ({error})") from None
    return [cell.strip() for cell in rows[0]] if rows else []


_LOINC_PROPERTIES = (
    "COMPONENT",
    "PROPERTY",
    "TIME_ASPCT",
    "SYSTEM",
    "SCALE_TYP",
    "METHOD_TYP",
    "CLASS",
    "STATUS",
)


def _loinc(path: Path, files: Files, version: str | None) -> Release:
    tables = _named(files, r"Loinc\.csv")
    if not tables:
        raise ImportProblem("A LOINC release has the file Loinc.csv", path.name)
    said = re.search(r"[Ll]oinc_([0-9]+\.[0-9]+)", f"{path.name}/{tables[0]}")
    if version is None and said is None:
        raise ImportProblem("Which version it is cannot be told from the name: give --version", path.name)
    stage = _stage(files, tables[0], _loinc_parser)
    properties = _LOINC_PROPERTIES
    return Release(
        "http://loinc.org", "LOINC", version or (said[1] if said else ""), "en", (stage,), properties, False
    )


def _loinc_parser(first: str) -> Parse:
    names = _cells(first, ",")
    needed = ("LOINC_NUM", "LONG_COMMON_NAME", *_LOINC_PROPERTIES)
    missing = [name for name in needed if name not in names]
    if missing:
        raise ValueError(f"the first line does not name {', '.join(missing)}")

    def parse(line: str) -> Iterator[Row]:
        cells = _cells(line, ",")
        if len(cells) != len(names):
            raise ValueError(f"the line has {len(cells)} columns instead of {len(names)}")
        row = dict(zip(names, cells, strict=True))
        code = row["LOINC_NUM"]
        if not re.fullmatch(r"[A-Z0-9]{1,10}-[0-9]", code):
            raise ValueError("LOINC_NUM is no code of LOINC")
        yield Concept(code, row["LONG_COMMON_NAME"] or None, row["STATUS"] == "DEPRECATED")
        if row.get("SHORTNAME"):
            yield Text(code, row["SHORTNAME"], "en", "SHORTNAME")
        for name in _LOINC_PROPERTIES:
            if row[name]:
                yield Property(code, name, row[name])

    return parse


_CODE_NAMES = ("kode", "code", "kodeverdi", "atckode", "atccode", "npukode", "npucode", "nlkkode")
_TEXT_NAMES = (
    "tekstutenlengdebegrensning", "tekstmedmaksimalttegn",
    "tekst", "kodetekst", "navn", "norskbruksnavn", "bruksnavn", "norsknavn", "name", "atcnavn", "atcname",
    "atclevelname", "fulldefinition", "shortdefinition", "betegnelse", "display", "beskrivelse",
)  # fmt: skip
_PARENT_NAMES = ("foreldrekode", "overordnetkode", "overordnet", "parent", "parentcode")


def _table(kind: str, path: Path, files: Files, version: str | None, today: date) -> Release:
    tables = _named(files, r".*\.(csv|txt|tsv|xml|json)")
    if len(tables) != 1:
        raise ImportProblem(
            f"There must be one file (.csv, .txt, .tsv, .xml, .json) in it, not {len(tables)}", path.name
        )
    found = None
    if tables[0].lower().endswith((".xml", ".json")):
        found = classification.read(tables[0], *files[tables[0]], today)
        version = version or found.version
    said = re.search(r"(?<![0-9])((?:19|20)[0-9]{2}(?:-[0-9]{2}){0,2})(?![0-9])", path.name)
    if version is None and said is None:
        raise ImportProblem("Which version it is cannot be told from the name: give --version", path.name)
    url, name, language = TABLES[kind]
    version = version or (said[1] if said else "")
    if found:
        return Release(
            url, name, version, found.language or language, (found.stage(PurePosixPath(tables[0]).name),),
            classification.PROPERTIES, kind != "icd10", "complete" if found.whole else "fragment",
        )  # fmt: skip
    with files[tables[0]][1]() as file:
        headed = _header(file.readline(64 * 1024).decode("utf-8-sig", "replace")) is not None
    stage = _stage(files, tables[0], partial(_table_parser, kind, today), headed)
    properties = classification.PROPERTIES if kind in ("icd10", "icpc2") else ()
    return Release(url, name, version, language, (stage,), properties, kind != "icd10")


def _header(first: str) -> tuple[int, int, int | None] | None:
    """Which columns are the code, the text and the code above; None where the first line names none."""
    names = [re.sub(r"[^a-zæøå]", "", cell.casefold()) for cell in _cells(first, _delimiter(first))]
    code = next((names.index(name) for name in _CODE_NAMES if name in names), None)
    text = next((names.index(name) for name in _TEXT_NAMES if name in names), None)
    parent = next((names.index(name) for name in _PARENT_NAMES if name in names), None)
    return None if code is None or text is None else (code, text, parent)


def _delimiter(line: str) -> str:
    return next((mark for mark in "\t;," if mark in line), "\t")


def _table_parser(kind: str, today: date, first: str) -> Parse:
    delimiter, columns = _delimiter(first), _header(first)
    names = [cell.replace(" ", "_") for cell in _cells(first, delimiter)]
    if "Kode" in names and "Tekst_uten_lengdebegrensning" in names:  # of FinnKode
        return partial(_of_finnkode, delimiter, names, today)
    code_at, text_at, parent_at = columns or (0, 1, None)
    if len(_cells(first, delimiter)) < 2:
        raise ValueError("the first line has only one column")

    def parse(line: str) -> Iterator[Row]:
        cells = _cells(line, delimiter)
        if len(cells) <= max(code_at, text_at, parent_at or 0):
            raise ValueError(f"the line has only {len(cells)} columns")
        code, text = cells[code_at], cells[text_at]
        if not code or not text or len(code) > 40:
            raise ValueError("the line has no code, or no text for it")
        yield Concept(code, text)
        parent = cells[parent_at] if parent_at is not None else _above(kind, code)
        if parent:
            yield Parent(code, parent)

    return parse


def _of_finnkode(delimiter: str, names: list[str], today: date, line: str) -> Iterator[Row]:
    cells = _cells(line, delimiter)
    if len(cells) != len(names):
        raise ValueError(f"the line has {len(cells)} columns instead of {len(names)}")
    return classification.rows_of(classification.of_row(dict(zip(names, cells, strict=True)), today))


def _above(kind: str, code: str) -> str | None:
    """The code above one in classifications whose codes tell it: A10B in A10, E11.9 in E11, A01 in A."""
    if kind == "atc":
        return next((code[:length] for length in (5, 4, 3, 1) if len(code) > length), None)
    if kind == "icd10" and re.fullmatch(r"[A-Z][0-9]{2}\.?[0-9A-Z]+", code):
        return code[:3]
    if kind == "icpc2" and re.fullmatch(r"[A-Z-][0-9]{2}", code):
        return code[0]
    return None
