"""A picture of a flow as SVG."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .layout import Box, Edge, arrange

if TYPE_CHECKING:
    from .flow import Flow

#: A flow with more nodes, or more edges, is not drawn.
MOST_NODES, MOST_EDGES = 400, 800

_LINE = 16.0
_HEAD = 40.0  # the height of a node's name and progdef
_MARGIN = 16.0
_CHAR = 7.3  # the width of a letter
_LONGEST = 28  # letters of a name that are drawn
_WIDEST = 400  # letters of a text that are kept for the tooltip

# Every colour has a background of its own, so that a page in the other scheme does no harm.
_STYLE = """\
.dagyo-flow{font:12px system-ui,-apple-system,"Segoe UI",sans-serif;max-width:100%;height:auto}
.dagyo-page{fill:#fff}.dagyo-node rect{fill:#f6f8fa;stroke:#8b949e}
.dagyo-end rect{fill:#ddf4ff;stroke:#54aeff}.dagyo-const rect{fill:#fff8c5;stroke:#d4a72c}
.dagyo-flow text{fill:#1f2328}.dagyo-flow .dagyo-dim{fill:#59636e;font-size:11px}
.dagyo-name{font-weight:600}.dagyo-edge{fill:none;stroke:#6e7781;stroke-width:1.5}
.dagyo-port{fill:#6e7781}
.dagyo-running rect{fill:#ddf4ff;stroke:#0969da;stroke-width:2}
.dagyo-done rect{fill:#dafbe1;stroke:#1a7f37}
.dagyo-stopped rect{fill:#eaeef2;stroke:#59636e}
.dagyo-panicked rect{fill:#ffebe9;stroke:#cf222e;stroke-width:2}
@media (prefers-color-scheme:dark){
.dagyo-page{fill:#0d1117}.dagyo-node rect{fill:#161b22;stroke:#6e7681}
.dagyo-end rect{fill:#0c2d6b;stroke:#388bfd}.dagyo-const rect{fill:#341a00;stroke:#9e6a03}
.dagyo-flow text{fill:#e6edf3}.dagyo-flow .dagyo-dim{fill:#9198a1}
.dagyo-edge{stroke:#8b949e}.dagyo-port{fill:#8b949e}
.dagyo-running rect{fill:#0c2d6b;stroke:#58a6ff}.dagyo-done rect{fill:#033a16;stroke:#3fb950}
.dagyo-stopped rect{fill:#21262d;stroke:#9198a1}.dagyo-panicked rect{fill:#67060c;stroke:#f85149}}
"""

_STATES = ("waiting", "running", "done", "stopped", "panicked")

# What XML cannot carry.
_ILLEGAL = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass
class _Node:
    """What is drawn in a box."""

    kind: str
    name: str
    about: str = ""
    title: str = ""
    #: The ports, in their order from above.
    inputs: dict[str, None] = field(default_factory=dict)
    outputs: dict[str, None] = field(default_factory=dict)


def svg(document: Mapping[str, Any], status: Mapping[str, Any] | None = None) -> str:
    """Return the picture of a document: see `picture`."""
    nodes, wires = _read(document)
    if len(nodes) > MOST_NODES or len(wires) > MOST_EDGES:
        return _page(200, 24, [_text(0, 16, "dim", "too large to draw")])
    boxes = {name: _box(node) for name, node in nodes.items()}
    edges = [
        Edge(source, to, _port_y(nodes[source].outputs, out), _port_y(nodes[to].inputs, into))
        for source, out, to, into in wires
    ]
    layout = arrange(boxes, edges)
    records = _records(status or {})
    parts: list[str] = []
    for (source, out, to, into), route in zip(wires, layout.routes, strict=True):
        label = records.get((_ref(nodes[source], out), _ref(nodes[to], into)), "")
        parts += _edge(route, f"{_ref(nodes[source], out)} → {_ref(nodes[to], into)}", label)
    jobs = _mapping((status or {}).get("jobs"))
    for name, node in nodes.items():
        job = jobs.get(node.name) if node.kind == "node" else None
        parts += _node(node, boxes[name], _mapping(job))
    return _page(layout.width, layout.height, parts)


class Picture:
    """A picture that a notebook shows."""

    def __init__(self, source: str) -> None:
        self.source = source

    def _repr_svg_(self) -> str:
        return self.source

    def __str__(self) -> str:
        return self.source


def picture(flow: Mapping[str, Any] | Flow, status: Mapping[str, Any] | None = None) -> Picture:
    """Return a picture of a flow for a notebook; its ``str`` is the SVG.

    The document may be invalid. With the flow's ``status``, nodes have the colours of their jobs'
    states, and edges the number of records that were read.
    """
    return Picture(svg(flow if isinstance(flow, Mapping) else flow.document(), status))


_Wire = tuple[str, str, str, str]


def _read(document: Mapping[str, Any]) -> tuple[dict[str, _Node], list[_Wire]]:
    """Return the nodes of a document, its ends included, and its edges with their ports."""
    nodes: dict[str, _Node] = {}
    for name, node in _mapping(document.get("nodes")).items():
        nodes[f"node {name}"] = _as_node(str(name), _mapping(node))
    wires: list[_Wire] = []

    def end(ref: object) -> tuple[str, str]:
        name, _, port = str(ref).partition(".")
        nodes.setdefault(f"node {name}", _Node("node", name, "?"))
        return f"node {name}", port

    for edge in _list(document.get("edges")):
        wires.append((*end(_mapping(edge).get("from", "?")), *end(_mapping(edge).get("to", "?"))))
    for name, ref in _mapping(document.get("inputs")).items():
        nodes[f"input {name}"] = _Node("end", str(name), title=f"inputs.{name}")
        wires.append((f"input {name}", "", *end(ref)))
    for name, ref in _mapping(document.get("outputs")).items():
        nodes[f"output {name}"] = _Node("end", str(name), title=f"outputs.{name}")
        wires.append((*end(ref), f"output {name}", ""))
    for source, out, to, into in wires:
        nodes[source].outputs.setdefault(out)
        nodes[to].inputs.setdefault(into)
    return nodes, wires


def _as_node(name: str, node: Mapping[str, Any]) -> _Node:
    if "const" in node:
        const = _mapping(node["const"])
        values = _list(const.get("values"))
        title = "\n".join(map(str, values[:10]))
        return _Node("const", name, f"{len(values)} of {const.get('type', '?')}", title)
    given = _mapping(node.get("with"))
    title = "\n".join(f"{port} = {values}" for port, values in list(given.items())[:10])
    return _Node("node", name, str(node.get("progdef", "?")), title)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _ref(node: _Node, port: str) -> str:
    """Return the end of an edge as a status has it: `node.port`, `inputs.name`, `outputs.name`."""
    return f"{node.name}.{port}" if port else node.title


def _records(status: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Return the number of records of each edge."""
    counts = {}
    for edge in map(_mapping, _list(status.get("edges"))):
        received = _mapping(edge.get("received") or edge.get("sent")).get("records")
        ends = (str(edge.get("from", "")), str(edge.get("to", "")))
        counts[ends] = f"{received:,}" if isinstance(received, int) else ""
    return counts


def _box(node: _Node) -> Box:
    if node.kind == "end":
        return Box(_width(node.name) + 24, 28.0)
    rows = max(len(node.inputs), len(node.outputs))
    ports = max(map(_width, node.inputs), default=0.0) + max(map(_width, node.outputs), default=0.0)
    width = max(_width(node.name), _width(node.about), ports + 12) + 24
    return Box(width, _HEAD + rows * _LINE + (6 if rows else 0))


def _width(text: str) -> float:
    return len(_short(text)) * _CHAR


def _port_y(ports: Mapping[str, None], port: str) -> float:
    return _HEAD + (list(ports).index(port) + 0.5) * _LINE if port else 14.0


def _node(node: _Node, box: Box, job: Mapping[str, Any]) -> list[str]:
    state = job.get("state")
    classes = f"dagyo-{node.kind}" + (f" dagyo-{state}" if state in _STATES else "")
    title = "\n".join(filter(None, [f"{node.name} {node.about}".strip(), node.title, state or ""]))
    round_ = 14 if node.kind == "end" else 6
    parts = [
        f'<g class="{classes}">{_title(title)}',
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}"'
        f' height="{box.height:.1f}" rx="{round_}"/>',
        _text(box.x + 12, box.y + 18, "name", node.name),
    ]
    if node.about:
        parts.append(_text(box.x + 12, box.y + 33, "dim", node.about))
    for side, ports in ((0.0, node.inputs), (box.width, node.outputs)):
        for port in ports:
            y = box.y + _port_y(ports, port)
            parts.append(f'<circle class="dagyo-port" cx="{box.x + side:.1f}" cy="{y:.1f}" r="3"/>')
            if port:
                x, anchor = (box.x + 8, "start") if side == 0 else (box.x + side - 8, "end")
                parts.append(_text(x, y + 4, "dim", port, anchor))
    return [*parts, "</g>"]


def _edge(route: list[tuple[float, float]], title: str, label: str) -> list[str]:
    path = f"M{route[0][0]:.1f},{route[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(route):
        bend = max(24.0, (x1 - x0) / 2) if x1 > x0 else 80.0
        path += f" C{x0 + bend:.1f},{y0:.1f} {x1 - bend:.1f},{y1:.1f} {x1:.1f},{y1:.1f}"
    parts = [f'<path class="dagyo-edge" d="{path}">{_title(title)}</path>']
    if label:
        (x0, y0), (x1, y1) = route[:2]
        parts.append(_text((x0 + x1) / 2, (y0 + y1) / 2 - 5, "dim", label, "middle"))
    return parts


def _text(x: float, y: float, kind: str, text: str, anchor: str = "start") -> str:
    return (
        f'<text class="dagyo-{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{_escape(_short(text))}</text>"
    )


def _title(text: str) -> str:
    return f"<title>{_escape(text[:_WIDEST])}</title>"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _escape(text: str) -> str:
    return html.escape(_ILLEGAL.sub("\ufffd", text))


def _page(width: float, height: float, parts: list[str]) -> str:
    w, h = width + 2 * _MARGIN, height + 2 * _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dagyo-flow" role="img" width="{w:.0f}"'
        f' height="{h:.0f}" viewBox="{-_MARGIN:.0f} {-_MARGIN:.0f} {w:.0f} {h:.0f}">'
        f'<style>{_STYLE}</style><rect class="dagyo-page" x="{-_MARGIN:.0f}" y="{-_MARGIN:.0f}"'
        f' width="{w:.0f}" height="{h:.0f}" rx="8"/>{"".join(parts)}</svg>'
    )
