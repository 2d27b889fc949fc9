"""A thread that the program's code cannot block.

It has its own event loop and connection. It publishes heartbeats for jobs, receives stops of
flows, handles signals, and publishes the last events when the program's event loop does not
respond. Only code that holds the interpreter's lock for longer than a job's health timeout blocks
it (a C extension that never releases it).
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from . import wire
from .bell import Bell
from .config import Config
from .errors import DagyoError, Gone, LinkClosed, NoAnswer
from .events import Event, say, sent_by
from .job import RUNNING, Job
from .link import Link
from .runner import LAST_WORDS, drained, word

log = logging.getLogger("dagyo")

_BEAT_CHECK = 0.1  # seconds between two checks for jobs whose beat is due
_LOOK_PAUSE = 1.0  # seconds between two checks for a stop at first, or without an answer
_LOOK_LAST = 60.0  # seconds between two later checks
_LOOK_HEARD = 0.01  # seconds between two checks after a message: it is received before it is stored
_BLOCKED = 2.0  # seconds in which an unblocked event loop responds

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(eq=False)
class _Watched:
    """A running job. ``stop`` is called on the program's event loop."""

    job: Job
    stop: Callable[[], None]
    beaten: float = field(default_factory=time.monotonic)  # job.started counts
    stopped: float | None = None
    bell: Bell = field(default_factory=Bell)
    watch: asyncio.Task[None] | None = None


@dataclass(frozen=True)
class Orders:
    """An order of the warden to the program's event loop."""

    #: Take no more jobs.
    drain: Callable[[], None]
    #: End the running jobs: the executor must exit.
    give_up: Callable[[], None]


class Warden:
    """Start it, add jobs to it, stop it. The methods are for the program's thread."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._link = Link()
        self._thread = threading.Thread(target=self._main, name="dagyo-warden", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Event
        self._program: asyncio.AbstractEventLoop
        self._orders: Orders
        self._watched: dict[Job, _Watched] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._signals = 0
        self._sockets = socket.socketpair()
        self._draining = False

    # Called in the program's thread.

    def start(self, program: asyncio.AbstractEventLoop, orders: Orders) -> None:
        """Start the thread. Orders run on the event loop of the program."""
        self._program, self._orders = program, orders
        self._thread.start()
        self._ready.wait()

    def take_signals(self) -> Callable[[], None]:
        """Drain on SIGTERM and SIGINT. For the main thread. Call the result to undo it.

        The wake-up descriptor also receives a signal while the main thread is blocked.
        """
        ours, theirs = self._sockets
        theirs.setblocking(False)
        before = {s: signal.signal(s, _noted) for s in _SIGNALS}
        os.register_at_fork(after_in_child=_in_child)
        wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._post(lambda: self._loop.add_reader(ours.fileno(), self._on_signal))

        def undo() -> None:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)

        return undo

    def enter(self, job: Job, stop: Callable[[], None]) -> None:
        """Send beats for a job, and call stop when its flow is stopped."""
        watched = _Watched(job, stop)
        self._post(lambda: self._enter(watched))

    def leave(self, job: Job) -> None:
        """Remove a job that has published its last event."""
        self._post(lambda: self._leave(job))

    def say_draining(self, reason: str) -> None:
        """Publish executor.draining, unless it was published."""
        self._post(lambda: self._say_draining(reason))

    @property
    def draining(self) -> bool:
        """Whether executor.draining is about to be published, or was: no jobs may be claimed.

        True before the order to drain reaches the event loop of the program.
        """
        return self._draining

    def stop(self) -> None:
        """End the thread, and wait briefly for it."""
        self._post(lambda: self._over.set())
        self._thread.join(LAST_WORDS + 2)
        for s in self._sockets:
            s.close()

    def _post(self, call: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            log.debug("the warden has ended already")

    # The rest is called in the warden's thread.

    def _main(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._ready.set()
        connecting = asyncio.create_task(self._connect())
        beating = asyncio.create_task(self._beat())
        await self._over.wait()
        for task in (connecting, beating, *self._tasks):
            if task is not self._drain_task:
                task.cancel()
        await asyncio.wait({connecting, beating, *self._tasks}, timeout=LAST_WORDS)
        if not connecting.cancelled():
            await self._link.close()

    async def _connect(self) -> None:
        c = self._config
        try:
            await self._link.connect(c.queue, f"warden {c.executor}", c.access, c.inbox)
        except DagyoError as e:
            log.error("%s", e)
            return
        self._link.add_hook(self._look_again)

    _drain_task: asyncio.Task[None] | None = None

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task for which _run waits."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a defect: a task of the warden failed", exc_info=task.exception())

    def _tell(self, order: Callable[[], None]) -> None:
        """Run an order on the program's event loop."""
        try:
            self._program.call_soon_threadsafe(order)
        except RuntimeError:
            log.debug("the program's event loop has ended already")

    # Health.

    async def _beat(self) -> None:
        """Publish, for every job, how long it counts as alive."""
        while True:
            await asyncio.sleep(_BEAT_CHECK)
            if not self._link.connected:
                continue  # if the beat is not sent, the job correctly counts as silent
            now = time.monotonic()
            for w in list(self._watched.values()):
                if now - w.beaten < w.job.health_interval - 2 * _BEAT_CHECK:
                    continue
                w.beaten = now
                try:
                    subject = sent_by(self._config.executor, w.job.health)
                    await self._link.publish(subject, wire.beat(w.job.health_timeout))
                except LinkClosed:
                    return

    # Stop.

    def _enter(self, w: _Watched) -> None:
        self._watched[w.job] = w
        w.watch = self._spawn(self._watch(w))

    def _leave(self, job: Job) -> None:
        w = self._watched.pop(job, None)
        if w is not None and w.watch is not None:
            w.watch.cancel()

    def _look_again(self) -> None:
        for w in self._watched.values():
            w.bell.ring()

    async def _watch(self, w: _Watched) -> None:
        """Wait until a job's flow is stopped, and then make the job end.

        The stop that is stored counts. Any client can direct an answer of the broker to the subject
        of a stop, so a message there only says that it is time to look.
        """
        heard = False

        def hear(msg: Any) -> None:
            nonlocal heard
            if msg.data != RUNNING:
                heard = True
                w.bell.ring()

        subscription = None
        try:
            subscription = await self._link.subscribe(w.job.stop, hear, messages=8, octets=1 << 20)
            # Check after subscribing, so that no stop is missed. Then check again: a message may be
            # too early for the subscription, and stored too late for the first check.
            pause = _LOOK_PAUSE
            while not await self._look(w):
                looked = time.monotonic()
                await w.bell.wait(pause)
                pause = min(4 * pause, _LOOK_LAST)
                if heard:
                    heard, pause = False, _LOOK_HEARD
                    await asyncio.sleep(max(0.0, looked + _LOOK_HEARD - time.monotonic()))
            w.stopped = time.monotonic()
            self._tell(w.stop)
        except LinkClosed as e:
            log.error("cannot subscribe to the stop of flow %s: %s", w.job.flow, e)
        finally:
            await self._link.unsubscribe(subscription)
        if w.stopped is not None:
            await asyncio.sleep(self._config.stop_grace + _BLOCKED)
            await self._overdue()

    async def _look(self, w: _Watched) -> bool:
        """Report whether a stop is stored or the stream is deleted; retry until the broker
        answers."""
        while True:
            stopped = await self._stored_stop(w.job)
            if stopped is not None:
                return stopped
            # A stop that is received meanwhile is also stored.
            await w.bell.wait(_LOOK_PAUSE)

    async def _stored_stop(self, job: Job) -> bool | None:
        """Report whether a stop or nothing is stored: then the flow is over. None without an
        answer."""
        stream = job.stream or f"FLOW-{job.flow}"
        try:
            msg = await self._link.request(self._link.api(f"DIRECT.GET.{stream}.{job.stop}"))
            code = (msg.headers or {}).get("Status", "")
            if code == "":
                return msg.data != RUNNING
            if code != "404":
                return None
            # A flow's own stream holds a stop only; a shard, which has no replicas, whether the
            # flow is running.
            return job.stream is not None
        except NoAnswer:
            try:
                await self._link.check_stream(stream)
            except Gone:
                return True
            return None

    async def _overdue(self) -> None:
        """Handle a stopped job that continues. If the event loop is blocked, nothing else can end
        it."""
        answered = asyncio.Event()
        self._tell(lambda: self._post(answered.set))
        try:
            await asyncio.wait_for(answered.wait(), _BLOCKED)
        except asyncio.TimeoutError:
            log.error("a stopped job blocks the event loop; giving up this executor")
            self._say_draining("a stopped job did not end")
            await self._give_up()

    # Drain.

    def _on_signal(self) -> None:
        for number in self._sockets[0].recv(64):
            if number in _SIGNALS:
                self._signals += 1
                if self._signals == 1:
                    self._spawn(self._drain())
                elif self._signals == 2:
                    self._spawn(self._give_up())

    async def _drain(self) -> None:
        """Let the running jobs finish; give them up at the end of the grace period."""
        self._say_draining("told to")
        self._tell(self._orders.drain)
        await asyncio.sleep(self._config.grace)
        await self._give_up()

    def _say_draining(self, reason: str) -> None:
        if not self._draining:
            self._draining = True
            self._drain_task = self._spawn(self._publish_draining(reason))

    async def _publish_draining(self, reason: str) -> None:
        c = self._config
        event = Event(
            type="executor.draining",
            executor=c.executor,
            about=c.executor,
            on=f"executor.draining.{c.progdef}.{c.executor}",
            data={
                "executor": c.executor,
                "progdef": c.progdef,
                "revision": c.revision,
                "reason": reason,
            },
        )
        try:
            # If the spawner drains us, it has published one of its own.
            await asyncio.wait_for(say(self._link, event), LAST_WORDS)
        except (DagyoError, asyncio.TimeoutError) as e:
            log.warning("cannot publish that this executor is draining: %s", e)

    async def _give_up(self) -> None:
        """End the running jobs; publish the panics of those that do not end, and end the
        process."""
        self._tell(self._orders.give_up)
        await asyncio.sleep(LAST_WORDS)
        left = [w.job for w in self._watched.values() if w.stopped is None]
        words = [say(self._link, word(j, self._config.executor, drained(), {})) for j in left]
        try:
            await asyncio.wait_for(asyncio.gather(*words), LAST_WORDS)
        except (DagyoError, asyncio.TimeoutError) as e:
            log.error("cannot publish that jobs are given up: %s", e)
        log.error("gave up %d running jobs that did not end", len(self._watched))
        exit_now(1)


def _noted(*_: object) -> None:
    """The wake-up descriptor has the signal."""


def _in_child() -> None:
    """Restore the default signals in a forked process, so that we do not receive its signals."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _noted:
            signal.signal(number, signal.SIG_DFL)
            signal.set_wakeup_fd(-1)


def exit_now(code: int) -> None:
    """End the process without waiting for tasks and threads that do not end."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
