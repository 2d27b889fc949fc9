"""The builder of flows, and what type checkers say about it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dagyo import Client, Err, Flow, Ok, UsageError
from dagyo.client import AnyJson, ListOf, ResultOf, Utf8String
from dagyo.client.flow import attributes
from dagyo.client.generate import to_python
from dagyo.client.typenames import typename_of

from . import progdefs
from .gateway import Gate
from .helpers import ROOT
from .helpers import run as soon

PROGDEFS = ROOT / "executor/python/tests/progdefs.py"


def generate(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("dagyo-types")), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


async def test_dagyo_types_writes_the_catalogue(gate: Gate, client: Client) -> None:
    for name in ("latin", "noisy"):  # of other tests
        if any(p["document"]["name"] == name for p in await client.progdefs()):
            await client.remove_progdef(name)
    out = await asyncio.to_thread(generate, gate.env)
    if os.environ.get("UPDATE"):
        PROGDEFS.write_text(out.stdout)
    assert out.stdout == PROGDEFS.read_text(), "run the test with UPDATE=1"


def test_dagyo_types_says_what_is_wrong(gate: Gate) -> None:
    assert generate(gate.env, "--help").stdout.startswith("Usage: dagyo-types > progdefs.py")
    wrong = generate(gate.env, "greet")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "unexpected argument greet" in wrong.stderr
    lost = generate({**gate.env, "DAGYO_HTTP_URL": "http://127.0.0.1:1"})
    assert lost.returncode == 1
    assert lost.stderr.startswith("dagyo-types: the gateway at http://127.0.0.1:1 does not answer")


def load(source: str, folder: Path) -> ModuleType:
    path = folder / "generated.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("generated", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def published(*documents: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"document": d} for d in documents]


HOSTILE: list[dict[str, Any]] = [
    {
        "name": "class",
        "description": '"""\nimport os; os.exit(1) # \\ \'\'\' {x!r} \\N{BELL} \u2028',
        "typeParams": ["Any", "T"],
        "inputs": {"in": "T", "self": "my-type", "first-name": "Any", "first_name": "pair<T,json>",
                   "2nd": "octets", "flow": "Out", "name": "json", "none": "list<Result<my-type>>"},
        "outputs": {"import": "T", "stop": {"type": "my-type", "description": "x"}},
    },
    {"name": "class_", "inputs": {}, "outputs": {}},
    {"name": "9-to-5"},
    {"name": "node"}, {"name": "any"}, {"name": "my-type"}, {"name": "my_type"}, {"name": "true"},
]  # fmt: skip


def test_hostile_catalogues(tmp_path: Path) -> None:
    module = load(to_python(published(*HOSTILE)), tmp_path)
    flow = Flow()
    node = module.Class(flow, "c", T=AnyJson, in_=[1], first_name_=flow.input("n"), _2nd=[b"x"])
    assert node.in_["first_name"].ref == "c.first_name"
    assert node.in_["first-name"].ref == "c.first-name"
    assert node.out.import_.ref == "c.import"
    assert flow.document()["nodes"]["c"]["with"] == {"in": ["1"], "2nd": [{"base64": "eA=="}]}
    checked = check(tmp_path, "generated.py")
    assert checked == []


def test_attributes() -> None:
    assert attributes(["in", "first-name", "first_name", "2nd", "x"]) == {
        "_2nd": "2nd", "first_name": "first-name", "first_name_": "first_name", "in_": "in", "x": "x",
    }  # fmt: skip


def test_typenames() -> None:
    assert typename_of(ResultOf[ListOf[Utf8String]]) == "Result<list<utf8-string>>"
    assert typename_of(" list< json > ") == "list<json>"
    for wrong in (int, 5, "list<", ListOf[int]):  # type: ignore[type-var]
        with pytest.raises(UsageError):
            typename_of(wrong)
    with pytest.raises(TypeError, match="it has no instances"):
        Utf8String()


async def test_a_built_flow_runs(client: Client) -> None:
    flow = Flow(deadline="5m")
    values = flow.constant("values", AnyJson, [{"n": 1}, {"n": 2}])
    copies = progdefs.Tee(flow, "copies", in_=values)
    after = progdefs.Jq(flow, "after", in_=copies.out.a, filter=[".n + 1"])
    pairs = progdefs.Zip(flow, "pairs", a=after.out.out, b=copies.out.b)
    hello = progdefs.Greet(flow, "hello", name=flow.input("names"))
    flow.output("pairs", pairs.out.pair)
    flow.output("greetings", hello.out.greeting)
    assert await client.validate(flow)
    result = await soon(client.run(flow, inputs={"names": ["Ada"]}))
    assert result.outputs == {"greetings": ["hello Ada"], "pairs": [[2, {"n": 1}], [3, {"n": 2}]]}


async def test_a_flow_of_names_runs(client: Client) -> None:
    """Without generated classes: names are checked by Dagyo, documents of the catalogue at once."""
    flow = Flow()
    numbers = flow.node("numbers", "counter")
    first = flow.node("first", await client.progdef("head"), in_=numbers.out.number, n=[3])
    assert first.out.out.type == "T"
    copies = flow.node("copies", "tee", in_=first.out["out"], T="json")
    flow.output("a", copies.out.a)
    flow.output("b", copies.out.b)
    assert (await soon(client.run(flow))).outputs == {"a": [0, 1, 2], "b": [0, 1, 2]}
    with pytest.raises(AttributeError, match="head has no input 'nothing': it has in_, n, stop"):
        flow.node("more", await client.progdef("head"), nothing=[1])
    with pytest.raises(UsageError, match=r"typename of x\.in is not known"):
        flow.node("x", "head", in_=[1])


def test_constants() -> None:
    flow = Flow()
    flow.constant("results", ResultOf[AnyJson], [Ok(1), Err("e")])
    progdefs.Head(flow, "first", T=AnyJson, n=[3])
    progdefs.Merge(flow, "both", T=ListOf[Utf8String], a=[["x"]], b=[])
    assert flow.document()["nodes"] == {
        "results": {
            "const": {"type": "Result<json>", "values": [{"base64": "ADE="}, {"base64": "AWU="}]}
        },
        "first": {"progdef": "head", "types": {"T": "json"}, "with": {"n": ["3"]}},
        "both": {
            "progdef": "merge",
            "types": {"T": "list<utf8-string>"},
            "with": {"a": [{"base64": "AXg="}], "b": []},
        },
    }


def test_what_a_flow_refuses() -> None:
    flow = Flow()
    hello: Any = progdefs.Greet(flow, "hello")
    count: Any = progdefs.Count(flow, "count", T=AnyJson)
    tee: Any = progdefs.Tee(flow, "tee", in_=hello.out.greeting)
    other: Any = progdefs.Greet(Flow(), "other")
    loose = flow.input("loose")
    refused: dict[str, Callable[[], Any]] = {
        "type mismatch: count.count is json, and hello.name is utf8-string": lambda: (
            count.out.count.connect(hello.in_.name)
        ),
        "type mismatch: tee.a is utf8-string, and count.in is json": lambda: (
            tee.out.a.connect(count.in_.in_)
        ),
        "hello.greeting is already connected to tee.in: .* put a `tee` in": lambda: flow.output(
            "again", hello.out.greeting
        ),
        "tee.in is already connected to hello.greeting": lambda: loose.connect(tee.in_.in_),
        "belongs to another flow": lambda: flow.output("o", other.out.greeting),
        "has a node 'hello' already": lambda: progdefs.Greet(flow, "hello"),
        "has an input 'loose' already": lambda: flow.input("loose"),
        "an input of the flow cannot be its output": lambda: flow.output("o", loose),
        "inputs loose of the flow are not connected": flow.document,
        "put a single record into a list": lambda: progdefs.Greet(flow, "g", name="Ada"),
        "g.name, record 1: utf8-string needs a str": lambda: progdefs.Greet(
            flow, "g", name=["Ada", 5]  # type: ignore[list-item]
        ),
        "typename of h.in is T: give the node T=": lambda: progdefs.Head(flow, "h", in_=[1]),
    }  # fmt: skip
    for message, call in refused.items():
        with pytest.raises(UsageError, match=message):
            call()
    with pytest.raises(AttributeError, match="greet has no output 'greetin': it has greeting, panic"):
        _ = hello.out.greetin


def test_a_refused_connection_determines_no_type() -> None:
    flow = Flow()
    hello = progdefs.Greet(flow, "hello", name=["Ada"])
    again = progdefs.Greet(flow, "again", name=hello.out.greeting)
    tee: Any = progdefs.Tee(flow, "tee")
    with pytest.raises(UsageError, match=r"again\.name is already connected"):
        tee.out.a.connect(again.in_.name)
    tee.out.a.connect(progdefs.Count(flow, "count", T=AnyJson).in_.in_)


def test_a_refused_node_leaves_nothing() -> None:
    flow = Flow()
    numbers = progdefs.Counter(flow, "numbers")
    for _ in range(2):  # as a cell of a notebook that is run again
        with pytest.raises(UsageError):
            progdefs.Head(flow, "first", in_=numbers.out.number, n="3")
    before = progdefs.Head(flow, "first", in_=numbers.out.number, n=[3])
    flow.output("o", before.out.out)
    assert flow.document()["edges"] == [{"from": "numbers.number", "to": "first.in"}]


def check(folder: Path, *files: str) -> list[str]:
    """Return what mypy says about a program."""
    (folder / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    out = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context",
         "--cache-dir", str(folder / "cache"), *files],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "MYPYPATH": str(ROOT / "executor/python/src")},
    )  # fmt: skip
    assert out.stderr == ""
    return out.stdout.splitlines()


GOOD = """\
import progdefs as p
from dagyo import Flow
from dagyo.client import AnyJson, ListOf, Utf8String

flow = Flow()
numbers = p.Counter(flow, "numbers")
first = p.Head(flow, "first", in_=numbers.out.number, n=[3])
double = p.Jq(flow, "double", in_=first.out.out, filter=[". * 2"])
flow.output("doubles", double.out.out)
hello = p.Greet(flow, "hello", name=flow.input("names"))
tee = p.Tee(flow, "tee", T=Utf8String)
hello.out.greeting.connect(tee.in_.in_)
tee.out.a.connect(p.Greet(flow, "again").in_.name)
numbers.out.panic.connect(p.Count(flow, "panics", T=AnyJson).in_.in_)
lists = p.Merge(flow, "lists", T=ListOf[Utf8String], a=[["x"]], b=[])
flat = p.Flatten(flow, "flat", in_=lists.out.out)
flat.out.out.connect(p.Greet(flow, "flat-hello").in_.name)
tee.out.b.connect(first.in_.stop)
"""

#: Lines that a type checker refuses, and what it says.
BAD = {
    'numbers.out.number.connect(hello.in_.name)': "AnyJson",
    'p.Greet(flow, "x", name=numbers.out.number)': "AnyJson",
    'tee.out.a.connect(p.Jq(flow, "x").in_.in_)': "Utf8String",
    'first.out.out.connect(hello.in_.name)': "AnyJson",
    'p.Flatten(flow, "x", in_=numbers.out.number)': "ListOf",
    'p.Greet(flow, "x", nam=["Ada"])': 'Unexpected keyword argument "nam"',
    'p.Greet(flow, "x", name=[5])': "List item 0",
    'hello.out.greetin': 'has no attribute "greetin"',
    'hello.in_.greeting': 'has no attribute "greeting"',
    'hello.in_.name.connect(hello.in_.name)': 'has no attribute "connect"',
    'p.Gret(flow, "x")': 'has no attribute "Gret"',
    'p.Tee(flow, "x", T=int)': 'cannot be "int"',
}  # fmt: skip


def test_type_checkers_refuse_wrong_connections(tmp_path: Path) -> None:
    (tmp_path / "progdefs.py").write_text(PROGDEFS.read_text())
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(GOOD + "\n".join(BAD) + "\n")
    assert check(tmp_path, "good.py") == []
    said = [line for line in check(tmp_path, "bad.py") if " error: " in line]
    first = GOOD.count("\n") + 1
    for number, (line, message) in enumerate(BAD.items(), first):
        found = [s for s in said if s.startswith(f"bad.py:{number}:")]
        assert found, f"mypy accepts {line}"
        assert any(message in s for s in found), (line, found)
