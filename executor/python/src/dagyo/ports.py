"""Ports as a program sees them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Generic, Protocol, TypeVar

from .errors import PortError, ProtocolError
from .types import Type, Undecodable

T = TypeVar("T")
R = TypeVar("R")

#: Called before and after a port's work; raises CancelledError when the job must end.
Gate = Callable[[], None]
#: Called with a failure that ends the job.
Fail = Callable[[PortError], None]


class Source(Protocol):
    """The source of an input's records: the reader of an edge, or a list in a test."""

    @property
    def records(self) -> int:
        """The number of records received."""

    @property
    def octets(self) -> int:
        """The sum of their lengths, in bytes."""

    @property
    def ended(self) -> bool:
        """Whether the end of the stream was received."""

    async def receive(self) -> list[bytes] | None:
        """Return the next records, at least one; None at the end."""

    def untake(self, records: list[bytes]) -> None:
        """Return records that were received but are not used."""

    async def close(self) -> None:
        """Stop reading."""


class Sink(Protocol):
    """The destination of an output's records: the writer of an edge, or a list in a test."""

    @property
    def records(self) -> int:
        """The number of records sent."""

    @property
    def octets(self) -> int:
        """The sum of their lengths, in bytes."""

    async def send(self, record: bytes) -> None:
        """Send a record."""

    async def send_batch(self, records: list[bytes]) -> None:
        """Send records in order."""

    async def close(self) -> None:
        """End the stream."""


class In(Generic[T]):
    """An input port. Read it with ``async for``, in one task at a time.

    Breaking out of the loop leaves the rest unread. An input with unread records is closed when the
    program returns, and its writer is notified.
    """

    def __init__(self, name: str, type_: Type[T], reader: Source, gate: Gate, fail: Fail) -> None:
        self.name = name
        self._type = type_
        self._reader = reader
        self._gate = gate
        self._fail = fail
        self._records: list[bytes] = []
        self._values: list[T] = []
        self._next = 0
        self._fault: PortError | None = None
        #: Whether the program or the end of the job closed it before its end.
        self.closed_early = False

    @property
    def records(self) -> int:
        """The number of records that the program has taken."""
        return self._reader.records - (len(self._records) - self._next)

    @property
    def octets(self) -> int:
        """The sum of the lengths, in bytes, of the records that the program has taken."""
        return self._reader.octets - sum(map(len, self._records[self._next :]))

    def __aiter__(self) -> In[T]:
        return self

    async def __anext__(self) -> T:
        if not self.here and not await self.fill():
            raise StopAsyncIteration
        return self.take()

    @property
    def here(self) -> bool:
        """Whether ``take`` has a value. Internal."""
        return self._next < len(self._values)

    def take(self) -> T:
        """Return the next available value. Internal."""
        value = self._values[self._next]
        self._next += 1
        return value

    async def batches(self) -> AsyncIterator[list[T]]:
        """Yield lists of all available values, at least one each: faster for small values."""
        while batch := await self.receive_batch():
            yield batch

    async def receive_batch(self) -> list[T]:
        """Return all available values, at least one; none at the end of the stream."""
        if not self.here and not await self.fill():
            return []
        batch = self._values[self._next :] if self._next else self._values
        self._values, self._next = self._values[:0], 0
        self._records = []
        return batch

    async def fill(self) -> bool:
        """Get the next values; report False at the end of the stream. Internal.

        Raises PortError if the edge violates its rules or a record does not match its typename. The
        job then panics even if the program continues.
        """
        self._gate()
        if self._fault is not None:
            self._fail(self._fault)
            raise self._fault
        self._records, self._values, self._next = [], [], 0
        try:
            records = await self._reader.receive()
        except ProtocolError as e:
            self._fault = PortError("protocol", self.name, None, str(e))
            self._fail(self._fault)
            raise self._fault from e
        self._records = records or []  # not taken yet
        # Many frames may already be available: let other tasks run, too.
        await asyncio.sleep(0)
        self._gate()
        if records is None:
            return False
        return self._decode(records) or await self.fill()

    def _decode(self, records: list[bytes]) -> bool:
        """Decode records up to the first invalid one; report whether there is any value."""
        try:
            self._values = self._type.decode_batch(records)
            self._records = records
        except Undecodable as e:
            self._values = e.values
            # The invalid record was not taken, and the following ones never will be.
            self._records = records[: e.index]
            first = self._reader.records - len(records)
            self._reader.untake(records[e.index :])
            self._fault = PortError("deserialization", self.name, first + e.index, str(e))
        return bool(self._values)

    async def close(self) -> None:
        """Read no more: the writer is notified, and may end."""
        if not self._reader.ended and not self.closed_early:
            self.closed_early = True
            await self._reader.close()


class Out(Generic[T]):
    """An output port."""

    def __init__(self, name: str, type_: Type[T], writer: Sink, gate: Gate, fail: Fail) -> None:
        self.name = name
        self._type = type_
        self._writer = writer
        self._gate = gate
        self._fail = fail

    @property
    def records(self) -> int:
        """The number of records sent."""
        return self._writer.records

    @property
    def octets(self) -> int:
        """The sum of the lengths, in bytes, of the records sent."""
        return self._writer.octets

    async def send(self, value: T) -> None:
        """Send a value; wait while the reader is more than the edge's window behind.

        Raises ReaderClosed if the reader needs no more records: a program that does not catch it
        ends normally. Raises TypeError or ValueError for a value that is not of the port's type.
        """
        self._gate()
        try:
            await self._writer.send(self._type.encode(value))
        except ProtocolError as e:
            raise self._failed(e) from e

    async def send_batch(self, values: Sequence[T]) -> None:
        """Send values in order, at a lower cost than send. If one is invalid, none is sent."""
        self._gate()
        try:
            await self._writer.send_batch(self._type.encode_batch(values))
        except ProtocolError as e:
            raise self._failed(e) from e
        self._gate()

    def _failed(self, error: ProtocolError) -> PortError:
        failure = PortError("protocol", self.name, None, str(error))
        self._fail(failure)
        return failure

    async def close(self) -> None:
        """End the stream before the program returns, so that the reader can finish."""
        try:
            await self._writer.close()
        except ProtocolError as e:
            raise self._failed(e) from e


class Bridge:
    """Runs the work of ports on the event loop for a function in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending: Future[Any] | None = None
        self._lock = threading.Lock()
        self._ended = False

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run work until it is done; raise CancelledError if the job must end. For one thread."""
        with self._lock:
            if self._ended:
                work.close()
                raise asyncio.CancelledError
            pending = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._pending = pending
        try:
            return pending.result()
        except CancelledError:  # an Exception, which a program might mistake for its own
            raise asyncio.CancelledError from None

    def end(self) -> None:
        """Make the function end: its ports raise CancelledError from now on."""
        with self._lock:
            self._ended = True
            if self._pending is not None:
                self._pending.cancel()


class SyncIn(Generic[T]):
    """An input port of a function without ``async``. Read it with ``for``, in the function's thread."""

    def __init__(self, port: In[T], bridge: Bridge) -> None:
        self.name = port.name
        self._port = port
        self._bridge = bridge

    def __iter__(self) -> SyncIn[T]:
        return self

    def __next__(self) -> T:
        if not self._port.here and not self._bridge.run(self._port.fill()):
            raise StopIteration
        return self._port.take()

    def batches(self) -> Iterator[list[T]]:
        """Yield lists of all available values, at least one each: faster for small values."""
        while batch := self.receive_batch():
            yield batch

    def receive_batch(self) -> list[T]:
        """Return all available values, at least one; none at the end of the stream."""
        return self._bridge.run(self._port.receive_batch())

    def close(self) -> None:
        """Read no more: the writer is notified, and may end."""
        self._bridge.run(self._port.close())


class SyncOut(Generic[T]):
    """An output port of a function without ``async``; see Out."""

    def __init__(self, port: Out[T], bridge: Bridge) -> None:
        self.name = port.name
        self._port = port
        self._bridge = bridge

    def send(self, value: T) -> None:
        """Send a value; wait while the reader is more than the edge's window behind."""
        self._bridge.run(self._port.send(value))

    def send_batch(self, values: Sequence[T]) -> None:
        """Send values in order, at a much lower cost than send."""
        self._bridge.run(self._port.send_batch(values))

    def close(self) -> None:
        """End the stream before the program returns, so that the reader can finish."""
        self._bridge.run(self._port.close())
