"""Terminology resources of the store, decoded and compiled once for each content, in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

from fhir_server.resource_json import decode_stored
from terminology.code_system import CodeSystem, compile_code_system
from terminology.library import Resource


class _CodeSystem(dict[str, Any]):
    """A CodeSystem resource without its concepts, which are held compiled, once they have been asked for."""

    def __init__(self, resource: Resource) -> None:
        super().__init__((key, value) for key, value in resource.items() if key != "concept")
        self._concepts = resource["concept"]
        self._compiled: CodeSystem | None = None
        self._lock = threading.Lock()

    @property
    def compiled(self) -> CodeSystem:
        with self._lock:
            if self._compiled is None:
                self._compiled = compile_code_system({**self, "concept": self._concepts})
                self._concepts = None
            return self._compiled


class Remembered:
    """The resources asked of last, up to `most_bytes` of JSON (in memory they take about five times that).

    A version never changes, so its bytes stand for it. What a request brings along is not remembered.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: OrderedDict[bytes, Resource] = OrderedDict()
        self._kept: dict[int, _CodeSystem] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def decoded(self, body: bytes) -> Resource:
        """The resource of a stored version; it is shared, and not to be changed. A CodeSystem is without its
        concepts: `compiled` has them."""
        with self._lock:
            known = self._entries.get(body)
            if known is not None:
                self._entries.move_to_end(body)
                return known
        resource = decode_stored(body)
        return self._remember(body, _CodeSystem(resource) if _has_concepts(resource) else resource)

    def compiled(self, resource: Resource) -> CodeSystem:
        """Its code system; compiled once where the resource came from `decoded` or `keep`."""
        found = resource if isinstance(resource, _CodeSystem) else self._kept.get(id(resource))
        return compile_code_system(resource) if found is None else found.compiled

    def keep(self, resource: Resource) -> Resource:
        """A resource that is there as long as the process is."""
        if _has_concepts(resource) and id(resource) not in self._kept:
            self._kept[id(resource)] = _CodeSystem(resource)
        return resource

    def _remember(self, body: bytes, resource: Resource) -> Resource:
        with self._lock:
            if body in self._entries:
                return self._entries[body]
            self._entries[body] = resource
            self._bytes += len(body)
            while self._bytes > self._most_bytes and len(self._entries) > 1:
                oldest, _ = self._entries.popitem(last=False)
                self._bytes -= len(oldest)
            return resource


def _has_concepts(resource: Resource) -> bool:
    return resource.get("resourceType") == "CodeSystem" and bool(resource.get("concept"))
