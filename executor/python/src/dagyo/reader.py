"""The receiving end of an edge. It has no task: everything happens in ``receive``."""

from __future__ import annotations

import json
import time
from collections import deque

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from . import wire
from .bell import Bell
from .errors import BrokerError, DagyoError, EdgeClosed, Gone, LinkClosed, NoAnswer, ProtocolError
from .job import Address
from .link import ROLLUP, STREAM_NOT_FOUND, Link, status
from .seal import ASK_EXECUTOR, End
from .window import (
    CREDIT_STEP,
    EIGHTH,
    FIRST_PAUSE,
    LAST_PAUSE,
    MAX_DIRECT_FRAMES,
    check_window,
    direct_frames,
    direct_window,
    longer,
)

# The number of stored frames to request at once.
_AHEAD = 16

# The longest time, in seconds, between two credits while there is progress.
_REPORT = 1.0

# While nothing arrives, check the stream after this many seconds, and then at growing intervals.
_FIRST_LOOK = 1.0
_LAST_LOOK = 30.0

# How long, in seconds, to wait for the answer to a request for stored frames.
_STORED_ANSWER = 5.0

_WHO = "who"  # the last token of the subject of the answer to the question who writes

_SLACK = 4  # pending direct messages, in direct windows


class _Direct:
    """The state of receiving frames directly."""

    def __init__(self) -> None:
        self.token = 0  # of our subject, 0: not attached yet
        self.subscription: Subscription | None = None
        self.messages: deque[Msg] = deque()
        self.octets = 0  # of the messages
        self.reply = ""  # where the writer receives credits, "" until it has sent something
        self.kept = 0  # the stream holds frames up to this number, according to the writer
        # A frame, with its reply subject, that arrived while earlier ones are in the stream.
        self.ahead: tuple[bytes, str] | None = None
        self.look = _FIRST_LOOK
        self.heard = 0.0
        self.flooded = False  # messages were dropped because too many arrived


class _Lookup:
    """The state of reading stored frames.

    Each is requested by its slot, first one and then more at once as they are found. The lookup
    ends with the first missing one: frames are stored in order.
    """

    def __init__(self) -> None:
        self.first = True  # nothing was requested yet
        self.round = 0  # answers to other rounds are dropped
        self.next = 0  # number of the next frame to request
        self.open = 0  # requests without an answer
        self.most = 1  # limit of open
        self.got = 0  # frames that were found in this round
        self.end = False  # one was missing
        self.ahead: dict[int, bytes] = {}  # frames that arrived before their turn
        self.unsaid = False  # something was read since the last message to the writer
        self.place = 1  # sequence in a flow's own stream to continue at
        self.inbox = ""
        self.subscription: Subscription | None = None
        self.messages: deque[Msg] = deque()

    @property
    def busy(self) -> bool:
        """Whether stored frames are in flight."""
        return self.open > 0 or bool(self.ahead)


class Reader:
    """Reads an edge frame by frame. Consumed frames are overwritten: an edge has one reader.

    It holds at most a quarter of the window, a few stored frames, and one record. It is released by
    reading to the end or another lasting error, by ``close`` or by ``abort``.
    """

    def __init__(
        self, link: Link, address: Address, name: str = "", max_record: int = wire.DEFAULT_MAX_RECORD
    ) -> None:
        #: This end of the edge.
        self.end = End(address, name, address.writer)
        check_window(address)
        self._link = link
        self._address = address
        self._decoder = wire.Decoder(max_record)
        self._bell = Bell()
        self._epoch = link.epoch
        self._direct = _Direct()
        self._lookup = _Lookup()
        self._fresh: list[bytes] | None = None  # the records of a new frame
        self._size = 0  # bytes of the frame that is being read
        self._octets = 0  # consumed since the last credit
        self._frames = 0  # likewise
        self._credit = wire.Credit()  # the last one given
        self._confirmed = False  # the broker has stored it
        self._due = 0.0  # when the next report for displays is due
        self._gap = 0  # the missing frame because of which we attached again
        self._over: DagyoError | None = None
        #: Whether the end of the edge was read.
        self.ended = False
        #: The number of records returned, and the sum of their lengths.
        self.records = 0
        self.octets = 0

    async def receive(self) -> list[bytes] | None:
        """Return the records of the next frame that completes any, or None at the end of the edge.

        A call means that all records returned before are consumed. Raises ProtocolError, Gone,
        LinkClosed or EdgeClosed, and then the same error on every call.
        """
        if self.ended:
            return None
        if self._over is not None:
            raise self._over
        try:
            records = await self._next()
        except ProtocolError as e:
            error = ProtocolError(f"edge {self._address.subject}: {e}")
            await self._end(error)
            raise error from e
        except (Gone, LinkClosed) as e:
            await self._end(e)
            raise
        if records is None:
            self.ended = True
            await self._end(EdgeClosed("the input is at its end"))
            return None
        self.records += len(records)
        self.octets += sum(map(len, records))
        return records

    def untake(self, records: list[bytes]) -> None:
        """Remove records from the counts, because the program does not receive them."""
        self.records -= len(records)
        self.octets -= sum(map(len, records))

    async def _next(self) -> list[bytes] | None:
        if self._due == 0:
            self._due = time.monotonic() + _REPORT
            self._link.add_hook(self._bell.ring)
        elif time.monotonic() >= self._due:
            await self._report()
        while True:
            await self._passed()
            if self._decoder.ended:
                return None
            while self._fresh is None:
                if self._link.closed:
                    raise LinkClosed("the connection to NATS is closed")
                await self._step()
            records, self._fresh = self._fresh, None
            if records:
                return records

    async def _end(self, error: DagyoError) -> None:
        """Make error the final result, and release everything."""
        self._over = error
        self._link.remove_hook(self._bell.ring)
        await self._detach()
        await self._forget()

    # Credits.

    async def _passed(self) -> None:
        """Account for the frame that was read to its end, and give credit if enough is consumed."""
        if self._size == 0:
            return
        self._octets += self._size
        self._frames += 1
        self._size = 0
        octets, frames = self._address.window // EIGHTH, self._address.frames // EIGHTH
        if self._direct.reply:
            octets = min(direct_window(self._address) // EIGHTH, CREDIT_STEP)
            frames = direct_frames(self._address) // EIGHTH
        enough = self._octets >= octets or self._frames >= frames
        if enough or self._decoder.ended:
            await self._give()

    def _consumed(self, *, closed: bool = False) -> wire.Credit:
        """Return the credit that is due. A frame is consumed when all of its records are."""
        frame = self._decoder.number - (self._size > 0)
        return wire.Credit(frame, self.records, self.octets, self._direct.token, closed)

    async def _give(self) -> None:
        """Send a credit without waiting, only to the writer if it has sent something."""
        credit = self._consumed()
        self._given(credit, confirmed=False)
        if self._direct.reply:
            reply = self._direct.reply
            await self._link.publish(reply, self.end.pack(reply, credit.pack()))
        else:
            await self._store_credit(credit)

    async def _store_credit(self, credit: wire.Credit) -> None:
        subject, data = self._packed(credit)
        await self._link.publish(subject, data, headers=self._rollup())

    def _packed(self, credit: wire.Credit) -> tuple[str, bytes]:
        """Return the subject on which a credit is stored, and the message."""
        subject = self._address.credit + self.end.own
        return subject, self.end.pack(subject, credit.pack())

    def _rollup(self) -> dict[str, str] | None:
        """Return the header with which a credit replaces earlier ones in a flow's own stream."""
        return None if self._address.slots else ROLLUP

    def _given(self, credit: wire.Credit, *, confirmed: bool) -> None:
        self._credit, self._confirmed = credit, confirmed
        self._octets = self._frames = 0

    async def _report(self) -> None:
        """Give credit for what was consumed in the last second, so that displays are up to date."""
        self._due = time.monotonic() + _REPORT
        credit = self._consumed()
        if credit != self._credit:
            self._given(credit, confirmed=False)
            await self._store_credit(credit)

    def _unconfirmed(self) -> bool:
        """Report whether records were consumed that the broker may not know about."""
        credit = self._consumed()
        if credit != self._credit:
            return True
        return not self._confirmed and (credit.frame > 0 or credit.attach > 0)

    async def _confirm(self) -> None:
        """Send the credit that is due and wait until it is stored.

        A writer that is blocked because of a lost credit would wait forever. If it fails, it is
        tried again a second later.
        """
        credit = self._consumed()
        try:
            subject, data = self._packed(credit)
            await self._link.ask(subject, data, headers=self._rollup(), timeout=LAST_PAUSE)
        except (NoAnswer, BrokerError):
            # If the writer receives it too, a deleted stream does not answer.
            await self._link.check_stream(self._address.stream)
            return
        self._given(credit, confirmed=True)

    # Frames.

    async def _step(self) -> None:
        """Do one thing to get the next frame."""
        if self._epoch != self._link.epoch:
            await self._changed()
        following = self._decoder.number + 1
        if self._lookup.first:
            self._lookup.first = False
            await self._get()
        elif self._lookup.busy:
            await self._stored()
        elif self._direct.subscription is None:
            await self._attach()
        elif following <= self._direct.kept:
            await self._get()
        elif self._direct.ahead is not None:
            await self._take(*self._direct.ahead)
        else:
            await self._hear()

    async def _changed(self) -> None:
        """Handle a reconnect: messages in flight are lost."""
        self._epoch = self._link.epoch
        if not self._lookup.round:
            return
        await self._detach()
        await self._forget()
        self._lookup.place = 1

    async def _attach(self) -> None:
        """Request everything that was not consumed, under a new token.

        Frames sent under the previous token may be lost. The stream may have frames that the writer
        stored before it exited.
        """
        d = self._direct
        d.token = max(d.token + 1, time.time_ns())
        d.messages.clear()
        d.octets = 0
        d.subscription = await self._link.subscribe(
            f"{self._address.direct}.{d.token}",
            self._heard_directly,
            messages=_SLACK * MAX_DIRECT_FRAMES,
            octets=self._most(),
        )
        d.reply, d.kept, d.ahead, d.flooded = "", 0, None, False
        d.look, d.heard = _FIRST_LOOK, time.monotonic()
        await self._give()
        await self._get()

    async def _detach(self) -> None:
        subscription, self._direct.subscription = self._direct.subscription, None
        self._direct.ahead = None
        self._direct.messages.clear()
        self._direct.octets = 0
        await self._link.unsubscribe(subscription)

    def _most(self) -> int:
        """Return the limit of pending direct messages in bytes, which is more than the rules
        allow."""
        return _SLACK * max(direct_window(self._address), self._link.max_payload)

    def _heard_directly(self, msg: Msg) -> None:
        d = self._direct
        full = len(d.messages) >= _SLACK * MAX_DIRECT_FRAMES or d.octets >= self._most()
        if msg.subject.endswith(f".{d.token}") and not full:
            d.messages.append(msg)
            d.octets += len(msg.data)
            self._bell.ring()
        elif full:
            d.flooded = True

    async def _hear(self) -> None:
        """Wait for a message from the writer."""
        d = self._direct
        if not d.messages and self._lookup.unsaid:
            # A writer that is storing does not know that we are waiting for it.
            self._lookup.unsaid = False
            await self._give()
        if not d.messages and not await self._bell.wait(self._patience()):
            await self._idle()
        if d.messages:
            msg = d.messages.popleft()
            d.octets -= len(msg.data)
            data = self.end.open(msg.subject, msg.data)
            if data is not None:
                await self._take(data, msg.reply)

    def _patience(self) -> float:
        """Return how many seconds to wait for a message before calling _idle."""
        if self._unconfirmed():
            return _REPORT
        return self._direct.look - (time.monotonic() - self._direct.heard)

    async def _idle(self) -> None:
        """Handle that nothing has arrived for the time of _patience."""
        if self._unconfirmed():
            return await self._confirm()
        self._direct.heard = time.monotonic()
        self._direct.look = min(2 * self._direct.look, _LAST_LOOK)
        await self._get()

    async def _take(self, data: bytes, reply: str) -> None:
        """Handle a message from the writer.

        Only what is new shows where the writer receives credits: anybody can repeat its messages,
        with another reply subject.
        """
        d = self._direct
        d.heard, d.look, d.ahead = time.monotonic(), _FIRST_LOOK, None
        hinted = wire.parse_hint(data)
        number = wire.frame_number(data) if hinted is None else hinted
        last = self._decoder.number
        if 0 < number <= last:
            await self._give()  # the writer does not know what was consumed
        elif hinted is not None:
            d.kept, d.reply = max(d.kept, number), reply
        elif number > last + 1 and last < d.kept:
            d.ahead = (data, reply)
        else:
            d.reply = reply
            await self._decode(data)

    async def _decode(self, frame: bytes) -> None:
        try:
            records = self._decoder.frame(frame)
        except wire.WireError as e:
            return await self._unexpected(e)
        if records is not None:
            self._fresh = records
            self._size = len(frame)

    async def _unexpected(self, error: wire.WireError) -> None:
        """Handle a frame that the decoder rejects.

        A gap may come from a frame that was sent to a dead connection: the writer sends again what
        it holds, and the rest is in the stream. A gap that remains is a loss.
        """
        missing = self._decoder.number + 1
        # On a sealed edge, anybody can send so much that messages of the writer are dropped.
        flooded = self._direct.flooded and self.end.seal is not None
        if error.reason != "gap" or (self._gap == missing and not flooded):
            raise ProtocolError(str(error)) from error
        self._gap = missing
        await self._detach()
        await self._forget()
        self._lookup.place = 1

    # Stored frames.

    async def _get(self) -> None:
        """Request the next frames."""
        look = self._lookup
        if look.subscription is None:
            look.inbox = self._link.inbox()
            look.messages.clear()
            look.subscription = await self._link.subscribe(
                look.inbox + "*.*",
                self._heard_stored,
                messages=2 * _AHEAD,
                octets=2 * _AHEAD * self._link.max_payload,
            )
        look.round += 1
        look.next, look.open, look.most, look.got = self._decoder.number + 1, 0, 1, 0
        look.end, look.ahead = False, {}
        await self._get_more()

    async def _get_more(self) -> None:
        """Request as many frames as may be in flight."""
        look = self._lookup
        while not look.end and look.open + len(look.ahead) < look.most:
            subject, question = self._link.api(f"DIRECT.GET.{self._address.stream}"), b""
            if self._address.slots:
                subject += "." + self._address.slot(look.next) + self.end.peer
            else:
                body = {"seq": look.place, "next_by_subj": self._address.subject}
                question = json.dumps(body).encode()
            await self._link.publish(subject, question, reply=f"{look.inbox}{look.round}.{look.next}")
            look.open += 1
            look.next += 1

    async def _forget(self) -> None:
        """Drop all requests and their results."""
        look = self._lookup
        subscription, look.subscription = look.subscription, None
        look.open, look.ahead = 0, {}
        look.messages.clear()
        await self._link.unsubscribe(subscription)

    def _heard_stored(self, msg: Msg) -> None:
        look = self._lookup
        if msg.subject.startswith(look.inbox) and len(look.messages) < 2 * _AHEAD:
            look.messages.append(msg)
            self._bell.ring()

    async def _stored(self) -> None:
        """Wait for the next stored frame."""
        look = self._lookup
        due = self._decoder.number + 1
        if due in look.ahead:
            return await self._found(look.ahead.pop(due))
        if not look.open:
            look.ahead = {}  # later frames are of no use without this one
            return await self._complete()
        if not look.messages:
            deadline = time.monotonic() + _STORED_ANSWER
            while not look.messages and self._epoch == self._link.epoch and not self._link.closed:
                if not await self._bell.wait(deadline - time.monotonic()):
                    await self._forget()
                    await self._link.check_stream(self._address.stream)
                    return await self._get()
        if look.messages:
            await self._answer(look.messages.popleft())

    async def _answer(self, msg: Msg) -> None:
        """Handle the answer to one request."""
        look = self._lookup
        asked, _, token = msg.subject[len(look.inbox) :].partition(".")
        if asked != str(look.round):
            return  # to an abandoned request
        look.open -= 1
        if token == _WHO:
            # If it is not known who writes, nothing is stored as far as this reader can see.
            return await (self._get() if self.end.told(msg.data) else self._missing())
        number = int(token)
        headers = msg.headers or {}
        code = status(msg)
        if code == "404":
            return await self._missing()
        if code == "503":
            return await self._absent()
        if code or "Nats-Sequence" not in headers:
            raise ProtocolError(
                f"cannot read stored frames from the broker (status {code or 'none'} "
                f"{headers.get('Description', '')})"
            )
        if not self._address.slots:
            look.place = int(headers["Nats-Sequence"]) + 1
            return await self._found(msg.data)
        data = self.end.open_stored(msg, self._address.slot(number))
        if data is None and not self.end.known and self.end.who is not None:
            return await self._ask_who()
        if not data or 0 < wire.frame_number(data) < number:
            return await self._missing()  # the slot is cleared, or still holds an older frame
        if number != self._decoder.number + 1:
            look.ahead[number] = data
            return
        await self._found(data)

    async def _ask_who(self) -> None:
        """Ask which executor writes: somebody else has stored a message in a slot."""
        look = self._lookup
        look.open += 1
        subject = ASK_EXECUTOR + self.end.own
        reply = f"{look.inbox}{look.round}.{_WHO}"
        await self._link.publish(subject, self.end.who or b"", reply=reply)

    async def _found(self, frame: bytes) -> None:
        """Handle a stored frame whose turn it is."""
        look = self._lookup
        look.got += 1
        look.unsaid = True
        # In a flow's own stream the next request is for what follows this answer.
        look.most = min(2 * look.most, _AHEAD) if self._address.slots else 1
        await self._decode(frame)
        if look.subscription is None:
            return  # a gap
        look.end = look.end or wire.ends(frame)
        await self._get_more()

    async def _missing(self) -> None:
        """Handle a frame that is not stored: later ones are not stored either."""
        self._lookup.end = True
        if not self._lookup.busy:
            await self._complete()

    async def _absent(self) -> None:
        """Handle a stream that does not respond: it no longer exists, or is not yet back."""
        self._lookup.open, self._lookup.ahead = 0, {}
        await self._link.check_stream(self._address.stream)
        await self._bell.wait(FIRST_PAUSE)
        await self._get()

    async def _complete(self) -> None:
        """End a round. If it lacks a frame that the writer has stored, the frame was lost."""
        missing = self._decoder.number + 1
        if not self._lookup.got and missing <= self._direct.kept:
            await self._unexpected(wire.WireError("gap", missing, "the broker lost it"))

    # The end.

    async def close(self) -> None:
        """Tell the writer that no more records are needed; return when the broker has stored that.

        Raises Gone or LinkClosed. Does nothing at the end of the edge.
        """
        if self._over is not None:
            return
        credit = self._consumed(closed=True)
        try:
            await self._tell(credit)
        finally:
            await self._end(EdgeClosed("the input was closed"))

    async def _tell(self, credit: wire.Credit) -> None:
        pause = 0.0
        while True:
            try:
                subject, data = self._packed(credit)
                await self._link.ask(subject, data, headers=self._rollup(), timeout=LAST_PAUSE)
                return
            except BrokerError as e:
                if e.err_code == STREAM_NOT_FOUND:
                    raise Gone(f"the stream {self._address.stream} no longer exists") from e
                if e.lasting:
                    raise ProtocolError(f"edge {self._address.subject}: {e}") from e
            except NoAnswer:
                await self._link.check_stream(self._address.stream)
            pause = longer(pause)
            await self._bell.wait(pause)

    async def abort(self) -> None:
        """Release the reader without notifying the writer. Does nothing after the end."""
        if self._over is None:
            await self._end(EdgeClosed("the input was abandoned"))
