"""Compares the records per second of one edge with plain nats-py, one message per record.

Each variant has two processes. All variants use the same broker and run in turn. Pass a peer binary
(``go build -o PEER ./tests/peer`` in the repository's root), or let the program build one::

    python bench/edge.py [PEER]
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nats
from nats.aio.msg import Msg

import dagyo
from dagyo.errors import PortError
from dagyo.link import Link
from dagyo.reader import Reader
from dagyo.writer import Writer

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.helpers import Broker, address, go_build

SIZE = 128
BATCH = 1000
PLAIN = 200_000
EDGE = 2_000_000
ONE_BY_ONE = 500_000
ROUNDS = 5
PAYLOAD = b"x" * SIZE


def _gate() -> None:
    """Do nothing: nothing ends this job."""


def _fail(failure: PortError) -> None:
    raise failure


async def plain_out(url: str, subject: str) -> None:
    """Publish one message per record."""
    nc = await nats.connect(url)
    for _ in range(PLAIN):
        await nc.publish(subject, PAYLOAD)
    await nc.flush(timeout=60)
    await nc.close()


async def plain_in(url: str, subject: str) -> None:
    """Receive one message per record; print the records per second."""
    nc = await nats.connect(url)
    done = asyncio.Event()
    got = 0
    began = 0.0

    async def handle(_: Msg) -> None:
        nonlocal got, began
        if got == 0:
            began = time.perf_counter()
        got += 1
        if got == PLAIN:
            done.set()

    await nc.subscribe(subject, cb=handle)
    await nc.flush()
    print("ready", flush=True)
    await done.wait()
    print(PLAIN / (time.perf_counter() - began))
    await nc.close()


async def edge_out(url: str, flow: str, one_by_one: bool) -> None:
    """Send over an edge, in batches or one by one."""
    link = Link()
    await link.connect(url, "bench")
    writer = Writer(link, address(flow, window=8 << 20, frames=4096))
    writer.start()
    out = dagyo.Out("out", dagyo.Bytes, writer, _gate, _fail)
    if one_by_one:
        for _ in range(ONE_BY_ONE):
            await out.send(PAYLOAD)
    else:
        for _ in range(EDGE // BATCH):
            await out.send_batch([PAYLOAD] * BATCH)
    await out.close()
    await link.close()


async def edge_in(url: str, flow: str, one_by_one: bool) -> None:
    """Read an edge, in batches or one by one; print the records per second."""
    link = Link()
    await link.connect(url, "bench")
    reader = Reader(link, address(flow, window=8 << 20, frames=4096))
    into = dagyo.In("in", dagyo.Bytes, reader, _gate, _fail)
    print("ready", flush=True)
    got, began = 0, 0.0
    if one_by_one:
        async for _ in into:
            began = began or time.perf_counter()
            got += 1
    else:
        async for batch in into.batches():
            began = began or time.perf_counter()
            got += len(batch)
    print(got / (time.perf_counter() - began))
    await link.close()


WAYS = {
    "plain nats-py, one message per record": ("plain",),
    "edge, batches of 1000": ("edge", "batches"),
    "edge, one record at a time": ("edge", "single"),
}


def measure(broker: Broker, way: tuple[str, ...]) -> float:
    """Run both processes of a variant; return the reader's records per second."""
    where = broker.flow()

    def start(end: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, __file__, end, *way, broker.url, where],
            stdout=subprocess.PIPE,
            text=True,
        )

    reader = start("in")
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    writer = start("out")
    out, _ = reader.communicate(timeout=120)
    writer.communicate(timeout=120)
    assert writer.returncode == reader.returncode == 0
    return float(out)


def compare(peer: Path, directory: Path) -> None:
    """Measure all variants in turn and print the medians."""
    broker = Broker(peer, directory)
    broker.start()
    try:
        seen: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(ROUNDS):
            for name, way in WAYS.items():
                seen[name].append(measure(broker, way))
    finally:
        broker.stop()
    reference = statistics.median(next(iter(seen.values())))
    print(f"records of {SIZE} bytes per second, median of {ROUNDS} runs (lowest to highest)")
    for name, rates in seen.items():
        rate = statistics.median(rates)
        print(
            f"{name:38} {rate:12,.0f}  {rate / reference:5.1f} x"
            f"   ({min(rates):,.0f} to {max(rates):,.0f})"
        )


def end_of(end: str, way: list[str]) -> None:
    """Run one of the processes."""
    url, where = way[-2:]
    if way[0] == "plain":
        asyncio.run(plain_out(url, where) if end == "out" else plain_in(url, where))
    else:
        one = way[1] == "single"
        asyncio.run(edge_out(url, where, one) if end == "out" else edge_in(url, where, one))


def main() -> None:
    """Run the comparison, or one of its processes."""
    if sys.argv[1:2] in (["in"], ["out"]):
        end_of(sys.argv[1], sys.argv[2:])
        return
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        peer = Path(sys.argv[1]) if sys.argv[1:] else go_build("./tests/peer", here / "peer")
        compare(peer, here / "nats")


if __name__ == "__main__":
    main()
