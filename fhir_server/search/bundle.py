"""A page of a search as a searchset Bundle; stored bodies go into its text as they are.

https://hl7.org/fhir/R4/bundle.html#searchset, https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

from fhir_server.errors import Issue, operation_outcome
from fhir_server.resource_json import decode_stored, encode
from fhir_server.search import cursor
from fhir_server.search.request import Search
from fhir_server.search.shape import shape
from fhir_server.store.base import Found, Version

# Characters that stay readable in a query string and that no server or client takes apart.
_READABLE = "/:|,$-_.~*"


def searchset(
    search: Search,
    found: Found | None,
    *,
    key: bytes,
    total: int | None,
    included: Sequence[Version] = (),
    issues: Iterable[Issue] = (),
) -> bytes:
    """The Bundle of a page (None: only the count was asked for) and of what its matches include.

    `issues` are those beside the search's own; all of them come in one entry of mode outcome.
    """
    entries = [_entry(search, version, "match") for version in (found.versions if found else ())]
    entries += [_entry(search, version, "include") for version in included]
    if outcome := (*search.issues, *issues):
        entries.append(b'{"resource":%b,"search":{"mode":"outcome"}}' % encode(operation_outcome(outcome)))
    links = [{"relation": "self", "url": self_url(search)}]
    if found and found.next is not None:
        links.append({"relation": "next", "url": next_url(search, found, key, total)})
    parts = [b'"resourceType":"Bundle"', b'"type":"searchset"']
    if total is not None:
        parts.append(b'"total":%d' % total)
    parts.append(b'"link":[%b]' % b",".join(map(encode, links)))
    if entries:
        parts.append(b'"entry":[%b]' % b",".join(entries))
    return b"{%b}" % b",".join(parts)


def self_url(search: Search) -> str:
    """The search as it was applied."""
    return _url(search, search.applied)


def next_url(search: Search, found: Found, key: bytes, total: int | None) -> str:
    """The same search, behind the last entry of this page, in the same snapshot."""
    sealed = cursor.seal(key, search.identity, found.next or (), found.snapshot, total)
    return _url(search, (*search.applied, ("_cursor", sealed)))


def _url(search: Search, pairs: Iterable[tuple[str, str]]) -> str:
    query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)
    return f"{search.base}/{search.query.type}{'?' if query else ''}{query}"


def _quoted(text: str) -> str:
    return quote(text, safe=_READABLE, errors="replace")


def _entry(search: Search, version: Version, mode: str) -> bytes:
    url = encode({"fullUrl": f"{search.base}/{version.type}/{version.id}"})[1:-1]
    return b'{%b,"resource":%b,"search":{"mode":"%b"}}' % (url, _body(search, version, mode), mode.encode())


def _body(search: Search, version: Version, mode: str) -> bytes:
    """As stored, unless a part was asked for; _elements is about the matches only."""
    body = version.body or b"{}"
    if search.summary or (search.elements and mode == "match"):
        return encode(shape(decode_stored(body), search.summary, search.elements))
    return body
