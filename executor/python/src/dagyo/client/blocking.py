"""The client for programs without asyncio. It works in a notebook, whose event loop is running."""

from __future__ import annotations

import asyncio
import builtins
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from ..errors import UsageError
from .client import Client
from .flow import Flow
from .model import (
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
)
from .records import Format, Source

T = TypeVar("T")

_END: Any = object()


class SyncClient:
    """A Client whose methods block. It runs an event loop in a thread of its own until `close`.

    Its arguments, methods and errors are those of `Client`. Iterables that are fed are read in that
    thread, in turn with everything else: one that waits delays the others. Ctrl-C cancels the call;
    `run` then cancels its flow, and returns when that is done.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        credentials: str | bytes | Path | None = None,
        token: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        self._client = Client(url, credentials=credentials, token=token, timeout=timeout)
        self.url = self._client.url
        self._loop = asyncio.new_event_loop()
        self._starting = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="dagyo-client", daemon=True)
        self._thread.start()

    def __enter__(self) -> SyncClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel calls of other threads, close the connections, and end the thread."""
        with self._starting:
            if self._closed:
                return
            self._closed = True
        for last in (_cancel_others(), self._client.close(), self._loop.shutdown_asyncgens()):
            call = _Call(last)
            self._loop.call_soon_threadsafe(call.start)
            call.ended.wait()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(
        self,
        flow: Document | Flow,
        *,
        inputs: Mapping[str, Source] | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Completed:
        """Run a flow, as `Client.run` does; outputs are collected in lists."""
        return self._wait(self._client.run(flow, inputs=inputs, id=id))

    def validate(self, flow: Document | Flow) -> Validation:
        """Return all problems of a flow document, or its normal form with all types."""
        return self._wait(self._client.validate(flow))

    def submit(self, flow: Document | Flow, *, id: str | None = None) -> Submitted:  # noqa: A002
        """Submit a flow; return when it is valid."""
        return self._wait(self._client.submit(flow, id=id))

    def feed(
        self,
        flow: str,
        input: str,  # noqa: A002
        source: Source,
        *,
        type: str | None = None,  # noqa: A002
        format: Format | None = None,  # noqa: A002
    ) -> Fed:
        """Feed an input; return when the flow has taken all of it."""
        return self._wait(self._client.feed(flow, input, source, type=type, format=format))

    def read(self, flow: str, output: str, *, type: str | None = None) -> Iterator[Any]:  # noqa: A002
        """Yield the records of an output, as fast as they are taken."""
        return self._each(self._client.read(flow, output, type=type))

    def read_bytes(
        self,
        flow: str,
        output: str,
        *,
        format: Format | None = None,  # noqa: A002
    ) -> Iterator[bytes]:
        """Yield an output as bytes: lines of text, or the bytes of all records in turn."""
        return self._each(self._client.read_bytes(flow, output, format=format))

    def follow(
        self, flow: str, *, after: int | None = None, until: Literal["verdict", "cleaned"] = "verdict"
    ) -> Iterator[Event]:
        """Yield the events of a flow up to its verdict, or until it is cleaned up."""
        return self._each(self._client.follow(flow, after=after, until=until))

    def wait(self, flow: str) -> FlowStatus:
        """Return the status of a flow when it has completed. Raises a FlowError if it fails."""
        return self._wait(self._client.wait(flow))

    def show(self, flow: str) -> FlowStatus:
        """Return the status of a flow."""
        return self._wait(self._client.show(flow))

    def list(
        self,
        *,
        state: Sequence[str] = (),
        live: bool = False,
        search: str | None = None,
        progdef: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int | None = None,
    ) -> Iterator[FlowLine]:
        """Yield flows, the latest first."""
        return self._each(
            self._client.list(
                state=state,
                live=live,
                search=search,
                progdef=progdef,
                since=since,
                until=until,
                page_size=page_size,
            )
        )

    def cancel(self, flow: str, *, reason: str | None = None, operator: bool = False) -> None:
        """Cancel a flow. One that has ended is not changed."""
        self._wait(self._client.cancel(flow, reason=reason, operator=operator))

    def logs(self, flow: str, *, node: str | None = None, follow: bool = False) -> Iterator[LogLine]:
        """Yield what the jobs of a flow, or one of them, have logged."""
        return self._each(self._client.logs(flow, node=node, follow=follow))

    def progdefs(self) -> builtins.list[Published]:
        """Return the catalogue."""
        return self._wait(self._client.progdefs())

    def progdef(self, name: str) -> Published:
        """Return a progdef of the catalogue."""
        return self._wait(self._client.progdef(name))

    def publish_progdef(self, progdef: Document) -> dict[str, Any]:
        """Add a progdef to the catalogue, or replace it; return what has changed."""
        return self._wait(self._client.publish_progdef(progdef))

    def remove_progdef(self, name: str) -> None:
        """Remove a progdef from the catalogue."""
        self._wait(self._client.remove_progdef(name))

    def types(self) -> builtins.list[TypeLine]:
        """Return the documented types."""
        return self._wait(self._client.types())

    def type(self, name: str) -> dict[str, Any]:
        """Return the documentation of a type."""
        return self._wait(self._client.type(name))

    def compatible(self, query: Document) -> dict[str, Any]:
        """Return the ports that a port can be connected to."""
        return self._wait(self._client.compatible(query))

    def executors(self, progdef: str | None = None) -> builtins.list[Capacity]:
        """Return the executors and slots of a progdef, or of all."""
        return self._wait(self._client.executors(progdef))

    def session(self) -> Session:
        """Return whom the credentials are for."""
        return self._wait(self._client.session())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop's thread to its end; cancel it if the wait is interrupted."""
        call = _Call(work)
        with self._starting:
            if self._closed:
                work.close()
                raise UsageError("the client is closed")
            self._loop.call_soon_threadsafe(call.start)
        try:
            call.ended.wait()
        except BaseException:
            self._loop.call_soon_threadsafe(call.cancel)
            call.ended.wait()
            raise
        result: T = call.task.result()
        return result

    def _each(self, items: AsyncGenerator[T, None]) -> Iterator[T]:
        try:
            while (item := self._wait(_next(items))) is not _END:
                yield item
        finally:
            if not self._closed:
                self._wait(items.aclose())


class _Call:
    """A coroutine that runs in another thread."""

    task: asyncio.Task[Any]

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work
        self.ended = threading.Event()

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self._work)
        self.task.add_done_callback(lambda _: self.ended.set())

    def cancel(self) -> None:
        self.task.cancel()


async def _cancel_others() -> None:
    """End the calls of other threads."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _next(items: AsyncGenerator[T, None]) -> T:
    return await anext(items, _END)


def run_sync(
    flow: Document | Flow,
    *,
    inputs: Mapping[str, Source] | None = None,
    id: str | None = None,  # noqa: A002
    url: str | None = None,
    credentials: str | bytes | Path | None = None,
    token: str | None = None,
) -> Completed:
    """Run a flow, as `run` does, and block. It works in a notebook, too."""
    with SyncClient(url, credentials=credentials, token=token) as client:
        return client.run(flow, inputs=inputs, id=id)
