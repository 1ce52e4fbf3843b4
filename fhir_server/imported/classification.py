"""ICD-10 and ICPC-2 in XML and JSON: ClaML 2.0, and the tables that Helsedirektoratet's FinnKode gives out.

ClaML (EN 14463): https://www.who.int/standards/classifications, a Class for each code with its SuperClass and
Rubrics. FinnKode: rows of Kode, Tekst_uten_lengdebegrensning, Foreldrekode and more, as JSON objects, or as
elements of XML; https://finnkode.helsedirektoratet.no.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import PurePosixPath
from typing import IO, Any, Final
from xml.parsers import expat

from fhir_server.imported.problem import ImportProblem
from fhir_server.imported.rows import Concept, Parent, Parse, Property, Row, Stage, Text

# The columns of FinnKode that say something of a code besides its texts and where it is.
PROPERTIES: Final = (
    "Gyldig_fra", "Gyldig_til", "Kodeverk", "Rapporteres_til_NPR", "NPR_Gyldig_fra", "NPR_Gyldig_til",
    "Stjernekode", "Tilleggskode", "Kjønn", "Uspesifikk_kode", "Tilhørighet_i_ICPC-2B",
)  # fmt: skip
_CODE, _LONG, _SHORT, _PARENT = (
    "Kode", "Tekst_uten_lengdebegrensning", "Tekst_med_maksimalt_60_tegn", "Foreldrekode",
)  # fmt: skip
SHORT: Final = "60 tegn"
_MOST_BYTES = 512 * 2**20
_LONGEST = 64 * 1024  # characters of a text
_DEEPEST = 50
_XML_LANGUAGE = "xml:lang"


@dataclass(slots=True)
class Coded:
    """One code as it was read. `line`: where, 0 where that is not known."""

    code: str
    line: int = 0
    parents: list[str] = field(default_factory=list)
    texts: list[tuple[str, str | None, str | None]] = field(default_factory=list)  # value, language, use
    properties: list[tuple[str, str]] = field(default_factory=list)
    inactive: bool = False


@dataclass(frozen=True, slots=True)
class Classification:
    """`version` and `language` where the file says them; `whole`: whether all codes are in it."""

    codes: list[Coded]
    version: str | None = None
    language: str | None = None
    whole: bool = True

    def stage(self, name: str) -> Stage:
        """What was read, as lines to be imported."""
        lines = "".join(f"{json.dumps(_line(each))}\n" for each in self.codes).encode()
        return Stage(name, len(lines), lambda: io.BytesIO(lines), _parser, headed=False)


def read(name: str, size: int, opened: Callable[[], IO[bytes]], today: date) -> Classification:
    """What is in a file. ImportProblem where it is not of these forms, or broken."""
    file = PurePosixPath(name).name
    if size > _MOST_BYTES:
        raise ImportProblem(f"the file is larger than {_MOST_BYTES >> 20} MiB", file)
    with opened() as content:
        found = _read_json(content, file, today) if name.lower().endswith(".json") else None
        found = found or _Reader(file, today).read(content)
    if not found.codes:
        raise ImportProblem("There is no code in it", file)
    _check(found.codes, file)
    return found


def _check(codes: list[Coded], file: str) -> None:
    seen: set[str] = set()
    for each in codes:
        if each.code in seen:
            raise ImportProblem(f"the code {each.code[:40]} is there twice", file, each.line)
        seen.add(each.code)


def of_row(row: dict[str, Any], today: date, language: str = "nb") -> Coded:
    """A row of FinnKode's table. ValueError where it has no code, or no text."""
    code, long, short = (_said(row, name) for name in (_CODE, _LONG, _SHORT))
    text = long or short
    if not code or not text or len(code) > 40:
        raise ValueError("there is no code, or no text for it")
    found = Coded(code, texts=[(text, language, None)])
    if short and short != text:
        found.texts.append((short, language, SHORT))
    parent = _said(row, _PARENT)
    found.parents = [parent] if parent else []
    found.properties = [(name, value) for name in PROPERTIES if (value := _said(row, name))]
    until = _said(row, "Gyldig_til")
    found.inactive = bool(until) and until[:10] < today.isoformat()
    return found


def _said(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""


def _read_json(content: IO[bytes], file: str, today: date) -> Classification:
    try:
        rows = json.loads(content.read())
    except (ValueError, RecursionError):
        raise ImportProblem("it is no JSON", file) from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ImportProblem("it is no list of rows", file)
    codes = []
    for number, row in enumerate(rows, 1):
        try:
            codes.append(of_row(row, today))
        except ValueError as error:
            raise ImportProblem(f"row {number}: {error}", file) from None
    return Classification(codes)


@dataclass(slots=True)
class _Element:
    name: str
    attributes: dict[str, str]
    line: int
    texts: list[str] = field(default_factory=list)
    size: int = 0  # of the texts
    row: dict[str, str] = field(default_factory=dict)  # of children that have only text

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


class _Reader:
    """What expat calls; nothing outside of the document is looked at, and no entity is declared."""

    def __init__(self, file: str, today: date) -> None:
        self.file, self.today = file, today
        self.codes: list[Coded] = []
        self.version: str | None = None
        self.language: str | None = None
        self.whole = True
        self.open: list[_Element] = []
        self.coded: Coded | None = None
        self.parser = parser = expat.ParserCreate()
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.CharacterDataHandler = self.said
        parser.EntityDeclHandler = self.refuse_entity
        parser.SkippedEntityHandler = self.refuse_entity

    def read(self, content: IO[bytes]) -> Classification:
        try:
            self.parser.ParseFile(content)
        except expat.ExpatError as error:
            reason = expat.errors.messages.get(error.code) or expat.ErrorString(error.code)
            raise ImportProblem(f"it is no XML ({reason})", self.file, error.lineno) from None
        return Classification(self.codes, self.version, self.language, self.whole)

    def problem(self, why: str) -> ImportProblem:
        return ImportProblem(why, self.file, self.parser.CurrentLineNumber)

    def refuse_entity(self, *_: Any) -> None:
        raise self.problem("entities are not read")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self.open) >= _DEEPEST:
            raise self.problem(f"the elements nest more than {_DEEPEST} deep")
        self.open.append(_Element(name, attributes, self.parser.CurrentLineNumber))
        if name == "Class":
            code = attributes.get("code", "").strip()
            if not code or len(code) > 40:
                raise self.problem("a Class has no code")
            self.coded = Coded(code, self.parser.CurrentLineNumber)

    def said(self, text: str) -> None:
        element = self.open[-1]
        if element.texts or not text.isspace():
            self.add(element, text)

    def add(self, element: _Element, *texts: str) -> None:
        element.texts += texts
        element.size += sum(map(len, texts))
        if element.size > _LONGEST:
            raise self.problem(f"a text is longer than {_LONGEST} characters")

    def end(self, name: str) -> None:
        element = self.open.pop()
        above = self.open[-1] if self.open else None
        match name:
            case "Title" if element.attributes.get("version"):
                self.version = element.attributes["version"]
            case "Meta" if self.coded is None and element.attributes.get("name") == "lang":
                self.language = element.attributes.get("value") or None
            case "ModifierClass":  # codes that are made of two, which are not made here
                self.whole = False
            case "SuperClass" if self.coded:
                self.coded.parents.append(element.attributes.get("code", ""))
            case "Rubric" if self.coded:
                self.rubric(self.coded, element)
            case "Class":
                self.take()
            case _ if above is not None:
                self.child(above, element)

    def rubric(self, coded: Coded, element: _Element) -> None:
        kind, text = element.attributes.get("kind"), element.text
        language = element.row.get(_XML_LANGUAGE) or self.language
        if kind == "preferred" and text and not any(use is None for _, _, use in coded.texts):
            coded.texts.insert(0, (text, language, None))
        elif kind in ("preferredLong", "inclusion") and text:
            coded.texts.append((text, language, kind))

    def take(self) -> None:
        assert self.coded is not None
        if not any(use is None for _, _, use in self.coded.texts):
            raise self.problem(f"the Class {self.coded.code} has no preferred Rubric")
        self.codes.append(self.coded)
        self.coded = None

    def child(self, above: _Element, element: _Element) -> None:
        """The text of a Label or a Fragment is its Rubric's; that of a column is its row's."""
        if _CODE in element.row:
            self.codes.append(self.row(element))
        elif self.coded is not None:
            self.add(above, " ", *element.texts)
            language = element.attributes.get(_XML_LANGUAGE) or element.row.get(_XML_LANGUAGE)
            if language:
                above.row[_XML_LANGUAGE] = language
        else:
            above.row[element.name.rpartition(":")[2]] = element.text

    def row(self, element: _Element) -> Coded:
        try:
            found = of_row(element.row, self.today)
        except ValueError as error:
            raise ImportProblem(str(error), self.file, element.line) from None
        found.line = element.line
        return found


def _line(coded: Coded) -> list[Any]:
    return [coded.code, coded.inactive, coded.parents, coded.texts, coded.properties]


def _parser(first: str) -> Parse:
    return lambda line: rows_of(Coded(*_of_line(json.loads(line))))


def _of_line(said: list[Any]) -> tuple[Any, ...]:
    code, inactive, parents, texts, properties = said
    return code, 0, parents, [tuple(text) for text in texts], [tuple(p) for p in properties], inactive


def rows_of(coded: Coded) -> Iterator[Row]:
    """What is imported of a code."""
    display = next((value for value, _, use in coded.texts if use is None), None)
    yield Concept(coded.code, display, coded.inactive)
    for value, language, use in coded.texts:
        if use is not None:
            yield Text(coded.code, value, language, use)
    for parent in coded.parents:
        yield Parent(coded.code, parent)
    for name, value in coded.properties:
        yield Property(coded.code, name, value)
