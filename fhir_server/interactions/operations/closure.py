"""https://hl7.org/fhir/R4/conceptmap-operation-closure.html: the tables are ConceptMaps in the store.

A table's version is the version of its ConceptMap, so that `version` gives back all that came after it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.operations.parameters import answer, read_parameters
from fhir_server.interactions.operations.terminology import as_error
from fhir_server.resource_json import decode_stored
from fhir_server.store.base import Version
from fhir_server.vocabulary import load
from fhir_server.write import Change, commit
from terminology.asked import read
from terminology.closure import added, codings_of, empty, news
from terminology.findings import TerminologyError, refuse
from terminology.library import of_system

_ATTEMPTS = 10
_LONGEST = 200


async def closure(service: Service, request: Request) -> Response:
    """200 with a ConceptMap of what is new; a name without codes and version starts its table anew."""
    if request.method != "POST":
        raise FhirError("method-not-allowed", "$closure changes a table: it is asked by POST")
    parameters = read_parameters(request)
    try:
        asked = read(parameters)
        name = asked.text("name")
        if not name or len(name) > _LONGEST:
            raise refuse("invalid", f"name names the table, in at most {_LONGEST} characters")
        table = _Table(service, name)
        codings = codings_of(parameters)
        version = asked.text("version")
        if codings and version:
            raise refuse("invalid", "Either concepts are added, or what came after a version is asked for")
        if version:
            return await table.since(version)
        return await table.add(codings) if codings else await table.start()
    except TerminologyError as error:
        raise as_error(error) from None


@dataclass(frozen=True, slots=True)
class _Table:
    service: Service
    name: str

    @property
    def id(self) -> str:
        return f"closure-{sha256(self.name.encode()).hexdigest()[:32]}"

    async def start(self) -> Response:
        made = await self._put(empty(self.name), None)
        return self._answer(empty(self.name), empty(self.name), made)

    async def add(self, codings: list[dict[str, Any]]) -> Response:
        wants = {want for coding in codings for want in of_system(coding["system"])}
        library = await load(self.service.whole, wants=wants)
        for _ in range(_ATTEMPTS):
            current = await self._current()
            before = decode_stored(current.body or b"{}")
            after = await asyncio.to_thread(added, before, codings, library)
            try:
                made = current if after == before else await self._put(after, current)
            except FhirError as error:
                if error.category == "precondition-failed":  # another one has added to it meanwhile
                    continue
                raise
            return self._answer(before, after, made)
        raise FhirError("conflict", "Others are adding to the table all the time; try again")

    async def since(self, version: str) -> Response:
        current = await self._current()
        number = int(version) if version.isascii() and version.isdecimal() and len(version) < 10 else 0
        old = await self.service.store.vread("ConceptMap", self.id, number) if number else None
        if old is None or old.body is None:
            raise FhirError("not-found", "The table has no such version")
        return self._answer(decode_stored(old.body), decode_stored(current.body or b"{}"), current)

    async def _current(self) -> Version:
        found = await self.service.store.read("ConceptMap", self.id)
        if found is None or found.body is None:
            raise FhirError("not-found", "There is no such table: send its name alone first")
        return found

    async def _put(self, resource: dict[str, Any], current: Version | None) -> Version:
        match = frozenset({str(current.version)}) if current else None
        change = Change("PUT", "ConceptMap", self.id, resource | {"id": self.id}, if_match=match)
        (outcome,) = await commit(self.service, [change])
        assert outcome.version is not None
        return outcome.version

    def _answer(self, before: dict[str, Any], after: dict[str, Any], version: Version) -> Response:
        date = self.service.clock().isoformat(timespec="seconds")
        return answer(news(before, after, str(version.version), self.name, date))
