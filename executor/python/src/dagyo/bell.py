"""Waking a waiting task by an event or a timer."""

from __future__ import annotations

import asyncio


class Bell:
    """A bell for which one task at a time waits. A ring is kept until a task has received it."""

    def __init__(self) -> None:
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake the waiting task, or the next one that waits."""
        self._rung = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for a ring for at most the given seconds; report whether there was one."""
        if not self._rung:
            await self._wait(seconds)
        rung, self._rung = self._rung, False
        return rung

    async def _wait(self, seconds: float | None) -> None:
        if self._waiter is not None:
            raise RuntimeError("two tasks wait for the same bell; use a port in one task at a time")
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = None if seconds is None else loop.call_later(max(0.0, seconds), self._wake)
        try:
            await self._waiter
        finally:
            self._waiter = None
            if timer is not None:
                timer.cancel()


class Timer:
    """Rings a bell once, some time after it was set. It stays due until it is set again or cleared."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._handle: asyncio.TimerHandle | None = None
        self._due = False

    def set(self, seconds: float) -> None:
        """Ring in the given seconds, instead of an earlier time."""
        self.clear()
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(max(0.0, seconds), self._fire)

    def clear(self) -> None:
        """Cancel the ring."""
        self._due = False
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._due = True
        self._bell.ring()

    def fired(self) -> bool:
        """Report, once, that the time has passed."""
        due, self._due = self._due, False
        return due
