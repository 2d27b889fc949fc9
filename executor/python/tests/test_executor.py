"""An executor in its own process, as the services see it."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dagyo.errors import BrokerError
from dagyo.events import sent_by
from dagyo.link import Link
from dagyo.reader import Reader

from .helpers import Broker
from .office import Office, _validator, office

TEXT = "utf8-string"


@pytest.fixture
async def o(shared_broker: Broker) -> AsyncIterator[Office]:
    async with office(shared_broker) as made:
        yield made


async def test_a_job_from_its_first_to_its_last_event(o: Office) -> None:
    job = o.job("greet", "r1", {"name": TEXT}, {"greeting": TEXT})
    await o.post(job)
    async with o.executor("greet", "r1") as x:
        await o.write(job.inputs["name"], b"Alice", "Bøb".encode())
        assert await o.read(job.outputs["greeting"]) == [b"hello Alice", "hello Bøb".encode()]
        assert await o.said(job, "started") == {
            "job": job.document["job"],
            "executor": x.identity,
        }
        assert await o.said(job, "done") == {
            "job": job.document["job"],
            "executor": x.identity,
            "inputs": {"name": {"records": 2, "bytes": 9}},
            "outputs": {"greeting": {"records": 2, "bytes": 21}},
        }
        x.signal()
        assert await x.ended() == 0
    assert x.stderr == b""


async def test_jobs_run_at_the_same_time_in_their_slots(o: Office) -> None:
    jobs = [o.job("greet", "r2", {"name": TEXT}, {"greeting": TEXT}) for _ in range(4)]
    async with o.executor("greet", "r2", DAGYO_SLOTS="3"):
        for job in jobs:
            await o.post(job)
        for job in jobs[:3]:
            await o.said(job, "started")
        with pytest.raises(AssertionError):
            await o.said(jobs[3], "started", patience=1)
        await o.write(jobs[1].inputs["name"])
        assert await o.read(jobs[1].outputs["greeting"]) == []
        await o.said(jobs[3], "started")


async def test_a_job_is_started_once(o: Office) -> None:
    jobs = [o.job("greet", "r3", {"name": TEXT}, {"greeting": TEXT}) for _ in range(20)]
    async with (
        o.executor("greet", "r3", DAGYO_SLOTS="10") as one,
        o.executor("greet", "r3", DAGYO_SLOTS="10") as other,
    ):
        for job in jobs:
            await o.post(job)
        by = [(await o.said(job, "started"))["executor"] for job in jobs]
        assert sorted(set(by)) == sorted([one.identity, other.identity])
    starts = [h for h in o.heard if h.subject.startswith("job.started.")]
    assert len(starts) == len(jobs)


async def test_a_job_that_was_started_elsewhere_is_dropped(o: Office) -> None:
    job = o.job("greet", "r4", {"name": TEXT}, {"greeting": TEXT})
    await o.link.ask(sent_by("another", job.document["started"], job.mailbox), b"{}", timeout=5)
    async with o.executor("greet", "r4") as x:
        await o.post(job)
        after = o.job("greet", "r4", {"name": TEXT}, {"greeting": TEXT})
        await o.post(after)
        await o.said(after, "started")
        assert not o.beats(job)
        x.signal(signal.SIGTERM)
        x.signal(signal.SIGINT)


async def test_nothing_runs_under_a_taken_name(o: Office) -> None:
    await o.link.ask("name.taken-1", b"by another", timeout=5)
    job = o.job("greet", "r4b", {"name": TEXT}, {"greeting": TEXT})
    await o.post(job)
    async with o.executor("greet", "r4b", DAGYO_EXECUTOR="taken-1") as x:
        await x.writes(b"already ran as taken-1")
        with pytest.raises(AssertionError):
            await o.said(job, "started", patience=1)
        x.signal()
        assert await x.ended() == 0


async def test_generic_ports_and_batches(o: Office) -> None:
    ports = {"a": "list<octets>", "b": "list<octets>"}
    job = o.job("tee", "r1", {"in": "list<octets>"}, ports)
    await o.post(job)
    async with o.executor("tee", "r1"):
        records = [b"\xff\x00%d" % n for n in range(5000)]
        _, a, b = await asyncio.gather(
            o.write(job.inputs["in"], *records),
            o.read(job.outputs["a"]),
            o.read(job.outputs["b"]),
        )
        assert a == b == records


async def test_mismatched_ports(o: Office) -> None:
    job = o.job("tee", "r2", {"in": "octets"}, {"a": "octets", "b": TEXT, "c": TEXT})
    await o.post(job)
    async with o.executor("tee", "r2"):
        panic = await o.said(job, "panic")
    assert panic["kind"] == "error"
    assert panic["message"] == (
        "progdef tee does not match its program tee: output b carries utf8-string, the program "
        "expects T, where T is octets on another port; the progdef has output c, which the program "
        "does not declare"
    )


async def test_malformed_jobs_are_removed(o: Office) -> None:
    async with o.executor("greet", "r5") as x:
        await o.link.ask("jobs.greet.r5.f.j", b'{"flow": "f"}', timeout=5)
        job = o.job("greet", "r5", {"name": TEXT}, {"greeting": TEXT})
        await o.post(job)
        await o.write(job.inputs["name"])
        assert await o.read(job.outputs["greeting"]) == []
        await o.said(job, "done")
        x.signal()
        assert await x.ended() == 0  # nothing is left to acknowledge
    info = await o.link.ask("$JS.API.CONSUMER.INFO.JOBS.greet-r5")
    assert info["num_ack_pending"] == info["num_pending"] == 0


async def test_it_waits_for_its_mailbox(o: Office) -> None:
    async with o.alone("greet", "late") as x:
        await asyncio.sleep(2)  # it asks several times
        with pytest.raises(BrokerError, match="consumer not found"):
            await o.link.ask("$JS.API.CONSUMER.INFO.JOBS.greet-late")
        await o.mailbox("greet", "late")
        job = o.job("greet", "late", {"name": TEXT}, {"greeting": TEXT})
        await o.post(job)
        await o.write(job.inputs["name"])
        assert await o.read(job.outputs["greeting"]) == []
        await o.said(job, "done")
        x.signal()
        assert await x.ended() == 0
    assert x.stderr.count(b"the mailbox does not exist yet") == 1


async def test_an_error_is_a_panic_with_its_traceback(o: Office) -> None:
    job = o.job("fail", "r1", {"in": TEXT})
    await o.post(job)
    async with o.executor("fail", "r1") as x:
        await o.write(job.inputs["in"], b"good", b"bad", b"never")
        panic = await o.said(job, "panic")
        assert panic["kind"] == "error"
        assert panic["message"] == "ValueError: cannot take 'bad'"
        assert 'raise ValueError(f"cannot take {value!r}")' in panic["detail"]
        assert panic["inputs"] == {"in": {"records": 2, "bytes": 7}}
        x.signal()
        assert await x.ended() == 0


@pytest.mark.parametrize("program", ["fail", "stubborn"])
async def test_a_record_that_is_not_text(o: Office, program: str) -> None:
    revision = "no-text"
    job = o.job(program, revision, {"in": TEXT})
    await o.post(job)
    async with o.executor(program, revision):
        await o.write(job.inputs["in"], b"good", b"\xff", b"never")
        panic = await o.said(job, "panic", patience=10)
    assert (panic["kind"], panic["port"], panic["record"]) == ("deserialization", "in", 1)
    assert panic["message"].startswith("the record is not utf8-string: ")
    assert panic["inputs"] == {"in": {"records": 1, "bytes": 4}}


async def test_a_bad_frame_is_a_panic(o: Office) -> None:
    job = o.job("fail", "r2", {"in": TEXT})
    await o.link.ask(job.inputs["in"].slot(1), b"not a frame at all", timeout=5)
    await o.post(job)
    async with o.executor("fail", "r2"):
        panic = await o.said(job, "panic")
    assert (panic["kind"], panic["port"]) == ("protocol", "in")
    assert "record" not in panic


async def test_a_value_that_cannot_be_encoded(o: Office) -> None:
    job = o.job("wrong", "r1", outputs={"out": "json"})
    await o.post(job)
    async with o.executor("wrong", "r1"):
        panic = await o.said(job, "panic")
    assert panic["kind"] == "error"
    assert "not JSON compliant" in panic["message"]


async def test_sys_exit_is_a_panic(o: Office) -> None:
    job = o.job("leave", "r1")
    await o.post(job)
    async with o.executor("leave", "r1"):
        panic = await o.said(job, "panic")
    assert panic["kind"] == "error"
    assert "SystemExit(3)" in panic["message"]


async def test_a_forked_process_has_its_own_signals(o: Office) -> None:
    job = o.job("forks", "r1")
    after = o.job("forks", "r1")
    async with o.executor("forks", "r1"):
        for j in (job, after):
            await o.post(j)
            await o.said(j, "done")
    assert not [h for h in o.heard if h.subject.startswith("executor.draining.forks.")]


async def test_results(o: Office) -> None:
    job = o.job("results", "r1", outputs={"out": "Result<utf8-string>"})
    await o.post(job)
    async with o.executor("results", "r1"):
        flow = job.document["flow"].encode()
        assert await o.read(job.outputs["out"]) == [b"\0" + flow, b"\1no luck"]


async def test_an_input_is_closed_early(o: Office) -> None:
    job = o.job("head", "r1", {"in": TEXT}, {"out": TEXT})
    await o.post(job)
    async with o.executor("head", "r1"):
        await o.write(job.inputs["in"], *[b"%d" % n for n in range(100)])
        assert await o.read(job.outputs["out"]) == [b"0"]
        done = await o.said(job, "done")
    assert done["closedEarly"] == ["in"]
    assert done["inputs"] == {"in": {"records": 1, "bytes": 1}}


async def test_a_reader_that_closes_early_ends_the_job(o: Office) -> None:
    job = o.job("pour", "r1", outputs={"out": "octets"})
    await o.post(job)
    async with o.executor("pour", "r1"):
        reader = Reader(o.link, job.outputs["out"])
        assert await reader.receive()
        await reader.close()
        done = await o.said(job, "done")
    assert "stopped" not in done
    assert done["outputs"]["out"]["records"] > 0


async def test_stop(o: Office) -> None:
    job = o.job("pour", "r2", outputs={"out": "octets"})
    await o.post(job)
    async with o.executor("pour", "r2") as x:
        await o.said(job, "started")
        await asyncio.sleep(0.5)
        before = time.monotonic()
        await o.stop(job)
        done = await o.said(job, "done")
        assert time.monotonic() - before < 2
        assert done["stopped"] is True
        x.signal()
        assert await x.ended() == 0


async def test_a_stop_that_was_sent_earlier(o: Office) -> None:
    job = o.job("greet", "r6", {"name": TEXT}, {"greeting": TEXT})
    await o.stop(job)
    await o.post(job)
    async with o.executor("greet", "r6"):
        assert (await o.said(job, "done"))["stopped"] is True


async def test_a_deleted_stream_is_a_stop(o: Office) -> None:
    job = o.job("greet", "r7", {"name": TEXT}, {"greeting": TEXT})
    await o.link.ask(f"$JS.API.STREAM.DELETE.{job.inputs['name'].stream}")
    await o.post(job)
    async with o.executor("greet", "r7"):
        assert (await o.said(job, "done"))["stopped"] is True


async def test_a_record_on_stop_ends_the_program(o: Office) -> None:
    job = o.job("pour", "r3", {"stop": TEXT}, {"out": "octets"})
    await o.post(job)
    async with o.executor("pour", "r3") as x:
        reading = asyncio.create_task(o.read(job.outputs["out"]))
        await o.said(job, "started")
        await asyncio.sleep(0.5)
        assert not reading.done()
        await o.write(job.inputs["stop"], b"enough", b"more")
        done = await o.said(job, "done")
        records = await reading
        assert done == {
            "job": job.document["job"],
            "executor": x.identity,
            "inputs": {"stop": {"records": 1, "bytes": 6}},
            "outputs": {"out": {"records": len(records), "bytes": 100 * len(records)}},
            "closedEarly": ["stop"],
        }
        assert len(records) > 0
        x.signal()
        assert await x.ended() == 0
    assert x.stderr == b""


async def test_a_program_that_waits_for_records_is_stopped(o: Office) -> None:
    job = o.job("greet", "r14", {"name": TEXT, "stop": "octets"}, {"greeting": TEXT})
    await o.post(job)
    async with o.executor("greet", "r14"):
        await o.said(job, "started")
        await o.write(job.inputs["stop"], b"\xff")
        assert await o.read(job.outputs["greeting"]) == []
        done = await o.said(job, "done")
    assert "stopped" not in done
    assert done["closedEarly"] == ["name", "stop"]


async def test_a_partly_sent_record_is_finished_before_the_end(o: Office) -> None:
    """An exception of the program is not a failure then."""
    job = o.job("bulk", "r1", {"stop": TEXT}, {"out": "octets"})
    await o.post(job)
    async with o.executor("bulk", "r1"):
        await o.said(job, "started")
        await asyncio.sleep(0.5)
        await o.write(job.inputs["stop"], b"enough")
        await asyncio.sleep(0.5)
        assert await o.read(job.outputs["out"]) == [b"x" * (4 << 20)]
        done = await o.said(job, "done")
    assert done["outputs"] == {"out": {"records": 1, "bytes": 4 << 20}}


async def test_the_end_of_stop_changes_nothing(o: Office) -> None:
    job = o.job("greet", "r15", {"name": TEXT, "stop": TEXT}, {"greeting": TEXT})
    await o.post(job)
    async with o.executor("greet", "r15"):
        await o.write(job.inputs["stop"])
        await o.await_consumed(job.inputs["stop"], 1)
        await o.write(job.inputs["name"], b"Ida")
        assert await o.read(job.outputs["greeting"]) == [b"hello Ida"]
        done = await o.said(job, "done")
    assert done["inputs"]["stop"] == {"records": 0, "bytes": 0}
    assert "closedEarly" not in done


async def test_a_job_ends_by_itself_before_its_stop(o: Office) -> None:
    job = o.job("greet", "r16", {"name": TEXT, "stop": TEXT}, {"greeting": TEXT})
    await o.post(job)
    async with o.executor("greet", "r16"):
        await o.write(job.inputs["name"], b"Ida")
        assert await o.read(job.outputs["greeting"]) == [b"hello Ida"]
        assert (await o.said(job, "done"))["closedEarly"] == ["stop"]


async def test_a_protocol_error_on_stop(o: Office) -> None:
    job = o.job("pour", "r4", {"stop": TEXT}, {"out": "octets"})
    await o.link.ask(job.inputs["stop"].slot(1), b"this is not a frame")
    await o.post(job)
    async with o.executor("pour", "r4"):
        panic = await o.said(job, "panic")
    assert (panic["kind"], panic["port"]) == ("protocol", "stop")


async def test_a_stopped_flow_ends_a_program_that_stop_has_ended(o: Office) -> None:
    job = o.job("bulk", "r2", {"stop": TEXT}, {"out": "octets"})
    await o.post(job)
    async with o.executor("bulk", "r2"):
        await o.said(job, "started")
        await o.write(job.inputs["stop"], b"enough")
        await asyncio.sleep(0.5)
        before = time.monotonic()
        await o.stop(job)
        assert (await o.said(job, "done"))["stopped"] is True
        assert time.monotonic() - before < 2


async def test_a_program_that_ignores_its_stop(o: Office) -> None:
    job = o.job("deaf", "r4", {"in": TEXT, "more": TEXT, "stop": TEXT})
    await o.post(job)
    async with o.executor("deaf", "r4") as x:
        await o.write(job.inputs["in"], b"go")
        await o.said(job, "started")
        await asyncio.sleep(1.5)
        await o.write(job.inputs["stop"], b"enough")
        before = time.monotonic()
        panic = await o.said(job, "panic", patience=20)
        assert 9.5 < time.monotonic() - before < 13
        assert (panic["kind"], panic["port"]) == ("error", "stop")
        assert panic["message"] == (
            "the node was stopped by a stream, but its program did not return within 10 s"
        )
        assert await x.ended() == 1


async def test_a_blocked_event_loop_beats_and_is_stopped(o: Office) -> None:
    job = o.job("block", "r1", {"in": TEXT}, interval="300ms", timeout="1s")
    await o.post(job)
    async with o.executor("block", "r1") as x:
        await o.write(job.inputs["in"], b"4")
        started = await o.await_heard(lambda h: h.subject == job.document["started"])
        done = await o.await_heard(lambda h: h.subject == job.document["done"])
        assert done.at - started.at > 3.5
        beats = o.beats(job)
        moments = [started.at, *(b.at for b in beats), done.at]
        gaps = [b - a for a, b in itertools.pairwise(moments)]
        assert max(gaps) < 0.6
        assert {b.raw for b in beats} == {b"+1000"}
        # It also receives its drain while it is blocked.
        again = o.job("block", "r1", {"in": TEXT})
        await o.post(again)
        await o.write(again.inputs["in"], b"3")
        await o.said(again, "started")
        await asyncio.sleep(0.5)
        x.signal()
        drain = await o.await_heard(lambda h: h.subject == f"executor.draining.block.{x.identity}")
        _validator("executor.draining").validate(drain.data)
        assert not [h for h in o.heard if h.subject == again.document["done"]]
        assert await x.ended() == 0
        await o.said(again, "done")


async def test_an_idle_job_beats(o: Office) -> None:
    job = o.job("greet", "r8", {"name": TEXT}, {"greeting": TEXT}, interval="300ms")
    await o.post(job)
    async with o.executor("greet", "r8"):
        await o.said(job, "started")
        await asyncio.sleep(2)
        assert len(o.beats(job)) >= 6


async def test_drain_finishes_running_jobs(o: Office) -> None:
    job = o.job("greet", "r9", {"name": TEXT}, {"greeting": TEXT})
    late = o.job("greet", "r9", {"name": TEXT}, {"greeting": TEXT})
    async with o.executor("greet", "r9", DAGYO_SLOTS="5") as x:
        await o.post(job)
        await o.said(job, "started")
        x.signal()
        subject = f"executor.draining.greet.{x.identity}"
        drain = await o.await_heard(lambda h: h.subject == subject)
        assert drain.data["reason"] == "told to"
        await asyncio.sleep(0.2)
        await o.post(late)
        with pytest.raises(AssertionError):
            await o.said(late, "started", patience=1)
        await o.write(job.inputs["name"], b"Eve")
        assert await o.read(job.outputs["greeting"]) == [b"hello Eve"]
        assert await x.ended() == 0
        await o.said(job, "done")
    async with o.executor("greet", "r9"):
        await o.said(late, "started", patience=12)


async def test_a_drain_that_is_announced_already(o: Office) -> None:
    async with o.executor("greet", "r10") as x:
        subject = f"executor.draining.greet.{x.identity}.by.{x.identity}"
        await o.link.ask(subject, json.dumps({"data": "of an earlier attempt"}).encode(), timeout=5)
        await asyncio.sleep(1)
        x.signal()
        assert await x.ended() == 0
    info = await o.link.ask("$JS.API.STREAM.INFO.EVENTS", {"subjects_filter": subject})
    assert info["state"]["subjects"] == {subject: 1}


@pytest.mark.parametrize("second", [True, False])
async def test_a_drain_that_gives_up(o: Office, second: bool) -> None:
    revision = "second" if second else "grace"
    job = o.job("greet", revision, {"name": TEXT}, {"greeting": TEXT})
    await o.post(job)
    async with o.executor("greet", revision, DAGYO_GRACE="1h" if second else "500ms") as x:
        await o.said(job, "started")
        x.signal()
        if second:
            await asyncio.sleep(0.3)
            x.signal()
        panic = await o.said(job, "panic", patience=10)
        assert panic["kind"] == "drained"
        assert await x.ended() == 1


async def test_a_blocked_event_loop_is_given_up(o: Office) -> None:
    job = o.job("block", "r2", {"in": TEXT})
    await o.post(job)
    async with o.executor("block", "r2") as x:
        await o.write(job.inputs["in"], b"120")
        await o.said(job, "started")
        await asyncio.sleep(0.5)
        x.signal()
        await asyncio.sleep(0.2)
        x.signal()
        assert (await o.said(job, "panic", patience=10))["kind"] == "drained"
        assert await x.ended(10) == 1


async def test_a_stopped_job_that_continues_drains_its_executor(o: Office) -> None:
    job = o.job("deaf", "r1", {"in": TEXT, "more": TEXT})
    other = o.job("deaf", "r1", {"in": TEXT, "more": TEXT})
    async with o.executor("deaf", "r1", DAGYO_SLOTS="2") as x:
        for j in (job, other):
            await o.post(j)
            await o.said(j, "started")
        await o.write(job.inputs["in"], b"go")
        await asyncio.sleep(1.5)
        await o.stop(job)
        subject = f"executor.draining.deaf.{x.identity}"
        drain = await o.await_heard(lambda h: h.subject == subject, 20)
        assert drain.data["reason"] == "a stopped job did not end"
        await o.write(other.inputs["more"])
        await o.write(other.inputs["in"])
        await o.said(other, "done")
        assert await x.ended() == 1


async def test_a_deaf_job_is_given_up(o: Office) -> None:
    job = o.job("deaf", "r2", {"in": TEXT, "more": TEXT})
    await o.post(job)
    async with o.executor("deaf", "r2") as x:
        await o.write(job.inputs["in"], b"go")
        await o.said(job, "started")
        await asyncio.sleep(1.5)
        x.signal()
        subject = f"executor.draining.deaf.{x.identity}"
        await o.await_heard(lambda h: h.subject == subject)  # two signals at once may count as one
        x.signal()
        assert (await o.said(job, "panic"))["kind"] == "drained"
        assert await x.ended() == 1


async def test_a_deaf_job_whose_port_fails(o: Office) -> None:
    job = o.job("deaf", "r3", {"in": TEXT, "more": TEXT})
    await o.post(job)
    async with o.executor("deaf", "r3") as x:
        await o.said(job, "started")
        await o.write(job.inputs["more"], b"\xff")
        await o.write(job.inputs["in"], b"go")
        assert (await o.said(job, "panic", patience=5))["kind"] == "deserialization"
        assert await x.ended(20) == 1


async def test_a_stopped_job_that_blocks_ends_its_executor(o: Office) -> None:
    job = o.job("block", "r3", {"in": TEXT})
    other = o.job("block", "r3", {"in": TEXT})
    async with o.executor("block", "r3", DAGYO_SLOTS="2") as x:
        for j in (job, other):
            await o.post(j)
            await o.said(j, "started")
        await o.write(job.inputs["in"], b"120")
        await asyncio.sleep(0.5)
        await o.stop(job)
        assert (await o.said(other, "panic"))["kind"] == "drained"
        assert [h for h in o.heard if h.subject == f"executor.draining.block.{x.identity}"]
        assert await x.ended() == 1


async def test_a_broker_that_restarts_under_a_job(broker: Broker) -> None:
    async with office(broker) as o:
        job = o.job("greet", "r11", {"name": TEXT}, {"greeting": TEXT})
        idle = o.job("greet", "r11", {"name": TEXT}, {"greeting": TEXT})
        async with o.executor("greet", "r11", DAGYO_SLOTS="2") as x:
            await o.post(job)
            await o.said(job, "started")
            await broker.restart()
            await o.post(idle)
            await o.said(idle, "started")
            await o.write(job.inputs["name"], b"Zoe")
            assert await o.read(job.outputs["greeting"]) == [b"hello Zoe"]
            await o.said(job, "done")
            await o.stop(idle)
            assert (await o.said(idle, "done"))["stopped"] is True
            x.signal()
            assert await x.ended() == 0


async def test_a_stop_while_disconnected(broker: Broker) -> None:
    """The stop is stored before the executor has reconnected, so it must check again."""
    async with office(broker) as o:
        job = o.job("greet", "r12", {"name": TEXT}, {"greeting": TEXT})
        async with o.executor("greet", "r12") as x:
            await o.post(job)
            await o.said(job, "started")
            x.signal(signal.SIGSTOP)
            await broker.restart()
            await asyncio.sleep(0.5)
            await o.stop(job)
            x.signal(signal.SIGCONT)
            assert (await o.said(job, "done"))["stopped"] is True


async def test_it_waits_for_its_broker(broker: Broker) -> None:
    await asyncio.to_thread(broker.stop)
    async with Office(broker, Link()).alone("greet", "r13") as x:
        await asyncio.sleep(1.5)
        assert x.process.returncode is None
        x.signal()
        assert await x.ended(10) == 0


async def test_all_errors_in_the_environment_are_reported(o: Office) -> None:
    async with o.executor("greet", "r1", DAGYO_QUEUE="", DAGYO_SLOTS="0", DAGYO_GRACE="x") as x:
        assert await x.ended() == 2
    lines = x.stderr.decode().splitlines()
    assert lines == [
        "DAGYO_QUEUE is not set: set it to the URL of the NATS server",
        "DAGYO_SLOTS is '0': it must be a number of at least 1",
        "DAGYO_GRACE: 'x' is not a duration such as 24h or 1m30s",
    ]


@pytest.mark.parametrize("name", ["DAGYO_CREDS", "DAGYO_TLS_CA"])
async def test_a_file_that_cannot_be_used(o: Office, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("nothing of use")
    for file in ("file", "missing"):
        async with o.executor("greet", "r1", **{name: str(tmp_path / file)}) as x:
            assert await x.ended() == 1
        lines = x.stderr.decode().splitlines()
        assert str(tmp_path / file) in lines[-1] or name != "DAGYO_CREDS"
        assert "cannot connect to NATS at " in lines[-1]
        assert not any("Traceback" in line for line in lines)


async def test_a_mailbox_of_another_program(o: Office) -> None:
    async with o.executor("nobody", "r1") as x:
        assert await x.ended() == 2
    assert b"DAGYO_JOBS names the progdef nobody; this program has greet, tee" in x.stderr
