"""Running a flow in one call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from ..errors import DagyoError, UsageError
from .client import Client, Sink
from .errors import FlowError, RequestError
from .flow import Flow
from .model import Completed, Document
from .records import Source

_CANCEL = 5.0  # seconds for the cancel of a flow whose run has failed
_REASON = 1000  # the length of its reason


class Running:
    """A flow that is run: its inputs are fed, and its outputs read."""

    def __init__(
        self, client: Client, flow: str, inputs: Mapping[str, Source], sinks: Mapping[str, Sink]
    ) -> None:
        self._client = client
        self._flow = flow
        self._inputs = inputs
        self._sinks = sinks
        self._outputs: dict[str, Any] = {}
        self._judging: list[asyncio.Task[str]] = []
        self._feeding: list[asyncio.Task[None]] = []
        self._reading: list[asyncio.Task[None]] = []
        #: Done when a transfer has failed.
        self._failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def run(self, document: Document) -> Completed:
        """Run the flow; cancel it if that fails."""
        _check("inputs", document, self._inputs, complete=True)
        _check("outputs", document, self._sinks, complete=False)
        submitting = asyncio.ensure_future(self._client.submit(document, id=self._flow))
        try:
            await asyncio.shield(submitting)
            return Completed(self._flow, await self._result())
        except BaseException as e:
            await _settled(submitting)
            if _is_ours(submitting):
                await self._cancel(e)
            raise
        finally:
            await _end([*self._judging, *self._feeding, *self._reading])

    async def _result(self) -> dict[str, Any]:
        """Feed and read the flow up to its verdict; return its outputs."""
        judging = asyncio.create_task(self._judged())
        self._judging.append(judging)
        first: set[asyncio.Future[Any]] = {judging, self._failed}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done() and _is_held(self._failed.result()):
            raise self._failed.result()
        verdict = await judging
        await _end(self._feeding)
        if verdict == "flow.completed":
            await asyncio.gather(*self._reading)
        if self._failed.done() and verdict in ("flow.completed", "flow.cancelled"):
            raise self._failed.result()
        if verdict != "flow.completed":
            await self._client.wait(self._flow)  # it raises
        return self._outputs

    async def _judged(self) -> str:
        """Start the transfers when the flow is planned; return the verdict."""
        verdict = ""
        async with aclosing(self._client.follow(self._flow)) as events:
            async for event in events:
                if event.type == "flow.planned":
                    self._begin(event.data)
                verdict = event.type
        return verdict

    def _begin(self, plan: Any) -> None:
        for name, address in (plan.get("inputs") or {}).items():
            transfer = self._transfer(self._feed, name, address.get("type", "octets"))
            self._feeding.append(asyncio.create_task(transfer))
        for name, address in (plan.get("outputs") or {}).items():
            transfer = self._transfer(self._read, name, address.get("type", "octets"))
            self._reading.append(asyncio.create_task(transfer))

    async def _transfer(
        self, move: Callable[[str, str], Awaitable[None]], name: str, typename: str
    ) -> None:
        try:
            await move(name, typename)
        except Exception as e:  # noqa: BLE001 (it is raised to the caller of run)
            await self._fail(e)

    async def _feed(self, name: str, typename: str) -> None:
        await self._client.feed(self._flow, name, self._inputs.get(name, ()), type=typename)

    async def _read(self, name: str, typename: str) -> None:
        sink: Sink = self._sinks.get(name, _collect)
        async with aclosing(self._client.read(self._flow, name, type=typename)) as records:
            try:
                self._outputs[name] = await sink(records)
            except Exception as e:  # noqa: BLE001 (it is raised to the caller of run)
                await self._fail(e)  # before the gateway cancels it because its reader is gone

    async def _fail(self, error: Exception) -> None:
        """End the flow because of a transfer. One that has ended before keeps its verdict."""
        if not self._failed.done():
            self._failed.set_result(error)
            await self._cancel(error)

    async def _cancel(self, why: BaseException) -> None:
        """Cancel the flow, unless it has ended or another client has it."""
        if isinstance(why, FlowError) or _is_held(why):
            return
        if isinstance(why, asyncio.CancelledError):
            reason = "the task of the client was cancelled"
        else:
            reason = f"the client has failed: {str(why) or type(why).__name__}"
            reason = reason.encode(errors="replace").decode()
        with suppress(DagyoError, asyncio.TimeoutError):
            await asyncio.wait_for(self._client.cancel(self._flow, reason=reason[:_REASON]), _CANCEL)


def _is_ours(submitting: asyncio.Future[Any]) -> bool:
    """Report whether the flow may be stored; else its id may be that of another flow."""
    error = None if submitting.cancelled() else submitting.exception()
    refused = isinstance(error, RequestError) and 400 <= error.status < 500
    return not (refused or isinstance(error, UsageError))


def _is_held(error: BaseException) -> bool:
    """Report whether another client has an input or output."""
    return isinstance(error, RequestError) and error.status == 409


async def _settled(submitting: asyncio.Future[Any]) -> None:
    """Wait until it is known whether a flow is submitted, if the caller was cancelled meanwhile."""
    if not submitting.done():
        await asyncio.wait({submitting}, timeout=_CANCEL)
    if not submitting.done():
        submitting.cancel()
        await asyncio.wait({submitting})


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _collect(records: AsyncIterable[Any]) -> list[Any]:
    return [record async for record in records]


def _check(side: str, document: Document, given: Mapping[str, Any], *, complete: bool) -> None:
    """Compare the names of inputs or outputs with the document's."""
    wanted = document.get(side) or {}
    missing = [name for name in wanted if name not in given]
    if complete and missing:
        raise UsageError(f"the flow has the {side} {', '.join(missing)}: give each in {side}")
    if unknown := [name for name in given if name not in wanted]:
        has = ", ".join(wanted) or "none"
        raise UsageError(f"the flow has no {side} {', '.join(unknown)}: it has {has}")


async def run(
    flow: Document | Flow,
    *,
    inputs: Mapping[str, Source] | None = None,
    outputs: Mapping[str, Sink] | None = None,
    id: str | None = None,  # noqa: A002
    url: str | None = None,
    credentials: str | bytes | Path | None = None,
    token: str | None = None,
) -> Completed:
    """Run a flow with a client of its own: see `Client` and `Client.run`."""
    async with Client(url, credentials=credentials, token=token) as client:
        return await client.run(flow, inputs=inputs, outputs=outputs, id=id)
