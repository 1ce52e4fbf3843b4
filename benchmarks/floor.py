"""The floor: a bare ASGI app that does the least a durable POST can do, to compare a whole server with.

It reads the body, parses it, and answers 201 when the body and ten index rows of it are in SQLite (WAL,
synchronous=FULL), many requests sharing one commit. No validation, no rules, no versions, no search.

    python benchmarks/floor.py --port 9000 --file /tmp/floor.db
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import queue
import sqlite3
import threading
from pathlib import Path

import msgspec
import uvicorn

DECODE = msgspec.json.Decoder().decode
MOST = 512  # requests that share a commit at most
SCHEMA = """
CREATE TABLE IF NOT EXISTS resource (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS entry (
    param TEXT, value TEXT, seq INTEGER, PRIMARY KEY (param, value, seq)
) WITHOUT ROWID;
"""


def index_rows(resource: dict, seq: int) -> list[tuple[str, str, int]]:
    """Ten rows of a reading, about as many as a FHIR server keeps for it."""
    code = resource["code"]["coding"]
    patient = resource["subject"]["reference"]
    moment = resource["effectiveDateTime"]
    values = (code[0]["code"], code[-1]["code"], patient, moment, resource["status"])
    values += (resource["category"][0]["coding"][0]["code"], resource["device"]["reference"])
    values += (f"{patient}|{code[0]['code']}|{moment}", f"{code[0]['code']}|{moment}", str(seq))
    return [(f"p{n}", value, seq) for n, value in enumerate(values)]


class Writer(threading.Thread):
    """One thread owns the database; whatever waits when it is free goes into the next commit."""

    def __init__(self, file: Path, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(daemon=True)
        self.file = file
        self.loop = loop
        self.waiting: queue.SimpleQueue = queue.SimpleQueue()

    def run(self) -> None:
        database = sqlite3.connect(self.file, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.executescript(SCHEMA)
        seq = database.execute("SELECT coalesce(max(seq), 0) FROM resource").fetchone()[0]
        while True:
            batch = [self.waiting.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < MOST:
                    batch.append(self.waiting.get_nowait())
            database.execute("BEGIN IMMEDIATE")
            numbered = [(number, *item) for number, item in enumerate(batch, seq + 1)]
            seq += len(batch)
            database.executemany("INSERT INTO resource VALUES (?, ?)", [item[:2] for item in numbered])
            rows = [row for number, _, resource, _ in numbered for row in index_rows(resource, number)]
            database.executemany("INSERT INTO entry VALUES (?, ?, ?)", sorted(rows))
            database.execute("COMMIT")
            self.loop.call_soon_threadsafe(answer, [done for _, _, done in batch], seq)


def answer(waiters: list[asyncio.Future], last: int) -> None:
    """Tells each waiter the number that its resource got."""
    for number, done in enumerate(waiters, last - len(waiters) + 1):
        if not done.done():
            done.set_result(number)


def make_app(file: Path):
    """The ASGI app on a database file."""
    writer: list[Writer] = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            writer.append(Writer(file, asyncio.get_running_loop()))
            writer[0].start()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if scope["method"] == "GET":
            await respond(send, 200, [])
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        done = asyncio.get_running_loop().create_future()
        writer[0].waiting.put((body, DECODE(body), done))
        seq = await done
        await respond(
            send, 201, [(b"location", b"/fhir/Observation/%d/_history/1" % seq), (b"etag", b'W/"1"')]
        )

    return app


async def respond(send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [*headers, (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--file", type=Path, required=True)
    options = arguments.parse_args()
    app = make_app(options.file)
    uvicorn.run(
        app, host="127.0.0.1", port=options.port, loop="uvloop", http="httptools", log_level="warning"
    )


if __name__ == "__main__":
    main()
