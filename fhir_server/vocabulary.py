"""Stored code systems, value sets and maps, as terminology/ needs them to answer.

    library = await load(store, [value_set])        # everything a value set is made of, from the store
    library = load_with(tx.search, [value_set])     # the same inside a transaction

https://hl7.org/fhir/R4/terminology-service.html
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from fhir_server.remembered import Remembered
from fhir_server.search.query import Match, Or, Query, Test
from fhir_server.store.base import Store, Version
from profiles.definitions import load as load_definitions
from rules.runtime import regex as engine
from rules.runtime.errors import EvaluationError
from terminology.large import LargeSystem
from terminology.library import Library, Resource, Want, gather

Systems = Callable[[str], Sequence[LargeSystem]]


def _none(url: str) -> Sequence[LargeSystem]:
    return ()


_imported: Systems = _none
_remembered = Remembered(32 * 2**20)
decoded = _remembered.decoded
# What is wanted by a URI that is not its own: type and search parameter.
_BY_URI = {
    "maps": ("ConceptMap", "source-system"),
    "maps to": ("ConceptMap", "target-system"),
    "all codes": ("CodeSystem", "value-set"),
}
# Of a regular expression, on all texts: some seconds.
_MOST_STEPS = 10**9
# Versions of one code system or value set that are looked at.
_MOST_VERSIONS = 200


def library() -> Library:
    """An empty one, with our engine for regular expressions."""
    return Library(_regex, _remembered.compiled, _imported)


def use_imported(systems: Systems) -> None:
    """Where the code systems are that were imported (fhir_server.imported), by URL; "" gives them all.

    For the whole process.
    """
    global _imported
    _imported = systems


def imported(url: str = "") -> Sequence[LargeSystem]:
    """The code systems that were imported, of one URL or all."""
    return _imported(url)


async def load(store: Store, start: Iterable[Resource] = (), wants: Iterable[Want] = (),
               into: Library | None = None) -> Library:  # fmt: skip
    """A library with the resources that `start` are made of, and `wants` (type, URL) with theirs."""
    filled = into or library()
    steps = asking(start, wants, filled)
    try:
        query = next(steps)
        while True:
            query = steps.send((await store.search(query)).versions)
    except StopIteration:
        return filled


def load_with(
    find: Callable[[Query], Iterable[Version]], start: Iterable[Resource] = (), wants: Iterable[Want] = ()
) -> Library:
    """As `load`, where searches are answered at once: inside a transaction `find` is its `search`."""
    filled = library()
    steps = asking(start, wants, filled)
    try:
        query = next(steps)
        while True:
            query = steps.send(find(query))
    except StopIteration:
        return filled


def asking(
    start: Iterable[Resource], wants: Iterable[Want], filled: Library
) -> Generator[Query, Iterable[Version], None]:
    """The queries that fill a library; each is sent what it found. For those who ask in a snapshot."""
    for resource in start:
        filled.add(resource)
    steps = gather(start, wants, filled)
    try:
        want = next(steps)
        while True:
            found = _decoded((yield _query(*want))) + _built_in(*want)
            if not found and want[0] == "ValueSet":
                found = _decoded((yield _query("all codes", want[1])))
            want = steps.send(found)
    except StopIteration:
        return


def _decoded(found: Iterable[Version]) -> list[Resource]:
    return [_remembered.decoded(version.body) for version in found if version.body]


def _built_in(kind: str, url: str) -> list[Resource]:
    """What FHIR itself and Varde define, after what is stored."""
    definitions = load_definitions()
    known = {"CodeSystem": definitions.code_systems, "ValueSet": definitions.code_sets}.get(kind, {})
    return [_remembered.keep(known[url])] if url in known else []


def _query(kind: str, url: str) -> Query:
    if kind == "supplements":
        of = Match("reference", "supplements", (Test("url", "=", url),))
        of_version = Match("reference", "supplements", (Test("url", "prefix", f"{url}|"),))
        return Query("CodeSystem", Or((of, of_version)), count=_MOST_VERSIONS)
    if kind == "NamingSystem":
        oid = url.removeprefix("urn:oid:")
        values = tuple(Match("string", "value", (Test("exact", "=", text),)) for text in (oid, url))
        return Query("NamingSystem", Or(values), count=_MOST_VERSIONS)
    type_, code = _BY_URI.get(kind, (kind, "url"))
    return Query(type_, Match("uri", code, (Test("value", "=", url),)), count=_MOST_VERSIONS)


def _regex(pattern: str) -> Callable[[str], bool]:
    """A test of a whole text. ValueError for what is no expression, or could take too long: on one text, or
    on all those that it is asked of."""
    try:
        compiled = engine.expression(f"\\A(?:{pattern})\\Z")
    except Exception as error:  # re.error, and what its parser makes of nesting beyond its depth
        raise ValueError("it is no regular expression") from error

    spent = 0

    def matches(text: Any) -> bool:
        nonlocal spent
        spent += compiled.steps(len(text))
        if spent > _MOST_STEPS:
            raise ValueError("it could take too long on so many codes")
        try:
            return compiled.search(text) is not None
        except EvaluationError as error:
            raise ValueError(str(error)) from error

    return matches
