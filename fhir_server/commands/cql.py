"""`varde cql FILE`: compile a CQL library, show what it compiles to, evaluate it over files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from fhir_server.errors import FhirError
from fhir_server.resource_json import decode, encode
from rules import cql
from rules.plans.window import ZONE
from rules.runtime.conversion import to_string
from rules.runtime.units import TextUnits
from rules.values import Code, Concept, Interval, Long, Quantity, Ratio, Tuple, ValueSet

_ELM = (".json", ".elm")


class _Fault(Exception):
    """Why the command cannot go on, as it is shown."""


def cql_command(
    file: Annotated[Path, typer.Argument(help="A library: CQL, or ELM as JSON.", show_default=False)],
    define: Annotated[
        list[str] | None, typer.Option("--define", "-d", help="Evaluate this definition (repeatable).")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="FHIR data of one patient: a Bundle, a resource, NDJSON, or a folder."),
    ] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", help="NAME=VALUE; the value is CQL.")
    ] = None,
    now: Annotated[
        str | None,
        typer.Option(help="When it is, such as 2026-11-21T10:00:00+01:00.", show_default="the clock"),
    ] = None,
    elm: Annotated[bool, typer.Option("--elm", help="Print the ELM, as JSON.")] = False,
    python: Annotated[bool, typer.Option("--python", help="Print the Python that runs.")] = False,
) -> None:
    """Compile a CQL library; evaluate its definitions over FHIR data.

    Includes are looked for in the folder of the file: NAME-VERSION.cql, NAME.cql. Without --define, --elm or
    --python every definition is evaluated if there are data, and listed with its type if there are none.
    """
    try:
        for line in _run(file, define or [], data or [], parameter or [], now, elm, python):
            typer.echo(line)
    except (_Fault, cql.EvaluationError) as fault:
        typer.echo(f"error: {fault}" if isinstance(fault, cql.EvaluationError) else str(fault), err=True)
        raise typer.Exit(1) from None


def _run(
    file: Path,
    names: list[str],
    data: list[Path],
    parameters: list[str],
    now: str | None,
    elm: bool,
    python: bool,
) -> Iterator[str]:
    library = _compiled(file)
    if elm:
        yield encode(library.to_elm(), pretty=True).decode()
    if python:
        yield library.python_source.rstrip()
    if elm or python:
        return
    missing = [name for name in names if name not in library.defines]
    if missing:
        raise _Fault(f"{file}: error: the library defines no {missing[0]}")
    if not names and not data:
        for name in library.defines:
            yield f"{name}: {library.compiled.typed.expressions[name].body.type}"
        return
    resources = [resource for path in data for resource in _resources(path)]
    given = {
        "resources": [resource for resource in resources if resource.get("resourceType") != "ValueSet"],
        "valuesets": _value_sets(resources),
        "parameters": dict(map(_parameter, parameters)),
        "now": _moment(now),
        "units": _units(),
        "message": lambda message: typer.echo(f"message: {message}", err=True),
    }
    for name in names or library.defines:
        yield f"{name}: {shown(library.evaluate(name, **given))}"


# Compiling


def _compiled(file: Path) -> cql.Library:
    text = _text(file)
    try:
        if file.suffix.lower() in _ELM:
            return cql.load_elm(text, _includes(file.parent))
        return cql.compile(text, _includes(file.parent))
    except cql.CompileError as error:
        raise _Fault("\n".join(_diagnosed(file, text, error.diagnostics))) from None


def _includes(folder: Path) -> Any:
    """Libraries of the same folder; what is wrong with one is told of its own file."""
    compiling: list[Path] = []

    def find(name: str, version: str | None) -> cql.Library | None:
        for path in [folder / f"{name}-{version}.cql"] * bool(version) + [folder / f"{name}.cql"]:
            if path.parent == folder and path.is_file() and path not in compiling:
                compiling.append(path)
                text = _text(path)
                try:
                    return cql.compile(text, find)
                except cql.CompileError as error:
                    raise _Fault("\n".join(_diagnosed(path, text, error.diagnostics))) from None
                finally:
                    compiling.pop()
        return None

    return find


def _diagnosed(file: Path, text: str, diagnostics: Iterable[cql.Diagnostic]) -> Iterator[str]:
    """Each as a compiler shows it: the place, the line, and a caret below."""
    lines = text.splitlines()
    diagnostics = tuple(diagnostics)
    for found in diagnostics:
        yield f"{file}:{found.line}:{found.column}: {found.kind} error: {found.message}"
        if 0 < found.line <= len(lines):
            line = lines[found.line - 1]
            before = "".join("\t" if sign == "\t" else " " for sign in line[: found.column - 1])
            yield f"  {line}"
            yield f"  {before}^"
    yield f"{len(diagnostics)} error{'s' if len(diagnostics) != 1 else ''}"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise _Fault(f"{file}: error: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _Fault(f"{file}: error: not UTF-8") from None


# What is given


def _resources(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_dir():
        for inner in sorted(p for p in path.iterdir() if p.suffix.lower() in (".json", ".ndjson")):
            yield from _resources(inner)
        return
    text = _text(path)
    documents = text.splitlines() if path.suffix.lower() == ".ndjson" else [text]
    for document in documents:
        if document.strip():
            try:
                resource = decode(document.encode())
            except FhirError as error:
                raise _Fault(f"{path}: error: {error}") from None
            yield from _unpacked(resource)


def _unpacked(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if resource.get("resourceType") != "Bundle":
        yield resource
        return
    for entry in resource.get("entry") or ():
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
            yield from _unpacked(entry["resource"])


def _value_sets(resources: list[dict[str, Any]]) -> Any:
    """Those among the data, by their URL."""
    from fhir_server.alerts.value_sets import ValueSets

    look_up = ValueSets(lambda _: (), resources)

    def codes(wanted: ValueSet) -> Any:
        return look_up(wanted)

    return codes


def _parameter(said: str) -> tuple[str, Any]:
    name, sign, text = said.partition("=")
    if not sign or not name:
        raise _Fault(f"error: --parameter is NAME=VALUE, not {said}")
    try:
        return name, cql.compile(f"define value: {text}").evaluate("value")
    except cql.CompileError as error:
        raise _Fault(f"error: --parameter {name}: {error.diagnostics[0].message}") from None


def _moment(text: str | None) -> datetime:
    try:
        found = datetime.now(ZONE) if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise _Fault(f"error: --now is no date and time: {text}") from None
    return found if found.tzinfo else found.replace(tzinfo=ZONE)


def _units() -> TextUnits:
    from terminology import ucum

    return TextUnits(ucum.convert)


# What is shown


def shown(value: Any) -> str:
    """A value as CQL would write it, and FHIR data as JSON."""
    if value is None:
        return "null"
    if isinstance(value, Tuple):
        return f"Tuple {{ {', '.join(f'{name}: {shown(item)}' for name, item in value.items()) or ':'} }}"
    if isinstance(value, list):
        return "{ " + ", ".join(map(shown, value)) + " }" if value else "{}"
    if isinstance(value, dict):
        return encode(value).decode()
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, Interval):
        opening, closing = "[" if value.low_closed else "(", "]" if value.high_closed else ")"
        return f"Interval{opening}{shown(value.low)}, {shown(value.high)}{closing}"
    if isinstance(value, Code):
        return f"Code '{value.code}'" + (f" from {value.system}" if value.system else "")
    if isinstance(value, Concept):
        return f"Concept {{ {', '.join(map(shown, value.codes))} }}"
    if isinstance(value, Long):
        return f"{int(value)}L"
    if isinstance(value, Decimal | bool | int | Quantity | Ratio):
        return str(to_string(value))
    return str(value)
