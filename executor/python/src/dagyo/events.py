"""Events: CloudEvents in structured JSON, stored in JetStream (docs/events.md)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import nats.errors

from .errors import BrokerError, DagyoError, NoAnswer
from .link import Link, status

log = logging.getLogger("dagyo")

#: The maximum length of a free text in an event, in bytes.
DETAIL_LIMIT = 8 << 10

_STORED = 2.0  # seconds to wait for an answer of JetStream
#: Seconds between two tries.
TRY_PAUSE = 0.1
_WRONG_LAST_SEQUENCE = (10071, 10164)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class SaidBefore(DagyoError):
    """The event had to be the first on its subject, but is not."""


def clip(text: str) -> str:
    """Shorten a text for an event. It keeps the end, since the last lines are the most useful."""
    octets = text.encode(errors="replace")
    if len(octets) <= DETAIL_LIMIT:
        return octets.decode()
    mark = "… "
    return mark + octets[len(octets) - DETAIL_LIMIT + len(mark.encode()) :].decode(errors="ignore")


def sent_by(executor: str, subject: str, mailbox: str | None = None) -> str:
    """Return the subject on which an executor publishes what has a plain subject.

    It ends in the executor's id, so that NATS permissions can prove who publishes. The
    executor "*" stands for any. That of a ``job.started`` has the consumer of the mailbox, too.
    """
    return f"{subject}.by.{executor}" if mailbox is None else f"{subject}.by.{mailbox}.{executor}"


@dataclass(frozen=True)
class Event:
    """An event of an executor: ``about`` is the CloudEvents subject, ``on`` the plain NATS
    subject."""

    type: str
    executor: str
    about: str
    on: str
    data: Mapping[str, Any]
    traceparent: str | None = None
    tracestate: str | None = None
    #: The CloudEvents id; None means the NATS subject.
    identity: str | None = None
    #: The consumer of the executor's mailbox; for ``job.started`` only.
    mailbox: str | None = None

    @property
    def subject(self) -> str:
        """The NATS subject on which the event is published."""
        return sent_by(self.executor, self.on, self.mailbox)

    def encode(self) -> bytes:
        """Return the CloudEvent as JSON."""
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        envelope: dict[str, Any] = {
            "specversion": "1.0",
            "id": self.identity or self.on,
            "type": self.type,
            "source": f"/dagyo/executor/{self.executor}",
            "subject": self.about,
            "time": now.replace("+00:00", "Z"),
            "datacontenttype": "application/json",
        }
        if self.traceparent and _TRACEPARENT.fullmatch(self.traceparent):
            envelope["traceparent"] = self.traceparent
            if self.tracestate:
                envelope["tracestate"] = self.tracestate
        envelope["data"] = self.data
        return json.dumps(envelope, ensure_ascii=False).encode()

    def headers(self, first: str | None) -> dict[str, str]:
        """Return the headers of the message: the event must be the first on the subject ``first``,
        which may have wildcards, unless it is None.

        There is no message id: JetStream forgets those after two minutes, and any client may use
        one.
        """
        headers = {"content-type": "application/cloudevents+json"}
        if first is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = "0"
            headers["Nats-Expected-Last-Subject-Sequence-Subject"] = first
        return headers


async def publish(link: Link, event: Event, first: str | None) -> None:
    """Publish an event until JetStream has stored it, as the first on a subject unless that is None.

    Raises SaidBefore if the subject already has an event, which may be this one: the answer to an
    earlier try may have been lost. Raises DagyoError if the event cannot be stored.
    """
    data, headers = event.encode(), event.headers(first)
    while True:
        try:
            await link.ask(event.subject, data, headers=headers, timeout=_STORED)
            return
        except BrokerError as e:
            if e.err_code in _WRONG_LAST_SEQUENCE:
                raise SaidBefore(f"{first} already has an event") from e
            if e.lasting:
                raise
            log.warning("cannot store %s: %s; trying again", event.subject, e)
        except NoAnswer as e:
            log.debug("cannot store %s: %s; trying again", event.subject, e)
        except nats.errors.MaxPayloadError as e:
            raise DagyoError(f"{event.subject} has {len(data)} bytes, more than max_payload") from e
        await asyncio.sleep(TRY_PAUSE)


async def say(link: Link, event: Event) -> None:
    """Store an event unless its subject already has one."""
    try:
        await publish(link, event, event.subject)
    except SaidBefore as e:
        log.debug("%s", e)


async def say_last(link: Link, event: Event) -> None:
    """Store an event about a job's end, unless its subject already has one from this executor.

    Where permissions do not prevent it, any client may have published there before; it is not
    believed.
    """
    try:
        return await publish(link, event, event.subject)
    except SaidBefore:
        pass
    while True:
        try:
            before = await stored(link, event.subject)
        except NoAnswer as e:
            log.debug("cannot read the event on %s: %s; trying again", event.subject, e)
            before = None
        if before is not None:
            break
        await asyncio.sleep(TRY_PAUSE)  # one of the servers may be behind
    if before.get("source") != f"/dagyo/executor/{event.executor}":
        await publish(link, event, None)


async def stored(link: Link, subject: str) -> Mapping[str, Any] | None:
    """Return the last event of EVENTS on a subject, which may have wildcards: {} for a malformed
    one, None if there is none.

    Raises NoAnswer if the broker does not answer.
    """
    msg = await link.request(link.api(f"DIRECT.GET.EVENTS.{subject}"))
    code = status(msg)
    if code == "404":
        return None
    if code:
        raise NoAnswer(f"look up {subject}: status {code}")
    try:
        event = json.loads(msg.data)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
