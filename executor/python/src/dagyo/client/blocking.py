"""The client for programs without asyncio. It works in a notebook, whose event loop is running."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..errors import UsageError
from .client import Client
from .flow import Flow
from .model import Completed, Document
from .records import Source

P = ParamSpec("P")
T = TypeVar("T")

_END: Any = object()


def _blocking(
    method: Callable[Concatenate[Client, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[SyncClient, P], T]:
    """Return a method that waits for the result of a client's method."""

    @functools.wraps(method)
    def call(self: SyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait(method(self._client, *args, **kwargs))

    return call


def _iterating(
    method: Callable[Concatenate[Client, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[SyncClient, P], Iterator[T]]:
    """Return a method that waits for each item of a client's method."""

    @functools.wraps(method)
    def call(self: SyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._each(method(self._client, *args, **kwargs))

    return call


class SyncClient:
    """A Client whose methods block. It runs an event loop in a thread of its own until `close`.

    Its arguments, methods and errors are those of `Client`. Iterables that are fed are read in that
    thread, in turn with everything else: one that waits delays the others, and one that calls this
    client is refused. Ctrl-C cancels the call; `run` then cancels its flow, and returns when that is
    done.
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
        call = _Call(self._end())
        self._loop.call_soon_threadsafe(call.start)
        call.ended.wait()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        call.task.result()  # or its error

    def run(
        self,
        flow: Document | Flow,
        *,
        inputs: Mapping[str, Source] | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Completed:
        """Run a flow, as `Client.run` does; outputs are collected in lists."""
        return self._wait(self._client.run(flow, inputs=inputs, id=id))

    validate = _blocking(Client.validate)
    submit = _blocking(Client.submit)
    feed = _blocking(Client.feed)
    read = _iterating(Client.read)
    read_bytes = _iterating(Client.read_bytes)
    follow = _iterating(Client.follow)
    wait = _blocking(Client.wait)
    show = _blocking(Client.show)
    list = _iterating(Client.list)
    cancel = _blocking(Client.cancel)
    logs = _iterating(Client.logs)
    progdefs = _blocking(Client.progdefs)
    progdef = _blocking(Client.progdef)
    publish_progdef = _blocking(Client.publish_progdef)
    remove_progdef = _blocking(Client.remove_progdef)
    webhooks = _blocking(Client.webhooks)
    webhook = _blocking(Client.webhook)
    apply_webhook = _blocking(Client.apply_webhook)
    test_webhook = _blocking(Client.test_webhook)
    rotate_webhook = _blocking(Client.rotate_webhook)
    remove_webhook = _blocking(Client.remove_webhook)
    types = _blocking(Client.types)
    type = _blocking(Client.type)
    compatible = _blocking(Client.compatible)
    executors = _blocking(Client.executors)
    session = _blocking(Client.session)

    async def _end(self) -> None:
        await _cancel_others()
        await self._client.close()
        await self._loop.shutdown_asyncgens()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop's thread to its end; cancel it if the wait is interrupted."""
        if threading.current_thread() is self._thread:  # which would wait for itself
            work.close()
            raise UsageError(
                "a source cannot call the client that reads it: give it a client of its own"
            )
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
            with suppress(UsageError):  # the loop ends it
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
