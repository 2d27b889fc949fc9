"""The task of a writer, which sends frames to the reader or stores them in the stream.

It is a loop over events: messages, reconnects, something new to send, and one timer. It has two
modes (docs/protocol.md, "Edges"). In both, ``held`` are the frames that only it has. When sending
directly, it takes frames as the direct window allows, and the timer means that the reader has been
silent for too long. When storing, it has one frame at a time in flight to the stream, so that their
order is kept, and the timer means "send again", or "request the credit" while the window is full.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from . import wire
from .bell import Bell, Timer
from .errors import BrokerError, Gone, LinkClosed, ProtocolError, ReaderClosed
from .job import Address
from .link import EXPECTED, STREAM_NOT_FOUND, WRONG_LAST_SEQUENCE, Link, answer, status
from .seal import ASK_EXECUTOR, End
from .window import EIGHTH, FIRST_PAUSE, Window, direct_frames, direct_window, longer

# Answers are distinguished by the last token of their subject, which is the number of a frame or
# one of these.
_ASK = "ask"  # the last stored credit
_WHO = "who"  # which executor reads
_CREDIT = "credit"  # a credit from an attached reader
_ECHO = "echo"  # the broker has received everything that we sent
_CLEAR = "clear"  # a slot was cleared

# Pending messages for the sender. Further ones are dropped, and the timer makes up for it.
_INBOX = 256
_INBOX_OCTETS = 1 << 20

# How long, in seconds, a reader may consume nothing before its unconsumed frames are stored.
_PATIENCE_IDLE = 2.0
_PATIENCE_FULL = 0.15
_PATIENCE_END = 0.05

# How long, in seconds, to wait for the broker to confirm a stored frame.
_CONFIRMATION = 5.0

# How often in a row, within about four seconds, a full subject may reject a frame.
_MOST_FULL = 5

Take = Callable[[Callable[[int], bool], bool], "tuple[bytes | None, bool]"]


class _Held(NamedTuple):
    """A frame that was taken, and is neither stored nor known to be consumed."""

    number: int
    octets: bytes


class _Stored(NamedTuple):
    """A frame in the stream, neither overwritten nor cleared. Its sequence is None if
    unconfirmed."""

    number: int
    sequence: int | None
    size: int


class _Direct:
    """The state of sending directly."""

    def __init__(self, address: Address, frame: int) -> None:
        self.on = False
        self.token = 0
        self.subject = ""
        self.busy = False  # an echo is in flight
        self.progress = 0.0  # when the reader last consumed something, or was sent something to consume
        self.window = max(direct_window(address), frame)
        self.frames = direct_frames(address)


class _Store:
    """The state of the frames in the stream."""

    def __init__(self) -> None:
        self.busy = False  # the oldest held frame was published and is not confirmed
        self.maybe = False  # that frame may be stored although it is not confirmed
        self.again = False  # that frame was published before
        self.tries = 0  # publications so far
        self.resent = False  # some frame may be stored twice
        self.full = 0  # refusals in a row because the subject is full
        self.last = 0  # number of the last frame that is stored
        self.hinted = False  # a hint was sent since the reader's last message
        self.asked = False  # the credit was requested since something was stored
        self.parting = False  # everything is stored, and only the answer to that request is pending
        self.pause = 0.0
        self.frames: deque[_Stored] = deque()
        #: The sequence of the last message in each slot; None if it is not confirmed.
        self.slots: dict[int, int | None] = {}


class Sender:
    """Sends the frames that ``take`` returns. ``frame`` is the maximum size of a frame in bytes."""

    def __init__(self, link: Link, address: Address, end: End, take: Take, frame: int) -> None:
        self._link = link
        self._address = address
        self._end = end
        self._take = take
        #: Rung when there is something to send, or something has happened.
        self.bell = Bell()
        self._timer = Timer(self.bell)
        self._messages: deque[Msg] = deque()
        self._subscriptions: list[Subscription] = []
        # Nobody else knows the inbox for answers of the broker. The other one is for messages of
        # the reader: others may hear it.
        self._inbox = link.inbox()
        self._credits = link.inbox()
        self._epoch = link.epoch
        self._window = Window(address)
        self._held: deque[_Held] = deque()
        self._held_octets = 0
        self._number = 0
        self._ended = False  # the last frame had END
        self._full = False  # only a window blocks the next frame
        self._asking = True  # nothing is sent before it is known whether there is a reader
        self._direct = _Direct(address, frame)
        self._store = _Store()
        self._stopped = False

    def stop(self) -> None:
        """Make run return soon. Cancel its task, too: it may be waiting for the broker."""
        self._stopped = True
        self.bell.ring()

    async def run(self) -> None:
        """Send until everything is consumed or stored, or stop was called.

        Raises ReaderClosed, Gone, ProtocolError, LinkClosed.
        """
        self._link.add_hook(self.bell.ring)
        try:
            await self._subscribe()
            await self._ask_credit()
            self._timer.set(FIRST_PAUSE)
            while not self._stopped:
                await self._advance()
                if self._ended and not self._held and not self._store.parting:
                    return
                await self.bell.wait()
                await self._events()
        except ProtocolError as e:
            raise ProtocolError(f"edge {self._address.subject}: {e}") from e
        finally:
            await self._release()

    async def _subscribe(self) -> None:
        credit = self._address.credit + self._end.peer
        for subject in (self._inbox + "*", self._credits + "*", credit):
            subscription = await self._link.subscribe(
                subject, self._heard, messages=_INBOX, octets=_INBOX_OCTETS
            )
            self._subscriptions.append(subscription)

    async def _release(self) -> None:
        self._link.remove_hook(self.bell.ring)
        self._timer.clear()
        for subscription in self._subscriptions:
            await self._link.unsubscribe(subscription)

    def _heard(self, msg: Msg) -> None:
        if len(self._messages) < _INBOX:
            self._messages.append(msg)
            self.bell.ring()

    async def _events(self) -> None:
        """Handle all pending events."""
        if self._link.closed:
            raise LinkClosed("the connection to NATS is closed")
        if self._epoch != self._link.epoch:
            self._epoch = self._link.epoch
            await self._reconnected()
        while self._messages and not self._stopped:
            await self._message(self._messages.popleft())
        if self._timer.fired():
            await self._overdue()

    async def _advance(self) -> None:
        """Do everything that is possible now."""
        while not self._stopped and not (self._ended and not self._held):
            if not await self._step():
                return

    async def _step(self) -> bool:
        """Do one thing; report whether there may be another."""
        if self._asking or (self._store.busy and not self._direct.on):
            return False
        if self._direct.on:
            return await self._send_next()
        if self._held:
            await self._store_oldest()
            return False
        more = self._take_up(self._window.fits, small=True)
        if self._full and self._store.pause == 0:
            self._rest()
        return more

    def _take_up(self, fits: Callable[[int], bool], small: bool) -> bool:
        """Take the next frame, if there is one and it fits."""
        self._full = False
        if self._ended:
            return False
        frame, self._full = self._take(fits, small)
        if frame is None:
            return False
        self._number += 1
        self._ended = wire.ends(frame)
        self._window.add(len(frame))
        self._held.append(_Held(self._number, frame))
        self._held_octets += len(frame)
        self._store.pause = 0.0
        return True

    def _drop(self, number: int) -> None:
        """Drop the held frames up to a number."""
        while self._held and self._held[0].number <= number:
            self._held_octets -= len(self._held.popleft().octets)

    async def _reconnected(self) -> None:
        """Send again what may be lost, and request a credit that may be lost."""
        if self._direct.on:
            await self._send_directly()
        elif self._store.busy:
            await self._store_again()
        await self._ask_credit()

    async def _overdue(self) -> None:
        """Handle the timer."""
        if self._asking:
            self._asking = False
        elif self._store.parting:
            self._store.parting = False
            await self._link.check_stream(self._address.stream)
        elif self._direct.on:
            self._silence()
        elif self._store.busy:
            await self._try_again()
        elif self._store.pause > 0:
            self._rest()
            await self._ask_credit()

    async def _ask_credit(self) -> None:
        """Request the last stored credit. The answer arrives like any other message."""
        a = self._address
        subject = self._link.api(f"DIRECT.GET.{a.stream}.{a.credit}{self._end.peer}")
        await self._publish(subject, _ASK, b"")

    async def _publish(self, subject: str, reply: str, data: bytes) -> None:
        await self._link.publish(subject, data, reply=self._inbox + reply)

    async def _send(self, data: bytes) -> None:
        """Publish a message to the reader."""
        subject = self._direct.subject
        await self._link.publish(subject, self._end.pack(subject, data), reply=self._credits + _CREDIT)

    async def _heard_of(self, msg: Msg) -> None:
        """Handle a message of the reader, an echo, or the broker's word that there is no reader."""
        direct = msg.subject.startswith(self._credits)
        if direct and msg.subject == self._credits + _ECHO:
            self._direct.busy = False
            return
        if direct and status(msg) == "503":
            self._direct.on = False  # no responders: it may be back soon
            return
        data = self._end.open(msg.subject, msg.data)
        if data is None:
            return
        if direct:
            return await self._credit(data)
        self._end.met(msg.subject, self._address.credit)
        await self._overheard(data)

    async def _message(self, msg: Msg) -> None:
        if not msg.subject.startswith(self._inbox):
            return await self._heard_of(msg)
        token, code = msg.subject[len(self._inbox) :], status(msg)
        if token == _WHO:
            await self._told(msg.data)
        elif token == _ASK:
            await self._answered(code, msg)
        elif token == _CLEAR:
            pass
        elif code == "503":
            await self._unanswered()
        else:
            await self._confirmed(token, msg.data)

    async def _told(self, answer: bytes) -> None:
        """Handle the answer to the question who reads. The reader may not have started."""
        if self._end.told(answer):
            return await self._ask_credit()
        self._asking = self._store.parting = False

    async def _answered(self, code: str, msg: Msg) -> None:
        """Handle the answer to _ask_credit."""
        data: bytes | None = None
        if code == "":
            data = self._end.open_stored(msg, self._address.credit)
            if data is None and not self._end.known and self._end.who is not None:
                # Somebody else has stored a message there.
                return await self._publish(ASK_EXECUTOR + self._end.own, _WHO, self._end.who)
        self._asking = self._store.parting = False
        if data is not None:
            await self._credit(data)
        elif code == "503":
            await self._link.check_stream(self._address.stream)

    async def _overheard(self, data: bytes) -> None:
        """Handle a message on the subject of credits, where any client can direct an answer of the
        broker."""
        try:
            wire.parse_credit(data)
        except wire.WireError:
            return
        await self._credit(data)

    async def _credit(self, data: bytes) -> None:
        try:
            credit = wire.parse_credit(data)
        except wire.WireError as e:
            raise ProtocolError(f"a malformed credit: {e.message}") from e
        news = self._window.consume(credit.frame)
        if credit.closed:
            raise ReaderClosed("the reader needs no more records")
        if news:
            await self._consumed(credit.frame)
        await self._attached(credit.attach, news)

    async def _consumed(self, number: int) -> None:
        """Record the frames that the reader has consumed."""
        if self._held and self._held[0].number <= number:
            self._leave()
        self._drop(number)
        self._direct.progress = time.monotonic()
        if not self._store.busy:
            self._store.pause = 0.0
        await self._clear(number)

    # Sending directly.

    def _fits_directly(self, size: int) -> bool:
        if not self._window.fits(size):
            return False
        room = self._held_octets + size <= self._direct.window
        return not self._held or (room and len(self._held) < self._direct.frames)

    async def _send_next(self) -> bool:
        """Send the next frame: a full one at once, any if the connection is idle."""
        idle = not self._held
        if not self._take_up(self._fits_directly, not self._direct.busy):
            self._watch()
            return False
        if idle:
            self._direct.progress = time.monotonic()
        await self._send_frame(self._held[-1])
        return True

    async def _send_frame(self, frame: _Held) -> None:
        """Send a frame, followed by an echo that shows when the broker has received it."""
        await self._send(frame.octets)
        if not self._direct.busy:
            self._direct.busy = True
            await self._link.publish(self._credits + _ECHO, b"")

    async def _attached(self, token: int, news: bool) -> None:
        """Record the token in a credit. A new one requests everything that was not consumed."""
        if token > self._direct.token:
            self._direct.token = token
            self._direct.subject = f"{self._address.direct}.{token}"
            await self._send_directly()
        elif news and token and not self._direct.on:
            await self._send_directly()
        else:
            self._store.hinted = False

    async def _send_directly(self) -> None:
        """Start to send directly: first a hint about stored frames, then all held frames."""
        self._asking = False
        self._leave()
        self._direct.on, self._direct.busy = True, False
        self._direct.progress = time.monotonic()
        if self._store.last > self._window.consumed:
            await self._hint()
        for frame in list(self._held):
            await self._send_frame(frame)

    async def _hint(self) -> None:
        """Send an attached reader a hint about the frames in the stream."""
        self._store.hinted = True
        await self._send(wire.hint(self._store.last))

    def _patience(self) -> float:
        if self._ended:
            return _PATIENCE_END
        return _PATIENCE_FULL if self._full else _PATIENCE_IDLE

    def _watch(self) -> None:
        """Set the timer to when the reader will have been silent for too long."""
        if self._held:
            self._timer.set(self._direct.progress + self._patience() - time.monotonic())

    def _silence(self) -> None:
        """Store unconsumed frames, unless the reader has responded in the meantime."""
        self._direct.busy = False
        silent = time.monotonic() - self._direct.progress
        if self._held and silent >= self._patience():
            self._direct.on = False

    # Storing.

    async def _store_oldest(self) -> None:
        self._store.busy = self._store.maybe = True
        self._timer.set(_CONFIRMATION)
        self._store.tries += 1
        frame = self._held[0]
        await self._overwrite(frame.number, f"{frame.number}-{self._store.tries}", frame.octets)

    async def _overwrite(self, frame: int, reply: str, data: bytes) -> None:
        """Publish to the slot of a frame, if the slot's last message is the one that we know.

        So a delayed copy of an older frame is rejected.
        """
        a, headers = self._address, None
        if a.slots:
            held = self._store.slots.get(frame % a.slots, 0)
            headers = None if held is None else {EXPECTED: str(held)}
        subject = a.slot(frame) + self._end.own
        packed = self._end.pack(subject, data)
        await self._link.publish(subject, packed, reply=self._inbox + reply, headers=headers)

    def _set_slot(self, frame: int, sequence: int | None) -> None:
        if self._address.slots:
            self._store.slots[frame % self._address.slots] = sequence

    def _leave(self) -> None:
        """Forget the frame in flight to the stream: it is sent directly instead."""
        store = self._store
        if store.busy:
            store.resent = True
            self._set_slot(self._held[0].number, None)
        store.busy, store.again, store.pause, store.full = False, False, 0.0, 0

    async def _store_again(self) -> None:
        self._store.resent = self._store.resent or self._store.maybe
        self._store.again = self._store.again or self._store.maybe
        await self._store_oldest()

    async def _try_again(self) -> None:
        """Store a frame again that the broker rejected or did not confirm."""
        if not self._link.connected:
            return  # the reconnect handles it
        if self._store.maybe:
            # A deleted stream does not answer either, if there is another subscriber to the
            # subject.
            await self._link.check_stream(self._address.stream)
        await self._store_again()

    def _rest(self) -> None:
        """Set the timer for the next try, later each time."""
        self._store.pause = longer(self._store.pause)
        self._timer.set(self._store.pause)

    async def _unanswered(self) -> None:
        """Handle that there are no responders: the stream no longer exists, or is not yet back."""
        await self._link.check_stream(self._address.stream)
        if self._store.busy:
            self._store.maybe = False
            self._rest()

    async def _confirmed(self, token: str, data: bytes) -> None:
        """Handle JetStream's answer for a frame. The token is its number and that of the
        publication.

        If it is not for the last publication, the frame is stored, but the final message in its
        slot is unknown.
        """
        number, _, publication = token.partition("-")
        if not self._store.busy or number != str(self._held[0].number):
            return  # a second answer for a frame that was sent twice
        last = publication == str(self._store.tries)
        try:
            said = answer(data)
        except BrokerError as e:
            return await self._refused(e) if last else None
        if said.get("stream") != self._address.stream:
            raise ProtocolError(
                f"frame {token} was stored in {said.get('stream')!r}, not {self._address.stream!r}"
            )
        known = last or not self._address.slots
        await self._has_stored(self._held[0], int(said["seq"]) if known else None)

    async def _has_stored(self, frame: _Held, sequence: int | None) -> None:
        store, slots = self._store, self._address.slots
        store.busy, store.again, store.pause, store.full = False, False, 0.0, 0
        store.last = frame.number
        self._set_slot(frame.number, sequence)
        if slots:  # the slot's earlier frame is overwritten
            kept = (f for f in store.frames if (f.number - frame.number) % slots)
            store.frames = deque(kept)
        store.frames.append(_Stored(frame.number, sequence, len(frame.octets)))
        self._timer.clear()
        self._drop(frame.number)
        last = self._ended and not self._held
        if self._direct.token:
            if last or not store.hinted:
                await self._hint()
        elif last or not store.asked:
            # A credit that was in flight at the last request precedes this frame. Its reader may
            # have looked for the frame too early, and is waiting for a hint.
            store.asked, store.parting = True, last
            self._timer.set(_CONFIRMATION)
            await self._ask_credit()

    async def _refused(self, error: BrokerError) -> None:
        """Handle an error of the broker.

        If a slot does not hold the expected message, it holds the frame itself, if that was
        published before: nothing else writes there. The subject of a flow's own stream may be full
        for a moment, because the broker deletes consumed messages later than requested.
        """
        if error.err_code in WRONG_LAST_SEQUENCE and self._store.again:
            return await self._has_stored(self._held[0], None)
        if error.err_code in WRONG_LAST_SEQUENCE:
            raise ProtocolError(
                f"frame {self._held[0].number}: another writer stored a frame of this edge"
            ) from error
        if error.err_code == STREAM_NOT_FOUND:
            raise Gone(f"the stream {self._address.stream} no longer exists") from error
        if "maximum messages per subject" in error.description:
            self._store.full += 1
        stays = self._store.full >= _MOST_FULL and not self._store.resent
        if stays or error.lasting:
            raise ProtocolError(f"frame {self._held[0].number}: {error}") from error
        self._store.maybe = False
        self._rest()

    async def _clear(self, number: int) -> None:
        """Overwrite consumed frames in the stream.

        Does nothing until there are enough of them, and while frames in flight will overwrite them.
        """
        consumed = [f for f in self._store.frames if f.number <= number]
        octets = sum(f.size for f in consumed)
        a = self._address
        if not consumed or (octets < a.window / EIGHTH and len(consumed) < a.frames / EIGHTH):
            return
        storing = self._store.busy or self._full or (self._held and not self._direct.on)
        if a.slots and storing:
            return
        for frame in consumed:
            self._store.frames.popleft()
            if a.slots and frame.sequence is not None:
                await self._overwrite(frame.number, _CLEAR, b"")
                self._set_slot(frame.number, None)
        if not a.slots:
            await self._purge(consumed[-1])

    async def _purge(self, last: _Stored) -> None:
        """Delete the frames up to one from a flow's own stream."""
        a = self._address
        if last.sequence is None:
            return
        request = {"filter": a.subject, "seq": last.sequence + 1}
        # If it is lost, the next one deletes what this one should have deleted.
        await self._publish(
            self._link.api(f"STREAM.PURGE.{a.stream}"), _CLEAR, json.dumps(request).encode()
        )
