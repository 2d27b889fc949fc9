"""Progdefs as functions: their ports, calls without a broker, functions without async, describe."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import pytest

import dagyo
from dagyo import In, Out, SyncIn, SyncOut, UsageError, describe


class Celsius(dagyo.Type[float]):
    def __init__(self) -> None:
        super().__init__("temperature-celsius")

    def encode(self, value: float) -> bytes:
        return f"{value:g}".encode()

    def decode(self, record: bytes) -> float:
        return float(record)


# Ports.


@dagyo.progdef
async def every(
    in_: In[str],
    raw: In[bytes],
    doc: In[Any],
    result: In[dagyo.Outcome[str]],
    degrees: In[Annotated[float, Celsius()]],
    picture: Annotated[In[Annotated[bytes, "png-image"]], dagyo.Port("pic-ture")],
    any_: Out[Annotated[bytes, "list<T>"]],
    job: dagyo.JobInfo,
) -> None:
    """Declare ports of every kind."""


def test_annotations_are_the_ports() -> None:
    document = every.document(["x"])
    assert document["inputs"] == {
        "in": "utf8-string", "raw": "octets", "doc": "json", "result": "Result<utf8-string>",
        "degrees": "temperature-celsius", "pic-ture": "png-image",
    }  # fmt: skip
    assert document["outputs"] == {"any": "list<T>"}
    assert document["typeParams"] == ["T"]
    assert every.wants_job


def wrong(function: Any, **declared: Any) -> str:
    with pytest.raises(UsageError) as caught:
        dagyo.progdef(**declared)(function) if declared else dagyo.progdef(function)
    return str(caught.value)


async def _counts(n: In[int]) -> None: ...


async def _lies(n: In[Annotated[str, dagyo.Bytes]]) -> None: ...


async def _reads_bytes(name: In[bytes]) -> None: ...


async def _writes_str(out: Out[str]) -> None: ...


async def _reads_results(name: In[dagyo.Outcome[bytes]]) -> None: ...


async def _untyped(name) -> None: ...  # type: ignore[no-untyped-def]


async def _unknown(name: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821


async def _sync_port(name: SyncIn[str]) -> None: ...


def _async_port(name: In[str]) -> None: ...


async def _yields(name: In[str]) -> Any:
    yield 1


async def _stop(stop: In[str]) -> None: ...


@pytest.mark.parametrize(
    ("function", "declared", "message"),
    [
        (_counts, {}, "int has no typename: write Annotated[int, TYPE]"),
        (_lies, {}, "carries octets, whose values are bytes; the parameter n is annotated with str"),
        (_reads_bytes, {"inputs": {"name": dagyo.String}}, "input name carries utf8-string, whose"),
        (_reads_bytes, {"outputs": {"name": dagyo.Bytes}}, "name is an output; its parameter is annot"),
        (
            _writes_str,
            {"outputs": {"out": dagyo.Bytes}},
            "output out carries octets, whose values are b",
        ),
        (_writes_str, {"outputs": {"out": dagyo.Result[dagyo.String]}}, "Result<utf8-string>"),
        (_reads_results, {"inputs": {"name": dagyo.Result[dagyo.String]}}, "is annotated with"),
        (_untyped, {}, "its ports require ()"),
        (_unknown, {}, "cannot read the types of the function's parameters: name 'Nowhere'"),
        (_sync_port, {}, "written with async def must have the types In and Out"),
        (_async_port, {}, "written with def must have the types SyncIn and SyncOut"),
        (_yields, {}, "must not yield"),
        (_stop, {}, "every node has an input stop"),
    ],
)
def test_invalid_declarations(function: Any, declared: dict[str, Any], message: str) -> None:
    assert message in wrong(function, name="p", **declared) or message in wrong(function, **declared)


def test_valid_declarations() -> None:
    async def f(a: In[object], b: In[dict[str, Any]], c: Out[bytes], d: In[Any]) -> None: ...

    dagyo.progdef(
        name="f", inputs={"a": dagyo.String, "b": dagyo.Json, "d": dagyo.String}, outputs={"c": "png"}
    )(f)


def test_mypy_knows_the_values(tmp_path: Path) -> None:
    """A program that writes values of the wrong type does not pass mypy --strict."""
    program = tmp_path / "program.py"
    text = "import dagyo\n\n\n@dagyo.progdef\n"
    text += "async def f(name: dagyo.In[str], out: dagyo.Out[str]) -> None:\n"
    text += "    async for n in name:\n        await out.send(n%s)\n"
    out = {}
    for what in ("", ".encode()"):
        program.write_text(text % what)
        done = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        out[what] = (done.returncode, done.stdout)
    assert out[""][0] == 0, out
    assert out[".encode()"][0] == 1, out
    assert 'incompatible type "bytes"; expected "str"' in out[".encode()"][1]


# Calls without a broker.


@dagyo.progdef
async def greet(name: In[str], greeting: Out[str]) -> None:
    async for n in name:
        await greeting.send("hello " + n)


@dagyo.progdef
async def first(in_: In[str], out: Out[str], job: dagyo.JobInfo) -> None:
    async for text in in_:
        await out.send(f"{job.flow}: {text}")
        break


@dagyo.progdef
async def forgives(n: In[Annotated[float, Celsius()]]) -> None:
    try:
        async for _ in n:
            pass
    except dagyo.PortError:
        pass


@dagyo.progdef
async def traced(out: Out[str], job: dagyo.JobInfo) -> None:
    await out.send(" ".join(f"{name}={value}" for name, value in job.trace.items()))


async def test_trace() -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    job = dagyo.JobInfo("f", "n", "j", "x", parent, "a=1")
    assert await traced.call(job=job) == {"out": [f"traceparent={parent} tracestate=a=1"]}
    assert await traced.call() == {"out": [""]}


async def test_call() -> None:
    assert await greet.call(name=["Ada", "Bob"]) == {"greeting": ["hello Ada", "hello Bob"]}
    assert await greet.call(name=[]) == {"greeting": []}
    endless = (str(i) for i in iter(int, 1))
    assert await first.call(in_=endless) == {"out": ["test: 0"]}
    mine = dagyo.JobInfo("f", "n", "j", "x", None)
    assert await first.call(in_=["a"], job=mine) == {"out": ["f: a"]}


async def test_call_with_values_one_by_one() -> None:
    async def names() -> Any:
        yield "Ada"
        await asyncio.sleep(0)
        yield "Bob"

    assert await greet.call(name=names()) == {"greeting": ["hello Ada", "hello Bob"]}


async def test_call_checks_the_types_of_values() -> None:
    with pytest.raises(TypeError, match="utf8-string needs a str"):
        await greet.call(name=[b"Ada"])
    with pytest.raises(TypeError, match="greet has the inputs name, not nam"):
        await greet.call(nam=["Ada"])

    @dagyo.progdef(inputs={"in": "octets"}, outputs={"out": dagyo.String})
    async def wrong_values(in_: Any, out: Any) -> None:
        async for raw in in_:
            await out.send(raw)

    with pytest.raises(TypeError, match="utf8-string needs a str, not bytes"):
        await wrong_values.call(in_=[b"x"])


async def test_an_undecodable_record_fails_a_program_that_continues() -> None:
    class Lax(Celsius):
        def encode(self, value: Any) -> bytes:
            return str(value).encode()

    @dagyo.progdef(inputs={"n": Lax()})
    async def lax(n: Any) -> None:
        try:
            async for _ in n:
                pass
        except dagyo.PortError:
            pass

    with pytest.raises(
        dagyo.PortError, match="port n, record 1: the record is not temperature-celsius"
    ):
        await lax.call(n=[1.0, "warm"])
    assert await forgives.call(n=[1.0]) == {}


def test_run() -> None:
    assert greet.run(name=["Ada"]) == {"greeting": ["hello Ada"]}


async def test_run_needs_its_own_loop() -> None:
    with pytest.raises(RuntimeError, match=r"await greet\.call"):
        greet.run(name=["Ada"])


# Functions without async.


@dagyo.progdef
def shout(text: SyncIn[str], out: SyncOut[str], threads: SyncOut[str]) -> None:
    for t in text:
        out.send(t.upper())
    threads.send(threading.current_thread().name)


@dagyo.progdef
def batches(text: SyncIn[str], out: SyncOut[str]) -> None:
    for batch in text.batches():
        out.send_batch(batch)
    out.close()


@dagyo.progdef
def fails(text: SyncIn[str]) -> None:
    for t in text:
        raise ValueError(f"cannot take {t!r}")


@dagyo.progdef
def stops() -> None:
    raise StopIteration


def test_function_runs_in_a_thread() -> None:
    out = shout.run(text=["a", "b"])
    assert out["out"] == ["A", "B"]
    assert out["threads"] != [threading.current_thread().name]
    many = [str(i) for i in range(1000)]
    assert batches.run(text=many) == {"out": many}
    with pytest.raises(ValueError, match="cannot take 'a'"):
        fails.run(text=["a"])
    with pytest.raises(RuntimeError, match="StopIteration"):
        stops.run()


async def test_other_tasks_run_while_a_function_blocks() -> None:
    blocking, go_on = threading.Event(), threading.Event()

    @dagyo.progdef(outputs={"out": dagyo.String})
    def blocks(out: Any) -> None:
        blocking.set()
        assert go_on.wait(60)
        out.send("done")

    call = asyncio.create_task(blocks.call())
    while not blocking.is_set():
        await asyncio.sleep(0)
    assert await greet.call(name=["Ada"]) == {"greeting": ["hello Ada"]}
    go_on.set()
    assert await call == {"out": ["done"]}


@pytest.mark.parametrize("swallows", [False, True])
async def test_cancelled_call_waits_for_its_thread(swallows: bool) -> None:
    reading, ended = asyncio.Event(), threading.Event()

    async def never() -> Any:
        reading.set()
        await asyncio.Event().wait()
        yield "nothing"

    @dagyo.progdef(inputs={"in": dagyo.String})
    def waits(in_: Any) -> None:
        try:
            for _ in in_:
                pass
        except Exception:  # noqa: BLE001 (a cancellation is not caught)
            return
        finally:
            time.sleep(0.1)
            ended.set()
            if swallows:
                return  # noqa: B012

    call = asyncio.create_task(waits.call(in_=never()))
    await reading.wait()
    call.cancel()
    await asyncio.wait({call})
    assert ended.is_set()
    assert call.cancelled() != swallows


# The command line.

PROGRAM = """
import dagyo
import helper

@dagyo.progdef
async def one(name: dagyo.In[str]) -> None:
    "Say one."

@dagyo.progdef
async def two(name: dagyo.In[str]) -> None:
    "Say two."

if __name__ == "__main__":
    dagyo.main(one, two)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("ANSWER = 42\n")
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def python(
    program: Path, *arguments: str, cwd: Path | str | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", str(program), *arguments],
        capture_output=True, text=True, check=False, cwd=cwd, env={"PATH": "/usr/bin:/bin", **environ},
    )  # fmt: skip


def test_describe_prints_a_stream_of_documents(program: Path) -> None:
    done = python(program, "describe")
    assert (done.returncode, done.stderr) == (0, "")
    documents = [json.loads(part) for part in re.split("^---$", done.stdout, flags=re.MULTILINE)]
    assert [d["name"] for d in documents] == ["one", "two"]
    assert [d["description"] for d in documents] == ["Say one.", "Say two."]


def test_code_is_described(program: Path) -> None:
    def code() -> str:
        described: str = re.findall(
            r'"code": "(sha256:[0-9a-f]{64})"', python(program, "describe").stdout
        )[0]
        return described

    before = code()
    assert code() == before
    program.write_text(PROGRAM + "# changed\n")
    changed = code()
    (program.parent / "helper.py").write_text("ANSWER = 43\n")
    assert len({before, changed, code()}) == 3


@pytest.mark.parametrize(
    ("arguments", "script"),
    [([], "./program.py"), (["progdefs"], "../program.py"), (["."], "./program.py")],
)
def test_described_paths_are_relative(program: Path, arguments: list[str], script: str) -> None:
    (program.parent / "progdefs").mkdir()
    done = python(program, "describe", *arguments, cwd=program.parent)
    [command] = {tuple(c) for c in map(json.loads, re.findall(r'"command": (\[[^]]*\])', done.stdout))}
    assert command[1] == script
    elsewhere = python(program, "describe", cwd="/").stdout
    assert f'"{program}"' in elsewhere


def test_an_environment_in_the_project_is_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv/bin/python"))
    assert describe.interpreter("progdefs") == "../.venv/bin/python"
    monkeypatch.setattr(sys, "executable", "/elsewhere/.venv/bin/python")
    assert describe.interpreter("progdefs") == "/elsewhere/.venv/bin/python"
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "executable", str(shutil.which("sh")))
    assert describe.interpreter("progdefs") == "sh"


def test_prepare_is_for_jobs_only(program: Path) -> None:
    """It is called with a valid environment, and neither to describe nor for a mistake."""
    program.write_text(
        PROGRAM.replace("dagyo.main(one, two)", "dagyo.main(one, two, prepare=lambda: 1 / 0)")
    )
    assert python(program, "describe").returncode == 0
    assert "DAGYO_QUEUE is not set" in python(program).stderr
    serving = {"DAGYO_QUEUE": "nats://127.0.0.1:1", "DAGYO_JOBS": "one.1", "DAGYO_EXECUTOR": "x"}
    assert "ZeroDivisionError" in python(program, **serving).stderr


def test_help_names_describe(program: Path) -> None:
    for argument in ("--help", "-h"):
        done = python(program, argument)
        assert done.returncode == 0
        assert "python3 program.py describe | dagyo progdef apply -" in done.stdout
    by_hand = python(program)
    assert by_hand.returncode == 2
    assert "DAGYO_QUEUE is not set" in by_hand.stderr
    assert "python3 program.py describe" in by_hand.stderr
