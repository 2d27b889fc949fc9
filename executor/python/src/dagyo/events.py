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

#: The longest free text in an event, in octets.
DETAIL_LIMIT = 8 << 10

_STORED = 2.0  # seconds to wait for JetStream's answer
#: Seconds between two tries.
TRY_PAUSE = 0.1
_WRONG_LAST_SEQUENCE = (10071, 10164)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class SaidBefore(DagyoError):
    """The event was to be the first on its subject, and is not."""


def clip(text: str) -> str:
    """Bound a text that goes into an event, keeping its end: the last lines say most."""
    octets = text.encode(errors="replace")
    if len(octets) <= DETAIL_LIMIT:
        return octets.decode()
    mark = "… "
    return mark + octets[len(octets) - DETAIL_LIMIT + len(mark.encode()) :].decode(errors="ignore")


@dataclass(frozen=True)
class Event:
    """An event that an executor says: ``about`` is the CloudEvents subject, ``on`` NATS's."""

    type: str
    executor: str
    about: str
    on: str
    data: Mapping[str, Any]
    traceparent: str | None = None
    #: The CloudEvents id; the NATS subject where it is None.
    identity: str | None = None

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
        envelope["data"] = self.data
        return json.dumps(envelope, ensure_ascii=False).encode()

    def headers(self) -> dict[str, str]:
        """Return the message's headers. The event is to be the first on its subject.

        It has no message id: JetStream forgets those after two minutes, and anybody may use one up.
        """
        return {
            "content-type": "application/cloudevents+json",
            "Nats-Expected-Last-Subject-Sequence": "0",
        }


async def publish(link: Link, event: Event, first: bool = True) -> None:
    """Publish an event until JetStream has stored it, as the first on its subject unless told not to.

    SaidBefore where its subject holds one, which may be this one: the answer to an earlier try may
    have been lost. DagyoError where it cannot be stored.
    """
    data, headers = event.encode(), event.headers()
    if not first:
        del headers["Nats-Expected-Last-Subject-Sequence"]
    while True:
        try:
            await link.ask(event.on, data, headers=headers, timeout=_STORED)
            return
        except BrokerError as e:
            if e.err_code in _WRONG_LAST_SEQUENCE:
                raise SaidBefore(f"{event.on} was said before") from e
            if e.lasting:
                raise
            log.warning("cannot store %s: %s; trying again", event.on, e)
        except NoAnswer as e:
            log.debug("cannot store %s: %s; trying again", event.on, e)
        except nats.errors.MaxPayloadError as e:
            raise DagyoError(f"{event.on} has {len(data)} octets, above max_payload") from e
        await asyncio.sleep(TRY_PAUSE)


async def say(link: Link, event: Event) -> None:
    """Have an event stored, if its subject does not hold one already."""
    try:
        await publish(link, event)
    except SaidBefore as e:
        log.debug("%s", e)


async def say_last(link: Link, event: Event) -> None:
    """Have an event about a job's end stored, unless its subject holds one of this executor.

    Anybody may have put something there before; only the executor that has started the job is believed.
    """
    try:
        return await publish(link, event)
    except SaidBefore:
        pass
    while True:
        try:
            before = await stored(link, event.on)
        except NoAnswer as e:
            log.debug("what is stored on %s: %s", event.on, e)
            before = None
        if before is not None:
            break
        await asyncio.sleep(TRY_PAUSE)  # a server may be behind
    if before.get("source") != f"/dagyo/executor/{event.executor}":
        await publish(link, event, first=False)


async def stored(link: Link, subject: str) -> Mapping[str, Any] | None:
    """Return the event that EVENTS holds on subject, {} for what is not an event, None for nothing.

    NoAnswer if the broker does not say.
    """
    msg = await link.request(f"$JS.API.DIRECT.GET.EVENTS.{subject}")
    code = status(msg)
    if code == "404":
        return None
    if code:
        raise NoAnswer(f"look for {subject}: status {code}")
    try:
        event = json.loads(msg.data)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
