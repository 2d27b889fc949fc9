"""Calling a progdef without a broker: for its unit tests."""

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

#: What a call feeds an input with.
Values = Iterable[Any] | AsyncIterable[Any]

_BATCH = 64  # values that are there at the same time


class Feed:
    """An input's records, from values."""

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
        """Take records back."""
        self.records -= len(records)
        self.octets -= sum(map(len, records))

    async def close(self) -> None:
        """Want no more."""


class _Batch(list[Any]):
    """Values that are there at the same time."""


async def _batched(values: Iterable[Any]) -> AsyncIterable[_Batch]:
    rest = iter(values)
    while batch := _Batch(islice(rest, _BATCH)):
        yield batch


class Collected:
    """An output's records."""

    def __init__(self) -> None:
        self.all: list[bytes] = []

    @property
    def records(self) -> int:
        """How many records were sent."""
        return len(self.all)

    @property
    def octets(self) -> int:
        """The sum of their lengths."""
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
    """Call a program with the values of its inputs; return those of its outputs, by port."""
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
    """Nothing ends a call from outside."""
