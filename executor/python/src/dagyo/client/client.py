"""The client of a gateway."""

from __future__ import annotations

import asyncio
import builtins
import json
import math
import secrets
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from ..errors import DagyoError
from .body import Body
from .errors import FlowError, RequestError, from_json, problems_of
from .flow import Flow
from .gateway import SILENCE, Gateway, discover, lines, segment, server_sent
from .model import (
    VERDICTS,
    Capacity,
    Completed,
    Document,
    Event,
    Fed,
    FlowLine,
    FlowStatus,
    LogLine,
    Published,
    Session,
    Submitted,
    TypeLine,
    Validation,
    WebhookStatus,
    WebhookTested,
)
from .records import Format, Source, decode_lines, record_format

if TYPE_CHECKING:
    import aiohttp

#: Where the records of an output go; its result is the output's result. A slow one slows the flow.
Sink = Callable[[AsyncIterable[Any]], Awaitable[Any]]

# The pauses before a lost connection for events is made again, and after how long one has been good
# enough to begin with the first pause, in seconds.
_RECONNECTS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
_GOOD = 10.0

_SIDES = Literal["inputs", "outputs"]


class Client:
    """A client of a gateway, for one event loop.

    Without ``url`` it uses the gateway of DAGYO_HTTP_URL with the token in DAGYO_HTTP_TOKEN, or else
    the running `dagyo up` of this user with its token. ``credentials`` are those of `dagyo user
    add`: a Path of the file, or its content. ``token`` is a bearer token instead. ``timeout`` bounds
    each request in seconds; streams have no limit. ``session`` sends the requests, for proxies or
    certificates of your own; it is not closed.

    All methods may be called concurrently. A cancelled call ends its request, and nothing else:
    only `run` cancels its flow. But an input or output whose feeding or reading is cut off leaves
    its flow without an end, and the gateway cancels the flow of a reader that is gone.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        credentials: str | bytes | Path | None = None,
        token: str | None = None,
        timeout: float = 60.0,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self.url, its_token = discover(url, token, credentials)
        self._gateway = Gateway(self.url, its_token, timeout, session)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to the gateway."""
        await self._gateway.close()

    async def run(
        self,
        flow: Document | Flow,
        *,
        inputs: Mapping[str, Source] | None = None,
        outputs: Mapping[str, Sink] | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Completed:
        """Run a flow: submit it, feed its inputs, read its outputs; return when it has completed.

        ``inputs`` has the records of each input. An output is collected in a list, or passed to
        its function in ``outputs``. Raises a RequestError with ``problems`` if the document is
        invalid, and a FlowError if the flow fails. The flow is cancelled if the call fails
        otherwise, or is cancelled itself.
        """
        from .running import Running

        return await Running(self, id or new_id(), inputs or {}, outputs or {}).run(document_of(flow))

    async def validate(self, flow: Document | Flow) -> Validation:
        """Return all problems of a flow document, or its normal form with all types."""
        answer = await self._gateway.json("POST", "/validate", document=document_of(flow))
        return Validation(problems_of(answer), answer.get("flow"))

    async def submit(self, flow: Document | Flow, *, id: str | None = None) -> Submitted:  # noqa: A002
        """Submit a flow; return when it is valid. Raises a RequestError with problems if it is not.

        The same document under the same id is submitted once, so a call that has failed can be
        repeated.
        """
        answer = await self._gateway.json(
            "POST",
            "/flows",
            query={"id": id or new_id()},
            document=document_of(flow),
            headers={"Prefer": "wait"},
        )
        return from_json(Submitted, answer)

    async def feed(
        self,
        flow: str,
        input: str,  # noqa: A002
        source: Source,
        *,
        type: str | None = None,  # noqa: A002
        format: Format | None = None,  # noqa: A002
    ) -> Fed:
        """Feed an input; return when the flow has taken all of it.

        Records are taken from the source as fast as the flow takes them; its end is the end of the
        input. ``type`` is the typename if you know it; ``format`` says how bytes are records. If the
        source fails, its error is raised, and the input has no end: cancel the flow.
        """
        typename = type or await self._typename(flow, "inputs", input)
        path = f"/flows/{segment(flow)}/inputs/{segment(input)}"
        body = Body(input, typename, source)
        try:
            query = {"format": format or body.format}
            return from_json(Fed, await self._gateway.put(path, body.chunks(), query=query))
        except RequestError as e:
            if body.failure is not None:
                raise body.failure from None
            raise await self._explain(flow, e) from e
        finally:
            await body.close()

    async def read(
        self,
        flow: str,
        output: str,
        *,
        type: str | None = None,  # noqa: A002
    ) -> AsyncGenerator[Any, None]:
        """Yield the records of an output, as fast as they are taken.

        If the flow fails, a FlowError follows the records before that. A reader that stops early
        ends the flow: `contextlib.aclosing` makes that happen at once.
        """
        typename = type or await self._typename(flow, "outputs", output)
        decode = decode_lines(output, typename)
        async with (
            aclosing(self._output(flow, output, record_format(typename))) as chunks,
            aclosing(lines(chunks)) as parts,
        ):
            async for part in parts:
                for record in decode(part):
                    yield record

    async def read_bytes(
        self,
        flow: str,
        output: str,
        *,
        format: Format | None = None,  # noqa: A002
    ) -> AsyncGenerator[bytes, None]:
        """Yield an output as bytes: lines of text, or the bytes of all records in turn."""
        async with aclosing(self._output(flow, output, format)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def follow(
        self,
        flow: str,
        *,
        after: int | None = None,
        until: Literal["verdict", "cleaned"] = "verdict",
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of a flow up to its verdict, or until it is cleaned up.

        They begin with the first one that is stored, or behind the one with the number ``after``. A
        lost connection is made again.
        """
        last = "" if after is None else str(after)
        failures = 0
        while True:
            failure: Exception | None = None
            connected = math.inf
            try:
                async with self._events(flow, last, until) as events:
                    if events is None:
                        return
                    connected = time.monotonic()
                    async for seq, document in events:
                        last, failures = seq, 0
                        event = from_json(Event, document)
                        yield event
                        if event.type == "flow.cleaned" or (until == "verdict" and event.ends_flow):
                            return
            except RequestError as e:
                if 400 <= e.status < 500:
                    raise
                failure = e
            if time.monotonic() - connected > _GOOD:
                failures = 0
            if failures == len(_RECONNECTS):
                why = failure or "the gateway ends each connection"
                raise RequestError(0, f"the events of flow {flow} are lost: {why}") from failure
            await asyncio.sleep(_RECONNECTS[failures])
            failures += 1

    async def wait(self, flow: str) -> FlowStatus:
        """Return the status of a flow when it has completed. Raises a FlowError if it fails."""
        verdict = ""
        async for event in self.follow(flow):
            verdict = event.type
        status = await self.show(flow)
        if verdict not in VERDICTS:
            verdict = status.get("verdict", "")  # its events may be deleted
        if verdict not in VERDICTS:
            raise RequestError(
                0,
                f"flow {flow} has no verdict, and no more events: its phase is {status['phase']}",
            )
        if verdict != "flow.completed":
            raise FlowError(status, verdict)
        return status

    async def show(self, flow: str) -> FlowStatus:
        """Return the status of a flow."""
        status: FlowStatus = await self._gateway.json("GET", f"/flows/{segment(flow)}")
        return status

    async def list(
        self,
        *,
        state: Sequence[str] = (),
        live: bool = False,
        search: str | None = None,
        progdef: str | None = None,
        user: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int | None = None,
    ) -> AsyncGenerator[FlowLine, None]:
        """Yield flows, the latest first.

        ``state`` has types of events, such as ``flow.completed``, or their last words; ``live``
        flows have no verdict. ``search`` is text in the id, a progdef's name, a reason or a message.
        They were submitted by ``user``, at or after ``since``, and before ``until``. Pages are
        requested as you read on.
        """
        query = {
            "state": ",".join(state) or None,
            "live": live or None,
            "search": search,
            "progdef": progdef,
            "user": user,
            "since": since and since.astimezone().isoformat(),
            "until": until and until.astimezone().isoformat(),
            "limit": page_size,
        }
        after = None
        while True:
            page = await self._gateway.json("GET", "/flows", query={**query, "after": after})
            for line in page.get("flows") or ():
                yield line
            after = page.get("next")
            if not after:
                return

    async def cancel(self, flow: str, *, reason: str | None = None, operator: bool = False) -> None:
        """Cancel a flow. One that has ended is not changed. ``operator``: that of another user."""
        query = {"reason": reason, "operator": operator or None}
        await self._gateway.json("POST", f"/flows/{segment(flow)}/cancel", query=query)

    async def logs(
        self, flow: str, *, node: str | None = None, follow: bool = False
    ) -> AsyncGenerator[LogLine, None]:
        """Yield what the jobs of a flow, or one of them, have logged.

        With ``follow``, new lines too, until the flow has ended.
        """
        async with (
            self._gateway.answer(
                "GET",
                f"/flows/{segment(flow)}/logs",
                query={"node": node, "follow": follow or None},
                silence=SILENCE,
            ) as answer,
            aclosing(lines(answer.content.iter_any())) as parts,
        ):
            async for part in parts:
                for line in filter(None, part):  # an empty one keeps the connection open
                    yield from_json(LogLine, json.loads(line))

    async def progdefs(self) -> builtins.list[Published]:
        """Return the catalogue."""
        return await self._gateway.json("GET", "/progdefs") or []

    async def progdef(self, name: str) -> Published:
        """Return a progdef of the catalogue."""
        found: Published = await self._gateway.json("GET", f"/progdefs/{segment(name)}")
        return found

    async def publish_progdef(self, progdef: Document) -> dict[str, Any]:
        """Add a progdef to the catalogue, or replace it; return what has changed."""
        changed: dict[str, Any] = await self._gateway.json(
            "PUT", f"/progdefs/{segment(progdef['name'])}", document=progdef
        )
        return changed

    async def remove_progdef(self, name: str) -> None:
        """Remove a progdef from the catalogue."""
        await self._gateway.json("DELETE", f"/progdefs/{segment(name)}")

    async def webhooks(self) -> builtins.list[WebhookStatus]:
        """Return the webhooks of the tenant, and what became of their deliveries."""
        return await self._gateway.json("GET", "/webhooks") or []

    async def webhook(self, name: str) -> WebhookStatus:
        """Return a webhook, and in ``pending`` how many events are still to be delivered."""
        status: WebhookStatus = await self._gateway.json("GET", f"/webhooks/{segment(name)}")
        return status

    async def apply_webhook(self, webhook: Document) -> dict[str, Any]:
        """Add a webhook, or replace the one with its name.

        The answer has its ``document``, and the public ``key`` that verifies its deliveries.
        """
        applied: dict[str, Any] = await self._gateway.json(
            "PUT", f"/webhooks/{segment(webhook['name'])}", document=webhook
        )
        return applied

    async def test_webhook(self, name: str) -> WebhookTested:
        """Send a test to the receiver of a webhook, and return how it answered.

        A test that is not delivered raises no error: ``delivered`` is false.
        """
        tested: WebhookTested = await self._gateway.json("POST", f"/webhooks/{segment(name)}/test")
        return tested

    async def rotate_webhook(self, name: str) -> dict[str, Any]:
        """Give a webhook a new ``key``. The previous one is used beside it, ``until`` a time."""
        rotated: dict[str, Any] = await self._gateway.json("POST", f"/webhooks/{segment(name)}/rotate")
        return rotated

    async def remove_webhook(self, name: str) -> None:
        """Remove a webhook. Pending deliveries are dropped."""
        await self._gateway.json("DELETE", f"/webhooks/{segment(name)}")

    async def types(self) -> builtins.list[TypeLine]:
        """Return the documented types."""
        return await self._gateway.json("GET", "/types") or []

    async def type(self, name: str) -> dict[str, Any]:
        """Return the documentation of a type."""
        document: dict[str, Any] = await self._gateway.json("GET", f"/types/{segment(name)}")
        return document

    async def compatible(self, query: Document) -> dict[str, Any]:
        """Return the ports that a port can be connected to.

        The query has ``port`` and ``node``, with the ``flow``, or the ``progdef`` of a new node.
        """
        ports: dict[str, Any] = await self._gateway.json("POST", "/compatible", document=query)
        return ports

    async def executors(self, progdef: str | None = None) -> builtins.list[Capacity]:
        """Return the executors and slots of a progdef, or of all."""
        path = "/executors" if progdef is None else f"/progdefs/{segment(progdef)}/executors"
        return await self._gateway.json("GET", path) or []

    async def session(self) -> Session:
        """Return the user of the credentials."""
        user: Session = await self._gateway.json("GET", "/session")
        return user

    @asynccontextmanager
    async def _events(
        self, flow: str, last: str, until: str
    ) -> AsyncIterator[AsyncGenerator[tuple[str, Any], None] | None]:
        """Connect, and return the events behind the last one; None if there are no more."""
        async with self._gateway.answer(
            "GET",
            f"/flows/{segment(flow)}/events",
            query={"until": until},
            headers={"Last-Event-ID": last} if last else {},
            silence=SILENCE,
        ) as answer:
            if answer.status == 204:
                yield None
                return
            async with aclosing(server_sent(answer.content.iter_any())) as events:
                yield events

    async def _output(
        self,
        flow: str,
        output: str,
        format: Format | None,  # noqa: A002
    ) -> AsyncGenerator[bytes, None]:
        """Yield an output as it comes."""
        path = f"/flows/{segment(flow)}/outputs/{segment(output)}"
        try:
            async with self._gateway.answer("GET", path, query={"format": format}, once=True) as answer:
                async for chunk in answer.content.iter_any():
                    yield chunk
        except RequestError as e:
            raise await self._explain(flow, e) from e

    async def _typename(self, flow: str, side: _SIDES, name: str) -> str:
        """Return the typename of an input or output, when the flow is planned.

        The gateway reports an unknown one.
        """
        status = await self.show(flow)
        if "stream" not in status and "verdict" not in status:
            async with aclosing(self.follow(flow)) as events:
                async for event in events:
                    if event.type == "flow.planned":
                        break
            status = await self.show(flow)
        end = (status.get(side) or {}).get(name) or {}
        typename: str = end.get("type", "octets")
        return typename

    async def _explain(self, flow: str, error: RequestError) -> DagyoError:
        """Return why a transfer has failed: its flow has ended without completing, or the error."""
        if error.status not in (0, 422):
            return error
        try:
            status = await self.show(flow)
        except RequestError:
            return error
        verdict = status.get("verdict", "flow.completed")
        return error if verdict == "flow.completed" else FlowError(status, verdict)


def document_of(flow: Document | Flow) -> Document:
    """Return the document of a flow."""
    return flow.document() if isinstance(flow, Flow) else flow


def new_id() -> str:
    """Return a new id of a flow."""
    return "flow-" + secrets.token_hex(5)
