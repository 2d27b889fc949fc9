"""A connection that is lost silently or during a write."""

from __future__ import annotations

import asyncio

import pytest

from dagyo import link as links
from dagyo.link import Link

from .helpers import PATIENCE, Broker


class Swallower:
    """A relay to a broker. Lost connections stay open but transmit nothing."""

    def __init__(self, broker: Broker) -> None:
        self._port = int(broker.url.rpartition(":")[2])
        self._lost = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, r: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        server_r, server_w = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [w, server_w]
        for source, target in ((r, server_w), (server_r, w)):
            task = asyncio.create_task(self._relay(source, target, self._lost))
            self._tasks.add(task)

    async def _relay(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, lost: asyncio.Event
    ) -> None:
        while octets := await source.read(1 << 16):
            if not lost.is_set():
                target.write(octets)
        if not lost.is_set():
            target.close()

    def lose(self) -> None:
        self._lost.set()
        self._lost = asyncio.Event()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.wait(self._tasks)


async def test_a_half_open_connection_is_replaced(
    shared_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "PING_SECONDS", 0.02)
    relay = Swallower(shared_broker)
    await relay.start()
    link = Link()
    await link.connect(relay.url, "half-open")
    back = asyncio.Event()
    link.add_hook(back.set)
    relay.lose()
    await asyncio.wait_for(back.wait(), PATIENCE)
    assert link.epoch == 1
    await link.client.flush()
    await link.close()
    await relay.close()


def test_a_half_open_connection_is_detected_in_time() -> None:
    assert links.PING_SECONDS * (links.PINGS + 1) <= 15


async def test_a_failed_write_does_not_fail_its_caller(
    shared_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Link()
    await link.connect(shared_broker.url, "broken pipe")
    heard = asyncio.Event()
    failures = 0
    send = link.client._send_command

    async def broken(*arguments: object) -> None:
        nonlocal failures
        if failures < 2:
            failures += 1
            raise BrokenPipeError
        await send(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(link.client, "_send_command", broken)
    await link.publish("link.anybody", b"")
    subscription = await link.subscribe("link.me", lambda _: heard.set(), messages=8, octets=1 << 10)
    assert failures == 2
    await link.publish("link.me", b"")
    await asyncio.wait_for(heard.wait(), PATIENCE)
    await link.unsubscribe(subscription)
    await link.close()


@pytest.mark.parametrize(
    "said",
    [
        "'User Authentication Expired'",
        "'User Authentication Revoked'",
        "'Account Authentication Expired'",
        "'Authorization Violation'",
        "'maximum subscriptions exceeded'",
    ],
)
async def test_new_credentials_are_used(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is replaced in time, so the client connects again instead of giving up."""
    client = Link().client
    lost: list[Exception] = []

    async def lose(e: Exception) -> None:
        lost.append(e)

    monkeypatch.setattr(client, "_process_op_err", lose)
    await client._process_err(said)
    assert len(lost) == 1
