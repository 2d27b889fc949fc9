"""An executor, which takes jobs from its mailbox and runs them until it is drained."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from nats.aio.msg import Msg

from .bell import Bell
from .config import Config
from .errors import DagyoError, LinkClosed, UsageError
from .events import Event, say_last
from .job import Job, parse_job
from .link import Link
from .logs import logging_to_jobs
from .mailbox import Claim, Mailbox, acknowledge, refuse, started_before
from .mask import Mask
from .name import take_name
from .progdef import Progdef
from .runner import LAST_WORDS, Ending, Runner, drained, word
from .warden import Orders, Warden, exit_now

log = logging.getLogger("dagyo")

#: Exit codes: all jobs are done; NATS is unreachable, or jobs were given up; invalid environment.
EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


class Executor:
    """Serves the mailbox in a configuration with one of several progdefs."""

    def __init__(self, config: Config, programs: Sequence[Progdef]) -> None:
        self._config = config
        self._program = choose(config, programs)
        self._mask = Mask(config.secrets)
        self._link = Link()
        self._warden = Warden(config)
        self._bell = Bell()  # rung at everything that may end the executor
        self._freed = Bell()
        self._jobs: dict[asyncio.Task[None], Runner | None] = {}
        self._acknowledging: set[asyncio.Task[None]] = set()
        self._mailbox: Mailbox | None = None
        self._draining = False
        self._giving_up = False
        self._claiming: set[asyncio.Task[bool]] = set()
        self._stuck = False

    async def run(self, *, signals: bool = True) -> int:
        """Serve jobs until drained; return the exit code. Only the main thread handles signals."""
        orders = Orders(drain=self.drain, give_up=self.give_up)
        self._warden.start(asyncio.get_running_loop(), orders)
        undo = self._warden.take_signals() if signals else None
        stop_logging = logging_to_jobs()
        try:
            if not await self._connect():
                return EXIT_OK
            self._link.add_hook(self._bell.ring)
            if not await self._take_name():
                return EXIT_OK
            return await self._serve()
        except DagyoError as e:
            log.error("%s", e)
            return EXIT_FAILED
        finally:
            stop_logging()
            await self._link.close()
            await asyncio.to_thread(self._warden.stop)
            if undo is not None:
                undo()

    def drain(self) -> None:
        """Take no more jobs, and finish the running ones."""
        self._draining = True
        if self._mailbox is not None:
            self._mailbox.stop()
        self._freed.ring()
        self._bell.ring()

    def give_up(self) -> None:
        """End the running jobs, too; each of them panics."""
        self._giving_up = True
        self.drain()
        for runner in self._jobs.values():
            if runner is not None:
                runner.end(Ending.DRAINED)
        for claiming in self._claiming:
            claiming.cancel()  # without an answer of the broker
        for task in self._acknowledging:
            task.cancel()

    async def _connect(self) -> bool:
        """Wait for NATS. Report False if told to exit meanwhile: there is nothing to drain then."""
        c = self._config
        connecting = asyncio.create_task(
            self._link.connect(c.queue, f"executor {c.executor}", c.access, c.inbox)
        )
        draining = asyncio.create_task(self._bell.wait())
        await asyncio.wait({connecting, draining}, return_when=asyncio.FIRST_COMPLETED)
        for task in (connecting, draining):
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if self._draining:
            return False
        connecting.result()
        return True

    async def _take_name(self) -> bool:
        """Report whether jobs may run under our id. If not, wait to be drained."""
        if not self._config.spawned:
            return True
        asking = asyncio.create_task(take_name(self._link, self._config.executor))
        asking.add_done_callback(lambda _: self._bell.ring())
        while not (self._draining or asking.done() or self._link.closed):
            await self._bell.wait()
        if not asking.done():
            asking.cancel()
            await asyncio.wait({asking})
        if self._draining:
            return False
        if self._link.closed:
            raise LinkClosed("the connection to NATS was closed")
        if asking.result():
            return True
        log.warning("a program already ran as %s; waiting for a signal to exit", self._config.executor)
        while not (self._draining or self._link.closed):
            await self._bell.wait()
        return False

    async def _serve(self) -> int:
        claiming = asyncio.create_task(self._claim_jobs())
        claiming.add_done_callback(lambda _: self._bell.ring())
        try:
            while not (self._draining or claiming.done() or self._link.closed):
                await self._bell.wait()
        finally:
            self.drain()
            await asyncio.wait({claiming})
        await self._finish_jobs()
        if self._stuck:
            log.error("gave up %d jobs that did not end", len(self._jobs))
            await self._link.close()
            await asyncio.to_thread(self._warden.stop)
            exit_now(EXIT_FAILED)
        if claiming.exception() is not None or self._link.closed:
            raise claiming.exception() or LinkClosed("the connection to NATS was closed")
        return EXIT_FAILED if self._giving_up else EXIT_OK

    async def _finish_jobs(self) -> None:
        """Wait for the running jobs; after they are given up, only for their last events."""
        while self._jobs and not self._giving_up and not self._link.closed:
            await self._bell.wait()
        if self._link.closed:
            self.give_up()
        if self._jobs:
            await asyncio.wait(list(self._jobs), timeout=LAST_WORDS)
        if self._jobs:
            self._stuck = True

    async def _claim_jobs(self) -> None:
        """Take jobs while there are free slots."""
        mailbox = Mailbox(self._link, self._config.consumer)
        self._mailbox = mailbox
        try:
            while not self._draining:
                free = self._config.slots - len(self._jobs)
                if free < 1:
                    await self._freed.wait()
                    continue
                msg = await mailbox.receive(free)
                if msg is not None:
                    self._start(msg)
        finally:
            await mailbox.close()

    def _start(self, msg: Msg) -> None:
        task = asyncio.create_task(self._take(msg))
        self._jobs[task] = None
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._jobs[task]
        if not task.cancelled() and task.exception() is not None:
            log.error("a defect: serving a job failed", exc_info=task.exception())
        self._freed.ring()
        self._bell.ring()

    async def _take(self, msg: Msg) -> None:
        """Claim a job and run it. If the claim fails, the job is left to other executors."""
        try:
            job = parse_job(msg.data)
        except ValueError as e:
            return await refuse(self._link, msg, str(e))
        if self._draining or self._warden.draining:
            return await self._link.publish(msg.reply, b"-NAK")
        try:
            if await started_before(self._link, job, msg):
                ours = False
            elif self._giving_up:
                return await self._link.publish(msg.reply, b"-NAK")
            else:
                ours = await self._claim(job)
        except DagyoError as e:
            # The next delivery shows whether anyone started it.
            return log.warning("job %s of flow %s was not claimed: %s", job.job, job.flow, e)
        if self._giving_up:
            # If it is lost, the next delivery acknowledges it.
            await self._link.publish(msg.reply, b"+ACK")
            if ours:
                await self._say(word(job, self._config.executor, drained(), {}))
            return None
        acknowledging = asyncio.create_task(acknowledge(self._link, msg))
        self._acknowledging.add(acknowledging)
        acknowledging.add_done_callback(self._acknowledging.discard)
        try:
            if ours:
                await self._run(job)
            else:
                log.info("job %s of flow %s was already started", job.job, job.flow)
        finally:
            await asyncio.wait({acknowledging})

    async def _claim(self, job: Job) -> bool:
        """Publish that the job is started; report whether it is ours.

        If the executor must exit before the broker has answered, it may be stored: then nobody but
        us can publish how the job ends.
        """
        claim = Claim(self._link, job, self._config)
        claiming = asyncio.create_task(claim.make())
        self._claiming.add(claiming)
        try:
            return await claiming
        except asyncio.CancelledError:
            if not self._giving_up:
                raise
            return await claim.made(LAST_WORDS / 2)
        finally:
            self._claiming.discard(claiming)

    async def _run(self, job: Job) -> None:
        c = self._config
        runner = Runner(self._link, job, self._program, c.executor, c.stop_grace, self._mask)
        task = asyncio.current_task()
        if task is not None:
            self._jobs[task] = runner
        if self._giving_up:
            runner.end(Ending.DRAINED)
        self._warden.enter(job, lambda: runner.end(Ending.STOPPED))
        try:
            last = await runner.run()
            if last is not None:
                await self._say(last)
            if not await runner.over():
                self._abandon()
        finally:
            self._warden.leave(job)

    async def _say(self, last: Event) -> None:
        try:
            await say_last(self._link, last)
        except DagyoError as e:
            log.error("cannot publish how a job of flow %s ended: %s", last.about, e)

    def _abandon(self) -> None:
        """A job does not end: take no more jobs, finish the others, and exit."""
        self._stuck = True
        self._warden.say_draining("a stopped job did not end")
        self.drain()


def choose(config: Config, programs: Sequence[Progdef]) -> Progdef:
    """Return the program for a configuration's mailbox; raise UsageError if there is none."""
    if len(programs) == 1:
        return programs[0]
    for program in programs:
        if program.name == config.progdef:
            return program
    names = ", ".join(p.name for p in programs) or "none"
    raise UsageError(f"DAGYO_JOBS names the progdef {config.progdef}; this program has {names}")
