"""Taking jobs from the mailbox, and claiming them (docs/protocol.md, "Claim")."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import deque

import nats.errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from .bell import Bell
from .config import Config
from .errors import LinkClosed, NoAnswer
from .events import TRY_PAUSE, Event, SaidBefore, publish, sent_by, stored
from .job import Job
from .link import Link, status

log = logging.getLogger("dagyo")

_SECOND = 1_000_000_000  # nanoseconds

# How long one request for jobs stays open, and the interval at which the broker shows that it still
# has it.
_PULL_FOR = 30.0
_PULL_BEAT = 2.0
# The maximum number of jobs per request, so that the executors of a mailbox share a burst.
_PULL_MOST = 64
# A job that is not acknowledged after this many seconds is delivered to another executor.
_ACK_WAIT = 10
# How many seconds to wait for the confirmation of an acknowledgement.
_CONFIRMATION = 2.0
# Seconds between requests for jobs that fail: the first pause, and the longest one.
_FIRST_PAUSE = 0.05
_LAST_PAUSE = 1.0


class Mailbox:
    """The mailbox of one revision. One request for jobs is open at a time."""

    def __init__(self, link: Link, consumer: str) -> None:
        self._link = link
        self._consumer = consumer
        self._bell = Bell()
        self._messages: deque[Msg] = deque()
        self._inbox = link.inbox()
        self._subscription: Subscription | None = None
        self._wanted = 0  # jobs that the open request may still deliver
        self._until = 0.0  # deadline for the next message of the broker
        self._epoch = 0
        self._waiting = False  # before the next request
        self._pause = 0.0  # after the last request, if it failed
        self._said = ""  # why it failed
        self._stopped = False

    def stop(self) -> None:
        """Make receive return None from now on."""
        self._stopped = True
        self._bell.ring()

    async def receive(self, free: int) -> Msg | None:
        """Return a job, or None if there is none at the moment. At most ``free`` jobs are
        requested."""
        if self._wanted == 0 and not self._stopped and not await self._pull(free):
            return None
        while not self._stopped:
            if self._messages:
                return await self._message(self._messages.popleft())
            left = self._until - time.monotonic()
            if left <= 0 or self._epoch != self._link.epoch:
                self._wanted = 0  # lost: jobs that still arrive are returned
                return None
            await self._bell.wait(left)
        return None

    async def _pull(self, free: int) -> bool:
        """Request jobs; report False, after a pause, if the last request has failed."""
        if self._subscription is None:
            self._subscription = await self._link.subscribe(
                self._inbox + "*", self._heard, messages=1024, octets=64 << 20
            )
        if self._waiting:
            self._waiting = False
            await self._bell.wait(self._pause)
            return False
        self._wanted = min(free, _PULL_MOST)
        self._epoch = self._link.epoch
        self._until = time.monotonic() + 3 * _PULL_BEAT
        request = {
            "batch": self._wanted,
            "expires": int(_PULL_FOR * _SECOND),
            "idle_heartbeat": int(_PULL_BEAT * _SECOND),
        }
        subject = self._link.api(f"CONSUMER.MSG.NEXT.JOBS.{self._consumer}")
        await self._link.publish(subject, json.dumps(request).encode(), reply=self._inbox + "pull")
        return True

    def _failed(self, why: str) -> None:
        """Wait before the next request, longer each time; say why once."""
        self._wanted = 0
        self._waiting = True
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LAST_PAUSE)
        if why != self._said:
            self._said = why
            log.warning("%s: %s", self._consumer, why)

    def _heard(self, msg: Msg) -> None:
        self._messages.append(msg)
        self._bell.ring()

    async def _message(self, msg: Msg) -> Msg | None:
        """Return a requested job; handle all other messages."""
        self._until = time.monotonic() + 3 * _PULL_BEAT
        code = "" if msg.subject.startswith("jobs.") else status(msg)
        if code in ("", "100", "404", "408"):
            self._pause, self._said = 0.0, ""
        if msg.subject.startswith("jobs."):
            if self._wanted > 0:
                self._wanted -= 1
                return msg
            await self.give_back(msg)
        elif code == "503":
            self._failed("the mailbox does not exist yet; waiting until the planner creates it")
        elif code in ("404", "408"):
            self._wanted = 0  # the request has ended without a job
        elif code != "100":  # 409: the mailbox was deleted, or a limit
            description = (msg.headers or {}).get("Description", "")
            self._failed(f"cannot take jobs: status {code} {description}; trying again")
        return None

    async def give_back(self, msg: Msg) -> None:
        """Return a job, so that another executor gets it at once."""
        await self._link.publish(msg.reply, b"-NAK")

    async def close(self) -> None:
        """Return jobs that arrive when no more are needed."""
        self.stop()
        if self._subscription is not None and self._link.connected:
            try:
                # Unsubscribes, and returns when all earlier messages have arrived.
                await asyncio.wait_for(self._subscription.drain(), 2)  # type: ignore[no-untyped-call]
            except (nats.errors.Error, OSError, asyncio.TimeoutError) as e:
                log.debug("end the request for jobs: %r", e)
        for msg in self._messages:
            if msg.subject.startswith("jobs."):
                await self.give_back(msg)
        self._messages.clear()


class Claim:
    """A job.started that is published for a job, and is stored once for all executors."""

    def __init__(self, link: Link, job: Job, config: Config) -> None:
        self._link = link
        self._started = Event(
            type="job.started",
            executor=config.executor,
            mailbox=config.consumer,
            about=job.flow,
            on=job.started,
            data={"job": job.job, "executor": config.executor},
            traceparent=job.traceparent,
            tracestate=job.tracestate,
            # Distinguishes this claim from all others, including those of this executor.
            identity=f"{job.started}.{config.executor}.{secrets.token_hex(8)}",
        )
        self._anyone = sent_by("*", job.started, config.consumer)

    async def make(self) -> bool:
        """Publish it, and report whether the stored one is this. Call started_before first.

        It is not if another executor has started the job, or this one under an earlier delivery.
        Retries until the broker answers; raises LinkClosed if the connection is closed.
        """
        while True:
            try:
                await publish(self._link, self._started, self._anyone)
                return True
            except SaidBefore:
                pass  # stored by another executor, or by us in a try whose answer was lost
            ours = await self._look()
            if ours is not None:
                return ours
            await asyncio.sleep(TRY_PAUSE)  # one of the servers may be behind

    async def made(self, seconds: float) -> bool:
        """Report whether the stored one is this, after make was cancelled: it may not have been
        answered."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            ours = await self._look()
            if ours is not None:
                return ours
            await asyncio.sleep(TRY_PAUSE)
        return False

    async def _look(self) -> bool | None:
        """Report whether the stored one is this; None if none is found."""
        try:
            event = await stored(self._link, self._anyone)
        except NoAnswer as e:
            log.debug("cannot read the claim of a job of flow %s: %s", self._started.about, e)
            return None
        return None if event is None else event.get("id") == self._started.identity


async def started_before(link: Link, job: Job, delivery: Msg) -> bool:
    """Report whether an executor of the previous version has started a job that is delivered again.

    Its job.started is on the plain subject, which the condition of ours does not include.
    """
    try:
        if delivery.metadata.num_delivered <= 1:
            return False  # no executor had it before
    except nats.errors.Error:
        pass  # not known
    while True:
        try:
            return await stored(link, job.started) is not None
        except NoAnswer as e:
            log.debug("cannot read the start of job %s of flow %s: %s", job.job, job.flow, e)
        await asyncio.sleep(TRY_PAUSE)


async def acknowledge(link: Link, msg: Msg) -> None:
    """Acknowledge a started job, which removes it from the mailbox.

    Retries until the job is delivered again; the executor that then receives it acknowledges it.
    """
    end = time.monotonic() + _ACK_WAIT
    while time.monotonic() < end:
        try:
            await link.request(msg.reply, b"+ACK", timeout=_CONFIRMATION)
            return
        except NoAnswer:
            await asyncio.sleep(TRY_PAUSE)
        except LinkClosed:
            break
    log.warning("cannot acknowledge a claimed job; it will be delivered again: %s", msg.subject)


async def refuse(link: Link, msg: Msg, why: str) -> None:
    """Remove a message from the mailbox that is not a job."""
    log.error("a message on %s is not a job: %s", msg.subject, why)
    await link.publish(msg.reply, b"+TERM " + why.encode()[:200])
