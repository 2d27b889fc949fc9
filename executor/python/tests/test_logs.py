"""What jobs log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dagyo.config import from_environment
from dagyo.link import Link
from dagyo.logs import Bucket, Journal, current, cut, logging_to_jobs
from dagyo.mask import Mask

from .helpers import Broker
from .office import Job, office

TEXT = "utf8-string"


class Store:
    """A link that keeps what is published."""

    connected = True

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    async def publish(self, subject: str, data: bytes) -> None:
        self.lines += map(json.loads, data.splitlines())

    async def request(self, subject: str, data: bytes, *, timeout: float) -> None:
        await self.publish(subject, data)

    def journal(self, rate: int, *secrets: str) -> Journal:
        return Journal(cast(Link, self), "log.f.j.by.x", rate, Mask(secrets))

    def texts(self) -> list[str]:
        return [line["text"] for line in self.lines]


async def test_a_chatty_job_loses_lines_that_are_counted() -> None:
    store = Store()
    journal = store.journal(100)
    for i in range(100_000):
        journal.log("info", f"line {i}")
    await journal.close()
    journal.log("info", "too late")
    dropped = sum(line.get("dropped", 0) for line in store.lines)
    kept = [line["text"] for line in store.lines if "dropped" not in line]
    assert len(kept) + dropped == 100_000
    assert kept[:2] == ["line 0", "line 1"]
    assert store.texts()[-1] == f"… {dropped:,} lines dropped"


async def test_lines_are_masked_split_and_cut() -> None:
    store = Store()
    journal = store.journal(1000, "s3cret-token", "short", "-----BEGIN-----\nc29tZWtleQ==")
    journal.log("error", "a s3cret-token\nshort c29tZWtleQ==")
    journal.log("info", "x" * 4090 + "s3cret-token" + "é" * 4096)
    await journal.close()
    texts = store.texts()
    assert texts[:2] == ["a ***", "short ***"]
    assert texts[2].endswith(" bytes cut)")
    assert len(texts[2].encode()) <= 4096
    assert "s3" not in texts[2]
    assert [line["level"] for line in store.lines] == ["error", "error", "info"]
    assert cut("\udcff") == "?"


async def test_a_lost_connection_costs_no_time() -> None:
    class Lost(Store):
        looks = 0

        @property
        def connected(self) -> bool:  # type: ignore[override]
            self.looks += 1
            return False

    store = Lost()
    journal = store.journal(1000)
    for _ in range(100):
        journal.log("info", "x" * 1000)
    await asyncio.sleep(0.5)
    assert store.looks < 20
    await journal.close()
    assert len(store.lines) == 100


async def test_a_destructor_may_log_while_a_line_is_added(monkeypatch: Any) -> None:
    store = Store()
    journal = store.journal(1000)
    inner = iter([lambda: journal.log("info", "inner")])

    def dumps(*args: Any, **options: Any) -> str:
        next(inner, lambda: None)()  # as the garbage collector may
        return json.dumps(*args, **options)

    monkeypatch.setattr("dagyo.logs.json", SimpleNamespace(dumps=dumps))
    thread = threading.Thread(target=journal.log, args=("info", "outer"), daemon=True)
    thread.start()
    await asyncio.to_thread(thread.join, 10)
    assert not thread.is_alive()
    await journal.close()
    assert store.texts() == ["inner", "outer"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
async def test_a_forked_child_logs_to_no_job() -> None:
    current.set(Store().journal(1000))
    child = os.fork()
    if child == 0:
        os._exit(0 if current.get() is None else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert current.get() is not None


async def test_records_are_logged_for_the_job_of_their_task() -> None:
    one, two = Store(), Store()
    stop = logging_to_jobs()
    try:

        async def run(store: Store, name: str) -> None:
            journal = store.journal(1000)
            current.set(journal)
            for i in range(3):
                logging.getLogger("program").warning("%s %d", name, i)
                await asyncio.sleep(0)
            try:
                raise ValueError(name)
            except ValueError:
                logging.exception("failed")
            await journal.close()

        await asyncio.gather(run(one, "one"), run(two, "two"))
        logging.warning("of no job")
    finally:
        stop()
    assert one.texts()[:4] == ["one 0", "one 1", "one 2", "failed"]
    assert one.texts()[-1] == "ValueError: one"
    assert two.texts()[:3] == ["two 0", "two 1", "two 2"]


def test_bucket() -> None:
    bucket = Bucket(10, 0)
    assert all(bucket.take(0, 1) for _ in range(10))
    assert not bucket.take(0, 1)
    assert not bucket.ready(0.4)
    assert bucket.ready(0.5)


@pytest.mark.parametrize(
    ("names", "values"),
    [("", ()), ("A,B", ("one",)), ("*,DAGYO_QUEUE", ("one", "two")), ("*,A", ("two",))],
)
def test_secrets_of_the_environment(names: str, values: tuple[str, ...]) -> None:
    environ = {
        "A": "one", "C": "two", "DAGYO_QUEUE": "nats://x", "DAGYO_JOBS": "p.r", "DAGYO_SECRETS": names,
    }  # fmt: skip
    assert from_environment(environ).secrets == values


async def logged(link: Link, job: Job, executor: str) -> list[str]:
    """Return the texts that are kept of a job."""
    d, last = job.document, 0
    texts: list[str] = []
    while True:
        query = {"seq": last + 1, "next_by_subj": f"log.{d['flow']}.{d['job']}.by.{executor}"}
        found = await link.request("$JS.API.DIRECT.GET.LOGS", json.dumps(query).encode())
        headers = found.headers or {}
        if headers.get("Status") == "404":
            return texts
        last = int(headers["Nats-Sequence"])
        texts += [json.loads(line)["text"] for line in found.data.splitlines()]


async def test_logs_are_stored_when_the_job_is_done(shared_broker: Broker) -> None:
    async with office(shared_broker) as o:
        jobs = [o.job("talk", "r1", {"in": TEXT}) for _ in range(2)]
        for job in jobs:
            d = job.document
            d["log"] = {"subject": f"log.{d['flow']}.{d['job']}", "rate": 100}
            await o.post(job)
        async with o.executor("talk", "r1", DAGYO_SLOTS="2", KEY="s3cret", DAGYO_SECRETS="KEY") as x:
            for job in jobs:
                await o.write(job.inputs["in"], b"a", b"s3cret")
                await o.said(job, "done")
            for job in jobs:
                name = job.document["job"]
                assert await logged(o.link, job, x.identity) == [
                    f"{name} a", f"{name} again a", f"{name} ***", f"{name} again ***",
                ]  # fmt: skip
