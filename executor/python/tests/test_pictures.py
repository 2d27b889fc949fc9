"""Pictures of flows."""

from __future__ import annotations

import itertools
import random
import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import dagyo
from dagyo import Client, Flow, FlowError, Ok
from dagyo.client import Live
from dagyo.client.drawing import svg
from dagyo.client.layout import Box, Edge, arrange

from . import progdefs
from .gateway import assertion, copy, greet
from .helpers import run as soon

SVG = "{http://www.w3.org/2000/svg}"


def drawn(picture: str) -> tuple[list[str], set[str], list[str]]:
    """Return the texts, the elements and the classes of a picture, which must be XML."""
    root = ET.fromstring(picture)
    texts = [t.text or "" for t in root.iter(f"{SVG}text")]
    elements = {e.tag.removeprefix(SVG) for e in root.iter()}
    return texts, elements, [c for e in root.iter() for c in e.get("class", "").split()]


PLAIN = {"svg", "style", "rect", "text", "title", "g", "path", "circle"}


def test_a_flow_is_drawn() -> None:
    flow = Flow()
    numbers = progdefs.Counter(flow, "numbers")
    first = progdefs.Head(flow, "first", in_=numbers.out.number, n=[3])
    flow.output("result", first.out.out)
    texts, elements, _ = drawn(flow._repr_svg_())
    assert {"numbers", "counter", "first", "head", "in", "out", "result"} <= set(texts)
    assert elements == PLAIN
    assert dagyo.picture(flow)._repr_svg_() == flow._repr_svg_()
    assert str(dagyo.picture(greet)) == svg(greet)
    flow.input("loose")
    assert "numbers" in drawn(flow._repr_svg_())[0]


HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "]]>", "&lt;b&gt;", "</style><b>",
    "\0\x1b\ud800", "x" * 10_000, "\u202e\u2028", "",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_and_values(name: str) -> None:
    document = {
        "nodes": {
            name: {"progdef": name, "with": {name: [name]}},
            "c": {"const": {"type": name, "values": [name, {"base64": name}]}},
        },
        "edges": [{"from": "c.out", "to": f"{name}.in"}],
        "inputs": {name: f"{name}.{name}"},
        "outputs": {name: f"{name}.out"},
    }
    status = {
        "jobs": {name: {"state": name}},
        "edges": [{"from": "c.out", "to": f"{name}.in", "received": {"records": name}}],
    }
    for picture in (svg(document), svg(document, status)):
        _, elements, classes = drawn(picture)
        assert elements == PLAIN
        assert all(re.fullmatch("dagyo-[a-z]+", c) for c in classes)
        assert len(picture) < 10_000


@pytest.mark.parametrize(
    "document",
    [
        {}, {"nodes": None}, {"nodes": {"a": 5}}, {"nodes": {"a": {"const": 5}}},
        {"edges": [{}, {"from": 5, "to": "x"}, 5]}, {"inputs": {"i": None}},
        {"outputs": {"o": "nobody.x"}},
        {"edges": [{"from": "a.x", "to": "a.y"}]}, {"edges": [{"from": "a.x", "to": "b.y"},
        {"from": "b.x", "to": "a.y"}]}, {"nodes": []}, {"edges": {}}, {"edges": 5},
    ],
)  # fmt: skip
def test_invalid_documents(document: Any) -> None:
    drawn(svg(document))


@pytest.mark.parametrize(
    "document",
    [
        {"nodes": {f"n{i}": {"progdef": "greet"} for i in range(10_000)}},
        {"edges": [{"from": f"a.o{i}", "to": f"b.i{i}"} for i in range(10_000)]},
    ],
)
def test_a_huge_flow_is_not_drawn(document: Any) -> None:
    texts, _, _ = drawn(svg(document))
    assert texts == ["too large to draw"]


def test_boxes_do_not_overlap() -> None:
    """Random graphs: boxes keep their distance, and edges run from left to right."""
    random.seed(7)
    for _ in range(50):
        boxes = {f"b{i}": Box(random.uniform(40, 200), random.uniform(20, 120)) for i in range(25)}
        names = list(boxes)
        pairs = {tuple(sorted(random.sample(range(25), 2))) for _ in range(40)}
        edges = [Edge(names[a], names[b], 5.0, 5.0) for a, b in sorted(pairs)]
        layout = arrange(boxes, edges)
        assert len(layout.routes) == len(edges)
        for edge, route in zip(edges, layout.routes, strict=True):
            assert route[0][0] < route[-1][0]
            assert route[0] == (
                boxes[edge.source].x + boxes[edge.source].width, boxes[edge.source].y + 5
            )  # fmt: skip
        for one, other in itertools.combinations(boxes.values(), 2):
            assert (
                one.x + one.width <= other.x
                or other.x + other.width <= one.x
                or one.y + one.height < other.y + 0.1
                or other.y + other.height < one.y + 0.1
            )
        for box in boxes.values():
            assert box.x >= 0
            assert box.y >= 0
            assert box.x + box.width <= layout.width + 0.1
            assert box.y + box.height <= layout.height + 0.1


async def test_a_status_is_drawn(client: Client) -> None:
    result = await soon(client.run(copy("json"), inputs={"in": range(1234)}))
    texts, _, classes = drawn(svg(copy("json"), await client.show(result.flow)))
    assert "dagyo-done" in classes
    assert texts.count("1,234") == 3


async def test_a_live_picture(client: Client) -> None:
    live = Live(greet)
    first = live.picture
    assert drawn(first)[0]
    result = await soon(live.run(client, inputs={"names": ["Ada", "Bob"]}, interval=0.01))
    assert result.outputs == {"greetings": ["hello Ada", "hello Bob"]}
    texts, _, classes = drawn(live.picture)
    assert "dagyo-done" in classes
    assert texts.count("2") == 2
    assert "image/svg+xml" in live._esm
    with pytest.raises(FlowError):
        failed = Live(assertion)
        await soon(failed.run(client, inputs={"in": [Ok("x"), dagyo.Err("e")]}))
    assert "dagyo-panicked" in drawn(failed.picture)[2]
    rejected = Live({"nodes": {"a": {"progdef": "gret"}}})
    before = rejected.picture
    with pytest.raises(dagyo.RequestError):
        await soon(rejected.run(client))
    assert rejected.picture == before


def test_executors_import_no_client() -> None:
    program = "import dagyo, sys; print(*sys.modules, sep='\\n')"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "dagyo.executor" in out.stdout
    assert "dagyo.client" not in out.stdout


def test_what_is_missing_is_named() -> None:
    program = """
import sys
sys.modules["aiohttp"] = sys.modules["anywidget"] = None
import dagyo
from dagyo import *
from dagyo.client import *
flow = dagyo.Flow(); flow.node("a", "greet"); flow._repr_svg_()
for call in (lambda: dagyo.run_sync({}, url="http://x"), lambda: dagyo.Live):
    try: call()
    except dagyo.UsageError as e: print(e)
try: dagyo.nothing
except AttributeError as e: print(e)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "needs `pip install 'dagyo[client]'`" in out.stdout
    assert "need `pip install 'dagyo[notebook]'`" in out.stdout
    assert "has no attribute 'nothing'" in out.stdout
