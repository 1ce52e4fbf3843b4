"""Group commit: works submitted by many tasks run one by one in a thread and share one durable commit."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from fhir_server.errors import FhirError
from fhir_server.store.base import Transaction

T = TypeVar("T")
Work = Callable[[Transaction], Any]

# A group takes no more works after so many or so long: a slow work delays the acknowledgement of those
# before it by no more than itself.
MOST_WORKS = 256
LONGEST_SECONDS = 0.02
# How long a group is run again while other processes win the race for the next commit.
CONFLICT_SECONDS = 20.0


class Conflict(Exception):
    """Another process committed first: the group has to be run again."""


class Spoilt(Exception):
    """A work failed and what it put cannot be undone by itself; the work's own exception is the cause."""


class Ledger(Protocol):
    """What a store does for a group; every call comes from the group's one thread.

    Any exception besides Conflict and Spoilt is the store's own, a FhirError("unavailable"), and fails the
    whole group.
    """

    def begin(self) -> None:
        """Start the transaction that the group shares."""

    def run(self, work: Work) -> tuple[Any, Exception | None]:
        """(result, None), or (None, the work's own exception) with all that it put undone."""

    def commit(self) -> None:
        """Make everything durable."""

    def abort(self) -> None:
        """Undo everything since begin; never raises."""

    def close(self) -> None:
        """Let go of the connection; never raises."""


class Job:
    """A submitted work, and where its outcome is awaited."""

    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(self, work: Work, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None


class Group:
    """The queue before a Ledger, and the thread behind it."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name=f"{name}-writer", daemon=True)
        self._lock = threading.Lock()  # between submit and close: nothing is queued behind the end
        self._open = False
        self._ending = False
        self._running: Job

    def start(self) -> None:
        self._open = True
        self._thread.start()

    async def submit(self, work: Callable[[Transaction], T]) -> T:
        """The result of work once it is durable, or its exception."""
        job = Job(work, asyncio.get_running_loop())
        with self._lock:
            if not self._open:
                raise FhirError("unavailable", "The store is closed")
            self._queue.put(job)
        result: T = await job.future
        return result

    async def close(self) -> None:
        """Finish what is queued, then end the thread."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self._queue.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _loop(self) -> None:
        while not self._ending and (job := self._queue.get()) is not None:
            self._commit(job)
        self._ledger.close()

    def _commit(self, first: Job) -> None:
        """One group, from its first work to everybody's outcome."""
        jobs = [first]
        alone = self._persist(jobs, self._attempt(self._take(jobs)))
        _settle(jobs)
        for job in alone:
            jobs = [job]
            self._persist(jobs, self._attempt(jobs))
            _settle([job])

    def _persist(self, jobs: list[Job], trouble: Exception | None) -> list[Job]:
        """Run the group again for as long as that can help.

        Takes works that spoil it out of `jobs`, unless they are alone there; returns them.
        """
        spoilers: list[Job] = []
        deadline, pause = time.monotonic() + CONFLICT_SECONDS, 0.001
        while trouble is not None:
            if isinstance(trouble, Spoilt) and len(jobs) > 1:
                jobs.remove(self._running)
                spoilers.append(self._running)
            elif isinstance(trouble, Conflict) and time.monotonic() < deadline:
                time.sleep(random.uniform(0, pause))  # noqa: S311 - a pause, not a secret
                pause = min(2 * pause, 0.05)
            else:
                _fail(jobs, trouble)
                break
            trouble = self._attempt(jobs)
        return spoilers

    def _attempt(self, jobs: Iterable[Job]) -> Exception | None:
        """Run and commit; what went wrong, if something did, after undoing it all."""
        try:
            self._ledger.begin()
            for job in jobs:
                self._running = job
                job.result, job.error = self._ledger.run(job.work)
            self._ledger.commit()
        except Exception as trouble:
            self._ledger.abort()
            return trouble
        return None

    def _take(self, jobs: list[Job]) -> Iterator[Job]:
        """The first work and those queued while the group runs, within its bounds; added to `jobs`."""
        started = time.monotonic()
        yield jobs[0]
        while len(jobs) < MOST_WORKS and time.monotonic() - started < LONGEST_SECONDS:
            try:
                job = self._queue.get_nowait()
            except Empty:
                return
            if job is None:
                self._ending = True
                return
            jobs.append(job)
            yield job


def _fail(jobs: list[Job], trouble: Exception) -> None:
    if isinstance(trouble, Conflict):
        trouble = FhirError("unavailable", "Other writers kept the store busy for too long")
    elif isinstance(trouble, Spoilt) and isinstance(trouble.__cause__, Exception):
        trouble = trouble.__cause__
    for job in jobs:  # an exception of its own for each, since a traceback belongs to one task
        job.error = (
            FhirError(trouble.category, issues=trouble.issues) if isinstance(trouble, FhirError) else trouble
        )


def _settle(jobs: Iterable[Job]) -> None:
    """Hand out the outcomes with one wake-up per event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        loops.setdefault(job.loop, []).append(job)
    for loop, mine in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_deliver, mine)


def _deliver(jobs: list[Job]) -> None:
    for job in jobs:
        if job.future.done():  # its task was cancelled
            continue
        if isinstance(job.error, StopIteration):  # which a future refuses
            job.future.set_exception(RuntimeError("the work raised StopIteration"))
        elif job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
