"""The client of examples/client.py, which follows docs/clients.md, with `dagyo up`."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import jsonschema
import nats
import pytest

from .helpers import ROOT, run
from .up import Up

SCRIPT = ROOT / "executor/python/examples/client.py"
API = json.loads((ROOT / "schemas/generated/asyncapi.json").read_text())


def load() -> Any:
    spec = importlib.util.spec_from_file_location("dagyo_example_client", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


client = load()
numbers = count(1)


def holds(message: str, payload: Any) -> None:
    """Check a payload against the schema of a message in the AsyncAPI document."""
    schema = API | {"$ref": f"#/components/messages/{message}/payload"}
    jsonschema.Draft202012Validator(schema).validate(payload)


@pytest.fixture
async def c(up: Up) -> AsyncIterator[Any]:
    connection = await nats.connect(
        up.url, user_credentials=up.creds, inbox_prefix=f"_INBOX.person.{up.user}"
    )
    one = client.Client(connection, up.user)
    await one.start()
    yield one
    await connection.close()
    for events in one.events.values():
        for event in events:
            holds(event["type"], event)
    for letter in one.dead.values():
        holds("deadletter", letter)


def flow_id() -> str:
    return f"foreign-{next(numbers)}"


GREET = {
    "nodes": {"hello": {"progdef": "greet_py"}},
    "inputs": {"names": "hello.name"},
    "outputs": {"greetings": "hello.greeting"},
}


async def start(c: Any, document: Any) -> tuple[str, dict[str, Any]]:
    flow = flow_id()
    seq = await c.submit(flow, document)
    planned = await run(c.event(flow, "flow.planned", "flow.rejected", seq=seq))
    assert planned["type"] == "flow.planned", planned
    return flow, planned["data"]


async def read(c: Any, flow: str, address: Any) -> list[bytes]:
    return [record async for record in c.read(flow, address)]


async def ends(c: Any, flow: str) -> dict[str, Any]:
    verdict: dict[str, Any] = await run(c.event(flow, *client.VERDICTS))
    return verdict


@pytest.mark.parametrize(
    "names", [[], [b""], [b"Ada", b"", "Zo\u00eb".encode()], [b"x" * 300_000, b"y"]]
)
async def test_input_and_output(c: Any, names: list[bytes]) -> None:
    flow, planned = await start(c, GREET)
    writing = c.write(planned["inputs"]["names"], names)
    _, greetings = await run(asyncio.gather(writing, read(c, flow, planned["outputs"]["greetings"])))
    assert greetings == [b"hello " + name for name in names]
    assert (await ends(c, flow))["type"] == "flow.completed"
    await run(c.release(flow))


async def test_more_frames_than_the_window(c: Any) -> None:
    """One frame per record: the writer must wait for credits, and reuses its slots."""
    flow, planned = await start(c, GREET)
    address = planned["inputs"]["names"]
    frames = address["frames"] + 500
    writer = client.Writer(c, address)
    packer = client.Packer(1 << 16)

    async def write() -> None:
        await writer.start()
        for n in range(frames):
            packer.add(b"%d" % n)
            await writer.store(packer.take())
        await writer.store(packer.end())
        await writer.stop()

    _, greetings = await run(asyncio.gather(write(), read(c, flow, planned["outputs"]["greetings"])))
    assert greetings == [b"hello %d" % n for n in range(frames)]
    assert (await ends(c, flow))["type"] == "flow.completed"
    await run(c.release(flow))


async def test_input_closed_early(c: Any) -> None:
    document = {"nodes": {"h": {"progdef": "head"}}, "inputs": {"i": "h.in"}, "outputs": {"o": "h.out"}}
    flow, planned = await start(c, document)
    endless = (b"%d" % n for n in count())
    _, out = await run(
        asyncio.gather(c.write(planned["inputs"]["i"], endless), read(c, flow, planned["outputs"]["o"]))
    )
    assert out == [b"0"]
    assert (await ends(c, flow))["type"] == "flow.completed"


async def test_early_release_loses_nothing(c: Any) -> None:
    document = {
        "nodes": {"hello": {"progdef": "greet_py", "with": {"name": ["Ada"]}}},
        "outputs": {"greetings": "hello.greeting"},
    }
    flow, planned = await start(c, document)
    await c.nc.publish(c.ours(f"release.{flow}"))
    await ends(c, flow)
    await c.nc.publish(c.ours(f"release.{flow}"))
    await c.nc.flush()
    assert await run(read(c, flow, planned["outputs"]["greetings"])) == [b"hello Ada"]
    await run(c.event(flow, "flow.cleaned"))


async def test_failed_flow_keeps_written_records(c: Any) -> None:
    document = {
        "nodes": {"t": {"progdef": "tee"}, "f": {"progdef": "fail"}},
        "edges": [{"from": "t.a", "to": "f.in"}],
        "inputs": {"i": "t.in"},
        "outputs": {"o": "t.b"},
    }
    flow, planned = await start(c, document)
    writing = asyncio.create_task(c.write(planned["inputs"]["i"], [b"good", b"bad"]))
    verdict = await ends(c, flow)
    assert verdict["type"] == "flow.panic"
    assert "cannot take 'bad'" in verdict["data"]["cause"]["message"]
    out = await run(read(c, flow, planned["outputs"]["o"]))
    assert out in ([], [b"good"], [b"good", b"bad"])
    await run(c.release(flow))
    writing.cancel()
    await asyncio.wait({writing})


async def test_cancel(c: Any) -> None:
    flow, _ = await start(c, GREET)
    await c.cancel(flow, "changed my mind")
    verdict = await ends(c, flow)
    assert (verdict["type"], verdict["data"]["reason"]) == ("flow.cancelled", "changed my mind")


async def test_bad_submissions(c: Any) -> None:
    flow = flow_id()
    seq = await c.submit(flow, {"nodes": {"x": {"progdef": "no-such-progdef"}}})
    rejected = await run(c.event(flow, "flow.rejected", seq=seq))
    assert rejected["data"]["problems"][0]["code"] == "unknown-progdef"
    assert str(rejected["cause"]) == str(seq)
    c.events["none"] = []
    for headers in (
        {},
        {"ce-specversion": "1.0", "ce-type": "flow.submit", "ce-source": "/x", "ce-id": "a b"},
    ):
        ack = await c.request(c.ours("flow.submit"), b"{}", headers or None)
        letter = await run(c.event("none", seq=ack["seq"]))
        assert letter["data"]["sequence"] == ack["seq"]
        assert letter["data"]["problems"]


async def test_questions(c: Any, up: Up) -> None:
    flow, _ = await start(c, GREET)
    validated = await c.ask("ask.flow.validate", json.dumps(GREET).encode())
    assert validated["type"] == "flow.validated"
    asked = {
        "ask.flow.get": flow.encode(),
        "ask.flow.list": b'{"live": true, "limit": 10}',
        "ask.flow.validate": json.dumps(GREET).encode(),
        "ask.catalog.list": b"",
        "ask.catalog.get": b"greet_py",
        "ask.catalog.check": json.dumps({"documents": [{"type": {"name": "word"}}]}).encode(),
        "ask.catalog.compatible": b'{"progdef": "greet_py", "port": "name"}',
        "ask.catalog.types": b"",
        "ask.executors": b"greet_py",
        "ask.flow.keys": flow.encode(),
        "ask.job.executor": f"{flow}.hello".encode(),
        "ask.usage": b"",
        "ask.webhook.list": b"",
    }
    documented = {
        m.removesuffix(".answer") for m in API["components"]["messages"] if m.endswith(".answer")
    }
    assert documented == set(asked)
    for subject, body in asked.items():
        answer = await run(c.ask(subject, body))
        assert answer or subject == "ask.webhook.list"  # there is none
        holds(f"{subject}.answer", answer)
    holds("ask.catalog.types.answer", await c.ask("ask.catalog.types", b"json"))
    holds("ask.flow.list.question", {"live": True, "limit": 10})
    with pytest.raises(client.Refused, match="404: flow not found"):
        await c.ask("ask.flow.get", b"unknown")
    await c.cancel(flow, "")
    await ends(c, flow)


async def test_large_submission_travels_by_reference(c: Any) -> None:
    c.largest = 1000
    names = [f"{n} " + "x" * 100 for n in range(1000)]
    document = {
        "nodes": {"hello": {"progdef": "greet_py", "with": {"name": names}}},
        "outputs": {"greetings": "hello.greeting"},
    }
    flow, planned = await start(c, document)
    out = await run(read(c, flow, planned["outputs"]["greetings"]))
    assert out == [b"hello " + n.encode() for n in names]
    await run(c.release(flow))


def test_program(up: Up, tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(GREET))
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(path)], input="Ada\nBob\n", capture_output=True, text=True,
        check=False, env={
            "DAGYO_QUEUE": up.url, "DAGYO_CREDS": up.creds, "DAGYO_USER": up.user,
            "PATH": "/usr/bin:/bin",
        },
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "hello Ada\nhello Bob\n"), done.stderr


def test_every_event_may_travel_by_reference() -> None:
    example = json.loads((ROOT / "schemas/examples/flow.planned.json").read_text())
    data = example.pop("data")
    with pytest.raises(jsonschema.ValidationError):
        holds("flow.planned", example)
    holds("flow.planned", example | {"dataref": "nats-object://data/x"})
    holds("flow.planned", example | {"data": data})
