"""What the server knows for validation: stored profiles, code systems and value sets beside R4's own.

    known = await knowledge(service)                 # of this moment; shared until one of them changes
    context = known.context(resource)                # for profiles.validation, in a thread
    await enforce(service, changes)                  # FhirError("unprocessable") where a profile is not kept

https://hl7.org/fhir/R4/validation.html, https://hl7.org/fhir/R4/profiling.html#resources
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from fhir_server import vocabulary
from fhir_server.errors import FhirError, Issue, inside
from fhir_server.exchange import Service
from fhir_server.resource_json import decode_stored
from fhir_server.search.query import Match, Query, Test
from fhir_server.store.base import Excerpt, Store, Version
from profiles.conformance import Profiles, conform, constrains
from profiles.context import Context
from profiles.definitions import built_in, load
from profiles.differential import MOST_ELEMENTS
from profiles.findings import Refusals, too_long
from profiles.problems import Problem, TooLong, TooMany
from profiles.tree import ProfileError, UnknownBaseError
from terminology.canonical import is_unit
from terminology.code_system import CodeSystem
from terminology.findings import TerminologyError
from terminology.members import Members, members

THREADS = ThreadPoolExecutor(2, thread_name_prefix="validate")
UCUM = "http://unitsofmeasure.org"
_STATE = ("StructureDefinition", "ValueSet", "CodeSystem")
_MOST_VERSIONS = 50


class Change(Protocol):
    """What is about to be written (fhir_server.write.Change)."""

    @property
    def type(self) -> str: ...
    @property
    def resource(self) -> dict[str, Any] | None: ...
    @property
    def where(self) -> str: ...


_MOST_KEPT = 20_000  # names that clients send: known or not, they are looked for once while there is room
_ABSENT = object()


def _kept(cache: dict[Any, Any], key: Any, make: Callable[[], Any]) -> Any:
    """What was made for a key before, or now. Two threads may both make it."""
    found = cache.get(key, _ABSENT)
    if found is _ABSENT:
        if len(cache) >= _MOST_KEPT:
            cache.clear()
        found = cache[key] = make()
    return found


class _Stored(Mapping[str, dict[str, Any]]):
    """StructureDefinitions of the store by their canonical, each looked for once. To be used in a thread."""

    def __init__(self, find: _Find) -> None:
        self._find = find
        self._seen: dict[str, dict[str, Any] | None] = {}

    def __getitem__(self, canonical: str) -> dict[str, Any]:
        find = partial(self._find.canonical, "StructureDefinition", canonical)
        found: dict[str, Any] | None = _kept(self._seen, canonical, find)
        if found is None:
            raise KeyError(canonical)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(url for url, found in self._seen.items() if found)

    def __len__(self) -> int:
        return sum(found is not None for found in self._seen.values())


class _Find:
    """The store as a thread sees it: what it asks goes through the event loop."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store, self._loop = store, loop

    def of(self, store: Store) -> _Find:
        """The same of another store."""
        return _Find(store, self._loop)

    def search(self, query: Query) -> Sequence[Version]:
        found = asyncio.run_coroutine_threadsafe(self._store.search(query), self._loop).result()
        return found.versions

    def read(self, type_: str, id_: str) -> Version | None:
        return asyncio.run_coroutine_threadsafe(self._store.read(type_, id_), self._loop).result()

    def canonical(self, type_: str, canonical: str) -> dict[str, Any] | None:
        """The stored resource of a canonical: the version that is asked for, else the latest written."""
        url, _, version = canonical.partition("|")
        test = Match("uri", "url", (Test("value", "=", url),))
        found = self.search(Query(type_, test, count=_MOST_VERSIONS))
        newest = sorted(found, key=lambda v: v.seq, reverse=True)
        resources = [decode_stored(v.body) for v in newest if v.body]
        return next((r for r in resources if not version or r.get("version") == version), None)


class Knowledge:
    """All that is known at one state of the store; what is asked for is compiled and kept."""

    def __init__(self, state: tuple[int, ...], find: _Find) -> None:
        self.state = state
        self._find = find
        self.profiles = Profiles(_Stored(find))
        self._members: dict[str, Members | None] = {}
        self._systems: dict[str, CodeSystem | None] = {}
        self._artifacts: dict[tuple[str, str], dict[str, Any] | None] = {}

    def context(
        self,
        resource: Any,
        base: str = "",
        seen: Store | None = None,
        demands: frozenset[str] = frozenset(),
    ) -> Context:
        """To judge a resource with; `base` is the server's URL as the client knows it. Use it in a thread.

        References lead to what the requester may see: `seen`, by default everything. `demands` are those of
        profiles.demands.
        """
        find = self._find if seen is None else self._find.of(seen)

        def resolve(reference: str) -> Any:
            return _resolved(find, reference.removeprefix(f"{base}/") if base else reference)

        return Context(
            resource,
            check=self.profiles.check,
            member=self.member,
            known=self.known,
            resolve=resolve,
            definition=self.definition,
            artifact=self.artifact,
            system=self.system,
            demands=demands,
        )

    def definition(self, canonical: str) -> dict[str, Any] | None:
        """A StructureDefinition, or a stored Questionnaire."""
        found = self.profiles.definition(canonical)
        return found or self._find.canonical("Questionnaire", canonical)

    def member(self, value_set: str, system: str | None, code: str) -> bool | None:
        known: Members | None = _kept(self._members, value_set, partial(self._compiled, value_set))
        return None if known is None else known.has(system, code)

    def _compiled(self, canonical: str) -> Members | None:
        url, _, version = canonical.partition("|")
        try:
            filled = vocabulary.load_with(self._find.search, wants=[("ValueSet", url)])
            found = filled.find("ValueSet", url, version or None) or filled.find("ValueSet", url)
            return members(found, filled) if found else None
        except TerminologyError:
            return None

    def artifact(self, type_: str, canonical: str) -> dict[str, Any] | None:
        """A stored conformance resource, or one of R4's own."""
        if type_ == "StructureDefinition":
            return self.profiles.definition(canonical)
        if type_ not in _STATE:  # one of these may change without a new Knowledge
            return self._artifact(type_, canonical)
        find = partial(self._artifact, type_, canonical)
        found: dict[str, Any] | None = _kept(self._artifacts, (type_, canonical), find)
        return found

    def _artifact(self, type_: str, canonical: str) -> dict[str, Any] | None:
        return self._find.canonical(type_, canonical) or built_in(type_, canonical.partition("|")[0])

    def system(self, url: str) -> CodeSystem | None:
        """A code system that is stored, imported or R4's own, whole or not."""
        found: CodeSystem | None = _kept(self._systems, url, partial(self._system, url))
        return found

    def _system(self, url: str) -> CodeSystem | None:
        filled = vocabulary.load_with(self._find.search, wants=[("CodeSystem", url)])
        return filled.code_system(url, None)

    def known(self, system: str, code: str) -> bool | None:
        if system == UCUM:
            return is_unit(code)
        concepts = self.system(system)
        if concepts is None or concepts.content != "complete":
            return None
        return concepts.find(code) is not None


def _resolved(find: _Find, reference: str) -> Any:
    type_, _, rest = reference.partition("/")
    id_ = rest.partition("/")[0]
    if type_ not in _TYPES or not id_:
        return None
    version = find.read(type_, id_)
    return decode_stored(version.body) if version and version.body else None


_TYPES = frozenset(load().resource_types)


async def knowledge(service: Service) -> Knowledge:
    """What is known now: another process may have written a profile a moment ago."""
    chapters = [await service.whole.history(type_, excerpt=Excerpt(count=1)) for type_ in _STATE]
    state = tuple(chapter.versions[0].seq if chapter.versions else 0 for chapter in chapters)
    held: Knowledge | None = service.knows.get("validation")
    if held is None or held.state != state:
        held = service.knows["validation"] = Knowledge(
            state, _Find(service.whole, asyncio.get_running_loop())
        )
    return held


# Writes


async def enforce(service: Service, changes: Sequence[Change]) -> None:
    """Hold what is about to be written to the profiles that it claims and those of the server's settings.

    FhirError("unprocessable") with every error. A claimed profile that is not known is only a claim.
    """
    asked = [(change, urls) for change in changes if (urls := _urls(service, change))]
    if not asked:
        return
    known = await knowledge(service)
    loop = asyncio.get_running_loop()
    for change, urls in asked:
        problems = await loop.run_in_executor(THREADS, _judge, known, change.resource, urls, service.store)
        if problems:
            issues = [Issue(p.severity, p.code, p.diagnostics, p.expression, p.rule) for p in problems]
            raise inside(FhirError("unprocessable", issues=issues), change.where)


def _urls(service: Service, change: Change) -> tuple[str, ...]:
    resource = change.resource
    if resource is None:
        return ()
    claimed = resource.get("meta", {}).get("profile", ()) if service.policy.claims else ()
    return (*service.policy.profiles_of(change.type), *claimed)


def _judge(known: Knowledge, resource: Any, urls: Sequence[str], seen: Store) -> list[Problem]:
    out = Refusals(known.context(resource, seen=seen))
    out.resource = out.root = resource
    at = (0, None, resource["resourceType"])
    try:
        for url in urls:
            conform(resource, (url,), at, out)
    except TooLong:
        out.found.append(too_long(at))
    except TooMany:
        pass  # many errors are enough
    return out.found


def check_size(definition: Mapping[str, Any]) -> list[Issue]:
    """Whether a StructureDefinition has more elements than are looked at one by one, whatever else it is."""
    for part in ("differential", "snapshot"):
        listed = definition.get(part)
        elements = listed.get("element") if isinstance(listed, dict) else None
        if isinstance(elements, list) and len(elements) > MOST_ELEMENTS:
            said = f"A StructureDefinition may have {MOST_ELEMENTS} elements"
            return [Issue("error", "too-costly", said, f"StructureDefinition.{part}")]
    return []


def check_definition(definition: dict[str, Any]) -> list[Issue]:
    """Why a StructureDefinition makes no sense as a profile; nothing where it does.

    What it derives from or refers to may come later, so only R4's own profiles are looked at here.
    """
    url = definition.get("url")
    if not constrains(definition) or not isinstance(url, str):
        return []
    profiles = Profiles({url: definition})
    try:
        profiles.check(url)
    except UnknownBaseError:
        return []
    except ProfileError as error:
        return [
            Issue("error", "processing", f"{where}: {said}" if where else said, "StructureDefinition")
            for said, where in error.problems[:100]
        ]
    return []
