"""Whether the log of accesses is whole: the chain, the numbers, and that AuditEvents say what entries say."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fhir_server.audit import chain
from fhir_server.audit.made import TYPE, contents, marked
from fhir_server.resource_json import decode_stored
from fhir_server.store.base import Store

_PAGE = 1000


async def opened_and_checked(
    store: Store, checkpoint: chain.Head | None
) -> tuple[chain.Problem | None, chain.Head]:
    """`check` of a store that nobody has opened yet, and that is closed again."""
    await store.open()
    try:
        return await check(store, checkpoint)
    finally:
        await store.close()


async def check(store: Store, checkpoint: chain.Head | None) -> tuple[chain.Problem | None, chain.Head]:
    """The first thing wrong with the log or with the AuditEvents made of it, and its head.

    The checkpoint is to be read before. Works while servers go on writing: it is about what was there when it
    began.
    """
    head = chain.Head.unpack(await store.record(chain.HEAD_KIND, chain.HEAD_KEY))
    made = (await marked(store)).number
    going = chain.Check(checkpoint)
    async for key, record in _records(store):
        if head is not None and int(key) > head.number:
            break
        problem = going.next(key, record)
        if problem is None and int(key) <= made:
            problem = await _check_made(store, key, record, made)
        if problem is not None:
            return problem, head or chain.Head()
    return going.end(head), head or chain.Head()


async def _records(store: Store) -> AsyncIterator[tuple[str, bytes]]:
    """Every record of the log, in the order of keys."""
    after = ""
    while page := await store.records(chain.KIND, after, _PAGE):
        for each in page:
            yield each
        after = page[-1][0]


async def _check_made(store: Store, key: str, record: bytes, made: int) -> chain.Problem | None:
    """The first entry of the record whose AuditEvents are not what it says."""
    for expected in contents(key, record, made):
        id = expected.tree["id"]
        found = await store.read(TYPE, id)
        number = int(id.split("-")[1])
        if found is None or found.body is None:
            return chain.Problem(number, f"has lost its {TYPE}/{id}")
        if found.version != 1 or decode_stored(found.body) != expected.tree:
            return chain.Problem(number, f"is not what its {TYPE}/{id} says")
    return None
