"""Runs the CQL cases through npm @cqframework/cql and compares: `python -m tests.differential.run --helpers FILE`.

FILE is FHIRHelpers-4.0.1.cql of github.com/cqframework/clinical_quality_language (examples/js). Node and npm
must be there; the packages are installed into --folder. Every difference must be explained in
differences.json, {case: {"ours", "theirs", "why"}}, or this fails; so does an explanation that is out of date.
With --elm the ELM of the npm translator is also read by rules.cql.load_elm, and must give what our text gives;
and our ELM is run by npm cql-execution.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from rules import cql
from rules.cql import CompileError, EvaluationError
from rules.model import r4, values
from rules.runtime.interval import Interval
from rules.runtime.temporal import Date, DateTime, Time
from rules.runtime.values import Code, CodeSystem, Concept, Long, Quantity, Ratio, Tuple, ValueSet
from rules.typed.types import ChoiceOf, ListOf, Named, Type
from tests.cql.fhir_cases import TOPICS
from tests.cql.fhir_data import GIVEN, HEAD, NOW, RESOURCES, VALUESETS
from tests.cql.test_cql_suite import is_as

HERE = Path(__file__).parent
PACKAGES = ("@cqframework/cql@5.3.0", "cql-execution", "cql-exec-fhir", "@lhncbc/ucum-lhc")
SUITE = Path(os.environ.get("VARDE_SUITES", HERE.parents[2] / "shared" / "suites")) / "cql" / "expected.json"

Json = dict[str, Any]
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT.*")


def cases(suite: bool) -> dict[str, str]:
    """Name -> the text of the library whose definition X is meant."""
    found = {}
    for topic, rows in TOPICS.items():
        for text, _ in rows:
            found[f"{topic}: {text}"] = f"{HEAD}\ndefine X: {text}"
    if suite:
        for name, test in _suite().items():
            found[name] = f"library T define X: {test['expr']}"
    return found


def _suite() -> dict[str, Json]:
    """The cases of the official suite that have a value."""
    tests = json.loads(SUITE.read_text()) if SUITE.is_file() else []
    return {f"{t['file']}.{t['group']}.{t['name']}": t for t in tests if not t["invalid"]}


def as_expected(test: Json, text: str) -> bool:
    """Whether our value is the one that the official suite has."""
    try:
        return is_as(cql.compile(text).evaluate("X", **GIVEN), test["expected"], test["output"])
    except (CompileError, EvaluationError):
        return False


def with_literals(text: str) -> str:
    """The engine's clock cannot be set from JavaScript."""
    text = text.replace("library T", "library Case").replace("Now()", f"@{NOW}")
    text = text.replace("AgeInYears()", f"AgeInYearsAt(@{NOW[:10]})")
    return text.replace("Today()", f"@{NOW[:10]}").replace("TimeOfDay()", f"@{NOW[10:23]}")


# Data as trees that tell their types: {"t": type, "s": {name: System value}, "e": {name: tree}}


def tree(value: Any, type_: Type) -> Any:
    """FHIR JSON with the types that the model gives its elements."""
    if isinstance(type_, ListOf):
        return [tree(item, type_.element) for item in value]
    assert isinstance(type_, Named)
    if isinstance(value, dict) and "resourceType" in value:
        type_ = Named("FHIR", value["resourceType"])
    if isinstance(value, values.Primitive) or not isinstance(value, dict):
        return _primitive(value, type_)
    found: Json = {"t": _spelled(type_.name), "s": {}, "e": {}}
    for name, element, held in _elements(value, type_):
        found["e"][name] = tree(held, element)
    if type_.name not in r4.PRIMITIVES and isinstance(value.get("id"), str) and "resourceType" not in value:
        found["e"].pop("id", None)
        found["s"]["id"] = {"string": value["id"]}
    return found


def _spelled(name: str) -> str:
    """Backbone types as the model information writes them, Observation.Component."""
    return ".".join(part[:1].upper() + part[1:] for part in name.split(".")) if "." in name else name


def _elements(value: Json, type_: Named) -> Iterable[tuple[str, Type, Any]]:
    models = _models()
    for at in models.ancestors(type_):
        known = r4.model().classes.get(at.name) if at.model == "FHIR" else None
        for name, element in (known.elements if known else {}).items():
            for key, option in _keys(name, element, known.choices if known else frozenset()):
                if key in value or f"_{key}" in value:
                    whole = values.primitives if isinstance(option, ListOf) else values.primitive
                    yield name, option, whole(value, key)


def _keys(name: str, type_: Type, choices: frozenset[str]) -> Iterable[tuple[str, Type]]:
    if name not in choices:
        return [(name, type_)]
    options = type_.options if isinstance(type_, ChoiceOf) else (type_,)
    return [(f"{name}{o.name[0].upper()}{o.name[1:]}", o) for o in options if isinstance(o, Named)]


def _models() -> Any:
    from rules.typed.model import Models

    models = Models()
    models.by_name["FHIR"] = r4.model()
    return models


def _primitive(value: Any, type_: Named) -> Json:
    found: Json = {"t": type_.name, "s": {}, "e": {}}
    if isinstance(value, values.Primitive):
        if "id" in value.beside:
            found["s"]["id"] = {"string": value.beside["id"]}
        if "extension" in value.beside:
            found["e"]["extension"] = tree(value.beside["extension"], ListOf(Named("FHIR", "Extension")))
    owner = next(a.name for a in _models().ancestors(type_) if a.name in r4.PRIMITIVES)
    held = values.converter(owner)(value)
    if held is not None:
        found["s"]["value"] = _system(held)
    return found


def _system(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return {"integer": value}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, Date):
        return {"date": str(value)[1:]}
    if isinstance(value, DateTime):
        offset = None if value.offset is None else str(Decimal(value.offset) / 60)
        return {"datetime": list(value.fields), "offset": offset}
    if isinstance(value, Time):
        return {"time": list(value.fields)}
    return {"string": value}


# Values of both sides in one form


def ours(text: str, load: Any = None) -> Any:
    """What this engine makes of it: a value in the common form, or how it failed."""
    try:
        library = load() if load is not None else cql.compile(text)
        return form(library.evaluate("X", **GIVEN))
    except CompileError as error:
        return {"invalid": str(error.diagnostics[0])}
    except EvaluationError as error:
        return {"error": str(error)}


def form(value: Any) -> Any:
    """One of our values in the common form."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return _moment(value) if _DATE_TIME.fullmatch(value) else value
    if isinstance(value, Long):
        return {"long": str(int(value))}
    if isinstance(value, int):
        return value
    if isinstance(value, Decimal):
        return {"decimal": _number(value)}
    if isinstance(value, Date | DateTime | Time):
        return _moment(str(value)[1:])
    if isinstance(value, Quantity):
        return {"quantity": [_number(value.value), value.unit]}
    if isinstance(value, Ratio):
        return {"ratio": [form(value.numerator), form(value.denominator)]}
    if isinstance(value, Interval):
        return {"interval": [form(value.low), value.low_closed, form(value.high), value.high_closed]}
    if isinstance(value, list):
        return [form(item) for item in value]
    if isinstance(value, Code | CodeSystem | ValueSet | Concept):
        names = [name for name in value.__dataclass_fields__ if name != "codesystems"]
        found = {name: getattr(value, name) for name in names}
        return {
            n: form(list(v) if isinstance(v, tuple) else v) for n, v in found.items() if v not in (None, ())
        }
    if isinstance(value, Tuple):
        return {name: form(item) for name, item in value.items() if item is not None}
    return {name: _data(item) for name, item in value.items() if not name.startswith("_")}


def _data(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _data(item) for name, item in value.items() if not name.startswith("_")}
    if isinstance(value, list):
        return [_data(item) for item in value]
    return form(value) if isinstance(value, Decimal | str) else value


def _number(value: Any) -> str:
    return f"{Decimal(value).normalize():f}"


def _moment(text: str) -> str:
    """Without the T of a date, the offset of the evaluation, and milliseconds that are none."""
    text = text.removeprefix("@").removeprefix("T").removesuffix("T")
    return text.replace("+01:00", "").replace("+00:00", "Z").removesuffix(".000").replace(".000Z", "Z")


def theirs(answer: Any) -> Any:
    """What npm answered, in the common form."""
    if "value" not in answer:
        return {name: answer[name] for name in ("invalid", "error") if name in answer}
    return _theirs(answer["value"])


def _theirs(value: Any) -> Any:
    if isinstance(value, list):
        return [_theirs(item) for item in value]
    if not isinstance(value, dict):
        return value
    for kind in ("date", "datetime", "time"):
        if kind in value:
            return _moment(value[kind])
    if "decimal" in value:
        return {"decimal": _number(value["decimal"])}
    if "quantity" in value:
        number, unit = value["quantity"]
        return {"quantity": [number and _number(number), unit]}
    if "interval" in value:
        low, low_closed, high, high_closed = value["interval"]
        return {"interval": [_theirs(low), low_closed, _theirs(high), high_closed]}
    if "type" not in value or "elements" not in value:
        return {name: _theirs(item) for name, item in value.items()}
    return _structured(value["type"], {n: _theirs(v) for n, v in value["elements"].items()})


def _structured(type_: str, elements: Json) -> Any:
    """FHIR as in JSON, where a primitive is its value; anything else by its elements."""
    elements = {name: value for name, value in elements.items() if value is not None}
    if type_ == "Ratio" and "quantity" in elements.get("numerator", {}):
        return {"ratio": [elements["numerator"], elements["denominator"]]}
    known = type_ in r4.model().classes and _models().is_primitive(Named("FHIR", type_))
    return elements["value"] if known and "value" in elements else elements


def same(left: Any, right: Any) -> bool:
    """Whether two answers are one: failures of a kind are, and data are compared by what both name."""
    if isinstance(left, dict) and isinstance(right, dict):
        for kind in ("invalid", "error"):
            if kind in left or kind in right:
                return set(left) == set(right)
        if "resourceType" in left:
            return left.get("id") == right.get("id")
        return set(left) == set(right) and all(same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/varde-differential"), help="for npm")
    parser.add_argument("--helpers", type=Path, required=True, help="FHIRHelpers-4.0.1.cql")
    parser.add_argument("--suite", action="store_true", help="the official suite as well")
    parser.add_argument("--elm", action="store_true", help="their ELM through our reader as well")
    parser.add_argument("--write", type=Path, help="write all differences to this file")
    options = parser.parse_args()
    texts = cases(options.suite)
    answers = ask(options.folder, options.helpers, texts, elm=options.elm)
    failed = report(texts, answers, options.write)
    if options.elm:
        failed += read_elm(texts, answers) + run_elm(options.folder, options.helpers)
    return failed


def ask(folder: Path, helpers: Path, texts: dict[str, str], *, elm: bool) -> Json:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "node_modules" / "@cqframework").is_dir():
        subprocess.run(["npm", "install", "--silent", "--prefix", str(folder), *PACKAGES], check=True)
    asked = {
        "libraries": {"FHIRHelpers": helpers.read_text()},
        "resources": [tree(r, Named("FHIR", str(r["resourceType"]))) for r in RESOURCES],
        "valuesets": _valuesets(),
        "offset": "1",
        "folder": str(folder),
        "elm": elm,
        "cases": [{"id": name, "text": with_literals(text)} for name, text in texts.items()],
    }
    path = folder / "asked.json"
    path.write_text(json.dumps(asked))
    return _node("npm_cql.mjs", path)


def _valuesets() -> Json:
    return {url: [{"system": c.system, "code": c.code} for c in codes] for url, codes in VALUESETS.items()}


def _node(script: str, path: Path) -> Json:
    """The answers of a script, in the time zone of the cases."""
    environment = {**os.environ, "TZ": "Etc/GMT-1"}
    command = ["node", str(HERE / script), str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return dict(json.loads(done.stdout[done.stdout.index("{") :]))


def report(texts: dict[str, str], answers: Json, target: Path | None) -> int:
    explained: Json = json.loads((HERE / "differences.json").read_text())
    expected = _suite()
    counted: Counter[str] = Counter()
    found: Json = {}
    for name, text in texts.items():
        mine, other = ours(text), theirs(answers[name])
        if same(mine, other):
            counted["same"] += 1
        elif name in expected and as_expected(expected[name], text):
            counted["as the official suite has it"] += 1
        else:
            found[name] = {"ours": mine, "theirs": other}
            counted["explained" if name in explained else "not explained"] += 1
    for name in found.keys() - explained.keys():
        print(f"{name}\n    ours:   {found[name]['ours']}\n    theirs: {found[name]['theirs']}")
    stale = [name for name in explained if name in texts and name not in found]
    for name in stale:
        print(f"no longer different: {name}")
    print(dict(counted))
    if target is not None:
        target.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return bool(counted["not explained"] or stale)


def read_elm(texts: dict[str, str], answers: Json) -> int:
    """The ELM of the npm translator, read and run here, against the text."""
    explained: Json = json.loads((HERE / "differences.json").read_text())
    counted: Counter[str] = Counter()
    for name, text in texts.items():
        document = answers[name].get("elm")
        if document is None:
            continue
        mine = ours(text)
        read = ours(text, lambda document=document: cql.load_elm(document))
        agrees = same(mine, read) or same(theirs(answers[name]), read)  # their ELM may mean something else
        known = f"ELM of {name}" in explained
        counted["same" if agrees else "explained" if known else "different"] += 1
        if not agrees and not known:
            print(f"ELM of {name}\n    text: {mine}\n    ELM:  {read}")
    print("their ELM here:", dict(counted))
    return bool(counted["different"])


def run_elm(folder: Path, helpers: Path) -> int:
    """Our ELM in npm cql-execution, against our values."""
    texts = cases(suite=False)
    helper = ask(folder, helpers, {"helpers": helpers.read_text()}, elm=True)["helpers"]["elm"]
    asked = {
        "folder": str(folder),
        "resources": RESOURCES,
        "valuesets": _valuesets(),
        "now": NOW,
        "elm": {name: cql.compile(text).to_elm() for name, text in texts.items()},
        "included": [json.loads(helper)],
    }
    path = folder / "elm.json"
    path.write_text(json.dumps(asked, default=lambda d: float(d) if d % 1 else int(d)))
    answers = _node("cql_execution.cjs", path)
    explained: Json = json.loads((HERE / "differences.json").read_text())
    counted: Counter[str] = Counter()
    for name, text in texts.items():
        mine, other = _loose(ours(text)), _loose(theirs(answers[name]))
        known = f"our ELM in cql-execution, {name}" in explained
        agrees = same(mine, other)
        counted["same" if agrees else "explained" if known else "different"] += 1
        if agrees is known:
            print(f"our ELM in cql-execution, {name}\n    ours:   {mine}\n    theirs: {other}")
    print("our ELM in cql-execution:", dict(counted))
    return bool(counted["different"])


def _loose(value: Any) -> Any:
    """Numbers to eight decimals, whatever their type; a primitive as its value."""
    if isinstance(value, list):
        return [_loose(item) for item in value]
    if isinstance(value, dict):
        if set(value) in ({"value"}, {"decimal"}):
            return _loose(*value.values())
        return {name: _loose(item) for name, item in value.items()}
    if isinstance(value, bool) or value is None:
        return value
    try:
        return _number(round(Decimal(str(value)), 8))
    except ArithmeticError:
        return _moment(value) if _DATE_TIME.fullmatch(value) else value


if __name__ == "__main__":
    sys.exit(main())
