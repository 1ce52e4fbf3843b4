"""CQL libraries as they are stored: found by name or canonical URL, compiled once for each content.

https://hl7.org/fhir/R4/library.html, https://hl7.org/fhir/uv/cql/using-cql.html
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from fhir_server.resource_json import decode_stored
from fhir_server.search.query import Match, Query, Sort, Test
from fhir_server.store.base import Version
from rules import cql

Resource = dict[str, Any]
Find = Callable[[Query], Sequence[Version]]
Wanted = tuple[str, "str | None"]

CQL, ELM = "text/cql", "application/elm+json"
LOGIC = "logic-library"
BUILT_IN: Final = ("FHIRHelpers", "4.0.1")
# Compiling takes about 20 ms for each 1000 characters; ELM says the same at a hundred times the length.
MOST_BYTES: Final = {CQL: 128 * 1024, ELM: 4 * 1024 * 1024}
MOST_VERSIONS: Final = 200  # of one name or URL that are looked through
_MOST_INCLUDES: Final = 100
_REMEMBERED: Final = 512
_STATUSES: Final = ("active", "draft", "unknown", "retired")
NEWEST: Final = (Sort("resource", "_lastUpdated", "updated", descending=True),)


class Unusable(Exception):
    """A Library, PlanDefinition or ValueSet that cannot be used. `expression` is the element at fault."""

    def __init__(self, message: str, expression: str = "", code: str = "business-rule") -> None:
        super().__init__(message)
        self.expression, self.code = expression, code


@dataclass(frozen=True, slots=True)
class Source:
    """The logic that a Library carries: CQL text, or ELM as JSON. `expression` is where it stands."""

    kind: str
    content: bytes
    expression: str


@dataclass(frozen=True, slots=True)
class Used:
    """A stored Library that takes part. `reference` names its version; `key` stands for all that it is."""

    reference: str
    status: str
    key: str
    library: cql.Library
    includes: tuple[Used, ...] = ()

    def all(self) -> Iterable[Used]:
        """This library and those it includes, each once."""
        found = {self.reference: self}
        for included in self.includes:
            found |= {used.reference: used for used in included.all()}
        return found.values()


class Libraries:
    """The Libraries that can be found now.

    `own` are those of a request that is not stored yet, `known` what some names stand for anyhow.
    """

    def __init__(
        self, find: Find, own: Iterable[Resource] = (), known: Mapping[str, Used] | None = None
    ) -> None:
        self.find = find
        self._known = known or {}
        self._own = [resource for resource in own if resource.get("resourceType") == "Library"]
        self._found: dict[tuple[str, str, str | None], Resource | None] = {}
        self._ready: dict[int, tuple[Resource, Used]] = {}
        self._under_way: list[str] = []

    def by_canonical(self, canonical: str) -> Resource | None:
        """The Library that a canonical URL, with or without `|version`, names."""
        url, _, version = canonical.partition("|")
        return self._one("url", url, version or None)

    def by_name(self, name: str, version: str | None) -> Resource | None:
        """The Library of that name, which is what `include` names."""
        return self._one("name", name, version)

    def used(self, name: str, version: str | None) -> Used | None:
        """The library that `include` names, compiled; None where there is none. Raises as `compiled`."""
        if name in self._known:
            return self._known[name]
        resource = self.by_name(name, version)
        return None if resource is None else self.compiled(resource)

    def compiled(self, resource: Resource) -> Used:
        """The library of a resource. Raises Unusable where it has none to compile, and cql.CompileError."""
        if id(resource) not in self._ready:
            source = source_of(resource)
            if source is None:
                raise Unusable(
                    "the Library carries neither text/cql nor application/elm+json", "Library.content"
                )
            version = (resource.get("meta") or {}).get("versionId")
            reference = f"Library/{resource.get('id')}" + (f"/_history/{version}" if version else "")
            used = self.compile(source, reference, str(resource.get("status")))
            self._ready[id(resource)] = resource, used
        return self._ready[id(resource)][1]

    def compile(self, source: Source, reference: str = "", status: str = "active") -> Used:
        """The library of a source, as compiled before where its text and its includes are the same.

        Raises cql.CompileError carrying every diagnostic.
        """
        digest = sha256(source.kind.encode() + source.content).hexdigest()
        if digest in self._under_way or len(self._under_way) > _MOST_INCLUDES:
            raise cql.CompileError([cql.Diagnostic(1, 1, "include", "the library includes itself")])
        self._under_way.append(digest)
        try:
            return self._compile(source, digest, reference, status)
        finally:
            self._under_way.pop()

    def _compile(self, source: Source, digest: str, reference: str, status: str) -> Used:
        included = _Included(self)
        for wanted in _headers.get(digest, ()):
            included(*wanted)
        known = _cache.get((digest, included.key)) if digest in _headers else None
        if known is None:
            known = _compiled(source, included)
            _remember(_headers, digest, tuple(included.used))
            _remember(_cache, (digest, included.key), known)
        if isinstance(known, cql.CompileError):
            raise known
        key = sha256(f"{digest} {included.key}".encode()).hexdigest()
        return Used(reference, status, key, known, tuple(u for u in included.used.values() if u))

    def _one(self, param: str, value: str, version: str | None) -> Resource | None:
        of = (param, value, version)
        if of not in self._found:
            own = [resource for resource in self._own if resource.get(param) == value]
            found = [*own, *self._stored(param, value)]
            self._found[of] = best(r for r in found if version in (None, r.get("version")))
        return self._found[of]

    def _stored(self, param: str, value: str) -> list[Resource]:
        table, column = ("uri", "value") if param == "url" else ("string", "exact")
        where = Match(table, param, (Test(column, "=", value),))
        return stored(self.find, Query("Library", where, NEWEST, count=MOST_VERSIONS))


class _Included:
    """What a library includes, looked up while it is compiled; None for what is not there."""

    def __init__(self, libraries: Libraries) -> None:
        self._libraries = libraries
        self.used: dict[Wanted, Used | None] = {}
        self.broken: list[str] = []

    def __call__(self, name: str, version: str | None) -> cql.Library | None:
        if (name, version) not in self.used:
            self.used[name, version] = self._look_up(name, version)
        used = self.used[name, version]
        return used.library if used else None

    @property
    def key(self) -> str:
        """Stands for what was found."""
        found = (
            f"{name}|{version}={used.key if used else ''}" for (name, version), used in self.used.items()
        )
        return " ".join((*found, *self.broken))

    def _look_up(self, name: str, version: str | None) -> Used | None:
        if name == BUILT_IN[0] and version in (None, BUILT_IN[1]):
            return None  # the compiler has it
        try:
            return self._libraries.used(name, version)
        except (cql.CompileError, Unusable) as error:
            self.broken.append(f"{name}, which is included, does not compile: {str(error).splitlines()[0]}")
            return None


def source_of(resource: Resource) -> Source | None:
    """The CQL of a logic library, or its ELM where it has no CQL; None where it has neither.

    Raises Unusable for what cannot be decoded or is too large.
    """
    if LOGIC not in {c.get("code") for c in (resource.get("type") or {}).get("coding") or ()}:
        return None
    found: dict[str, int] = {}
    for position, attachment in enumerate(resource.get("content") or ()):
        kind = str(attachment.get("contentType")).partition(";")[0].strip()
        if kind in (CQL, ELM) and "data" in attachment:
            found.setdefault(kind, position)
    for kind in (CQL, ELM):
        if kind in found:
            where = f"Library.content[{found[kind]}]"
            return Source(kind, _decoded(resource["content"][found[kind]]["data"], kind, where), where)
    return None


def best(resources: Iterable[Resource]) -> Resource | None:
    """The one to use of several: active before draft before retired, and of those the first."""
    ordered = sorted(
        resources, key=lambda r: _STATUSES.index(r["status"]) if r.get("status") in _STATUSES else 9
    )
    return ordered[0] if ordered else None


def stored(find: Find, query: Query) -> list[Resource]:
    """The resources that a query finds."""
    return [decode_stored(version.body) for version in find(query) if version.body]


def _decoded(data: Any, kind: str, where: str) -> bytes:
    try:
        content = base64.b64decode("".join(str(data).split()), validate=True)
        content.decode()
    except (binascii.Error, ValueError):
        raise Unusable("the data are not UTF-8 text in base64", where, "invalid") from None
    if len(content) > MOST_BYTES[kind]:
        raise Unusable(f"the library is larger than {MOST_BYTES[kind] // 1024} KiB", where, "too-long")
    return content


# What was compiled, by its text and by what its includes were; and what each text includes.
_cache: dict[tuple[str, str], cql.Library | cql.CompileError] = {}
_headers: dict[str, tuple[Wanted, ...]] = {}


def _remember(memory: dict[Any, Any], key: Any, value: Any) -> None:
    memory[key] = value
    while len(memory) > _REMEMBERED:
        memory.pop(next(iter(memory)), None)


def _compiled(source: Source, included: _Included) -> cql.Library | cql.CompileError:
    try:
        if source.kind == CQL:
            return cql.compile(source.content.decode().removeprefix("\ufeff"), included)
        return cql.load_elm(source.content, included)
    except cql.CompileError as error:
        broken = [cql.Diagnostic(1, 1, "include", message) for message in included.broken]
        return cql.CompileError([*error.diagnostics, *broken])
