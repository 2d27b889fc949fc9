"""A client of Dagyo that uses only nats-py, as described in docs/clients.md.

    python3 client.py flow.json < names.txt

runs a flow with one input and one output, and passes lines in and out.
"""

import asyncio
import json
import os
import struct
import sys
import zlib
from base64 import b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client as Connection
from nats.aio.msg import Msg

VERDICTS = ("flow.completed", "flow.panic", "flow.cancelled", "flow.rejected")
END, CLOSED, STORED = 1, 1, 2
EXPECTED = "Nats-Expected-Last-Subject-Sequence"
PART = 128 << 10  # size of the messages that hold an object


def described(name: str) -> str:
    """Return the subject of the description of an object."""
    return "$O.data.M." + urlsafe_b64encode(name.encode()).decode()


class Refused(Exception):
    """Dagyo or the broker rejected a request."""


class WrongSequence(Refused):
    """The last message on a subject is not the expected one."""


# Frames and credits.


def varint(n: int) -> bytes:
    """Return a number in LEB128."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def unvarint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    n = shift = 0
    while data[at] > 127:
        n |= (data[at] & 127) << shift
        shift += 7
        at += 1
    return n | data[at] << shift, at + 1


def header(flags: int, number: int) -> bytes:
    """Return the header of a frame, or a hint."""
    return struct.pack(">BBQ", 1, flags, number)


@dataclass
class Credit:
    """How much a reader has consumed."""

    closed: bool = False
    frame: int = 0
    records: int = 0
    octets: int = 0
    attach: int = 0

    def encode(self) -> bytes:
        return struct.pack(
            ">BBQQQQ", 1, self.closed, self.frame, self.records, self.octets, self.attach
        )

    @staticmethod
    def decode(data: bytes) -> "Credit":
        version, flags, *rest = struct.unpack(">BBQQQQ", data)
        if version != 1 or flags > CLOSED:
            raise Refused("a credit of another version")
        return Credit(bool(flags), *rest)


def slot(a: dict[str, Any], number: int) -> str:
    """Return the subject that stores a frame. This client cannot seal messages."""
    if "salt" in a:
        raise Refused(f"the edge {a['subject']} is sealed: use dagyo attach, or see docs/clients.md")
    return f"{a['subject']}.{number % a['slots']}"


class Packer:
    """Packs records into frames of at most ``limit`` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.number = self.records = self.octets = self.crc = 0
        self.chunks = b""

    def add(self, record: bytes) -> list[bytes]:
        """Add a record; return the full frames."""
        frames, room = [], self.limit - 40
        if self.chunks and len(self.chunks) + len(record) > room:
            frames.append(self.take())
        self.records += 1
        self.octets += len(record)
        while len(record) > room:
            part, record = record[:room], record[room:]
            self.chunks = varint(len(part) << 1 | 1) + part
            frames.append(self.take())
        self.chunks += varint(len(record) << 1) + record
        return frames

    def take(self, flags: int = 0) -> bytes:
        """Return a frame with the added records."""
        self.number += 1
        self.crc = zlib.crc32(self.chunks, self.crc)
        frame = header(flags, self.number) + self.chunks
        self.chunks = b""
        return frame

    def end(self) -> bytes:
        """Return the last frame."""
        frame = self.take(END)
        return frame + struct.pack(">QQI", self.records, self.octets, self.crc)


class Unpacker:
    """Unpacks the records of frames."""

    def __init__(self) -> None:
        self.number = self.records = self.octets = self.crc = 0
        self.begun = b""
        self.ended = False

    def frame(self, data: bytes) -> list[bytes]:
        """Return the records that end in a frame; none for a repeated frame."""
        version, flags, number = struct.unpack(">BBQ", data[:10])
        if version != 1 or flags > END:
            raise Refused("a frame of another version")
        if number <= self.number:
            return []
        if number != self.number + 1 or self.ended:
            raise Refused(f"frame {number} arrived after {self.number}")
        self.number = number
        body, trailer = (data[10:-20], data[-20:]) if flags == END else (data[10:], b"")
        self.crc = zlib.crc32(body, self.crc)
        out, at = [], 0
        while at < len(body):
            length, at = unvarint(body, at)
            size, more = length >> 1, length & 1
            if at + size > len(body):
                raise Refused("a chunk is longer than its frame")
            self.begun += body[at : at + size]
            at += size
            if not more:
                out.append(self.begun)
                self.begun = b""
        self.records += len(out)
        self.octets += sum(map(len, out))
        if flags == END:
            self.ended = True
            if struct.unpack(">QQI", trailer) != (self.records, self.octets, self.crc):
                raise Refused("the totals or the checksum are wrong")
        return out


# The client.


class Client:
    """One connection, and the flows that it submits."""

    def __init__(self, nc: Connection, user: str = "", source: str = "/examples/client") -> None:
        self.nc = nc
        #: The user of our credentials, "" on a server without roles.
        self.user = user
        self.source = source
        #: The largest document that fits into a message.
        self.largest = nc.max_payload - 4096
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.dead: dict[int, dict[str, Any]] = {}
        self.more = asyncio.Event()

    def api(self, call: str) -> str:
        """Return the subject of a call of the JetStream API."""
        return f"api.{call}" if self.user else f"$JS.API.{call}"

    def ours(self, subject: str) -> str:
        """Return the subject on which we publish: it proves who we are."""
        return f"{subject}.by.{self.user}" if self.user else subject

    async def start(self) -> None:
        await self.nc.subscribe("deadletter.*", cb=self._dead)
        await self.nc.flush()

    async def _dead(self, msg: Msg) -> None:
        self.dead[int(msg.subject.split(".")[1])] = json.loads(msg.data)
        self.more.set()

    async def attempt(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> dict[str, Any] | None:
        """Publish on a JetStream subject; return the answer, or None if the outcome is unknown."""
        try:
            answer = await self.nc.request(subject, data, timeout=5, headers=headers)
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
            return None
        said: dict[str, Any] = json.loads(answer.data)
        error = said.get("error")
        if not error:
            return said
        if error.get("err_code") in (10071, 10164):
            raise WrongSequence(error["description"])
        if error["code"] < 500 and error["code"] != 429:
            raise Refused(error["description"])
        return None

    async def request(
        self, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Publish on a JetStream subject until the broker has stored it; return the answer."""
        while True:
            said = await self.attempt(subject, data, headers)
            if said is not None:
                return said
            await asyncio.sleep(0.1)

    async def command(self, type_: str, flow: str, data: Any, **more: str) -> int:
        """Publish a command; return its sequence in EVENTS."""
        identity = f"{type_}.{flow}.{os.urandom(8).hex()}"
        headers = {
            "ce-specversion": "1.0", "ce-type": type_, "ce-source": self.source, "ce-id": identity,
            "ce-subject": flow, "content-type": "application/json", "Nats-Msg-Id": identity,
        } | more  # fmt: skip
        body = b"" if data is None else json.dumps(data).encode()
        return int((await self.request(self.ours(type_), body, headers))["seq"])

    async def submit(self, flow: str, document: Any) -> int:
        """Submit a flow and receive its events; return the submission's sequence."""
        self.events[flow] = []

        async def hear(msg: Msg) -> None:
            event = json.loads(msg.data)
            if "dataref" in event:
                event["data"] = json.loads(await self.object(event["dataref"]))
            self.events[flow].append(event)
            self.more.set()

        await self.nc.subscribe(f"flow.*.{flow}", cb=hear)
        await self.nc.subscribe(f"job.*.{flow}.>", cb=hear)
        await self.nc.flush()
        if len(json.dumps(document)) <= self.largest:
            return await self.command("flow.submit", flow, document)
        data = json.dumps(document).encode()
        name = sha256(data).hexdigest()  # so that nobody can replace the object
        await self.put(name, data)
        ref = f"nats-object://data/{name}"
        return await self.command("flow.submit", flow, None, **{"ce-dataref": ref})

    async def put(self, name: str, data: bytes) -> None:
        """Put an object into the object store `data`."""
        parts = [data[at : at + PART] for at in range(0, len(data), PART)]
        token = os.urandom(11).hex()
        for number, part in enumerate(parts):
            # The id drops a repeat of a part that was stored, although no answer arrived.
            await self.request(f"$O.data.C.{token}", part, {"Nats-Msg-Id": f"{token}.{number}"})
        info = {
            "name": name, "bucket": "data", "nuid": token, "size": len(data), "chunks": len(parts),
            "digest": "SHA-256=" + urlsafe_b64encode(sha256(data).digest()).decode(),
        }  # fmt: skip
        await self.request(described(name), json.dumps(info).encode(), {"Nats-Rollup": "sub"})

    async def object(self, ref: str) -> bytes:
        """Return the data of an event that is too large for a message."""
        found = await self.kept(last_by_subj=described(ref.removeprefix("nats-object://data/")))
        info, data, seq = json.loads(b64decode(found["data"])), b"", 1
        while len(data) < info["size"]:
            found = await self.kept(seq=seq, next_by_subj=f"$O.data.C.{info['nuid']}")
            data, seq = data + b64decode(found["data"]), found["seq"] + 1
        if info["digest"] != "SHA-256=" + urlsafe_b64encode(sha256(data).digest()).decode():
            raise Refused(f"the data at {ref} does not match its digest")
        return data

    async def kept(self, **query: str | int) -> dict[str, Any]:
        """Return a message of the object store `data`."""
        subject = self.api("STREAM.MSG.GET.OBJ_data")
        found: dict[str, Any] = (await self.request(subject, json.dumps(query).encode()))["message"]
        return found

    async def cancel(self, flow: str, reason: str) -> int:
        return await self.command("flow.cancel", flow, {"reason": reason})

    async def ask(self, subject: str, body: bytes = b"") -> Any:
        """Send a request to a service; raise Refused if it answers with an error."""
        answer = await self.nc.request(self.ours(subject), body, timeout=10)
        if answer.headers and "Nats-Service-Error-Code" in answer.headers:
            code, text = (answer.headers[f"Nats-Service-Error{k}"] for k in ("-Code", ""))
            raise Refused(f"{code}: {text}")
        return json.loads(answer.data)

    def has(self, flow: str, *types: str) -> dict[str, Any] | None:
        """Return the flow's event of one of these types, if it has arrived."""
        found = [e for e in self.events[flow] if e["type"] in types]
        return found[-1] if found else None

    async def event(self, flow: str, *types: str, seq: int = 0) -> dict[str, Any]:
        """Wait for one of these events, or for the dead letter about a message."""
        while True:
            self.more.clear()
            found = self.dead.get(seq) or self.has(flow, *types)
            if found:
                return found
            await self.more.wait()

    async def release(self, flow: str) -> None:
        """Release the flow, since its outputs are read; wait until it is cleaned up."""
        while not self.has(flow, "flow.cleaned"):
            await self.nc.publish(self.ours(f"release.{flow}"))
            try:
                await asyncio.wait_for(self.event(flow, "flow.cleaned"), 5)
            except asyncio.TimeoutError:
                continue

    async def write(self, a: dict[str, Any], records: Iterable[bytes]) -> None:
        """Write an input to its end, or until its reader closes it."""
        writer = Writer(self, a)
        await writer.start()
        packer = Packer(min(a["window"] // 4, 64 << 10, self.nc.max_payload))
        for record in records:
            for frame in packer.add(record):
                await writer.store(frame)
            if writer.credit.closed:
                break
        if not writer.credit.closed:
            if packer.chunks:
                await writer.store(packer.take())
            await writer.store(packer.end())
        await writer.stop()

    async def read(self, flow: str, a: dict[str, Any]) -> AsyncIterator[bytes]:
        """Yield the records of an output."""
        unpacker, pause = Unpacker(), 0.05
        while not unpacker.ended:
            verdict = self.has(flow, *VERDICTS)
            frame = await self.stored(a, unpacker.number + 1)
            if frame is not None:
                pause = 0.05
                for record in unpacker.frame(frame):
                    yield record
                if unpacker.number % max(1, a["frames"] // 8) == 0:
                    await self.give(a, unpacker)
                continue
            await self.give(a, unpacker)
            if verdict and verdict["type"] == "flow.completed":
                raise Refused("the output was deleted before it was read")
            if verdict:
                return  # the outputs of a failed flow have no END
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1)
        await self.give(a, unpacker)

    async def give(self, a: dict[str, Any], u: Unpacker) -> None:
        credit = Credit(False, u.number, u.records, u.octets)
        await self.request(a["credit"], credit.encode())

    async def stored(self, a: dict[str, Any], number: int) -> bytes | None:
        """Return a frame, if it is stored."""
        subject = self.api(f"DIRECT.GET.{a['stream']}.{slot(a, number)}")
        while True:
            try:
                msg = await self.nc.request(subject, b"", timeout=5)
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                await asyncio.sleep(0.1)
                continue
            if "Status" in (msg.headers or {}) or len(msg.data) < 10:
                return None
            found = struct.unpack(">BBQ", msg.data[:10])[2]
            if found > number:
                raise Refused(f"frame {number} is lost")
            return msg.data if found == number else None


class Writer:
    """Stores the frames of an input within its window."""

    def __init__(self, client: Client, address: dict[str, Any]) -> None:
        self.client = client
        self.a = address
        self.credit = Credit()
        self.ahead: deque[tuple[int, int]] = deque()  # number and size of unconsumed frames
        self.size = 0
        self.slots: dict[str, int] = {}  # the sequence of the last frame in each, 0 if unknown
        self.hinted = False
        self.more = asyncio.Event()

    async def start(self) -> None:
        self.credits = await self.client.nc.subscribe(self.a["credit"], cb=self._hear)
        await self.client.nc.flush()
        await self.look()

    async def stop(self) -> None:
        await self.credits.unsubscribe()

    async def _hear(self, msg: Msg) -> None:
        self.take(Credit.decode(msg.data))

    async def look(self) -> None:
        """Read the stored credit."""
        subject = self.client.api(f"DIRECT.GET.{self.a['stream']}.{self.a['credit']}")
        try:
            msg = await self.client.nc.request(subject, b"", timeout=5)
        except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
            return
        if "Status" not in (msg.headers or {}):
            self.take(Credit.decode(msg.data))

    def take(self, c: Credit) -> None:
        old = self.credit
        if c.frame > old.frame or c.attach > old.attach:
            self.hinted = False
        self.credit = Credit(
            old.closed or c.closed, max(old.frame, c.frame), max(old.records, c.records),
            max(old.octets, c.octets), max(old.attach, c.attach),
        )  # fmt: skip
        while self.ahead and self.ahead[0][0] <= self.credit.frame:
            self.size -= self.ahead.popleft()[1]
        self.more.set()

    async def store(self, frame: bytes) -> None:
        """Store a frame when it fits into the window."""
        pause = 0.25
        while (
            not self.credit.closed
            and self.ahead
            and (len(self.ahead) >= self.a["frames"] or self.size + len(frame) > self.a["window"])
        ):
            self.more.clear()
            try:
                await asyncio.wait_for(self.more.wait(), pause)
            except asyncio.TimeoutError:
                pause = min(2 * pause, 2)
                await self.look()
        if self.credit.closed:
            return
        _, flags, number = struct.unpack(">BBQ", frame[:10])
        await self.put(slot(self.a, number), frame)
        self.ahead.append((number, len(frame)))
        self.size += len(frame)
        if self.credit.attach and (flags == END or not self.hinted):
            self.hinted = True
            await self.client.nc.publish(
                f"{self.a['direct']}.{self.credit.attach}", header(STORED, number)
            )

    async def put(self, subject: str, frame: bytes) -> None:
        """Store a frame in its slot if the slot has the expected content."""
        held = self.slots.get(subject, 0)
        headers = {} if subject in self.slots and not held else {EXPECTED: str(held)}
        again = False
        while True:
            try:
                said = await self.client.attempt(subject, frame, headers)
            except WrongSequence:
                if not again:
                    raise  # another client is writing to this input
                said = {"seq": 0}  # an earlier try was stored, and its answer was lost
            if said is not None:
                self.slots[subject] = said["seq"]
                return
            again = True
            await asyncio.sleep(0.1)


async def main(document: Any) -> int:
    """Run a flow with one input and one output."""
    user = os.environ.get("DAGYO_USER", "")
    options: dict[str, Any] = {"user_credentials": os.environ.get("DAGYO_CREDS")}
    if user:  # answers arrive nowhere else
        options["inbox_prefix"] = f"_INBOX.person.{user}"
    nc = await nats.connect(os.environ.get("DAGYO_QUEUE", "nats://127.0.0.1:4222"), **options)
    client = Client(nc, user)
    await client.start()
    flow = f"client-{os.urandom(4).hex()}"
    seq = await client.submit(flow, document)
    planned = await client.event(flow, "flow.planned", "flow.rejected", seq=seq)
    if planned["type"] != "flow.planned":
        print(json.dumps(planned["data"]["problems"], indent=2), file=sys.stderr)
        return 1
    lines = (line.rstrip("\n").encode() for line in sys.stdin)
    [source] = planned["data"]["inputs"].values()
    [sink] = planned["data"]["outputs"].values()
    writing = asyncio.create_task(client.write(source, lines))
    async for record in client.read(flow, sink):
        print(record.decode())
    verdict = await client.event(flow, *VERDICTS)
    writing.cancel()
    await client.release(flow)
    await nc.close()
    return 0 if verdict["type"] == "flow.completed" else 1


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        sys.exit(asyncio.run(main(json.load(file))))
