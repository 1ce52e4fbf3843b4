"""Structured logs, a JSON object a line on stderr, without anything that says who a patient is.

What is logged of a request: method, route template, status, duration, request id. Never ids, query strings,
bodies, or the message of an exception, which may quote any of them.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import sys
import time
import traceback
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import structlog

from fhir_server.instants import instant

_log = structlog.get_logger()


def configure(level: str) -> None:
    """Send our own events, and the warnings of the libraries, to stderr as JSON."""
    number = logging.getLevelName(level.upper())
    _lines.requests = number <= logging.INFO
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(serializer=_serialise),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _lines,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Library()], level=max(number, logging.WARNING), force=True)


def request(method: str, route: str, status: int, seconds: float, request_id: str) -> None:
    """One answered request, written past structlog's processors: this is on the way of every reading."""
    if _lines.requests:
        line = {
            "event": "request",
            "level": "info",
            "timestamp": instant(time.time_ns() // 1000),
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            "request_id": request_id,
        }
        _lines.info(_serialise(line))


def bug(error: BaseException, **context: str) -> None:
    """An exception that nobody foresaw: where it was, not what it says."""
    event("bug", "error", error=type(error).__name__, frames=_frames(error), **context)


def event(name: str, level: str = "info", **context: Any) -> None:
    """Something that happened."""
    getattr(_log, level)(name, **context)


def _frames(error: BaseException) -> list[str]:
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
    ]


def _serialise(event: Any, **_: Any) -> bytes:
    return msgspec.json.encode(event)


class _Lines:
    """stderr, a line an event.

    Those of requests wait a moment for each other: a system call for each can cost more than everything else
    about the log. One that cannot be written, on a full disk, fails nothing.
    """

    SECONDS = 0.1

    def __init__(self) -> None:
        self.requests = True  # whether those are wanted at all
        self._waiting: deque[bytes] = deque()
        atexit.register(self._write)

    def info(self, line: bytes) -> None:
        self._waiting.append(line)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_later(self.SECONDS, self._write)
            except RuntimeError:  # no event loop here
                self._write()

    def error(self, line: bytes) -> None:
        self._waiting.append(line)
        self._write()

    debug = warning = error

    def _write(self) -> None:
        lines = b"".join(self._waiting.popleft() + b"\n" for _ in range(len(self._waiting)))
        with suppress(OSError, ValueError):  # ValueError: closed, as the process ends
            sys.stderr.buffer.write(lines)
            sys.stderr.buffer.flush()


_lines = _Lines()


class _Library(logging.Handler):
    """What libraries log through the standard library, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        if record.exc_info and record.exc_info[1]:
            bug(record.exc_info[1], logger=record.name)
        else:
            event("library", level, logger=record.name, message=record.getMessage())
