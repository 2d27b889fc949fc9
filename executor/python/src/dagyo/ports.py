"""Ports as a program sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic, TypeVar

from .errors import PortError, ProtocolError
from .reader import Reader
from .types import Type, Undecodable
from .writer import Writer

T = TypeVar("T")

#: Called before and after a port's work: raises CancelledError when the job is to end.
Gate = Callable[[], None]
#: Called with a failure that ends the job.
Fail = Callable[[PortError], None]


class In(Generic[T]):
    """An input port. Read it with ``async for``, one task at a time.

    Breaking out of the loop leaves the rest unread; what is unread when the program returns is closed
    early, which tells the writer.
    """

    def __init__(self, name: str, type_: Type[T], reader: Reader, gate: Gate, fail: Fail) -> None:
        self.name = name
        self._type = type_
        self._reader = reader
        self._gate = gate
        self._fail = fail
        self._records: list[bytes] = []
        self._values: list[T] = []
        self._next = 0
        self._fault: PortError | None = None
        #: Whether the program, or the end of the job, closed it before its end.
        self.closed_early = False

    @property
    def records(self) -> int:
        """How many records the program has taken."""
        return self._reader.records - (len(self._records) - self._next)

    @property
    def octets(self) -> int:
        """The sum of the lengths, in octets, of the records that the program has taken."""
        return self._reader.octets - sum(map(len, self._records[self._next :]))

    def __aiter__(self) -> In[T]:
        return self

    async def __anext__(self) -> T:
        if self._next == len(self._values) and not await self._fill():
            raise StopAsyncIteration
        value = self._values[self._next]
        self._next += 1
        return value

    async def batches(self) -> AsyncIterator[list[T]]:
        """Yield all values, as many at once as are there, at least one: cheaper for small values."""
        while batch := await self.receive_batch():
            yield batch

    async def receive_batch(self) -> list[T]:
        """Return the values that are there, at least one; none at the end of the stream."""
        if self._next == len(self._values) and not await self._fill():
            return []
        batch = self._values[self._next :] if self._next else self._values
        self._values, self._next = self._values[:0], 0
        self._records = []
        return batch

    async def _fill(self) -> bool:
        """Get the next values; report False at the end of the stream.

        PortError when the edge breaks its rules or a record is not what its typename promises; the
        job panics then, also if the program goes on.
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
        # Many frames may be here already: others want to run too.
        await asyncio.sleep(0)
        self._gate()
        if records is None:
            return False
        return self._decode(records) or await self._fill()

    def _decode(self, records: list[bytes]) -> bool:
        """Make values of records, as far as they are right; report whether there is any."""
        try:
            self._values = self._type.decode_batch(records)
            self._records = records
        except Undecodable as e:
            self._values = e.values
            # The bad one was not taken, and those behind it never will be.
            self._records = records[: e.index]
            first = self._reader.records - len(records)
            self._reader.untake(records[e.index :])
            self._fault = PortError("deserialization", self.name, first + e.index, str(e))
        return bool(self._values)

    async def close(self) -> None:
        """Want no more: the writer learns it, and may end."""
        if not self._reader.ended and not self.closed_early:
            self.closed_early = True
            await self._reader.close()


class Out(Generic[T]):
    """An output port."""

    def __init__(self, name: str, type_: Type[T], writer: Writer, gate: Gate, fail: Fail) -> None:
        self.name = name
        self._type = type_
        self._writer = writer
        self._gate = gate
        self._fail = fail

    @property
    def records(self) -> int:
        """How many records were sent."""
        return self._writer.records

    @property
    def octets(self) -> int:
        """The sum of the lengths, in octets, of the records that were sent."""
        return self._writer.octets

    async def send(self, value: T) -> None:
        """Send a value; wait while the reader is more than the edge's window behind.

        ReaderClosed says that the reader wants no more: a program that lets it pass ends normally.
        TypeError or ValueError for a value that is not of the port's type.
        """
        self._gate()
        try:
            await self._writer.send(self._type.encode(value))
        except ProtocolError as e:
            raise self._failed(e) from e

    async def send_batch(self, values: Sequence[T]) -> None:
        """Send values in order, for less than as many calls of send. Is one wrong, none is sent."""
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
