"""Flows step by step, and the rest of the client, with `dagyo up`."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import threading
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from dagyo import Client, FlowError, RequestError, SyncClient, UsageError

from .gateway import Gate, copy, drop, greet, numbers
from .helpers import run as soon


async def every(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


async def test_step_by_step(client: Client) -> None:
    submitted = await client.submit(greet, id="steps")
    assert (submitted.flow, submitted.state) == ("steps", "validated")
    assert (submitted.inputs, submitted.outputs) == (["names"], ["greetings"])
    assert await client.submit(greet, id="steps") == submitted
    with pytest.raises(RequestError) as e:
        await client.submit(numbers, id="steps")
    assert e.value.status == 409
    fed, read = await soon(
        asyncio.gather(
            client.feed("steps", "names", ["Ada", "Bob"]), every(client.read("steps", "greetings"))
        )
    )
    assert (fed.records, fed.bytes) == (2, 6)
    assert read == ["hello Ada", "hello Bob"]
    events = await soon(every(client.follow("steps")))
    assert events[0].type == "flow.validated"
    assert events[-1].type == "flow.completed"
    assert events[-1].ends_flow
    assert await soon(every(client.follow("steps", after=events[1].seq))) == events[2:]
    assert (await client.show("steps"))["flow"] == "steps"
    assert (await soon(client.wait("steps")))["verdict"] == "flow.completed"
    cleaned = await soon(every(client.follow("steps", until="cleaned")))
    assert cleaned[-1].type == "flow.cleaned"


async def test_validate(client: Client) -> None:
    valid = await client.validate(greet)
    assert valid
    assert valid.flow is not None
    assert valid.flow["edges"][0]["type"] == "utf8-string"
    wrong = await client.validate(
        {"nodes": {"a": {"progdef": "nothing"}, "b/c": {}}, "outputs": {"o": "a.x"}}
    )
    assert not wrong
    assert {"/nodes/a/progdef", "/nodes/b~1c"} <= {p.pointer for p in wrong.problems}
    assert all(p.code and p.message for p in wrong.problems)


async def test_unknown_flows_and_ends(client: Client) -> None:
    await client.submit(greet, id="ends")
    calls: list[Awaitable[Any]] = [
        client.show("nobody"),
        client.wait("nobody"),
        client.feed("nobody", "in", []),
        client.feed("ends", "nothing", []),
        every(client.read("ends", "nothing")),
        every(client.follow("nobody")),
        every(client.logs("nobody")),
        client.cancel("nobody"),
    ]
    for call in calls:
        with pytest.raises(RequestError) as e:
            await soon(call)
        assert e.value.status == 404
    await client.cancel("ends")
    for name in ("", ".", ".."):
        with pytest.raises(UsageError, match="is not a name"):
            await client.show(name)
    with pytest.raises(RequestError) as e:
        await client.show("../progdefs?x#")
    assert e.value.status in (400, 404)


async def test_an_output_that_nobody_reads(client: Client) -> None:
    """The flow waits for its reader, and says so; the source is not read to its end meanwhile."""
    sent = 0

    async def source() -> AsyncIterator[str]:
        nonlocal sent
        while sent < 200_000:
            yield "x" * 1000
            sent += 1

    await client.submit(greet, id="unread")
    feeding = asyncio.create_task(client.feed("unread", "names", source()))

    async def stall() -> None:
        """Wait until nothing has been taken from the source between 50 answers."""
        still, before, waits = 0, -1, False
        while still < 50 or not waits:
            status = await client.show("unread")
            waits = any(w.get("output") for w in status.get("waits", ()))
            still, before = (still + 1 if before == sent else 0), sent

    await soon(stall())
    assert 0 < sent < 100_000
    async with aclosing(client.read("unread", "greetings")) as records:
        assert (await soon(anext(records))).startswith("hello x")
    with pytest.raises(FlowError) as e:
        await soon(feeding)
    assert e.value.verdict == "flow.cancelled"
    with pytest.raises(FlowError):
        await soon(client.wait("unread"))


async def test_a_large_input_in_bounded_memory(client: Client) -> None:
    record = bytes(range(256)) * 4096

    async def source() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield record

    async def size(records: Any) -> int:
        received = 0
        async for r in records:
            assert r == record
            received += len(r)
        return received

    gc.collect()
    tracemalloc.start()
    try:
        sinks = {"a": size, "b": size}
        result = await soon(client.run(copy("octets"), inputs={"in": source()}, outputs=sinks))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.outputs == {"a": 50 << 20, "b": 50 << 20}
    assert most < 40 << 20
    await client.submit(drop("octets"), id="large")
    fed = await soon(client.feed("large", "in", bytes(50 << 20)))
    assert (fed.records, fed.bytes) == (1, 50 << 20)


async def test_a_plain_iterable_leaves_the_loop_to_others(client: Client) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    await client.submit(drop("json"), id="turns")
    await soon(client.feed("turns", "in", range(50_000)))
    beside.cancel()
    assert turns > 20


async def test_bytes(client: Client) -> None:
    await client.submit(copy("octets"), id="bytes")
    a, b, _ = await soon(
        asyncio.gather(
            every(client.read_bytes("bytes", "a")),
            every(client.read_bytes("bytes", "b", format="base64")),
            client.feed("bytes", "in", [b"\1\2", b"\3"]),
        )
    )
    assert (b"".join(a), b"".join(b)) == (b"\1\2\3", b"AQI=\nAw==\n")


async def test_a_reader_that_stops_early_ends_the_flow(client: Client) -> None:
    await client.submit(numbers, id="early")
    async for n in client.read("early", "number"):
        if n == 5:
            break
    with pytest.raises(FlowError) as e:
        await soon(client.wait("early"))
    assert e.value.verdict == "flow.cancelled"


async def test_a_reader_that_stops_early_leaves_no_generator(client: Client) -> None:
    """One that is left to its finalizer may outlive the event loop, which Python warns of."""
    flow = (await client.submit(numbers)).flow
    left: list[Any] = []
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(finalizer=left.append)
    try:
        async with aclosing(client.read(flow, "number")) as records:
            assert await soon(anext(records)) == 0
    finally:
        sys.set_asyncgen_hooks(*hooks)
    assert left == []


async def test_a_cancelled_call_leaves_the_flow_alone(client: Client) -> None:
    await client.submit(greet, id="alone")
    for call in (client.wait("alone"), every(client.follow("alone"))):
        task = asyncio.create_task(call)
        await asyncio.wait({task}, timeout=0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    fed, read = await soon(
        asyncio.gather(client.feed("alone", "names", ["Ada"]), every(client.read("alone", "greetings")))
    )
    assert (fed.records, read) == (1, ["hello Ada"])


async def test_lists(client: Client) -> None:
    for name in ("list-a", "list-b", "list-c"):
        await client.submit({"nodes": {}}, id=name)
        await soon(client.wait(name))
    found = client.list(search="list-", state=["completed", "flow.panic"], page_size=2)
    assert sorted(f["flow"] for f in await every(found)) == ["list-a", "list-b", "list-c"]
    later = datetime.now(timezone.utc) + timedelta(hours=1)
    assert await every(client.list(since=later)) == []
    assert await every(client.list(live=True, search="list-")) == []
    assert await every(client.list(until=later, search="list-a"))
    assert await every(client.list(user="eve")) == []


async def test_logs(client: Client) -> None:
    await client.publish_progdef(
        {
            "name": "noisy",
            "command": ["dagyo", "exec", "--", "sh", "-c", "cat; echo done >&2"],
            "inputs": {"in": "utf8-string"},
            "outputs": {"out": "utf8-string"},
        }
    )
    flow = {"nodes": {"n": {"progdef": "noisy"}}, "inputs": {"i": "n.in"}, "outputs": {"o": "n.out"}}
    result = await soon(client.run(flow, inputs={"i": ["a"]}))
    for lines in (client.logs(result.flow), client.logs(result.flow, node="n", follow=True)):
        assert [(line.job, line.text) for line in await soon(every(lines))] == [("n", "done")]


async def test_the_catalogue(client: Client, gate: Gate) -> None:
    assert any(p["document"]["name"] == "greet" for p in await client.progdefs())
    assert (await client.progdef("greet"))["document"]["name"] == "greet"
    assert (await client.publish_progdef({"name": "mine", "command": ["true"]}))["revision"]
    with pytest.raises(RequestError) as e:
        await client.publish_progdef({"name": "mine", "comand": ["true"]})
    assert "/comand" in {p.pointer for p in e.value.problems}
    await client.remove_progdef("mine")
    with pytest.raises(RequestError) as e:
        await client.progdef("mine")
    assert e.value.status == 404
    assert await client.executors()
    assert (await client.executors("greet"))[0]["progdef"] == "greet"
    assert any(t["name"] == "json" for t in await client.types())
    assert (await client.type("json"))["name"] == "json"
    query = {"flow": {"nodes": {"t": {"progdef": "tee"}}}, "node": "t", "port": "in"}
    assert (await client.compatible(query))["ports"]
    assert (await client.session())["user"] == gate.user


async def test_webhooks(client: Client, gate: Gate) -> None:
    got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        assert "webhook-signature" in request.headers
        got.put_nowait(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        applied = await client.apply_webhook({"name": "ends", "url": url, "users": [gate.user]})
        assert applied["document"]["url"] == url
        assert applied["key"].startswith("whpk_")
        tested = await client.test_webhook("ends")
        assert (tested["delivered"], tested["status"]) == (True, 200)
        assert (await soon(got.get()))["type"] == "webhook.test"
        flow = (await soon(client.run(greet, inputs={"names": ["Ada"]}))).flow
        event = await soon(got.get())
        assert (event["type"], event["subject"]) == ("flow.completed", flow)
        assert [w["document"]["name"] for w in await client.webhooks()] == ["ends"]
        assert "pending" in await client.webhook("ends")
        rotated = await client.rotate_webhook("ends")
        keys = (await client.webhook("ends"))["keys"]
        assert [k["key"] for k in keys] == [rotated["key"], applied["key"]]
    finally:
        await runner.cleanup()
    assert "error" in await client.test_webhook("ends")
    with pytest.raises(RequestError) as e:
        await client.apply_webhook({"name": "ends", "url": "ftp://x"})
    assert [p.code for p in e.value.problems] == ["bad-url"]
    async with Client(gate.url, credentials=gate.add_user("looks", "viewer")) as viewer:
        assert len(await viewer.webhooks()) == 1
        with pytest.raises(RequestError) as e:
            await viewer.remove_webhook("ends")
        assert e.value.status == 403
    await client.remove_webhook("ends")
    assert await client.webhooks() == []
    with pytest.raises(RequestError) as e:
        await client.webhook("ends")
    assert e.value.status == 404


class Proxy:
    """A proxy before the gateway that cuts connections."""

    def __init__(self, to: str) -> None:
        self._to = urlsplit(to)
        self.connections = 0
        #: The bytes of the answer after which each connection is cut; more are not cut.
        self.cuts: list[int] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._to.hostname, self._to.port)
        limit = self.cuts[self.connections] if self.connections < len(self.cuts) else None
        self.connections += 1

        async def pass_on() -> None:
            while data := await reader.read(1 << 16):
                back.write(data)

        asking = asyncio.create_task(pass_on())
        left = limit if limit is not None else 1 << 60
        while left > 0 and (data := await there.read(min(left, 1 << 16))):
            writer.write(data)
            await writer.drain()
            left -= len(data)
        asking.cancel()
        await asyncio.wait({asking})
        for end in (writer, back):
            end.close()


async def test_events_go_on_behind_the_last_one(client: Client, gate: Gate) -> None:
    await client.submit(greet, id="lost")
    proxy = Proxy(gate.url)
    proxy.cuts = [0, 100, 1500, 2000, 2500]  # the last ones behind some events
    async with proxy.running() as url, Client(url, token=gate.token) as flaky:
        following = asyncio.create_task(every(flaky.follow("lost")))
        await soon(
            asyncio.gather(
                client.feed("lost", "names", ["Ada"]), every(client.read("lost", "greetings"))
            )
        )
        assert await soon(following) == await soon(every(client.follow("lost")))
        assert proxy.connections > 2


async def test_an_output_that_is_cut_has_no_end(client: Client, gate: Gate) -> None:
    await client.submit(numbers, id="cut-output")
    proxy = Proxy(gate.url)
    async with proxy.running() as url, Client(url, token=gate.token) as flaky:
        proxy.cuts = [5000]
        seen: list[int] = []
        with pytest.raises((RequestError, FlowError)) as e:
            async for n in flaky.read("cut-output", "number", type="json"):
                seen.append(n)
    assert seen == list(range(len(seen)))
    assert seen
    assert "lost" in str(e.value) or "gone" in str(e.value)


@asynccontextmanager
async def answering(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[Client]:
    """A client of a server that is not a gateway."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with Client(site.name, token="secret", timeout=1) as client:
            yield client
    finally:
        await runner.cleanup()


async def test_what_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagyo.client.gateway._RETRIES", (0.01,) * 4)
    requests = 0

    async def busy(_: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        return web.json_response({"status": 503, "detail": "no service answers"}, status=503)

    async with answering(busy) as client:
        with pytest.raises(RequestError, match="no service answers"):
            await client.show("x")
        assert requests == 5
        with pytest.raises(RequestError):
            await client.feed("x", "in", ["a"], type="utf8-string")
        assert requests == 6
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(every(client.follow("x")), 0.3)


async def test_lost_events_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long each connection takes to fail."""
    monkeypatch.setattr("dagyo.client.client._RECONNECTS", (0.01,) * 3)
    monkeypatch.setattr("dagyo.client.client._GOOD", 0.0)
    requests = 0

    async def gone(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with answering(gone) as client:
        with pytest.raises(RequestError, match=r"the events of flow x are lost: .*was lost"):
            await soon(every(client.follow("x")))
    assert requests >= 4

    async def empty(_: web.Request) -> web.Response:
        return web.Response()

    monkeypatch.setattr("dagyo.client.client._GOOD", 60.0)
    async with answering(empty) as client:
        with pytest.raises(RequestError, match="are lost: the gateway ends each connection"):
            await soon(every(client.follow("x")))


async def test_answers_of_something_else() -> None:
    async def page(request: web.Request) -> web.Response:
        if request.path.endswith("bad"):
            return web.Response(status=502, text="<html>" + "x" * 5000, reason="Bad Gateway")
        if request.path.endswith("moved"):
            raise web.HTTPFound("http://127.0.0.1:1/")
        if request.path.endswith("list"):
            return web.json_response([1], status=500)
        return web.Response(text="<html>")

    async with answering(page) as client:
        with pytest.raises(RequestError, match="is not JSON: is this the address of a gateway"):
            await client.show("x")
        with pytest.raises(RequestError) as e:
            await client.show("bad")
        assert e.value.status == 502
        assert len(str(e.value)) < 1000
        with pytest.raises(RequestError) as e:
            await client.show("moved")
        assert e.value.status == 302
        with pytest.raises(RequestError) as e:
            await client.show("list")
        assert e.value.status == 500


async def test_a_server_that_does_not_answer() -> None:
    tested = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await tested.wait()
        return web.Response()

    async with answering(silent) as client:
        with pytest.raises(RequestError, match="has not answered within 1 s"):
            await client.show("x")
        tested.set()


async def test_a_session_of_the_caller(gate: Gate) -> None:
    async with aiohttp.ClientSession() as session:
        async with Client(gate.url, token=gate.token, session=session) as client:
            assert (await client.session())["user"] == gate.user
        assert not session.closed


def test_without_asyncio(gate: Gate) -> None:
    with SyncClient(gate.url, token=gate.token) as client:
        assert client.validate(greet)
        flow = client.submit(greet).flow
        fed = threading.Thread(target=client.feed, args=(flow, "names", ["Ada", "Bob"]))
        fed.start()
        assert list(client.read(flow, "greetings")) == ["hello Ada", "hello Bob"]
        fed.join()
        assert [e.type for e in client.follow(flow)][-1] == "flow.completed"
        assert client.wait(flow)["verdict"] == "flow.completed"
        assert client.show(flow)["flow"] == flow
        assert next(client.list(search=flow))["flow"] == flow
        assert list(client.logs(flow)) == []
        assert client.progdef("greet")["revision"]
        assert client.progdefs()
        assert client.types()
        assert client.type("json")
        assert client.executors()
        for n in client.read(client.submit(numbers, id="sync").flow, "number"):
            if n == 5:
                break
        with pytest.raises(FlowError):
            client.wait("sync")
        with pytest.raises(RequestError):
            client.show("nobody")
    client.close()
    assert not any(t.name == "dagyo-client" for t in threading.enumerate())
    with pytest.raises(UsageError, match="the client is closed"):
        client.session()


def test_both_clients_have_the_same_methods() -> None:
    one, other = ({n for n in vars(c) if not n.startswith("_")} for c in (Client, SyncClient))
    assert one == other


def test_a_source_cannot_call_the_client_that_reads_it(gate: Gate) -> None:
    with SyncClient(gate.url, token=gate.token) as client:
        numbered = client.submit(numbers).flow
        for source in ((client.show(numbered)["phase"] for _ in "a"), client.read(numbered, "number")):
            flow = client.submit(greet).flow
            with pytest.raises(UsageError, match="give it a client of its own"):
                client.feed(flow, "names", source)
            client.cancel(flow)
        client.cancel(numbered)


def test_a_closed_client_ends_the_calls_of_other_threads(gate: Gate) -> None:
    client = SyncClient(gate.url, token=gate.token)
    client.submit(greet, id="closed")
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            begun.set()
            client.wait("closed")
        except (asyncio.CancelledError, UsageError) as e:
            ended.append(e)

    begun = threading.Event()
    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    client.close()
    thread.join(60)
    assert len(ended) == 1
    with SyncClient(gate.url, token=gate.token) as other:
        other.cancel("closed")


def test_a_signal_cancels_a_blocking_run(gate: Gate) -> None:
    """Ctrl-C ends the call, and its flow."""
    with SyncClient(gate.url, token=gate.token) as client:
        main = threading.main_thread().ident
        assert main is not None

        def interrupted() -> Any:
            import signal

            yield "Ada"
            signal.pthread_kill(main, signal.SIGINT)
            yield from itertools.repeat("Bob")

        with pytest.raises(KeyboardInterrupt):
            client.run(greet, id="interrupted", inputs={"names": interrupted()})
        with pytest.raises(FlowError) as e:
            client.wait("interrupted")
        assert e.value.verdict == "flow.cancelled"
        assert "cancelled" in (e.value.reason or "")


def test_documents_that_are_not_json(gate: Gate) -> None:
    with SyncClient(gate.url, token=gate.token) as client, pytest.raises(UsageError):
        client.validate({"nodes": {"a": {"x": float("nan")}}})
