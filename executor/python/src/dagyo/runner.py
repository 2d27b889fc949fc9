"""Running one job from its first record to its last event."""

from __future__ import annotations

import asyncio
import logging
import traceback
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .errors import DagyoError, Gone, PortError, ReaderClosed
from .events import Event, clip, sent_by
from .job import STOP, Job
from .link import Link
from .logs import Journal, current
from .mask import Mask
from .ports import In, Out
from .progdef import JobInfo, Progdef
from .reader import Reader
from .seal import End
from .types import Octets
from .writer import Writer

log = logging.getLogger("dagyo")

#: How long, in seconds, jobs that are given up may take to publish their end.
LAST_WORDS = 3.0

# How long, in seconds, a program whose port has failed may take to end by itself, and then after
# its cancellation, before the panic is published without waiting for it.
_UNWIND = 0.25
_UNWIND_CANCELLED = 1.0


class Ending(Enum):
    """Why a job must end before its program has ended."""

    STOPPED = "the flow was stopped"
    DRAINED = "the executor was drained before the job was done"
    FAILED = "a port has failed"


@dataclass
class Panic:
    """The content of job.panic without the counts."""

    kind: str
    message: str
    port: str | None = None
    record: int | None = None
    detail: str = ""

    def data(self) -> dict[str, Any]:
        """Return the known fields."""
        data: dict[str, Any] = {"kind": self.kind, "message": clip(self.message)}
        if self.port is not None:
            data["port"] = self.port
        if self.record is not None:
            data["record"] = self.record
        if self.detail:
            data["detail"] = clip(self.detail)
        return data


def drained() -> Panic:
    """Return the panic of a job whose executor must exit."""
    return Panic("drained", Ending.DRAINED.value)


def word(job: Job, executor: str, panic: Panic | None, rest: dict[str, Any]) -> Event:
    """Return the last event of a job: job.panic, or job.done if panic is None."""
    data: dict[str, Any] = {"job": job.job, "executor": executor}
    if panic is not None:
        data.update(panic.data())
    data.update(rest)
    return Event(
        type="job.done" if panic is None else "job.panic",
        executor=executor,
        about=job.flow,
        on=job.done if panic is None else job.panic,
        data=data,
        traceparent=job.traceparent,
        tracestate=job.tracestate,
    )


class Runner:
    """Runs a claimed job. Call ``run``, then ``over``."""

    def __init__(
        self,
        link: Link,
        job: Job,
        program: Progdef,
        executor: str,
        stop_grace: float,
        mask: Mask | None = None,
    ) -> None:
        self._link = link
        self.job = job
        self._program = program
        self._executor = executor
        self._stop_grace = stop_grace
        self._mask = mask or Mask()
        self._journal: Journal | None = None
        if job.log and job.log_rate > 0:
            subject = sent_by(executor, job.log)
            self._journal = Journal(link, subject, job.log_rate, self._mask)
        self._ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._failure: PortError | None = None
        self._inputs: dict[str, In[Any]] = {}
        self._outputs: dict[str, Out[Any]] = {}
        self._readers: list[Reader] = []
        self._ends: list[tuple[str, End]] = []
        self._writers: list[Writer] = []
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._ended = False  # by the stream that is connected to the node's stop

    def end(self, why: Ending) -> None:
        """Make the job end soon. The first reason counts."""
        if not self._ending.done():
            self._ending.set_result(why)

    def _fail(self, failure: PortError) -> None:
        self._failure = self._failure or failure
        self.end(Ending.FAILED)

    def _gate(self) -> None:
        """Disable the ports of a program that continues after its end."""
        if self._ending.done() and self._ending.result() is not Ending.FAILED:
            raise asyncio.CancelledError(self._ending.result().value)
        if self._ended:
            raise asyncio.CancelledError("the node was stopped by a stream")

    async def run(self) -> Event | None:
        """Run the job; return its last event, or None for a stopped job that does not end."""
        try:
            self._program.check(self.job)
            self._open()
        except DagyoError as e:
            await self._abort()
            return self._word(Panic("error", str(e)))
        task = self._task = asyncio.create_task(self._call())
        try:
            either: set[asyncio.Future[Any]] = {task, self._ending}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await self._interrupt(task)
        finally:
            await self._unwatch()
            await self._abort()
            if self._journal is not None:
                await self._journal.close()
        if not task.done():
            return self._word_without()
        return self._judge(None if task.cancelled() else task.exception(), task.cancelled())

    async def over(self) -> bool:
        """Wait until the program ends; report False if it does not although it was stopped."""
        task = self._task
        if task is None or task.done():
            return True
        if self._failure is not None:
            await asyncio.wait({task}, timeout=self._stop_grace)
        task.add_done_callback(_forget)
        if not task.done():
            log.error(
                "stopped job %s of flow %s did not end; this executor takes no more jobs",
                self.job.job, self.job.flow,
            )  # fmt: skip
        return task.done()

    def _open(self) -> None:
        for port, address in self.job.inputs.items():
            reader = Reader(self._link, address, self._executor)
            self._readers.append(reader)
            self._ends.append((port, reader.end))
            type_ = Octets("octets") if port == STOP else self._program.inputs[port]
            self._inputs[port] = In(port, type_, reader, self._gate, self._fail)
        for port, address in self.job.outputs.items():
            writer = Writer(self._link, address, self._executor)
            self._writers.append(writer)
            self._ends.append((port, writer.end))
            type_ = self._program.outputs[port]
            self._outputs[port] = Out(port, type_, writer, self._gate, self._fail)
        for writer in self._writers:
            writer.start()

    async def _abort(self) -> None:
        """Release all edges without ending them."""
        for port, end in self._ends:
            end.say_dropped(port)
        self._ends.clear()
        for reader in self._readers:
            await reader.abort()
        for writer in self._writers:
            await writer.abort()

    async def _call(self) -> None:
        """Call the program, and end the streams when it returns."""
        j = self.job
        current.set(self._journal)  # of this task, and of what it starts
        job = JobInfo(j.flow, j.node, j.job, self._executor, j.traceparent, j.tracestate)
        if STOP in self._inputs and self._task is not None:
            self._watch = asyncio.create_task(self._watch_stop(self._inputs[STOP], self._task))
        try:
            await self._program.invoke(self._inputs, self._outputs, job)
        except ReaderClosed:
            pass  # the reader has everything that it asked for
        except (SystemExit, KeyboardInterrupt) as e:
            raise RuntimeError(f"the program raised {e!r}") from e
        except (Exception, asyncio.CancelledError):
            if not self._ended or self._ending.done():
                raise
        await self._unwatch()
        if self._failure is None:
            await self._finish()

    async def _watch_stop(self, stop: In[bytes], task: asyncio.Task[None]) -> None:
        """End the program at the first record of a stream. A stream without records ends nothing.

        It is cancelled when the program has returned; see _unwatch.
        """
        try:
            await anext(stop)
        except (StopAsyncIteration, DagyoError):
            return  # a protocol error has failed the job; others handle the end of the flow
        self._ended = True
        grace = self._stop_grace
        deaf = f"the node was stopped by a stream, but its program did not return within {grace:g} s"
        late = asyncio.get_running_loop().call_later(
            grace, self._fail, PortError("error", STOP, None, deaf)
        )
        try:
            for writer in self._writers:
                await writer.rest()
            task.cancel()
            await asyncio.wait({task})
        finally:
            late.cancel()

    async def _unwatch(self) -> None:
        """Return when the stream that may end the program is no longer read."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})

    async def _finish(self) -> None:
        """End all streams: first the inputs, so that their writers can continue, then all
        outputs."""
        for port in self._inputs.values():
            await port.close()
        ends = [port.close() for port in self._outputs.values()]
        for result in await asyncio.gather(*ends, return_exceptions=True):
            if isinstance(result, BaseException) and not isinstance(result, ReaderClosed):
                raise result

    async def _interrupt(self, task: asyncio.Task[None]) -> None:
        """End the program's task, if it ends in time."""
        why = self._ending.result()
        grace = {
            Ending.STOPPED: self._stop_grace,
            Ending.DRAINED: LAST_WORDS / 2,
            Ending.FAILED: _UNWIND_CANCELLED,
        }
        if why is Ending.FAILED:
            await asyncio.wait({task}, timeout=_UNWIND)
        task.cancel()
        await asyncio.wait({task}, timeout=grace[why])

    def _word_without(self) -> Event | None:
        """Return the last event for a program that has not ended."""
        if self._failure is not None:
            return self._judge(None, cancelled=True)
        return self._word(drained()) if self._ending.result() is Ending.DRAINED else None

    def _judge(self, error: BaseException | None, cancelled: bool) -> Event:
        """Return the last event for a program that has ended."""
        why = self._ending.result() if self._ending.done() else None
        if self._failure is not None:
            f = self._failure
            return self._word(Panic(f.kind, f.message, f.port, f.record, _trace(error or f)))
        if error is None and not cancelled:
            return self._word(None)
        if why is Ending.STOPPED or isinstance(error, Gone):
            return self._word(None, stopped=True)
        if why is Ending.DRAINED:
            return self._word(drained())
        if cancelled or error is None:
            return self._word(Panic("error", "the program cancelled itself"))
        return self._word(Panic("error", _sentence(error), detail=_trace(error)))

    def _word(self, panic: Panic | None, *, stopped: bool = False) -> Event:
        rest: dict[str, Any] = {"stopped": True} if stopped else {}
        if panic is not None:
            panic.message = self._mask.apply(panic.message)
            panic.detail = self._mask.apply(panic.detail)
        return word(self.job, self._executor, panic, rest | self.counts())

    def counts(self) -> dict[str, Any]:
        """Return the counts of what the job has read and written so far."""
        early = sorted(p.name for p in self._inputs.values() if p.closed_early)
        counts: dict[str, Any] = {
            "inputs": {p.name: _count(p) for p in self._inputs.values()},
            "outputs": {p.name: _count(p) for p in self._outputs.values()},
        }
        if early:
            counts["closedEarly"] = early
        return counts


def _count(port: In[Any] | Out[Any]) -> dict[str, int]:
    return {"records": port.records, "bytes": port.octets}


def _sentence(error: BaseException) -> str:
    """Return an error in one line."""
    return "".join(traceback.format_exception_only(type(error), error)).strip()


def _trace(error: BaseException) -> str:
    """Return an error's traceback, starting at the program's own code."""
    trace = error.__traceback__
    if trace is not None and trace.tb_next is not None:
        trace = trace.tb_next  # our own call of the program
    return "".join(traceback.format_exception(type(error), error, trace))


def _forget(task: asyncio.Task[None]) -> None:
    """Retrieve the result of a task for which nothing waits any more."""
    if not task.cancelled() and task.exception() is not None:
        log.error("a job that was given up failed", exc_info=task.exception())
