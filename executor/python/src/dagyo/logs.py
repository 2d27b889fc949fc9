"""What jobs log for the users of their flows (docs/protocol.md, "Logs")."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

from .errors import DagyoError
from .link import Link
from .mask import Mask

_MAX_TEXT = 4 << 10  # bytes of a line
_MARK_ROOM = 40  # bytes for the mark of what was cut
_MAX_BATCH = 16 << 10  # bytes from which a batch takes no more lines
_MOST_BATCHES = 16  # that wait to be published
_LINE_COST = 256  # bytes that count as a line
_FLUSH_AFTER = 0.2  # seconds
_LAST_LINES = 1.0  # seconds that the end of a job waits for its last lines

#: The journal of the job whose code is running.
current: ContextVar[Journal | None] = ContextVar("dagyo_journal", default=None)

if hasattr(os, "register_at_fork"):
    # A forked child has no loop that publishes, and may have inherited a lock that is held.
    os.register_at_fork(after_in_child=lambda: current.set(None))


def cut(text: str) -> str:
    """Return a text as a line may have it."""
    octets = text.encode(errors="replace")
    if len(octets) <= _MAX_TEXT:
        return octets.decode()
    kept = octets[: _MAX_TEXT - _MARK_ROOM].decode(errors="ignore")
    return f"{kept}… ({len(octets) - len(kept.encode()):,} bytes cut)"


class Bucket:
    """Tokens for the lines of a second."""

    def __init__(self, rate: int, now: float) -> None:
        self._rate = self._tokens = float(rate)
        self._at = now

    def _fill(self, now: float) -> None:
        self._tokens = min(self._rate, self._tokens + self._rate * (now - self._at))
        self._at = now

    def take(self, now: float, cost: int) -> bool:
        """Take tokens, or none if the bucket is empty. An expensive line leaves a debt."""
        self._fill(now)
        if self._tokens <= 0:
            return False
        self._tokens -= cost
        return True

    def ready(self, now: float) -> bool:
        """Report whether the bucket is half full."""
        self._fill(now)
        return self._tokens >= self._rate / 2


class Journal:
    """Publishes what a job logs: at most once, in batches, and without making the program wait.

    ``log`` may be called in any thread; the rest is for the event loop that creates the journal.
    """

    def __init__(self, link: Link, subject: str, rate: int, mask: Mask) -> None:
        self._link = link
        self._subject = subject
        self._mask = mask
        self._loop = asyncio.get_running_loop()
        self._lock = threading.RLock()  # a destructor may log while this thread holds it
        self._bucket = Bucket(rate, time.monotonic())
        self._batches: list[bytearray] = []
        self._dropped = 0
        self._scheduled = self._closed = False
        self._flushing: asyncio.Task[None] | None = None

    def log(self, level: str, text: str) -> None:
        """Log the lines of a text."""
        masked = self._mask.apply(text)
        with self._lock:
            for line in masked.splitlines() or [""]:
                self._add(level, cut(line))
            wake = not self._scheduled and not self._closed
            self._scheduled = True
        if wake:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._schedule)

    def _add(self, level: str, text: str) -> None:
        cost = max(1, -(-len(text.encode()) // _LINE_COST))
        if self._closed:
            return
        full = len(self._batches) == _MOST_BATCHES
        # After a line that was dropped, all are, until _take has said so.
        if self._dropped or full or not self._bucket.take(time.monotonic(), cost):
            self._dropped += 1
        else:
            self._append({"level": level, "text": text})

    def _append(self, line: dict[str, Any]) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="microseconds")
        whole = {"time": now.replace("+00:00", "Z"), "stream": "log"} | line
        encoded = json.dumps(whole, ensure_ascii=False).encode() + b"\n"
        if not self._batches or len(self._batches[-1]) >= _MAX_BATCH:
            self._batches.append(bytearray())
        self._batches[-1] += encoded

    def _schedule(self) -> None:
        with self._lock:
            full = len(self._batches) > 1
        at_once = full and self._link.connected
        self._loop.call_later(0 if at_once else _FLUSH_AFTER, self._flush)

    def _flush(self) -> None:
        if not self._closed:
            self._flushing = self._loop.create_task(self._publish())

    async def _publish(self) -> None:
        # What waits for a connection is limited, and edges need it.
        for batch in self._take(last=False) if self._link.connected else ():
            with suppress(DagyoError):
                await self._link.publish(self._subject, bytes(batch))
        with self._lock:
            self._scheduled = bool(self._batches or self._dropped) and not self._closed
            again = self._scheduled
        if again:
            self._schedule()

    def _take(self, *, last: bool) -> list[bytearray]:
        """Take what waits, with a line for what was dropped if there is room for more again."""
        with self._lock:
            if self._dropped and (last or self._bucket.ready(time.monotonic())):
                n, self._dropped = self._dropped, 0
                text = f"… {n:,} line{'s' if n > 1 else ''} dropped"
                self._append({"level": "warn", "text": text, "dropped": n})
            batches, self._batches = self._batches, []
            self._closed = self._closed or last
        return batches

    async def close(self) -> None:
        """Publish what waits; return when it is stored, or after a while. Log nothing from now on."""
        batches = self._take(last=True)
        with suppress(DagyoError, asyncio.TimeoutError):
            await asyncio.wait_for(self._last(batches), _LAST_LINES)

    async def _last(self, batches: list[bytearray]) -> None:
        if self._flushing is not None:
            await asyncio.wait({self._flushing})
        for batch in batches[:-1]:
            await self._link.publish(self._subject, bytes(batch))
        if batches:
            await self._link.request(self._subject, bytes(batches[-1]), timeout=_LAST_LINES)


class JobHandler(logging.Handler):
    """Logs the records of a job's task or thread to the job's journal."""

    def emit(self, record: logging.LogRecord) -> None:
        journal = current.get()
        if journal is None:
            return
        try:
            journal.log(_level(record.levelno), self.format(record))
        except Exception:  # noqa: BLE001 (a record that cannot be formatted)
            self.handleError(record)


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


def logging_to_jobs() -> Callable[[], None]:
    """Have the module logging log for jobs, until the result is called."""
    handler, root = JobHandler(), logging.getLogger()
    root.addHandler(handler)
    return lambda: root.removeHandler(handler)
