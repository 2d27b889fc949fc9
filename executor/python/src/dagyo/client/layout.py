"""A drawing of a graph in layers from left to right: where its boxes are, and how its edges run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

_SWEEPS = 6
_GAP_X, _GAP_Y = 56.0, 22.0
_LANE = 10.0  # the height that an edge takes where it passes a layer


@dataclass
class Box:
    """A node of the graph; x and y are its upper left corner."""

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Edge:
    """An edge; its ends are so far below the upper corners of its boxes."""

    source: str
    to: str
    source_y: float
    to_y: float


@dataclass
class Layout:
    """The size of the drawing, and the points of each edge; boxes have their places."""

    width: float = 0.0
    height: float = 0.0
    routes: list[list[tuple[float, float]]] = field(default_factory=list)


def arrange(boxes: dict[str, Box], edges: Sequence[Edge]) -> Layout:
    """Place the boxes, and route the edges. A cycle is drawn with an edge that runs back."""
    layer = _layers(boxes, edges)
    whole = dict(boxes)
    chains, links = _split(whole, edges, layer)
    rows = _ordered(layer, links)
    _columns(rows, whole)
    _rows(rows, whole, links)
    top = min((b.y for b in whole.values()), default=0.0)
    for box in whole.values():
        box.y -= top
    return Layout(
        max((b.x + b.width for b in whole.values()), default=0.0),
        max((b.y + b.height for b in whole.values()), default=0.0),
        [_route(edge, chain, whole) for edge, chain in zip(edges, chains, strict=True)],
    )


def _layers(boxes: Mapping[str, Box], edges: Sequence[Edge]) -> dict[str, int]:
    """Return the layer of each box: behind all that it reads, and a source directly before."""
    after, before, missing = defaultdict(list), defaultdict(list), dict.fromkeys(boxes, 0)
    for e in edges:
        after[e.source].append(e.to)
        before[e.to].append(e.source)
        missing[e.to] += 1
    layer = dict.fromkeys(boxes, 0)
    ready = [b for b in boxes if missing[b] == 0]
    rest = dict.fromkeys(boxes)
    while rest:
        box = ready.pop() if ready else next(iter(rest))  # one of a cycle
        if box not in rest:
            continue
        del rest[box]
        for to in after[box]:
            if to in rest:
                layer[to] = max(layer[to], layer[box] + 1)
                missing[to] -= 1
                if missing[to] == 0:
                    ready.append(to)
    for box in boxes:
        if not before[box] and after[box]:
            layer[box] = max(0, min(layer[to] for to in after[box]) - 1)
    return layer


def _split(
    boxes: dict[str, Box], edges: Sequence[Edge], layer: dict[str, int]
) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """Add a lane in each layer that an edge passes; return the lanes of each edge, and all links."""
    chains: list[list[str]] = []
    links: list[tuple[str, str]] = []
    for number, e in enumerate(edges):
        chain = []
        for between in range(layer[e.source] + 1, layer[e.to]):
            lane = f"\0{number}.{between}"  # no box has such a name
            boxes[lane] = Box(0.0, _LANE)
            layer[lane] = between
            chain.append(lane)
        stops = [e.source, *chain, e.to]
        if layer[e.source] < layer[e.to]:
            links.extend(pairwise(stops))
        chains.append(chain)
    return chains, links


def _ordered(layer: Mapping[str, int], links: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Return the boxes of each layer in an order in which few edges cross."""
    rows: list[list[str]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for box, at in layer.items():
        rows[at].append(box)
    before, after = defaultdict(list), defaultdict(list)
    for source, to in links:
        before[to].append(source)
        after[source].append(to)
    place = {box: n for row in rows for n, box in enumerate(row)}
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        neighbours = before if forward else after
        for row in rows if forward else reversed(rows):
            mean = {
                box: sum(place[n] for n in neighbours[box]) / len(neighbours[box])
                if neighbours[box]
                else float(place[box])
                for box in row
            }
            row.sort(key=mean.__getitem__)
            place.update({box: n for n, box in enumerate(row)})
    return rows


def _columns(rows: Sequence[Sequence[str]], boxes: Mapping[str, Box]) -> None:
    x = 0.0
    for row in rows:
        width = max(boxes[box].width for box in row)
        for box in row:
            boxes[box].x = x + (width - boxes[box].width) / 2
        x += width + _GAP_X


def _rows(
    rows: Sequence[Sequence[str]], boxes: Mapping[str, Box], links: Sequence[tuple[str, str]]
) -> None:
    """Place the boxes of each layer near what they are connected to, and not on each other."""
    near = defaultdict(list)
    for source, to in links:
        near[source].append(to)
        near[to].append(source)
    for row in rows:
        _pack(row, boxes, [0.0] * len(row))
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = []
            for name in row:
                box = boxes[name]
                middles = [boxes[n].y + boxes[n].height / 2 for n in near[name]]
                middle = sum(middles) / len(middles) if middles else box.y + box.height / 2
                wanted.append(middle - box.height / 2)
            _pack(row, boxes, wanted)


def _pack(row: Sequence[str], boxes: Mapping[str, Box], wanted: Sequence[float]) -> None:
    """Place boxes below each other: halfway between as far down and as far up as they are pushed."""
    down: list[float] = []
    least = -math.inf
    for name, y in zip(row, wanted, strict=True):
        down.append(max(y, least))
        least = down[-1] + boxes[name].height + _GAP_Y
    up: list[float] = []
    for name, y in zip(reversed(row), reversed(wanted), strict=True):
        limit = up[-1] - _GAP_Y - boxes[name].height if up else y
        up.append(min(y, limit))
    for name, low, high in zip(row, down, reversed(up), strict=True):
        boxes[name].y = (low + high) / 2


def _route(edge: Edge, chain: Sequence[str], boxes: Mapping[str, Box]) -> list[tuple[float, float]]:
    source, to = boxes[edge.source], boxes[edge.to]
    lanes = [(boxes[lane].x, boxes[lane].y + boxes[lane].height / 2) for lane in chain]
    return [
        (source.x + source.width, source.y + edge.source_y),
        *lanes,
        (to.x, to.y + edge.to_y),
    ]
