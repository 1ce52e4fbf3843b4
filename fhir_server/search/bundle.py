"""A page of a search as a searchset Bundle; stored bodies go into its text as they are.

https://hl7.org/fhir/R4/bundle.html#searchset, https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

from fhir_server.errors import Issue, operation_outcome
from fhir_server.resource_json import decode_stored, encode
from fhir_server.search import cursor
from fhir_server.search.cursor import Place
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
    links = [{"relation": relation, "url": url} for relation, url in _links(search, found, key, total)]
    parts = [b'"resourceType":"Bundle"', b'"type":"searchset"']
    if total is not None:
        parts.append(b'"total":%d' % total)
    parts.append(b'"link":[%b]' % b",".join(map(encode, links)))
    if entries:
        parts.append(b'"entry":[%b]' % b",".join(entries))
    return b"{%b}" % b",".join(parts)


def _links(search: Search, found: Found | None, key: bytes, total: int | None) -> Iterator[tuple[str, str]]:
    """self: the search as it was applied; to other pages of it, in the same snapshot, where there are any.

    There is no link to the last page: to find it would take reading all that are before it.
    """
    yield "self", _url(search, search.applied)
    if found is None:
        return
    here = search.place or Place(None, found.snapshot, total)
    if here.after is not None:
        yield "first", _page_url(search, Place(None, here.snapshot, here.total), key)
    if (previous := here.previous()) is not None:
        yield "previous", _page_url(search, previous, key)
    if found.next is not None:
        yield "next", _page_url(search, here.next(found.next, total), key)


def _page_url(search: Search, place: Place, key: bytes) -> str:
    """The URL of a page; of a search that came in a form, without what was in the form."""
    pairs: list[tuple[str, str]] = list(search.applied)
    if search.hidden:
        shown = [pair for pair in pairs if pair[0] in ("_format", "_pretty")]
        pairs = [("_search", cursor.enclose(key, tuple(p for p in pairs if p not in shown))), *shown]
    sealed = cursor.seal(key, search.identity, place, search.now)
    return _url(search, [*pairs, ("_cursor", sealed)])


def _url(search: Search, pairs: Iterable[tuple[str, str]]) -> str:
    query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in pairs)
    place = f"{search.base}/{search.path}" if search.path else search.base
    return f"{place}{'?' if query else ''}{query}"


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
