"""Flows in one call, with `dagyo up`."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import math
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import dagyo
from dagyo import Client, Err, FlowError, Ok, RecordError, RequestError, UsageError

from .gateway import COPIED, Gate, assertion, copy, drop, greet, numbers, opened
from .helpers import run as soon


async def cancelled(client: Client, flow: str, reason: str) -> None:
    """Wait until a flow has been cancelled for a reason."""
    with pytest.raises(FlowError) as e:
        await soon(client.wait(flow))
    assert e.value.verdict == "flow.cancelled"
    assert reason in (e.value.reason or "")


async def test_runs_a_flow_in_one_call(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    gate.found_by(monkeypatch)
    result = await soon(dagyo.run(greet, inputs={"names": ["Ada", "Bob"]}))
    assert result.outputs == {"greetings": ["hello Ada", "hello Bob"]}
    assert result.verdict == "flow.completed"


@pytest.mark.parametrize(("typename", "records"), COPIED)
async def test_records_of_all_types(client: Client, typename: str, records: list[Any]) -> None:
    result = await soon(client.run(copy(typename), inputs={"in": records}))
    assert result.outputs == {"a": records, "b": records}


async def test_empty_streams(client: Client) -> None:
    for typename in ("utf8-string", "json", "octets"):
        result = await soon(client.run(copy(typename), inputs={"in": []}))
        assert result.outputs == {"a": [], "b": []}


async def test_thousands_of_records(client: Client) -> None:
    names = [f"name {n}" for n in range(20_000)]
    result = await soon(client.run(greet, inputs={"names": names}))
    assert result.outputs["greetings"] == ["hello " + n for n in names]


async def test_numbers_keep_their_digits(client: Client) -> None:
    values = [2**53 + 1, -(2**64), 10**400, 0.1, 5e-324]
    result = await soon(client.run(copy("json"), inputs={"in": values}))
    assert result.outputs["a"] == values


@pytest.mark.parametrize(
    ("typename", "record", "message"),
    [
        ("json", math.nan, "not JSON compliant"),
        ("json", [math.inf], "not JSON compliant"),
        ("json", {1, 2}, "not JSON serializable"),
        ("json", "\ud800", "surrogates not allowed"),
        ("utf8-string", 5, "needs a str, not int"),
        ("utf8-string", b"Ada", "needs a str, not bytes"),
        ("utf8-string", "\udcff", "surrogates not allowed"),
        ("octets", "text", "needs bytes, not str"),
        ("Result<json>", 5, "needs dagyo.Ok or dagyo.Err"),
        ("list<json>", "ab", "needs a list, not str"),
    ],
)
async def test_wrong_records(client: Client, typename: str, record: Any, message: str) -> None:
    good = {"json": 1, "utf8-string": "a", "octets": b"a", "Result<json>": Ok(1), "list<json>": [1]}
    flow = f"wrong-{abs(hash((typename, message, repr(record))))}"
    with pytest.raises(RecordError, match=message) as e:
        await soon(client.run(copy(typename), id=flow, inputs={"in": [good[typename], record]}))
    assert (e.value.end, e.value.record) == ("input in", 1)
    await cancelled(client, flow, "record 1")


async def test_bytes_that_are_not_text(client: Client) -> None:
    """A program may write what is not UTF-8: the reader hears which record it is."""
    await client.publish_progdef(
        {
            "name": "latin",
            "command": ["dagyo", "exec", "--", "printf", r"good\n\377\n"],
            "outputs": {"out": "utf8-string"},
        }
    )
    flow = {"nodes": {"l": {"progdef": "latin"}}, "outputs": {"out": "l.out"}}
    with pytest.raises((RecordError, FlowError)) as e:
        await soon(client.run(flow))
    assert "record 1" in str(e.value)
    assert "UTF-8" in str(e.value)


async def test_kinds_of_sources(client: Client, tmp_path: Path) -> None:
    def plain() -> Any:
        yield "Ada"
        yield "Bob"

    async def asynchronous() -> AsyncIterator[str]:
        yield "Ada"
        yield "Bob"

    path = tmp_path / "names.txt"
    path.write_bytes(b"Ada\nBob\n")
    with path.open("rb") as file:
        sources: list[Any] = [
            plain(), asynchronous(), ("Ada", "Bob"), {"Ada": 1, "Bob": 2}.keys(), b"Ada\nBob\n",
            bytearray(b"Ada\nBob"), path, io.BytesIO(b"Ada\nBob\n"), file,
        ]  # fmt: skip
        for names in sources:
            result = await soon(client.run(greet, inputs={"names": names}))
            assert result.outputs["greetings"] == ["hello Ada", "hello Bob"]
    result = await soon(client.run(copy("octets"), inputs={"in": b"\x01\n\x02"}))
    assert result.outputs["a"] == [b"\x01\n\x02"]


@pytest.mark.parametrize("names", ["Ada", {"a": 1}, 5, None, io.StringIO("Ada")])
async def test_no_sources(client: Client, names: Any) -> None:
    with pytest.raises(UsageError, match=r"put a single record into a list|binary mode"):
        await soon(client.run(greet, inputs={"names": names}))


async def test_a_missing_file(client: Client, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await soon(client.run(greet, inputs={"names": tmp_path / "nothing"}))


async def test_sinks(client: Client) -> None:
    async def total(records: Any) -> int:
        return sum([n async for n in records])

    result = await soon(client.run(copy("json"), inputs={"in": [1, 2, 3]}, outputs={"a": total}))
    assert result.outputs == {"a": 6, "b": [1, 2, 3]}

    async def broken(records: Any) -> None:
        async for _ in records:
            raise ZeroDivisionError("the disk is full")

    with pytest.raises(ZeroDivisionError):
        await soon(client.run(numbers, id="broken-sink", outputs={"number": broken}))
    await cancelled(client, "broken-sink", "the disk is full")


async def test_an_input_that_is_closed_early(client: Client) -> None:
    flow = {
        "nodes": {"h": {"progdef": "head", "with": {"n": ["2"]}, "types": {"T": "json"}}},
        "inputs": {"in": "h.in"},
        "outputs": {"out": "h.out"},
    }
    ended = asyncio.Event()

    async def endless() -> AsyncIterator[int]:
        try:
            for n in itertools.count():
                yield n
        finally:
            ended.set()

    async def stuck() -> AsyncIterator[int]:
        yield 0
        yield 1
        await asyncio.Event().wait()

    for source in (endless(), itertools.count(), stuck()):
        result = await soon(client.run(flow, inputs={"in": source}))
        assert result.outputs == {"out": [0, 1]}
    assert ended.is_set()


async def test_an_invalid_document(client: Client) -> None:
    document = {
        "nodes": {"a": {"progdef": "gret"}, "b": {"progdef": "greet"}},
        "edges": [{"from": "b.nothing", "to": "b.name"}],
    }
    with pytest.raises(RequestError, match='did you mean "greet"') as e:
        await soon(client.run(document))
    assert e.value.status == 422
    found = {(p.code, p.pointer): p.hint for p in e.value.problems}
    assert found["unknown-progdef", "/nodes/a/progdef"] == 'did you mean "greet"?'
    assert len(found) > 1


async def test_names_of_inputs_and_outputs(client: Client) -> None:
    with pytest.raises(UsageError, match="the flow has the inputs names: give each"):
        await client.run(greet)
    with pytest.raises(UsageError, match="the flow has no inputs nmes: it has names"):
        await client.run(greet, inputs={"names": [], "nmes": []})
    with pytest.raises(UsageError, match="the flow has no outputs out: it has greetings"):
        await client.run(greet, inputs={"names": []}, outputs={"out": _nothing})
    with pytest.raises(UsageError, match="the document is not JSON"):
        await client.run({"nodes": {1, 2}})


async def test_a_panic(client: Client) -> None:
    records = [Ok("fine"), Err("out of </ink>\n")]
    with pytest.raises(FlowError, match=r"panicked: check, .*record 1.*out of </ink>") as e:
        await soon(client.run(assertion, inputs={"in": records}))
    assert e.value.verdict == "flow.panic"
    cause = e.value.cause
    assert cause is not None
    assert (cause.job, cause.port, cause.record) == ("check", "in", 1)
    assert e.value.failures[0] == cause


async def test_a_flow_that_somebody_cancels(client: Client) -> None:
    async def names() -> AsyncIterator[str]:
        yield "Ada"
        await client.cancel("somebody", reason="enough\nof it")
        await asyncio.Event().wait()

    with pytest.raises(FlowError) as e:
        await soon(client.run(greet, id="somebody", inputs={"names": names()}))
    assert (e.value.verdict, e.value.reason) == ("flow.cancelled", "enough\nof it")
    assert e.value.cause is None


async def test_a_source_that_fails(client: Client) -> None:
    async def broken() -> AsyncIterator[str]:
        yield "Ada"
        raise ZeroDivisionError("no more names")

    with pytest.raises(ZeroDivisionError, match="no more names"):
        await soon(client.run(greet, id="broken-source", inputs={"names": broken()}))
    await cancelled(client, "broken-source", "no more names")
    with pytest.raises(RequestError) as e:
        await soon(client.run(drop("json"), id="broken-json", inputs={"in": b"{"}))
    assert e.value.status == 400
    await cancelled(client, "broken-json", "JSON")


async def test_a_cancelled_run_cancels_its_flow(client: Client) -> None:
    begun = asyncio.Event()

    async def watch(records: Any) -> None:
        async for n in records:
            if n == 10:
                begun.set()

    running = asyncio.create_task(client.run(numbers, id="cut", outputs={"number": watch}))
    await soon(begun.wait())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(running)
    await cancelled(client, "cut", "")

    async def never() -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield ""

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(client.run(greet, id="late", inputs={"names": never()}), 1)
    await cancelled(client, "late", "")


async def test_a_run_that_is_cancelled_at_any_time(client: Client) -> None:
    """Wherever it is cancelled, its flow is not stored, or ends."""
    for number in range(12):
        flow = f"any-{number}"
        running = asyncio.create_task(client.run(greet, id=flow, inputs={"names": _stuck()}))
        await asyncio.wait({running}, timeout=0.01 * number)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await soon(running)
        with contextlib.suppress(RequestError):
            await client.show(flow)
            await cancelled(client, flow, "")


async def test_a_cancelled_run_leaves_the_flow_of_its_id_alone(client: Client) -> None:
    """Wherever a run under the id of another flow is cancelled, that flow goes on."""
    await client.submit(greet, id="other")
    for number in range(10):
        running = asyncio.create_task(client.run(numbers, id="other"))
        await asyncio.wait({running}, timeout=0.002 * number)
        running.cancel()
        with pytest.raises((asyncio.CancelledError, RequestError)):
            await soon(running)
    fed, read = client.feed("other", "names", ["Ada"]), client.read("other", "greetings")
    assert await soon(asyncio.gather(fed, _all(read))) == [dagyo.client.Fed(1, 3), ["hello Ada"]]
    assert (await soon(client.wait("other")))["verdict"] == "flow.completed"


async def _all(records: AsyncIterator[Any]) -> list[Any]:
    return [r async for r in records]


async def test_hostile_reasons(client: Client) -> None:
    """What a source raises is quoted in the reason of the cancellation, whatever is in it."""

    async def broken() -> AsyncIterator[str]:
        yield "Ada"
        raise ZeroDivisionError("\ud800&reason=x\n#\0" + "y" * 5000)

    with pytest.raises(ZeroDivisionError):
        await soon(client.run(greet, id="hostile-reason", inputs={"names": broken()}))
    await cancelled(client, "hostile-reason", "?&reason=x\n#")


async def _nothing(_: Any) -> None:
    return None


async def _stuck() -> AsyncIterator[str]:
    yield "Ada"
    await asyncio.Event().wait()


async def test_a_flow_of_another_client_is_left_alone(client: Client) -> None:
    await client.submit(greet, id="held")
    release = asyncio.Event()

    async def names() -> AsyncIterator[str]:
        yield "Ada"
        await release.wait()

    feeding = asyncio.create_task(client.feed("held", "names", names()))
    reading = client.read("held", "greetings")
    assert await soon(anext(reading)) == "hello Ada"
    for document, inputs in ((greet, {"names": ["Bob"]}), (numbers, {})):
        with pytest.raises(RequestError) as e:
            await soon(client.run(document, id="held", inputs=inputs))
        assert e.value.status == 409
    release.set()
    assert (await soon(feeding)).records == 1
    assert [r async for r in reading] == []
    assert (await soon(client.wait("held")))["verdict"] == "flow.completed"


async def test_the_gateway_is_found(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no gateway is known: start `dagyo up`"):
        monkeypatch.setenv("XDG_STATE_HOME", "/nowhere")
        Client()
    with pytest.raises(UsageError, match="begins with http"):
        Client("localhost:4280")
    gate.found_by(monkeypatch)
    async with Client() as found:
        assert (await found.session())["user"] == gate.user
    monkeypatch.setenv("DAGYO_HTTP_URL", gate.url + "/")
    async with Client() as found:
        with pytest.raises(RequestError) as e:
            await found.session()
        assert e.value.status == 401, "the token of `dagyo up` was sent to another address"
    monkeypatch.setenv("DAGYO_HTTP_TOKEN", gate.token)
    async with Client() as found:
        assert (await found.session())["user"] == gate.user


async def test_credentials(gate: Gate, tmp_path: Path) -> None:
    path = tmp_path / "bob.creds"
    path.write_text(gate.add_user("bob", "user"))
    for credentials in (path, path.read_text(), path.read_bytes()):
        async with Client(gate.url, credentials=credentials) as bob:
            assert (await bob.session())["user"] == "bob"
    async with Client(gate.url, credentials=path) as bob:
        result = await soon(bob.run(greet, inputs={"names": ["Ada"]}))
        assert (await bob.show(result.flow))["owner"] == "bob"
    async with Client(gate.url, credentials=gate.add_user("eve", "viewer")) as eve:
        with pytest.raises(RequestError) as e:
            await soon(eve.run(greet, inputs={"names": []}))
        assert e.value.status == 403


async def test_wrong_credentials(gate: Gate) -> None:
    no_key = "-----BEGIN NATS USER JWT-----\nno\n"
    for wrong in (
        Client(gate.url), Client(gate.url, token="wrong"), Client(gate.url, credentials=no_key),
    ):  # fmt: skip
        async with wrong as stranger:
            with pytest.raises(RequestError) as e:
                await soon(stranger.run(greet, inputs={"names": []}))
            assert e.value.status == 401
            assert e.value.detail


def test_credentials_that_are_no_credentials() -> None:
    for wrong in ("ada.creds", b""):
        with pytest.raises(UsageError, match="give a Path of the file"):
            Client("http://127.0.0.1:1", credentials=wrong)


async def test_sealed_edges(dagyo_command: Path, tmp_path: Path) -> None:
    with opened(dagyo_command, tmp_path, "--seal-edges") as own:
        async with Client(own.url, token=own.token) as client:
            result = await soon(client.run(copy("octets"), inputs={"in": [b"secret", b""]}))
    assert result.outputs == {"a": [b"secret", b""], "b": [b"secret", b""]}


async def test_no_gateway() -> None:
    async with Client("http://127.0.0.1:1") as nobody:
        with pytest.raises(RequestError, match=r"http://127.0.0.1:1 does not answer.*dagyo up") as e:
            await soon(nobody.run(greet, inputs={"names": []}))
        assert e.value.status == 0


async def test_a_server_that_is_gone(
    dagyo_command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running call ends when the server does, with an error."""
    monkeypatch.setattr("dagyo.client.client._RECONNECTS", (0.1, 0.1))
    with opened(dagyo_command, tmp_path) as own:
        async with Client(own.url, token=own.token) as client:
            begun = asyncio.Event()

            async def watch(records: Any) -> None:
                async for _ in records:
                    begun.set()

            running = asyncio.create_task(client.run(numbers, outputs={"number": watch}))
            await soon(begun.wait())
            await asyncio.to_thread(own.kill)
            with pytest.raises(dagyo.DagyoError):
                await soon(running)


KILLED = """
import asyncio
import dagyo
async def show(records):
    async for n in records:
        print(n, flush=True)
asyncio.run(dagyo.run({numbers!r}, id="killed", outputs={{"number": show}}))
"""


async def test_a_killed_client_ends_its_flow(gate: Gate, client: Client) -> None:
    script = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED.format(numbers=numbers), env=gate.env, stdout=subprocess.PIPE
    )
    assert script.stdout is not None
    assert await soon(script.stdout.readline()) == b"0\n"
    script.kill()
    await script.communicate()
    await cancelled(client, "killed", "the HTTP client has gone")


SCRIPT = """
import dagyo
flow = {greet!r}
print(dagyo.run_sync(flow, inputs={{"names": ["Ada"]}}).outputs)
with dagyo.SyncClient() as client:
    print(client.session()["user"])
"""


def test_a_script(gate: Gate) -> None:
    out = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(greet=greet)], env=gate.env, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stderr
    assert out.stdout == f"{{'greetings': ['hello Ada']}}\n{gate.user}\n"


async def test_without_asyncio_in_a_running_loop(gate: Gate) -> None:
    """A notebook runs cells in its event loop."""
    result = dagyo.run_sync(greet, inputs={"names": ["Ada"]}, url=gate.url, token=gate.token)
    assert result.outputs == {"greetings": ["hello Ada"]}
    with pytest.raises(RequestError, match="did you mean"):
        dagyo.run_sync({"nodes": {"a": {"progdef": "gret"}}}, url=gate.url, token=gate.token)
