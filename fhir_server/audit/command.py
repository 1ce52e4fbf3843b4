"""`varde audit`: whether the log of accesses is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer

from fhir_server.audit import chain
from fhir_server.audit.checkpoint import Checkpoints
from fhir_server.audit.made import TYPE, contents, marked
from fhir_server.commands.said import fail
from fhir_server.errors import FhirError
from fhir_server.resource_json import decode_stored
from fhir_server.settings import Settings
from fhir_server.store.base import Store

app = typer.Typer(help="The log of accesses.", no_args_is_help=True)
_FIELDS = Settings.model_fields
_PAGE = 1000


@app.callback()
def _main() -> None:
    """The log of accesses."""


@app.command()
def verify(
    store: Annotated[
        str, typer.Option(envvar="VARDE_STORE", help=str(_FIELDS["store"].description))
    ] = _FIELDS["store"].default,
    keys: Annotated[str, typer.Option(envvar="VARDE_KEYS", help=str(_FIELDS["keys"].description))] = _FIELDS[
        "keys"
    ].default,
) -> None:
    """Check that no entry is missing, changed or out of order, and that AuditEvents say what entries say.

    Exits with 1 and says the number of the first entry that is not as it was written.
    """
    from fhir_server.app import existing, open_store

    try:
        checkpoint = Checkpoints(Path(keys)).read()
        problem, head = asyncio.run(_verify(open_store(existing(store)), checkpoint))
    except (FhirError, ValueError) as error:
        fail("varde audit verify", error)
    if problem is not None:
        fail("The log of accesses is not whole", f"Entry {problem.number} {problem.text}.")
    signed = f"a checkpoint signed at entry {checkpoint.number}" if checkpoint else "no signed checkpoint"
    typer.echo(f"The log of accesses is whole: {head.number} entries, {signed}.")


async def _verify(store: Store, checkpoint: chain.Head | None) -> tuple[chain.Problem | None, chain.Head]:
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
