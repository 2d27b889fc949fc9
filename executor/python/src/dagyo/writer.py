"""The sending end of an edge."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from .bell import Bell
from .errors import DagyoError, EdgeClosed, ReaderClosed
from .job import Address
from .link import Link
from .seal import SEAL_SIZE, End
from .sender import Sender
from .window import MIN_WINDOW, check_window
from .wire import TRAILER_SIZE, Encoder

log = logging.getLogger("dagyo")

#: The size in bytes to which frames grow while one is in flight.
FRAME_TARGET = 64 << 10

#: The maximum size of a frame, in bytes, that the broker stores.
MAX_FRAME = 128 << 10


def frame_sizes(address: Address, max_payload: int) -> tuple[int, int]:
    """Return the size in bytes to which frames grow, and their maximum size.

    Several frames fit into the window. Raises DagyoError if the window or max_payload is too small.
    """
    check_window(address)
    limit = min(2 * FRAME_TARGET, address.window // 4, max_payload, MAX_FRAME)
    if limit < MIN_WINDOW // 4:
        raise DagyoError(
            f"edge {address.subject}: frames of at most {limit} bytes are too small: "
            f"the minimum is {MIN_WINDOW // 4}; raise the broker's max_payload"
        )
    return limit // 2, limit


class Writer:
    """Packs records into frames and sends them.

    A frame grows while the previous one is in flight. ``start`` starts one task; ``close`` and
    ``abort`` wait for it. At most a quarter of the window is held here. When no more may be sent,
    sending waits.
    """

    def __init__(self, link: Link, address: Address, name: str = "") -> None:
        end = End(address, name, address.reader)
        target, limit = frame_sizes(address, link.max_payload - SEAL_SIZE)
        #: This end of the edge.
        self.end = end
        self._encoder = Encoder(target, limit)
        self._sender = Sender(link, address, end, self._take, limit)
        self._task: asyncio.Task[None] | None = None
        self._room = Bell()
        self._lock = asyncio.Lock()
        self._whole = Bell()  # rung when a long record was sent, or cannot be sent any more
        self._resting = False
        self._finish = False
        self._ended_well = False
        self._error: DagyoError | None = None
        #: The number of records taken, and the sum of their lengths.
        self.records = 0
        self.octets = 0

    def start(self) -> None:
        """Start sending."""
        self._task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        """Run the sender, and keep its error for the methods of the writer."""
        try:
            await self._sender.run()
            self._ended_well = self._error is None
        except DagyoError as e:
            self._error = self._error or e
        except Exception as e:
            log.exception("a defect: the sender of an edge failed")
            self._error = self._error or DagyoError(f"a defect: the sender failed: {e!r}")
        finally:
            self._error = self._error or EdgeClosed("the output is closed")
            self._room.ring()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
        if self._finish:
            raise EdgeClosed("the output was closed; nothing can be sent on it")

    async def send(self, record: bytes) -> None:
        """Send one record: see send_batch."""
        if self._error is None and not self._finish and not self._lock.locked():
            idle = self._encoder.empty
            if self._encoder.push(record):
                self.records += 1
                self.octets += len(record)
                if idle or self._encoder.ready:
                    self._sender.bell.ring()
                return
        await self.send_batch((record,))

    async def send_batch(self, records: Sequence[bytes]) -> None:
        """Take records, and wait while the window is full.

        Raises ReaderClosed, Gone, ProtocolError, LinkClosed or EdgeClosed. If the task is cancelled
        after a part of a record was taken, the edge cannot continue and accepts no more.
        """
        async with self._lock:
            done = 0
            while True:
                self._check()
                if self._resting:
                    raise asyncio.CancelledError("no more records may be sent")
                idle = self._encoder.empty
                before, done = done, self._encoder.extend(records, done)
                self.records += done - before
                self.octets += sum(map(len, records[before:done]))
                if idle or self._encoder.ready:
                    self._sender.bell.ring()
                if done == len(records):
                    return
                if self._encoder.ready:
                    await self._room.wait()
                else:
                    await self._split(records[done])
                    done += 1

    async def _split(self, record: bytes) -> None:
        """Send a record that is longer than a frame."""
        at, whole = 0, False
        try:
            while True:
                self._check()
                at, whole = self._encoder.append(record, at)
                self._sender.bell.ring()
                if whole:
                    break
                await self._room.wait()
        finally:
            if not whole and self._encoder.open:
                self._error = self._error or EdgeClosed("a record was cut short")
            self._whole.ring()
        self.records += 1
        self.octets += len(record)

    def _take(self, fits: Callable[[int], bool], small: bool) -> tuple[bytes | None, bool]:
        """Hand the growing frame to the sender if a frame of its size fits.

        Unless small ones are allowed, only when it should grow no further. The second value reports
        that only the window prevents it.
        """
        encoder = self._encoder
        size = encoder.size
        if self._finish:
            size += TRAILER_SIZE
        elif encoder.empty or not (small or encoder.ready):
            return None, False
        if not fits(size):
            return None, True
        frame = encoder.finish() if self._finish else encoder.take()
        self._room.ring()
        return frame, False

    async def rest(self) -> None:
        """Begin no more records; return when no record is taken only in part."""
        self._resting = True
        while self._encoder.open and self._error is None:
            await self._whole.wait()

    async def close(self) -> None:
        """Send the end; return when everything is consumed or stored. Errors are those of
        send_batch.

        It succeeds if the reader needs no more records: the reader has everything that it asked
        for.
        """
        async with self._lock:
            if self._encoder.open:
                await self.abort()
                self._check()
            self._finish = True
            self._sender.bell.ring()
            await self._ended()
        if not self._ended_well and not isinstance(self._error, ReaderClosed):
            self._check()

    async def _ended(self) -> None:
        if self._task is not None:
            # The waiting caller may be cancelled; the task continues until abort.
            await asyncio.wait({self._task})

    async def abort(self) -> None:
        """Release the writer without an end. Does nothing after close."""
        self._error = self._error or EdgeClosed("the output was abandoned")
        self._sender.stop()
        if self._task is not None:
            self._task.cancel()
            await self._ended()
