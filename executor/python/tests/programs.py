"""Progdefs for tests; run it as an executor with `python -m tests.programs`."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import signal
import time
from typing import Any

import dagyo
from dagyo import In, Octets, Out, String


@dagyo.progdef(inputs={"name": String}, outputs={"greeting": String})
async def greet(name: In[str], greeting: Out[str]) -> None:
    """Write "hello " before each name."""
    async for n in name:
        await greeting.send("hello " + n)


@dagyo.progdef(inputs={"in": String})
async def talk(in_: In[str], job: dagyo.JobInfo) -> None:
    """Log what it reads, here and in a thread."""
    async for text in in_:
        logging.warning("%s %s", job.job, text)
        await asyncio.to_thread(logging.error, "%s again %s", job.job, text)


@dagyo.progdef(inputs={"in": "T"}, outputs={"a": "T", "b": "T"})
async def tee(in_: In[bytes], a: Out[bytes], b: Out[bytes]) -> None:
    async for batch in in_.batches():
        await a.send_batch(batch)
        await b.send_batch(batch)


@dagyo.progdef(inputs={"in": String})
async def fail(in_: In[str]) -> None:
    async for value in in_:
        if value == "bad":
            raise ValueError(f"cannot take {value!r}")


@dagyo.progdef(inputs={"in": String})
async def stubborn(in_: In[str]) -> None:
    """Continue after a failure of its port."""
    try:
        async for _ in in_:
            pass
    except dagyo.PortError:
        await asyncio.sleep(60)


@dagyo.progdef(inputs={"in": String}, outputs={"out": String})
async def head(in_: In[str], out: Out[str]) -> None:
    async for value in in_:
        await out.send(value)
        break


@dagyo.progdef(outputs={"out": Octets("octets")})
async def pour(out: Out[bytes]) -> None:
    while True:
        await out.send_batch([b"x" * 100] * 1000)


@dagyo.progdef(outputs={"out": Octets("octets")})
async def bulk(out: Out[bytes]) -> None:
    """Write records that are larger than the window; fail when cancelled."""
    try:
        while True:
            await out.send(b"x" * (4 << 20))
    except asyncio.CancelledError:
        raise ValueError("cancelled") from None


@dagyo.progdef(inputs={"in": Octets("octets")})
async def swallow(in_: In[bytes]) -> None:
    async for _ in in_.batches():
        pass


@dagyo.progdef(outputs={"out": dagyo.Result[String]})
async def results(out: Out[dagyo.Outcome[str]], job: dagyo.JobInfo) -> None:
    await out.send_batch([dagyo.Ok(job.flow), dagyo.Err("no luck")])


@dagyo.progdef(inputs={"in": String})
async def block(in_: In[str]) -> None:
    """Block the event loop for the number of seconds in each record."""
    async for value in in_:
        time.sleep(float(value))


@dagyo.progdef(inputs={"in": String, "more": String})
async def deaf(in_: In[str], more: In[str]) -> None:
    """Ignore the cancellation."""
    reading = asyncio.create_task(more.receive_batch())
    async for _ in in_:
        await asyncio.wait({reading}, timeout=1)
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue


@dagyo.progdef
def shout(in_: dagyo.SyncIn[str], out: dagyo.SyncOut[str]) -> None:
    for value in in_:
        out.send(value.upper())


@dagyo.progdef
def sync_pour(out: dagyo.SyncOut[bytes]) -> None:
    while True:
        out.send_batch([b"x" * 100] * 1000)


@dagyo.progdef
def sync_swallow(in_: dagyo.SyncIn[bytes]) -> None:
    for _ in in_.batches():
        pass


def _sleep() -> None:
    time.sleep(60)


@dagyo.progdef()
async def forks() -> None:
    """Fork a process and terminate it."""
    child = multiprocessing.get_context("fork").Process(target=_sleep)
    child.start()
    await asyncio.sleep(0.3)
    child.terminate()
    await asyncio.to_thread(child.join, 5)
    if child.exitcode != -signal.SIGTERM:
        raise RuntimeError(f"the child exited with {child.exitcode}")


@dagyo.progdef()
async def leave() -> None:
    raise SystemExit(3)


@dagyo.progdef(outputs={"out": dagyo.Json})
async def wrong(out: Out[Any]) -> None:
    await out.send({"x": float("nan")})


PROGRAMS = [
    greet, tee, fail, stubborn, head, pour, bulk, swallow, results, block, deaf, forks, leave,
    wrong, shout, sync_pour, sync_swallow, talk,
]  # fmt: skip

if __name__ == "__main__":
    dagyo.main(*PROGRAMS)
