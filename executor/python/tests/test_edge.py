"""Edges from Python to Python over a real broker."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace
from typing import Any

import pytest
from nats.aio.msg import Msg

from dagyo.errors import DagyoError, EdgeClosed, Gone, ProtocolError, ReaderClosed
from dagyo.job import Address
from dagyo.link import Link
from dagyo.reader import Reader
from dagyo.wire import Credit, Encoder, parse_credit
from dagyo.writer import Writer

from .helpers import PATIENCE, Broker, address, connected, fill, read, run, write

Links = tuple[Link, Link]


async def until_stored(link: Link, a: Address, octets: int) -> None:
    """Wait until a stream holds that many bytes."""
    deadline = time.monotonic() + PATIENCE
    while (await link.ask(f"$JS.API.STREAM.INFO.{a.stream}"))["state"]["bytes"] < octets:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("size", [0, 1, 128, 9000, 300_000])
async def test_all_records_in_order(shared_broker: Broker, links: Links, size: int) -> None:
    a = address(shared_broker.flow())
    sent = [fill(n, size) for n in range(20_000_000 // (size + 1000))]
    writer, got = await run(asyncio.gather(write(links[0], a, sent), read(links[1], a)))
    assert got == sent
    assert (writer.records, writer.octets) == (len(sent), size * len(sent))


async def test_empty_edge(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow())
    _, got = await run(asyncio.gather(write(links[0], a, []), read(links[1], a)))
    assert got == []


@pytest.mark.parametrize("seed", range(6))
async def test_mixed_sizes_and_pauses(shared_broker: Broker, links: Links, seed: int) -> None:
    rng = random.Random(seed)
    a = address(shared_broker.flow(), window=32 << 10, frames=8)
    sent = [rng.randbytes(rng.choice([0, 5, 300, 9000, 40_000])) for _ in range(200)]

    async def late(coroutine: object) -> object:
        await asyncio.sleep(rng.random() * 0.4)
        return await coroutine  # type: ignore[misc]

    both = asyncio.gather(
        late(write(links[0], a, sent, batch=rng.choice([1, 7, 200]))),
        late(read(links[1], a, pause=rng.choice([0, 0.01]))),
    )
    assert (await run(both))[1] == sent


async def test_a_large_record(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow(), window=8 << 20, frames=4096)
    large = random.Random(1).randbytes(32 << 20)
    _, got = await run(asyncio.gather(write(links[0], a, [b"before", large, b""]), read(links[1], a)))
    assert got == [b"before", large, b""]


async def test_a_lone_record_is_sent_at_once(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow())
    writer, reader = Writer(links[0], a), Reader(links[1], a)
    writer.start()
    await writer.send(b"first")
    assert await run(reader.receive()) == [b"first"]
    delays = []
    for _ in range(20):
        before = time.monotonic()
        await writer.send(b"next")
        assert await run(reader.receive()) == [b"next"]
        delays.append(time.monotonic() - before)
    assert sorted(delays)[10] < 0.05
    await writer.abort()
    await reader.abort()


async def test_the_reader_starts_after_the_writer(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow())
    sent = [fill(n, 1000) for n in range(500)]
    await run(write(links[0], a, sent))
    assert await run(read(links[1], a)) == sent


async def test_a_missing_reader_blocks_the_writer(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow(), window=64 << 10)
    sent = [fill(n, 1000) for n in range(2000)]
    writing = asyncio.create_task(write(links[0], a, sent))
    await asyncio.sleep(1.5)
    assert not writing.done()
    info = await links[1].ask(f"$JS.API.STREAM.INFO.{a.stream}")
    assert 32 << 10 < info["state"]["bytes"] < 80 << 10
    assert await run(read(links[1], a)) == sent
    await run(writing)


async def test_a_slow_reader(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow(), window=64 << 10)
    sent = [fill(n, 2000) for n in range(400)]
    both = asyncio.gather(write(links[0], a, sent), read(links[1], a, pause=0.02))
    assert (await run(both))[1] == sent


async def test_a_reader_that_pauses_and_continues(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow(), window=64 << 10)
    sent = [fill(n, 1000) for n in range(1000)]
    writing = asyncio.create_task(write(links[0], a, sent))
    reader = Reader(links[1], a)
    got: list[bytes] = []
    while (part := await run(reader.receive())) is not None:
        got += part
        if len(got) > 300 and len(got) < 400:
            await asyncio.sleep(0.4)  # frames in flight are stored meanwhile
    assert got == sent
    await run(writing)


async def test_consumed_frames_are_cleared(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow(), window=64 << 10)
    sent = [fill(n, 1000) for n in range(50)]
    writer = Writer(links[0], a)
    writer.start()
    await writer.send_batch(sent)
    await until_stored(links[1], a, 50_000)
    reader = Reader(links[1], a)
    got: list[bytes] = []
    while len(got) < 50:
        got += await run(reader.receive()) or []
    receiving = asyncio.create_task(reader.receive())  # reports that all were consumed
    deadline = time.monotonic() + PATIENCE
    stored = a.window
    while stored > a.window // 4:
        assert time.monotonic() < deadline
        stored = (await links[1].ask(f"$JS.API.STREAM.INFO.{a.stream}"))["state"]["bytes"]
    closing = asyncio.create_task(writer.close())
    assert await run(receiving) is None
    await run(closing)


async def test_a_flow_of_an_older_planner(shared_broker: Broker, links: Links) -> None:
    new = address("old", window=64 << 10)
    a = replace(new, stream="FLOW-old", subject="edge.old.0", credit="credit.old.0", slots=0)
    await links[0].ask(
        "$JS.API.STREAM.CREATE.FLOW-old",
        {
            "name": "FLOW-old", "subjects": ["edge.old.*", "credit.old.*"], "storage": "memory",
            "discard": "new", "discard_new_per_subject": True, "max_msgs_per_subject": 144,
            "allow_rollup_hdrs": True, "allow_direct": True,
        },
    )  # fmt: skip
    sent = [fill(n, 1000) for n in range(300)]
    writing = asyncio.create_task(write(links[0], a, sent))
    await until_stored(links[1], a, a.window // 2)
    assert await run(read(links[1], a, pause=0.01)) == sent
    await run(writing)


async def test_the_credit_is_requested_at_the_end(
    shared_broker: Broker, links: Links, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that attaches while the last frame is being stored waits for a hint."""
    a = address(shared_broker.flow())
    published: list[str] = []
    publish = links[0].publish

    async def noted(subject: str, *arguments: Any, **options: Any) -> None:
        published.append(subject)
        await publish(subject, *arguments, **options)

    monkeypatch.setattr(links[0], "publish", noted)
    await run(write(links[0], a, [b"x"]))
    question = f"$JS.API.DIRECT.GET.{a.stream}.{a.credit}"
    assert published == [question, a.slot(1), question]


async def test_credit_after_a_full_frame(shared_broker: Broker, links: Links) -> None:
    """Even with a large window: a writer that shares memory with others may hold little more."""
    a = address(shared_broker.flow(), window=64 << 20)
    attached: asyncio.Queue[Msg] = asyncio.Queue()
    given: asyncio.Queue[Msg] = asyncio.Queue()
    await links[0].subscribe(a.credit, attached.put_nowait, messages=100, octets=1 << 20)
    await links[0].subscribe("given", given.put_nowait, messages=100, octets=1 << 20)
    await links[0].client.flush()
    encoder, reader = Encoder(62 << 10, 124 << 10), Reader(links[1], a)
    receiving = asyncio.create_task(reader.receive())
    direct = f"{a.direct}.{parse_credit((await run(attached.get())).data).attach}"
    encoder.append(b"x" * (62 << 10), 0)
    await links[0].publish(direct, encoder.take(), reply="given")
    assert await run(receiving)
    receiving = asyncio.create_task(reader.receive())  # reports that the frame was consumed
    assert parse_credit((await run(given.get())).data).frame == 1
    await links[0].publish(direct, encoder.finish(), reply="given")
    assert await run(receiving) is None


async def test_early_close(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow(), window=64 << 10)
    writer, reader = Writer(links[0], a), Reader(links[1], a)
    writer.start()

    async def pour() -> None:
        while True:
            await writer.send_batch([b"x" * 1000] * 100)

    pouring = asyncio.create_task(pour())
    assert await run(reader.receive())
    await run(reader.close())
    with pytest.raises(ReaderClosed):
        await run(pouring)
    await run(writer.close())  # not a failure
    with pytest.raises(EdgeClosed):
        await reader.receive()


async def test_early_close_before_the_writer_starts(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow())
    await run(Reader(links[1], a).close())
    writer = Writer(links[0], a)
    writer.start()
    with pytest.raises(ReaderClosed):
        while True:
            await run(writer.send(b"x"))
    await run(writer.close())


async def test_a_deleted_stream_ends_the_edge(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow(), window=64 << 10)
    writer, reader = Writer(links[0], a), Reader(links[1], a)
    writer.start()
    await writer.send(b"x")
    assert await run(reader.receive()) == [b"x"]
    await links[1].ask(f"$JS.API.STREAM.DELETE.{a.stream}")
    with pytest.raises(Gone):
        await run(reader.receive())
    with pytest.raises(Gone):
        while True:
            await run(writer.send_batch([b"y" * 1000] * 100))
    late = Reader(links[1], a)
    with pytest.raises(Gone):
        await run(late.receive())


async def test_records_above_the_readers_limit(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow())
    writing = asyncio.create_task(write(links[0], a, [b"x" * 1001]))
    with pytest.raises(ProtocolError, match="a record of more than 1000 bytes"):
        await run(read(links[1], a, max_record=1000))
    await run(writing)


async def test_a_gap_is_a_loss(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow())
    encoder = Encoder(1000, 2000)
    frames = []
    for _ in range(3):
        encoder.push(b"x")
        frames.append(encoder.take())
    await links[0].ask(a.slot(1), frames[0])
    await links[0].ask(a.slot(2), frames[2])
    with pytest.raises(ProtocolError, match=r"edge edges\.flow-.*: frame 3: frame 2 is missing"):
        await run(read(links[1], a))


@pytest.mark.parametrize("credit", [b"nonsense", Credit(frame=99).pack()])
async def test_a_wrong_credit(shared_broker: Broker, links: Links, credit: bytes) -> None:
    a = address(shared_broker.flow())
    writer = Writer(links[0], a)
    writer.start()
    await writer.send(b"x")
    await links[1].publish(a.credit, credit)
    with pytest.raises(ProtocolError, match="credit"):
        while True:
            await run(writer.send(b"y"))
    await writer.abort()


async def test_a_cancelled_record_ends_its_edge(shared_broker: Broker, links: Links) -> None:
    a = address(shared_broker.flow(), window=64 << 10)
    writer = Writer(links[0], a)
    writer.start()
    sending = asyncio.create_task(writer.send(b"x" * 1_000_000))
    await until_stored(links[1], a, a.window // 2)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    with pytest.raises(EdgeClosed, match="cut short"):
        await writer.send(b"y")
    with pytest.raises(EdgeClosed, match="cut short"):
        await writer.close()
    await writer.abort()


def test_a_window_that_is_too_small() -> None:
    with pytest.raises(DagyoError, match="too small"):
        Reader(Link(), address("f", window=100))


@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_kicked_connections(shared_broker: Broker, links: Links, pause: float) -> None:
    a = address(shared_broker.flow(), window=256 << 10)
    sent = [fill(n, 1000) for n in range(15_000 if pause else 60_000)]
    both = asyncio.ensure_future(
        asyncio.gather(write(links[0], a, sent, batch=50), read(links[1], a, pause=pause))
    )
    for n in range(10):
        await asyncio.sleep(0.03)
        assert n > 3 or not both.done()
        await links[n % 2].client.force_reconnect()
    assert (await run(both))[1] == sent


@pytest.mark.parametrize("pause", [0.0, 0.01])
async def test_a_restarted_broker(broker: Broker, pause: float) -> None:
    a = address(broker.flow(), window=256 << 10)
    sent = [fill(n, 1000) for n in range(15_000 if pause else 60_000)]
    async with connected(broker.url) as out, connected(broker.url) as into:
        both = asyncio.ensure_future(
            asyncio.gather(write(out, a, sent, batch=20), read(into, a, pause=pause))
        )
        await asyncio.sleep(0.1)
        assert not both.done()
        await broker.restart()
        await asyncio.sleep(0.3)
        await broker.restart()
        assert (await run(both))[1] == sent


async def test_a_restart_while_there_is_no_reader(broker: Broker) -> None:
    a = address(broker.flow(), window=64 << 10)
    sent = [fill(n, 1000) for n in range(500)]
    async with connected(broker.url) as out, connected(broker.url) as into:
        writing = asyncio.create_task(write(out, a, sent))
        await asyncio.sleep(0.4)
        await broker.restart()
        assert await run(read(into, a)) == sent
        await run(writing)


async def test_a_broker_that_forgets_its_streams(broker: Broker) -> None:
    a = address(broker.flow(memory=True), window=64 << 10)
    async with connected(broker.url) as out, connected(broker.url) as into:
        writer, reader = Writer(out, a), Reader(into, a)
        writer.start()
        await writer.send(b"x")
        assert await run(reader.receive()) == [b"x"]
        await broker.restart()
        with pytest.raises(Gone):
            await run(reader.receive())
        with pytest.raises(Gone):
            while True:
                await run(writer.send_batch([b"y" * 1000] * 100))
