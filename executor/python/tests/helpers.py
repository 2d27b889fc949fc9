"""Shared helpers of the tests."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

from dagyo.job import Address
from dagyo.link import Link
from dagyo.reader import Reader
from dagyo.writer import Writer

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0

_numbers = count(1)


def go_build(package: str, binary: Path) -> Path:
    """Build a Go program of this repository."""
    env = os.environ | {"CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", str(binary), package], cwd=ROOT, env=env, check=True)
    return binary


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


class Broker:
    """A nats-server with Dagyo's streams that can be restarted on its port."""

    def __init__(self, peer: Path, directory: Path) -> None:
        self.peer = peer
        self._directory = directory
        self._port = free_port()
        self._process: subprocess.Popen[str] | None = None
        self.url = f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [str(self.peer), "server", str(self._directory), str(self._port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == self.url

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    async def restart(self) -> None:
        await asyncio.to_thread(self.stop)
        await asyncio.to_thread(self.start)

    def flow(self, *, memory: bool = False) -> str:
        """Create a flow with its own stream; return the flow's id."""
        flow = f"flow-{next(_numbers)}"
        command = [str(self.peer), "flow", self.url, flow]
        subprocess.run(command + ["memory"] * memory, check=True)
        return flow

    async def run_peer(self, *arguments: object) -> dict[str, int]:
        """Run the Go end of an edge until it exits; return its counts."""
        process = await asyncio.create_subprocess_exec(
            str(self.peer), *map(str, arguments), stdout=asyncio.subprocess.PIPE
        )
        try:
            out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0
        counted: dict[str, int] = json.loads(out)
        return counted


def address(flow: str, n: int = 0, *, window: int = 1 << 20, frames: int = 64) -> Address:
    return Address(
        stream=f"EDGES-{flow}",
        subject=f"edges.{flow}.{flow}.frame.{n}",
        credit=f"edges.{flow}.{flow}.credit.{n}",
        direct=f"direct.{flow}.{n}",
        window=window,
        frames=frames,
        type="octets",
        slots=frames,
        **_SEALED,
    )


def address_json(a: Address) -> str:
    return json.dumps(address_document(a))


def address_document(a: Address) -> dict[str, Any]:
    """Return an address as in schemas/address.json."""
    document = {k: v for k, v in asdict(a).items() if v not in (None, "") and k != "key"}
    if a.key is not None:
        key = base64.b64encode(a.key).decode()
        document["sealed"] = {"key": key, "window": a.window, "frames": a.frames}
        document["window"] = document["frames"] = 0
    return document


#: With DAGYO_TEST_SEALED, the edges of all tests are sealed. Those that forge messages fail then.
_SEALED: dict[str, Any] = (
    {"salt": "salt", "key": bytes(range(32))} if os.environ.get("DAGYO_TEST_SEALED") else {}
)


def fill(n: int, size: int) -> bytes:
    """Return record n as in tests/peer."""
    record = bytes([n % 251]) * size
    return n.to_bytes(8, "big") + record[8:] if size >= 8 else record


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Link]:
    link = Link()
    await link.connect(url, "test")
    try:
        yield link
    finally:
        await link.close()


async def write(link: Link, a: Address, records: Sequence[bytes], batch: int = 1000) -> Writer:
    """Write records to the end."""
    writer = Writer(link, a)
    writer.start()
    try:
        for at in range(0, len(records), batch):
            await writer.send_batch(records[at : at + batch])
        await writer.close()
    finally:
        await writer.abort()
    return writer


async def read(link: Link, a: Address, pause: float = 0.0, **options: Any) -> list[bytes]:
    """Read to the end, with a pause after each frame."""
    reader = Reader(link, a, **options)
    records: list[bytes] = []
    try:
        while (part := await reader.receive()) is not None:
            records += part
            if pause:
                await asyncio.sleep(pause)
    finally:
        await reader.abort()
    assert reader.records == len(records)
    return records


def run(coroutines: Any) -> Any:
    return asyncio.wait_for(coroutines, PATIENCE)


__all__ = [
    "PATIENCE", "ROOT", "Broker", "address", "address_json", "connected", "fill", "free_port",
    "go_build", "read", "replace", "run", "signal", "sys", "write",
]  # fmt: skip
