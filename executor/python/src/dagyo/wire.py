"""Frames, credits and hints: the binary format of an edge (docs/protocol.md, "Frames"). No I/O.

An ``Encoder`` packs records into frames, a ``Decoder`` unpacks them. Both work on lists of records,
so that the interpreter's C code does most of the work per record.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, chain
from typing import NamedTuple, NoReturn

VERSION = 1
FLAG_END = 1
FLAG_STORED = 2
FLAG_CLOSED = 1

HEADER_SIZE = 10
TRAILER_SIZE = 20
CREDIT_SIZE = 34

#: The maximum size of a record, in bytes, that a decoder accepts by default: 1 GiB.
DEFAULT_MAX_RECORD = 1 << 30

_HEADER = struct.Struct(">BBQ")
_TRAILER = struct.Struct(">QQI")
_CREDIT = struct.Struct(">BBQQQQ")
_MAX_UINT64 = (1 << 64) - 1


def uvarint(value: int) -> bytes:
    """Return a non-negative value as LEB128: groups of seven bits, the lowest first."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _uvarint_size(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)


# Records below this many bytes take the fast path: the headers of their chunks are precomputed.
_SHORT = 8192
_HEADS = [uvarint(length << 1) for length in range(_SHORT)]
_COSTS = [length + len(head) for length, head in enumerate(_HEADS)]

# The number of records that the encoder handles together.
_SLICE = 1024


class WireError(Exception):
    """A frame, credit or hint that violates the protocol.

    ``reason`` is one of the names in docs/protocol.md, ``frame`` the number of the faulty frame (0
    if unknown), ``records`` the records of the frame before the fault.
    """

    def __init__(self, reason: str, frame: int, message: str) -> None:
        super().__init__(f"frame {frame}: {message}" if frame else message)
        self.reason = reason
        self.frame = frame
        self.message = message
        self.records: list[bytes] = []


class Credit(NamedTuple):
    """What a reader has consumed since the edge began."""

    frame: int = 0
    records: int = 0
    octets: int = 0
    attach: int = 0
    closed: bool = False

    def pack(self) -> bytes:
        """Return the credit's 34 bytes."""
        flags = FLAG_CLOSED if self.closed else 0
        return _CREDIT.pack(VERSION, flags, self.frame, self.records, self.octets, self.attach)


def parse_credit(data: bytes) -> Credit:
    """Return the credit in data; raise WireError if it is malformed."""
    if len(data) != CREDIT_SIZE:
        reason = "short" if len(data) < CREDIT_SIZE else "trailing"
        raise WireError(reason, 0, f"a credit has {CREDIT_SIZE} bytes, not {len(data)}")
    version, flags, frame, records, octets, attach = _CREDIT.unpack(data)
    if version != VERSION:
        raise WireError("version", 0, f"a credit of version {version}, not {VERSION}")
    if flags & ~FLAG_CLOSED:
        raise WireError("flags", 0, f"a credit with unknown flags {flags:#x}")
    return Credit(frame, records, octets, attach, bool(flags & FLAG_CLOSED))


def hint(number: int) -> bytes:
    """Return a hint that the frames up to number are in the stream."""
    return _HEADER.pack(VERSION, FLAG_STORED, number)


def parse_hint(data: bytes) -> int | None:
    """Return the number in a hint, or None if data is not a hint."""
    if len(data) != HEADER_SIZE or data[0] != VERSION or data[1] != FLAG_STORED:
        return None
    return int.from_bytes(data[2:], "big")


#: The maximum number of milliseconds in a beat: nanoseconds must fit into 64 bits.
MAX_BEAT = (2**63 - 1) // 1_000_000

_BEAT = re.compile(rb"\+?([1-9][0-9]{0,12})")


def beat(seconds: float) -> bytes:
    """Return a heartbeat: the job counts as alive for this long after it is received."""
    return b"+%d" % min(max(math.ceil(round(seconds * 1000, 6)), 1), MAX_BEAT)


def parse_beat(data: bytes) -> float | None:
    """Return for how many seconds a beat is good; None for the older form, a time."""
    found = _BEAT.fullmatch(data)
    if found is None or int(found[1]) > MAX_BEAT:
        raise WireError("beat", 0, f"{data!r} is not a beat such as +10000")
    return int(found[1]) / 1000 if data.startswith(b"+") else None


def frame_number(data: bytes) -> int:
    """Return the number in the header of a frame, 0 if it has none."""
    return int.from_bytes(data[2:HEADER_SIZE], "big") if len(data) >= HEADER_SIZE else 0


def ends(frame: bytes) -> bool:
    """Report whether one of our own frames has END."""
    return bool(frame[1] & FLAG_END)


class Encoder:
    """Packs records into frames, numbered from 1.

    A frame grows until it is taken. It is ready when it has ``target`` bytes, or when the next
    record does not fit; it is never longer than ``limit`` bytes. Only records that do not fit into
    one frame are split.
    """

    def __init__(self, target: int, limit: int) -> None:
        self._target = max(target, HEADER_SIZE + 1)
        self._limit = max(limit, self._target + 64)
        self._number = 0
        self._octets = 0
        self._records = 0
        self._crc = 0
        self._open = False
        self._begin()

    def _begin(self) -> None:
        self._parts: list[bytes | memoryview] = []
        #: The length of the growing frame in bytes, without a trailer.
        self.size = HEADER_SIZE
        self._filled = False

    @property
    def empty(self) -> bool:
        """Whether the frame has no chunk yet."""
        return not self._parts

    @property
    def ready(self) -> bool:
        """Whether the frame should grow no further and be taken."""
        return self._filled or self.size >= self._target

    @property
    def open(self) -> bool:
        """Whether a record was appended only in part."""
        return self._open

    def push(self, record: bytes) -> bool:
        """Append one short record if it fits into the frame; report whether it did."""
        length = len(record)
        if length >= _SHORT or self._filled or self.size >= self._target:
            return False
        size = self.size + _COSTS[length]
        if size > self._limit - TRAILER_SIZE:
            return False
        self._parts.append(_HEADS[length])
        self._parts.append(record)
        self.size = size
        self._records += 1
        self._octets += length
        return True

    def extend(self, records: Sequence[bytes], start: int) -> int:
        """Append complete records, starting at index start, until the frame is full.

        Return the index of the first record that was not taken. If there is one and the frame is
        not ready, the record must be split; see append.
        """
        while start < len(records) and not self.ready:
            taken = self._extend(records[start : start + _SLICE])
            if taken == 0:
                if not self._append_whole(records[start]):
                    break
                taken = 1
            start += taken
        return start

    def _extend(self, part: Sequence[bytes]) -> int:
        """Append the first few records if they are short; return their number."""
        lengths = list(map(len, part))
        try:
            sizes = list(accumulate(map(_COSTS.__getitem__, lengths), initial=self.size))
        except IndexError:
            return 0
        room = bisect_right(sizes, self._limit - TRAILER_SIZE) - 1
        count = min(len(part), bisect_left(sizes, self._target), room)
        if count <= 0:
            return 0
        if count < len(part):
            part, lengths = part[:count], lengths[:count]
        heads = map(_HEADS.__getitem__, lengths)
        self._parts.extend(chain.from_iterable(zip(heads, part, strict=True)))
        self.size = sizes[count]
        self._records += count
        self._octets += sum(lengths)
        return count

    def _append_whole(self, record: bytes) -> bool:
        """Append a record of any length if it fits completely; report whether it did."""
        cost = _uvarint_size(len(record) << 1) + len(record)
        if cost <= self._limit - TRAILER_SIZE - self.size:
            self._chunk(record, more=False)
            return True
        if self._parts and cost <= self._limit - TRAILER_SIZE - HEADER_SIZE:
            self._filled = True
        return False

    def append(self, record: bytes, start: int) -> tuple[int, bool]:
        """Append bytes of one record, beginning at start, and split it at the end of the frame.

        Return where to continue, and whether the record is complete. If it is not, take the frame.
        """
        if self.ready:
            return start, False
        rest = len(record) - start
        room = self._limit - TRAILER_SIZE - self.size
        if _uvarint_size(rest << 1) + rest <= room:
            self._chunk(memoryview(record)[start:], more=False)
            return len(record), True
        length = room - _uvarint_size(room << 1)
        self._chunk(memoryview(record)[start : start + length], more=True)
        self._filled = True
        return start + length, False

    def _chunk(self, octets: bytes | memoryview, *, more: bool) -> None:
        head = uvarint(len(octets) << 1 | more)
        self._parts.append(head)
        self._parts.append(octets)
        self.size += len(head) + len(octets)
        self._octets += len(octets)
        self._records += not more
        self._open = more

    def take(self) -> bytes:
        """Seal the frame and return it; the next one begins."""
        return self._seal(0)

    def finish(self) -> bytes:
        """Seal the last frame: remaining chunks and the trailer. Raise ValueError inside a
        record."""
        if self._open:
            raise ValueError("an edge cannot end inside a record")
        frame = self._seal(FLAG_END)
        return frame + _TRAILER.pack(self._records, self._octets, self._crc)

    def _seal(self, flags: int) -> bytes:
        self._number += 1
        body = b"".join(self._parts)
        self._crc = zlib.crc32(body, self._crc)
        self._begin()
        return _HEADER.pack(VERSION, flags, self._number) + body


class Decoder:
    """Unpacks the frames of one edge into records, and checks numbers, totals and checksum.

    After an error other than ``gap``, every call raises that error again.
    """

    def __init__(self, max_record: int = DEFAULT_MAX_RECORD) -> None:
        self._limit = max_record
        self._pieces: list[bytes] = []
        self._held = 0
        self._crc = 0
        self._error: WireError | None = None
        #: The number of the last new frame, 0 before the first.
        self.number = 0
        #: Whether everything was read and the trailer is correct.
        self.ended = False
        #: The number of completed records so far, and the sum of their lengths.
        self.records = 0
        self.octets = 0

    def frame(self, data: bytes) -> list[bytes] | None:
        """Return the records that a frame completes, or None for a repeated frame.

        A frame after the next one raises WireError with reason ``gap`` and changes nothing. Memory
        grows only with received bytes, never by the value of a length.
        """
        if self._error is not None:
            raise self._error
        flags, number = self._header(data)
        if number <= self.number:
            return None
        if self.ended:
            self._fail("after-end", number, f"a new frame after the edge ended at {self.number}")
        if number != self.number + 1:
            raise WireError("gap", number, f"frame {self.number + 1} is missing")
        self.number = number
        return self._body(data, flags)

    def _header(self, data: bytes) -> tuple[int, int]:
        if len(data) < HEADER_SIZE:
            self._fail("short", 0, f"a frame of {len(data)} bytes has no complete header")
        version, flags, number = _HEADER.unpack_from(data)
        if version != VERSION:
            self._fail("version", number, f"version {version}, not {VERSION}")
        if flags & ~FLAG_END:
            self._fail("flags", number, f"unknown flags {flags:#x}")
        if number == 0:
            self._fail("number", 0, "frames are numbered from 1, this one has 0")
        return flags, number

    def _body(self, data: bytes, flags: int) -> list[bytes]:
        end = len(data)
        if flags & FLAG_END:
            end -= TRAILER_SIZE
            if end < HEADER_SIZE:
                self._fail("short", self.number, "END without a complete trailer")
        elif end == HEADER_SIZE:
            self._fail("empty", self.number, "neither a chunk nor END")
        self._crc = zlib.crc32(memoryview(data)[HEADER_SIZE:end], self._crc)
        records: list[bytes] = []
        try:
            self._chunks(data, end, records)
            self.records += len(records)
            self.octets += sum(map(len, records))
            if flags & FLAG_END:
                self._finish(data, end)
        except WireError as e:
            e.records = records
            raise
        return records

    def _chunks(self, data: bytes, end: int, records: list[bytes]) -> None:
        """Split the chunks of data up to end into records.

        This loop costs more than everything else that a reader does per record. It handles complete
        records with headers of one or two bytes; all others, and errors, go to _chunk.
        """
        at = HEADER_SIZE
        append, pieces = records.append, self._pieces
        if end - at > self._limit or pieces:
            at = self._carefully(data, at, end, records)
        last = end - 1  # not the beginning of a header of two bytes
        while at < end:
            low = data[at]
            if low < 0x80:
                start = at + 1
                stop = start + (low >> 1)
            elif at < last and 0 < (high := data[at + 1]) < 0x80:
                start = at + 2
                stop = start + (high << 6) + (low - 0x80 >> 1)
            else:
                at = self._chunk(data, at, end, records)
                continue
            if low & 1 or stop > end:
                at = self._chunk(data, at, end, records)
            else:
                append(data[start:stop])
                at = stop

    def _carefully(self, data: bytes, at: int, end: int, records: list[bytes]) -> int:
        """Read chunks one by one: to the end of an open record, or all that may be too long."""
        while at < end and (self._pieces or end - at > self._limit):
            at = self._chunk(data, at, end, records)
        return at

    def _chunk(self, data: bytes, at: int, end: int, records: list[bytes]) -> int:
        """Read one chunk of any kind; return where the next one begins."""
        head, at = self._uvarint(data, at, end)
        length, more = head >> 1, bool(head & 1)
        stop = at + length
        if stop > end:
            left = end - at
            self._fail("length", self.number, f"a chunk of {length} bytes where {left} are left")
        if more and not length:
            self._fail("no-progress", self.number, "an empty chunk has the flag more")
        if more and stop < end:
            self._fail("more", self.number, "a chunk with the flag more is not the last")
        if self._held + length > self._limit:
            self._fail("too-long", self.number, f"a record of more than {self._limit} bytes")
        self._pieces.append(data[at:stop])
        self._held += length
        if not more:
            records.append(b"".join(self._pieces))
            self._pieces, self._held = [], 0
        return stop

    def _uvarint(self, data: bytes, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            octet = data[at]
            at += 1
            value |= (octet & 0x7F) << shift
            if octet < 0x80:
                if value <= _MAX_UINT64 and (octet or not shift):
                    return value, at
                break
            shift += 7
        self._fail("varint", self.number, "a length is truncated, over-long or too large")

    def _finish(self, data: bytes, at: int) -> None:
        records, octets, crc = _TRAILER.unpack_from(data, at)
        if self._pieces:
            self._fail("cut", self.number, "the edge ends inside a record")
        if (records, octets) != (self.records, self.octets):
            self._fail(
                "totals",
                self.number,
                f"{records} records of {octets} bytes sent, {self.records} of {self.octets} received",
            )
        if crc != self._crc:
            self._fail("checksum", self.number, f"checksum {crc:08x} sent, {self._crc:08x} received")
        self.ended = True

    def _fail(self, reason: str, frame: int, message: str) -> NoReturn:
        self._pieces = []
        self._error = WireError(reason, frame, message)
        raise self._error
