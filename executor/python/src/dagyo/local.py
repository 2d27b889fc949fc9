"""Calling a progdef without a broker, for unit tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from .errors import PortError
from .ports import In, Out
from .types import Type

if TYPE_CHECKING:
    from .progdef import Progdef

#: The values that a call passes to an input.
Values = Iterable[Any] | AsyncIterable[Any]

_BATCH = 64  # values that are available at the same time


class Feed:
    """The records of an input, encoded from values."""

    def __init__(self, type_: Type[Any], values: Values) -> None:
        self._type = type_
        self._values = values if isinstance(values, AsyncIterable) else _batched(values)
        self._batches = self._values.__aiter__()
        self.records = 0
        self.octets = 0
        self.ended = False

    async def receive(self) -> list[bytes] | None:
        """Return the next records; None at the end."""
        try:
            batch = await self._batches.__anext__()
        except StopAsyncIteration:
            self.ended = True
            return None
        values = batch if isinstance(batch, _Batch) else [batch]
        records = self._type.encode_batch(values)
        self.records += len(records)
        self.octets += sum(map(len, records))
        return records

    def untake(self, records: list[bytes]) -> None:
        """Return unused records."""
        self.records -= len(records)
        self.octets -= sum(map(len, records))

    async def close(self) -> None:
        """Stop reading."""


class _Batch(list[Any]):
    """Values that are available at the same time."""


async def _batched(values: Iterable[Any]) -> AsyncIterable[_Batch]:
    rest = iter(values)
    while batch := _Batch(islice(rest, _BATCH)):
        yield batch


class Collected:
    """The records of an output."""

    def __init__(self) -> None:
        self.all: list[bytes] = []

    @property
    def records(self) -> int:
        """The number of records sent."""
        return len(self.all)

    @property
    def octets(self) -> int:
        """The sum of the lengths of the records."""
        return sum(map(len, self.all))

    async def send(self, record: bytes) -> None:
        """Keep a record."""
        self.all.append(record)
        await asyncio.sleep(0)

    async def send_batch(self, records: list[bytes]) -> None:
        """Keep records."""
        self.all.extend(records)
        await asyncio.sleep(0)

    async def close(self) -> None:
        """End the stream."""


async def call(program: Progdef, inputs: Mapping[str, Values], job: Any) -> dict[str, list[Any]]:
    """Call a program with the values of its inputs; return the values of its outputs, by port."""
    failures: list[PortError] = []
    ins, outs = {}, {}
    for port, type_ in program.inputs.items():
        feed = Feed(type_, inputs[program.input_parameters[port]])
        ins[port] = In(port, type_, feed, _go_on, failures.append)
    kept = {port: Collected() for port in program.outputs}
    for port, type_ in program.outputs.items():
        outs[port] = Out(port, type_, kept[port], _go_on, failures.append)
    await program.invoke(ins, outs, job)
    if failures:
        raise failures[0]
    return {port: program.outputs[port].decode_batch(kept[port].all) for port in kept}


def _go_on() -> None:
    """Do nothing: a call is never ended from outside."""
