"""Running a function without ``async`` in its own thread."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .ports import Bridge


async def in_thread(function: Callable[..., Any], arguments: dict[str, Any], bridge: Bridge) -> None:
    """Run a function in a new thread, and return when it has ended. Its exceptions are raised.

    A cancellation ends the function at its next use of a port; the call still waits for it.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def work() -> None:
        error: BaseException | None = None
        try:
            function(**arguments)
        except StopIteration as e:
            error = RuntimeError(f"the program raised {e!r}")
        except BaseException as e:  # noqa: BLE001 (it is raised in the loop)
            error = e
        with suppress(RuntimeError):  # the loop is closed: the executor has given up the job
            loop.call_soon_threadsafe(settle, done, error)

    threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True).start()
    while not done.done():
        try:
            await asyncio.wait({done})
        except asyncio.CancelledError:
            bridge.end()
    done.result()


def settle(done: asyncio.Future[None], error: BaseException | None) -> None:
    """Retrieve the result of a thread."""
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
