"""Terminology resources of the store, decoded and compiled once for each content, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from fhir_server.resource_json import decode_stored
from terminology.code_system import CodeSystem, compile_code_system
from terminology.library import Resource


@dataclass(slots=True)
class _Entry:
    resource: Resource
    size: int
    compiled: CodeSystem | None = None


class Remembered:
    """The resources asked of last, up to `most_bytes` of JSON (decoded, they take about five times that).

    A version never changes, so its bytes stand for it. What a request brings along is not remembered.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._by_id: dict[int, _Entry] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def decoded(self, body: bytes) -> Resource:
        """The resource of a stored version; it is shared, and not to be changed."""
        with self._lock:
            entry = self._entries.get(body)
            if entry is not None:
                self._entries.move_to_end(body)
                return entry.resource
        return self._remember(body, _Entry(decode_stored(body), len(body)))

    def compiled(self, resource: Resource) -> CodeSystem:
        """Its code system; compiled once where the resource came from `decoded`."""
        entry = self._by_id.get(id(resource))
        if entry is None:
            return compile_code_system(resource)
        if entry.compiled is None:
            entry.compiled = compile_code_system(resource)
        return entry.compiled

    def keep(self, resource: Resource) -> Resource:
        """A resource that is there as long as the process is."""
        self._by_id.setdefault(id(resource), _Entry(resource, 0))
        return resource

    def _remember(self, body: bytes, entry: _Entry) -> Resource:
        with self._lock:
            entry = self._entries.setdefault(body, entry)
            if id(entry.resource) not in self._by_id:
                self._by_id[id(entry.resource)] = entry
                self._bytes += entry.size
            while self._bytes > self._most_bytes and len(self._entries) > 1:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= oldest.size
                del self._by_id[id(oldest.resource)]
            return entry.resource
