"""Frames, credits and hints: the golden vectors, and further properties."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from dagyo import wire
from dagyo.events import sent_by
from dagyo.seal import SEAL_SIZE, Seal

VECTORS = Path(__file__).parents[3] / "schemas" / "wire"


def vectors(name: str) -> list[Any]:
    loaded = json.loads((VECTORS / name).read_text())
    assert isinstance(loaded, list)
    return [pytest.param(v, id=v["name"]) for v in loaded]


@pytest.mark.parametrize("v", vectors("frames.json"))
def test_frame_vectors(v: dict[str, Any]) -> None:
    decoder = wire.Decoder(v.get("maxRecord", wire.DEFAULT_MAX_RECORD))
    records: list[bytes] = []
    repeats: list[int] = []
    reason = None
    for i, frame in enumerate(v["frames"]):
        try:
            got = decoder.frame(bytes.fromhex(frame))
        except wire.WireError as e:
            records += e.records
            reason = e.reason
            assert i == len(v["frames"]) - 1
            break
        if got is None:
            repeats.append(i)
        else:
            records += got
    assert reason == v.get("error")
    assert [r.hex() for r in records] == v["records"]
    assert repeats == v.get("repeats", [])
    assert (reason is None and decoder.ended) == v["ended"]


WRITABLE = ("no-records", "two-records", "empty-records", "varint-two", "varint-three")


@pytest.mark.parametrize("v", [p for p in vectors("frames.json") if p.id in WRITABLE])
def test_encoder_writes_vectors(v: dict[str, Any]) -> None:
    records = [bytes.fromhex(r) for r in v["records"]]
    for by_one in (False, True):
        encoder = wire.Encoder(1 << 16, 1 << 17)
        if by_one:
            assert all(encoder.push(r) or encoder.append(r, 0)[1] for r in records)
        else:
            assert encoder.extend(records, 0) == len(records)
        assert encoder.finish().hex() == v["frames"][0]


@pytest.mark.parametrize("v", vectors("credits.json"))
def test_credit_vectors(v: dict[str, Any]) -> None:
    data = bytes.fromhex(v["credit"])
    if "error" in v:
        with pytest.raises(wire.WireError) as caught:
            wire.parse_credit(data)
        assert caught.value.reason == v["error"]
        return
    credit = wire.parse_credit(data)
    figures = [int(v[k]) for k in ("frame", "records", "octets", "attach")]
    assert credit == (*figures, v["closed"])
    assert credit.pack() == data


@pytest.mark.parametrize("v", vectors("senders.json"))
def test_sender_vectors(v: dict[str, Any]) -> None:
    assert sent_by(v["sender"], v["plain"], v.get("mailbox")) == v["subject"]


@pytest.mark.parametrize("v", vectors("hints.json"))
def test_hint_vectors(v: dict[str, Any]) -> None:
    data = bytes.fromhex(v["hint"])
    number = wire.parse_hint(data)
    assert number == (int(v["number"]) if "number" in v else None)
    if number is not None:
        assert wire.hint(number) == data


@pytest.mark.parametrize("v", vectors("beats.json"))
def test_beat_vectors(v: dict[str, Any]) -> None:
    data = bytes.fromhex(v["beat"])
    if "error" in v:
        with pytest.raises(wire.WireError) as e:
            wire.parse_beat(data)
        assert e.value.reason == v["error"]
        return
    seconds = wire.parse_beat(data)
    assert (seconds is None) == v.get("absolute", False)
    if seconds is not None:
        assert seconds == int(v["ms"]) / 1000
        assert wire.beat(seconds) == data


def test_beats_are_whole_milliseconds() -> None:
    made = [wire.beat(s) for s in (-1.0, 0.0, 1e-9, 0.001, 0.0011, 0.3, 2.3, 1e30)]
    assert made == [b"+1", b"+1", b"+1", b"+1", b"+2", b"+300", b"+2300", b"+9223372036854"]


def encode(records: list[bytes], encoder: wire.Encoder, rng: random.Random) -> list[bytes]:
    """Encode as a writer does, in batches of any size."""
    frames = []
    at = 0
    while at < len(records):
        batch = records[at : at + rng.randint(1, 50)]
        done = 0
        while done < len(batch):
            done = encoder.extend(batch, done)
            if done < len(batch) and not encoder.ready:
                cut, whole = 0, False
                while not whole:
                    cut, whole = encoder.append(batch[done], cut)
                    if not whole:
                        frames.append(encoder.take())
                done += 1
            elif encoder.ready:
                frames.append(encoder.take())
        at += len(batch)
        if not encoder.empty and rng.random() < 0.3:
            frames.append(encoder.take())
    return [*frames, encoder.finish()]


@pytest.mark.parametrize("seed", range(60))
def test_round_trip(seed: int) -> None:
    rng = random.Random(seed)
    limit = rng.choice([256, 300, 1000, 20_000, 1 << 17])
    encoder = wire.Encoder(limit // 2, limit)
    longest = rng.choice([3, 60, 300, 9000, 70_000])
    records = [rng.randbytes(rng.randint(0, longest)) for _ in range(rng.randint(0, 200))]
    frames = encode(records, encoder, rng)
    decoder = wire.Decoder()
    got: list[bytes] = []
    for frame in frames:
        assert len(frame) <= limit
        part = decoder.frame(frame)
        assert part is not None
        got += part
    assert got == records
    assert decoder.ended
    assert (decoder.records, decoder.octets) == (len(records), sum(map(len, records)))


def test_records_that_fit_are_not_split() -> None:
    encoder = wire.Encoder(1000, 2000)
    assert encoder.push(b"x" * 900)
    long = b"y" * 1500
    assert encoder.extend([long], 0) == 0
    assert encoder.ready
    first = encoder.take()
    assert encoder.extend([long], 0) == 1
    decoder = wire.Decoder()
    assert decoder.frame(first) == [b"x" * 900]
    assert decoder.frame(encoder.finish()) == [long]


def test_no_end_inside_a_record() -> None:
    encoder = wire.Encoder(300, 600)
    at, whole = encoder.append(b"z" * 5000, 0)
    assert not whole
    assert at < 600
    encoder.take()
    with pytest.raises(ValueError, match="inside a record"):
        encoder.finish()


def test_errors_stay_but_gaps_do_not() -> None:
    encoder = wire.Encoder(100, 200)
    frames = []
    for n in range(3):
        assert encoder.push(bytes([n]))
        frames.append(encoder.take())
    decoder = wire.Decoder()
    decoder.frame(frames[0])
    with pytest.raises(wire.WireError, match="frame 2 is missing"):
        decoder.frame(frames[2])
    assert decoder.frame(frames[1]) == [b"\1"]
    with pytest.raises(wire.WireError, match="no complete header"):
        decoder.frame(b"")
    with pytest.raises(wire.WireError, match="no complete header"):
        decoder.frame(frames[2])


@pytest.mark.parametrize("seed", range(200))
def test_arbitrary_bytes_are_rejected(seed: int) -> None:
    rng = random.Random(seed)
    encoder = wire.Encoder(200, 400)
    frames = encode([rng.randbytes(rng.randint(0, 90)) for _ in range(9)], encoder, rng)
    spoilt = bytearray(rng.choice(frames))
    spoilt[rng.randrange(len(spoilt))] ^= 1 << rng.randrange(8)
    decoder = wire.Decoder(1 << 20)
    for frame in [bytes(spoilt), *frames]:
        try:
            decoder.frame(frame)
        except wire.WireError as e:
            assert e.reason
            assert str(e)


@pytest.mark.parametrize("vector", vectors("sealed.json"))
def test_sealed_vectors(vector: dict[str, str]) -> None:
    seal, subject = Seal(bytes.fromhex(vector["key"])), vector["subject"]
    message = seal.open(subject, bytes.fromhex(vector["sealed"]))
    assert message == (bytes.fromhex(vector["message"]) if "message" in vector else None)
    if message is not None:
        sealed = seal.close(subject, message)
        assert len(sealed) == len(message) + SEAL_SIZE
        assert seal.open(subject, sealed) == message
        assert seal.close(subject, message) != sealed
