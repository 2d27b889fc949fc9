"""Edges between Python and Go."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dagyo.errors import ReaderClosed
from dagyo.link import Link
from dagyo.reader import Reader
from dagyo.writer import Writer

from .helpers import Broker, address, address_json, connected, fill, read, run, write

Links = tuple[Link, Link]
SIZES = [(0, 100), (1, 100_000), (128, 200_000), (9000, 3000), (5_000_000, 4)]


@pytest.mark.parametrize(("size", "count"), SIZES)
async def test_python_to_go(shared_broker: Broker, links: Links, size: int, count: int) -> None:
    a = address(shared_broker.flow())
    sent = [fill(n, size) for n in range(count)]
    reading = shared_broker.run_peer("read", shared_broker.url, address_json(a))
    counted, _ = await run(asyncio.gather(reading, write(links[0], a, sent)))
    assert counted == {"records": count, "bytes": count * size}


@pytest.mark.parametrize(("size", "count"), SIZES)
async def test_go_to_python(shared_broker: Broker, links: Links, size: int, count: int) -> None:
    a = address(shared_broker.flow())
    writing = shared_broker.run_peer("write", shared_broker.url, address_json(a), count, size)
    counted, got = await run(asyncio.gather(writing, read(links[1], a)))
    assert got == [fill(n, size) for n in range(count)]
    assert counted == {"records": count, "bytes": count * size}


async def test_go_closes_early(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow())
    reading = asyncio.create_task(
        shared_broker.run_peer("read", shared_broker.url, address_json(a), 10)
    )
    writer = Writer(links[0], a)
    writer.start()
    with pytest.raises(ReaderClosed):
        for n in range(10_000_000):
            await run(writer.send(fill(n, 1000)))
    await run(writer.close())
    assert await reading == {"records": 10, "bytes": 10_000}


async def test_python_closes_early(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow())
    writing = asyncio.create_task(
        shared_broker.run_peer("write", shared_broker.url, address_json(a), 10_000_000, 1000)
    )
    reader = Reader(links[1], a)
    assert await run(reader.receive())
    await run(reader.close())
    assert (await writing)["records"] < 10_000_000


async def test_go_has_ended_before(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow())
    await shared_broker.run_peer("write", shared_broker.url, address_json(a), 900, 1000)
    assert await run(read(links[1], a)) == [fill(n, 1000) for n in range(900)]


async def test_python_has_ended_before(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow())
    await run(write(links[0], a, [fill(n, 1000) for n in range(900)]))
    counted = await shared_broker.run_peer("read", shared_broker.url, address_json(a))
    assert counted == {"records": 900, "bytes": 900_000}


@pytest.mark.parametrize("python_writes", [True, False])
async def test_a_restarted_broker_between(broker: Broker, python_writes: bool) -> None:
    a = address(broker.flow(), window=256 << 10)
    sent = [fill(n, 1000) for n in range(60_000 if python_writes else 20_000)]
    async with connected(broker.url) as link:
        if python_writes:
            go = broker.run_peer("read", broker.url, address_json(a))
            here: Any = write(link, a, sent, batch=20)
        else:
            go = broker.run_peer("write", broker.url, address_json(a), len(sent), 1000)
            here = read(link, a, pause=0.005)
        both: asyncio.Future[Any] = asyncio.gather(go, here)
        await asyncio.sleep(0.2)
        assert not both.done()
        await broker.restart()
        counted, other = await run(both)
        assert counted == {"records": len(sent), "bytes": len(sent) * 1000}
        if not python_writes:
            assert other == sent
