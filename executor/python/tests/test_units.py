"""Tests without a broker: types, progdefs, the environment, jobs, events."""

from __future__ import annotations

import json
from typing import Any

import pytest

import dagyo
from dagyo import Bytes, Err, Json, Ok, Result, String, UsageError
from dagyo.config import from_environment
from dagyo.errors import BrokerError
from dagyo.events import DETAIL_LIMIT, Event, clip
from dagyo.job import Job, parse_duration, parse_job, valid_name
from dagyo.types import Type, Undecodable, matches, normal, parse_typename

from .helpers import ROOT
from .office import _validator

VALUES: list[tuple[Type[Any], Any, bytes]] = [
    (String, "Bøb", "Bøb".encode()),
    (String, "", b""),
    (Bytes, b"\xff\0", b"\xff\0"),
    (Json, {"a": [1, None, "ø"]}, '{"a":[1,null,"ø"]}'.encode()),
    (Result[String], Ok("x"), b"\0x"),
    (Result[String], Err("ø"), "\1ø".encode()),
    (Result[Result[Json]], Ok(Ok(1)), b"\0\x001"),
    (dagyo.Octets("png-image"), b"png", b"png"),
]


@pytest.mark.parametrize(("type_", "value", "octets"), VALUES)
def test_values(type_: Type[Any], value: Any, octets: bytes) -> None:
    assert type_.encode(value) == octets
    assert type_.decode(octets) == value
    assert type_.encode_batch([value] * 3) == [octets] * 3
    assert type_.decode_batch([octets] * 3) == [value] * 3


@pytest.mark.parametrize(
    ("type_", "record", "message"),
    [
        (String, b"\xff", "the record is not utf8-string: "),
        (Json, b"{", "the record is not json: "),
        (Json, b"NaN", "NaN is not JSON"),
        (Json, "1".encode("utf-16"), "the record is not json: "),
        (Result[String], b"", "its tag is missing, not 00 or 01"),
        (Result[String], b"\2x", "its tag is 02, not 00 or 01"),
        (Result[String], b"\1\xff", "the record is not Result<utf8-string>"),
        (Result[String], b"\0\xff", "the record is not Result<utf8-string>"),
    ],
)
def test_invalid_records(type_: Type[Any], record: bytes, message: str) -> None:
    good = type_.encode(Ok("x") if type_.name.startswith("Result") else "x")
    with pytest.raises(Undecodable) as caught:
        type_.decode_batch([good, record, good])
    assert caught.value.index == 1
    assert len(caught.value.values) == 1
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("type_", "value"),
    [(String, 5), (String, b"x"), (Bytes, "x"), (Bytes, 5), (Json, {1, 2}), (Result[String], "x")],
)
def test_invalid_values(type_: Type[Any], value: Any) -> None:
    with pytest.raises(TypeError):
        type_.encode(value)
    with pytest.raises(TypeError):
        type_.encode_batch([value])


def test_invalid_text() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        String.encode_batch(["\ud800"])


def test_octets_are_copied() -> None:
    mine = bytearray(b"abc")
    given: list[Any] = [mine, memoryview(mine)]
    sent = Bytes.encode_batch(given)
    mine[0] = 0
    assert sent == [b"abc", b"abc"]


@pytest.mark.parametrize("text", ["a", "list<T>", "map<a,list<b>>"])
def test_typenames(text: str) -> None:
    assert str(parse_typename(text)) == text
    assert normal(f" {text.replace(',', ' , ')} ") == text


@pytest.mark.parametrize("text", ["", "<", "a<", "a<b", "a<>", "a>", "a<b>>", "a b", "a<b,>", "a<b c>"])
def test_invalid_typenames(text: str) -> None:
    with pytest.raises(ValueError, match="is not a typename"):
        parse_typename(text)


@pytest.mark.parametrize(
    ("pattern", "actual", "bound"),
    [
        ("T", "list<a>", {"T": "list<a>"}),
        ("map<K,V>", "map<a,list<b>>", {"K": "a", "V": "list<b>"}),
        ("pair<T,T>", "pair<a,a>", {"T": "a"}),
        ("pair<T,T>", "pair<a,b>", None),
        ("list<T>", "a", None),
        ("a", "b", None),
    ],
)
def test_matching(pattern: str, actual: str, bound: dict[str, str] | None) -> None:
    found: dict[str, Any] = {}
    fits = matches(parse_typename(pattern), parse_typename(actual), found)
    assert fits == (bound is not None)
    if bound is not None:
        assert {k: str(v) for k, v in found.items()} == bound


# Progdefs.


def test_parameters_of_ports() -> None:
    @dagyo.progdef(
        name="odd", inputs={"in": "T", "a-b": String, "x": Json}, outputs={"x": Json, "2": "png"}
    )
    async def odd(in_: Any, a_b: Any, x_in: Any, x_out: Any, _2: Any) -> None:
        """Do what is odd."""

    assert odd.document(["python3", "odd.py"]) == {
        "name": "odd",
        "description": "Do what is odd.",
        "typeParams": ["T"],
        "inputs": {"in": "T", "a-b": "utf8-string", "x": "json"},
        "outputs": {"x": "json", "2": "png"},
        "command": ["python3", "odd.py"],
    }
    _validator("progdef").validate(odd.document(["python3", "odd.py"]))


async def _nothing() -> None:
    pass


async def _extra(a: Any, more: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("ports", "function", "message"),
    [
        ({"inputs": {"a": String}}, _nothing, r"parameters are \(\), its ports require \(a\)"),
        ({"inputs": {"a": String}}, _extra, r"parameters are \(a, more\), its ports require \(a\)"),
        ({"inputs": {"A": String}}, _nothing, "port 'A' is not a name"),
        ({"inputs": {"a": "x<"}}, _nothing, "port a: 'x<' is not a typename"),
        ({"name": "No Name"}, _nothing, "progdef No Name: this is not a name"),
        ({"inputs": {"a-b": String, "a_b": String}}, _nothing, "two ports need the same"),
        ({"inputs": {"stop": String}}, _nothing, "every node has an input stop and an output panic"),
        ({"outputs": {"panic": String}}, _nothing, "every node has an input stop and an output panic"),
    ],
)
def test_invalid_progdefs(ports: dict[str, Any], function: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dagyo.progdef(**ports)(function)


def example() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "schemas/examples/job.json").read_text())
    return document


def job(**changes: Any) -> Job:
    return parse_job(json.dumps(example() | changes).encode())


def test_a_job() -> None:
    j = job()
    assert j.inputs["name"].window == 8388608
    assert (j.health_interval, j.health_timeout) == (2.0, 10.0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Expecting value"),
        (b"[]", "does not match schemas/job.json"),
        (b"{}", "lacks 'flow'"),
        (json.dumps(example() | {"flow": "a.b"}).encode(), "flow 'a.b' is not a name"),
        (json.dumps(example() | {"inputs": {"x": {}}}).encode(), "lacks 'stream'"),
        (json.dumps(example() | {"healthTimeout": "soon"}).encode(), "'soon' is not a duration"),
    ],
)
def test_malformed_jobs(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_job(data)


def test_a_job_of_another_progdef() -> None:
    @dagyo.progdef(inputs={"name": Bytes, "more": String})
    async def greet(name: Any, more: Any) -> None:
        pass

    with pytest.raises(UsageError) as caught:
        greet.check(job())
    assert str(caught.value) == (
        "progdef greet does not match its program greet: input name carries utf8-string, the program "
        "expects octets; the progdef has no input more, which the program declares; the progdef has "
        "output greeting, which the program does not declare"
    )


def test_stop_is_not_a_port_of_the_program() -> None:
    @dagyo.progdef(inputs={"name": String}, outputs={"greeting": String})
    async def greet(name: Any, greeting: Any) -> None:
        pass

    inputs = example()["inputs"]
    greet.check(job(inputs=inputs | {"stop": inputs["name"]}))


# The environment.

GOOD = {"DAGYO_QUEUE": "nats://a,nats://b", "DAGYO_JOBS": "greet.3f9a", "DAGYO_EXECUTOR": "greet-1"}


def test_defaults() -> None:
    c = from_environment(GOOD)
    assert (c.progdef, c.revision, c.executor) == ("greet", "3f9a", "greet-1")
    assert (c.slots, c.grace, c.access.creds, c.stop_grace) == (1, 24 * 3600, None, 10)
    made_up = from_environment(GOOD | {"DAGYO_EXECUTOR": ""})
    assert valid_name(made_up.executor)


def test_all_errors_are_reported() -> None:
    with pytest.raises(UsageError) as caught:
        from_environment({"DAGYO_JOBS": "greet", "DAGYO_EXECUTOR": "x 1", "DAGYO_SLOTS": "no"})
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == [
        "DAGYO_QUEUE", "DAGYO_JOBS", "DAGYO_EXECUTOR", "DAGYO_SLOTS",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("24h", 86400), ("1m30s", 90), ("1.5s", 1.5), ("250ms", 0.25), ("24h0m0s", 86400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "1h x", "-1s", "1h2"])
def test_invalid_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a_b", "a" * 63])
def test_names(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a.b", "a" * 64, "a\n", "ø"])
def test_invalid_names(name: str) -> None:
    assert not valid_name(name)


# Events.


def test_an_event() -> None:
    event = Event("job.done", "x-1", "f", "job.done.f.j", {"job": "j", "executor": "x-1"})
    made = json.loads(event.encode())
    assert made.pop("time").endswith("Z")
    assert made == {
        "specversion": "1.0", "id": "job.done.f.j", "type": "job.done",
        "source": "/dagyo/executor/x-1", "subject": "f", "datacontenttype": "application/json",
        "data": {"job": "j", "executor": "x-1"},
    }  # fmt: skip
    assert event.subject == "job.done.f.j.by.x-1"
    assert event.headers("job.done.f.j.by.*") == {
        "content-type": "application/cloudevents+json",
        "Nats-Expected-Last-Subject-Sequence": "0",
        "Nats-Expected-Last-Subject-Sequence-Subject": "job.done.f.j.by.*",
    }
    assert event.headers(None) == {"content-type": "application/cloudevents+json"}


@pytest.mark.parametrize(
    ("code", "number", "lasting"),
    [(400, 10071, True), (404, 10059, True), (408, 0, False), (429, 10167, False),
     (503, 10077, False), (400, 10002, False)],
)  # fmt: skip
def test_lasting_errors(code: int, number: int, lasting: bool) -> None:
    assert BrokerError(code, number, "").lasting is lasting


@pytest.mark.parametrize("text", ["x" * 9000, "ø" * 9000, "…ø" * 5000])
def test_long_texts_keep_their_end(text: str) -> None:
    clipped = clip(text)
    assert len(clipped.encode()) <= DETAIL_LIMIT
    assert clipped.startswith("… ")
    assert text.endswith(clipped[2:])
    assert clip("short") == "short"
