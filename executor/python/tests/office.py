"""The services' side of an executor: puts jobs on mailboxes, and receives the events."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import jsonschema
from nats.aio.msg import Msg
from referencing import Registry, Resource

from dagyo import wire
from dagyo.events import sent_by
from dagyo.job import Address, parse_job
from dagyo.link import Link

from .helpers import PATIENCE, ROOT, Broker, address, address_document, read, write

_numbers = count(1)
HERE = Path(__file__).parent


@cache
def _validator(name: str) -> jsonschema.Draft202012Validator:
    folder = ROOT / "schemas"
    resources = []
    for path in folder.glob("*.json"):
        schema = json.loads(path.read_text())
        resources.append((path.name, Resource.from_contents(schema)))
    registry = Registry().with_resources(resources)
    schema = json.loads((folder / f"{name}.json").read_text())
    return jsonschema.Draft202012Validator(schema, registry=registry)


@dataclass
class Heard:
    """An event, or a beat: its plain subject, and the executor that published it there."""

    subject: str
    sender: str
    mailbox: str
    at: float
    raw: bytes
    headers: dict[str, str]

    @property
    def event(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.raw)
        return loaded

    @property
    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = self.event["data"]
        return data


@dataclass
class Job:
    """A job in a mailbox."""

    document: dict[str, Any]
    inputs: dict[str, Address]
    outputs: dict[str, Address]

    @property
    def mailbox(self) -> str:
        return f"{self.document['progdef']}-{self.document['revision']}"


class Executor:
    """A process that runs tests/programs.py."""

    def __init__(self, process: asyncio.subprocess.Process, identity: str) -> None:
        self.process = process
        self.identity = identity
        self.stderr = b""

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def writes(self, text: bytes) -> None:
        """Wait until it has written a text on standard error."""
        assert self.process.stderr is not None
        while text not in self.stderr:
            line = await asyncio.wait_for(self.process.stderr.readline(), PATIENCE)
            assert line, f"it has ended and did not write {text!r}"
            self.stderr += line

    async def ended(self, patience: float = PATIENCE) -> int:
        _, rest = await asyncio.wait_for(self.process.communicate(), patience)
        self.stderr += rest
        assert self.process.returncode is not None
        return self.process.returncode


@dataclass
class Office:
    """The work of the services that an executor depends on."""

    broker: Broker
    link: Link
    heard: list[Heard] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, msg: Msg) -> None:
        plain, _, by = msg.subject.rpartition(".by.")
        *mailbox, sender = by.split(".")
        assert bool(mailbox) == plain.startswith("job.started.")
        headers = dict(msg.headers or {})
        self.heard.append(Heard(plain, sender, "".join(mailbox), time.time(), msg.data, headers))
        self.more.set()

    async def mailbox(self, progdef: str, revision: str) -> None:
        """Create the mailbox of a revision, as the planner does."""
        name = f"{progdef}-{revision}"
        config = {
            "durable_name": name, "filter_subject": f"jobs.{progdef}.{revision}.*.*",
            "deliver_policy": "all", "ack_policy": "explicit", "replay_policy": "instant",
            "ack_wait": 10_000_000_000, "max_ack_pending": -1, "max_waiting": 16384,
        }  # fmt: skip
        await self.link.ask(
            f"$JS.API.CONSUMER.DURABLE.CREATE.JOBS.{name}",
            {"stream_name": "JOBS", "config": config},
            timeout=5,
        )

    @asynccontextmanager
    async def executor(self, progdef: str, revision: str, **environ: str) -> AsyncIterator[Executor]:
        """Run an executor with a mailbox; at the end it is killed if it has not exited by itself."""
        await self.mailbox(progdef, revision)
        async with self.alone(progdef, revision, **environ) as x:
            yield x

    @asynccontextmanager
    async def alone(self, progdef: str, revision: str, **environ: str) -> AsyncIterator[Executor]:
        """Run an executor whose mailbox may not exist."""
        identity = f"x-{next(_numbers)}"
        env = {k: v for k, v in os.environ.items() if not k.startswith("DAGYO_")}
        env |= {
            "DAGYO_QUEUE": self.broker.url,
            "DAGYO_JOBS": f"{progdef}.{revision}",
            "DAGYO_EXECUTOR": identity,
            **environ,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.programs", env=env, cwd=HERE.parent,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        x = Executor(process, identity)
        try:
            yield x
        finally:
            if process.returncode is None:
                process.kill()
                await x.ended()
            print(x.stderr.decode())

    def job(
        self,
        progdef: str,
        revision: str,
        inputs: dict[str, str] | None = None,
        outputs: dict[str, str] | None = None,
        *,
        flow: str | None = None,
        interval: str = "500ms",
        timeout: str = "2s",
        window: int = 1 << 20,
    ) -> Job:
        """Create a job with edges of these types, and its flow's stream."""
        flow = flow or self.broker.flow()
        edges = count()

        def ends(ports: dict[str, str] | None) -> dict[str, dict[str, Any]]:
            return {
                port: address_document(address(flow, next(edges), window=window)) | {"type": typename}
                for port, typename in (ports or {}).items()
            }

        name = f"j{next(_numbers)}"
        document: dict[str, Any] = {
            "flow": flow, "job": name, "node": name, "progdef": progdef, "revision": revision,
            "inputs": ends(inputs), "outputs": ends(outputs),
            "started": f"job.started.{flow}.{name}", "done": f"job.done.{flow}.{name}",
            "panic": f"job.panic.{flow}.{name}", "health": f"health.{flow}.{name}",
            "stop": f"edges.{flow}.{flow}.stop", "stream": f"EDGES-{flow}",
            "healthInterval": interval, "healthTimeout": timeout,
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "tracestate": "a=1",
        }  # fmt: skip
        _validator("job").validate(document)
        parsed = parse_job(json.dumps(document).encode())
        return Job(document, dict(parsed.inputs), dict(parsed.outputs))

    async def post(self, job: Job) -> None:
        """Put a job on its mailbox."""
        d = job.document
        subject = f"jobs.{d['progdef']}.{d['revision']}.{d['flow']}.{d['job']}"
        await self.link.ask(subject, d, timeout=5)

    async def stop(self, job: Job) -> None:
        await self.link.ask(job.document["stop"], b"stop", timeout=5)

    async def await_consumed(self, a: Address, frame: int) -> None:
        """Wait until a frame is consumed: until then its writer holds it or has stored it."""
        if not await self._last(a, a.slot(frame)):
            return
        deadline = time.monotonic() + PATIENCE
        while True:
            credit = await self._last(a, a.credit)
            if credit and wire.parse_credit(credit).frame >= frame:
                return
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)

    async def _last(self, a: Address, subject: str) -> bytes:
        """Return the last message of the stream on a subject."""
        msg = await self.link.request(f"$JS.API.DIRECT.GET.{a.stream}.{subject}")
        return msg.data

    async def await_heard(self, match: Callable[[Heard], bool], patience: float = PATIENCE) -> Heard:
        """Return the first matching message, waiting for it if necessary."""
        seen = 0
        deadline = time.monotonic() + patience
        while True:
            while seen < len(self.heard):
                h = self.heard[seen]
                seen += 1
                if match(h):
                    return h
            self.more.clear()
            try:
                await asyncio.wait_for(self.more.wait(), deadline - time.monotonic())
            except asyncio.TimeoutError:
                raise AssertionError(f"not in {[h.subject for h in self.heard]}") from None

    async def said(self, job: Job, verb: str, patience: float = PATIENCE) -> dict[str, Any]:
        """Return the data of a job's event, checked against the schema and the docs."""
        subject = job.document[verb]
        h = await self.await_heard(lambda h: h.subject == subject, patience)
        event = h.event
        assert event["specversion"] == "1.0"
        assert event["type"] == f"job.{verb}"
        assert event["subject"] == job.document["flow"]
        assert event["source"] == f"/dagyo/executor/{h.data['executor']}"
        assert h.sender == h.data["executor"]
        assert event["traceparent"] == job.document["traceparent"]
        assert event["tracestate"] == job.document["tracestate"]
        assert h.headers["content-type"] == "application/cloudevents+json"
        assert h.headers["Nats-Expected-Last-Subject-Sequence"] == "0"
        first = sent_by(h.sender, subject)
        if verb == "started":
            assert h.mailbox == job.mailbox
            first = sent_by("*", subject, job.mailbox)
        assert h.headers["Nats-Expected-Last-Subject-Sequence-Subject"] == first
        assert "Nats-Msg-Id" not in h.headers
        _validator(f"job.{verb}").validate(h.data)
        return h.data

    def beats(self, job: Job) -> list[Heard]:
        return [h for h in self.heard if h.subject == job.document["health"]]

    async def write(self, a: Address, *records: bytes) -> None:
        await write(self.link, a, records)

    async def read(self, a: Address) -> list[bytes]:
        return await asyncio.wait_for(read(self.link, a), PATIENCE)


@asynccontextmanager
async def office(broker: Broker) -> AsyncIterator[Office]:
    link = Link()
    await link.connect(broker.url, "office")
    o = Office(broker, link)
    for subject in ("job.>", "executor.>", "health.>"):
        await link.subscribe(subject, o.hear, messages=10_000, octets=1 << 26)
    await link.client.flush()
    yield o
    await link.close()
