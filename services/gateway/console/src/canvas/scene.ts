// A large graph as boxes and wires with places, for what is drawn without an element for each. Pure.

import type { Box, Point } from "../lib/layout";
import type { Edge, Graph, Node } from "../lib/model";

export interface Rect extends Point {
  width: number;
  height: number;
}

export interface Placed extends Box, Rect {
  kind: "run" | "end" | "cluster";
}

/** A wire between the ends (x1, y1) and (x2, y2). */
export interface Line {
  id: string;
  from: string;
  to: string;
  x1: number;
  y1: number;
  x2: number;
  y2: number;
}

/** The size of a node in the run view. */
export function sizeOf(n: Node): { width: number; height: number } {
  return n.states ? { width: 164, height: 48 } : { width: 164, height: 47 + 18 * n.inputs.length + 33 * n.outputs.length };
}

export const startOf = (e: Edge): string => e.from.node || "inputs." + e.from.port;
export const targetOf = (e: Edge): string => e.to.node || "outputs." + e.to.port;

/** The boxes of a graph: its nodes, and its own inputs and outputs. */
export function boxesOf(graph: Graph): (Box & { kind: Placed["kind"] })[] {
  const end = (id: string, name: string) => ({ id, width: 24 + 7 * name.length, height: 20, kind: "end" as const });
  return [
    ...graph.nodes.map((n) => ({ id: n.id, ...sizeOf(n), kind: n.states ? ("cluster" as const) : ("run" as const) })),
    ...graph.inputs.map((p) => end("inputs." + p.name, p.name)),
    ...graph.outputs.map((p) => end("outputs." + p.name, p.name)),
  ];
}

export class Scene {
  readonly boxes = new Map<string, Placed>();
  readonly lines: Line[] = [];
  private readonly linesOf = new Map<string, Line[]>();

  constructor(graph: Graph, at: ReadonlyMap<string, Point>) {
    for (const b of boxesOf(graph)) this.boxes.set(b.id, { ...b, ...(at.get(b.id) ?? { x: 0, y: 0 }) });
    const nodes = new Map(graph.nodes.map((n) => [n.id, n]));
    for (const e of graph.edges) {
      const [from, to] = [this.boxes.get(startOf(e)), this.boxes.get(targetOf(e))];
      if (!from || !to) continue;
      const l: Line = {
        id: e.id, from: from.id, to: to.id,
        x1: from.x + from.width, y1: from.y + row(from, nodes.get(from.id), e.from.port, "outputs"),
        x2: to.x, y2: to.y + row(to, nodes.get(to.id), e.to.port, "inputs"),
      };
      this.lines.push(l);
      this.touch(l.from, l);
      if (l.to !== l.from) this.touch(l.to, l);
    }
  }

  private touch(id: string, l: Line): void {
    const all = this.linesOf.get(id);
    if (all) all.push(l);
    else this.linesOf.set(id, [l]);
  }

  touching(id: string): readonly Line[] {
    return this.linesOf.get(id) ?? [];
  }

  bounds(): Rect {
    let [x, y, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const b of this.boxes.values()) {
      x = Math.min(x, b.x);
      y = Math.min(y, b.y);
      right = Math.max(right, b.x + b.width);
      bottom = Math.max(bottom, b.y + b.height);
    }
    return this.boxes.size === 0 ? { x: 0, y: 0, width: 1, height: 1 } : { x, y, width: right - x, height: bottom - y };
  }

  boxesIn(r: Rect): Placed[] {
    return [...this.boxes.values()].filter((b) => b.x < r.x + r.width && b.x + b.width > r.x && b.y < r.y + r.height && b.y + b.height > r.y);
  }

  linesIn(r: Rect): Line[] {
    return this.lines.filter((l) => {
      // A wire that leads back bends beyond its ends.
      const bend = l.x2 < l.x1 ? 120 : 0;
      return Math.min(l.x1, l.x2) - bend < r.x + r.width && Math.max(l.x1, l.x2) + bend > r.x && Math.min(l.y1, l.y2) < r.y + r.height && Math.max(l.y1, l.y2) > r.y;
    });
  }

  /** The box or wire at a point, or undefined. */
  at(p: Point, near: number): { box: Placed } | { line: Line } | undefined {
    const box = this.boxesIn({ x: p.x - near, y: p.y - near, width: 2 * near, height: 2 * near }).at(-1);
    if (box) return { box };
    const close = this.linesIn({ x: p.x - near, y: p.y - near, width: 2 * near, height: 2 * near }).find((l) => distance(l, p) <= near);
    return close && { line: close };
  }
}

/** Where the row of a port is, from the top of its box. */
function row(b: Placed, n: Node | undefined, port: string, side: "inputs" | "outputs"): number {
  if (!n || b.kind !== "run") return b.height / 2;
  const i = n[side].findIndex((p) => p.name === port);
  return side === "inputs" ? 41 + 18 * i + 9 : 41 + 18 * n.inputs.length + 5 + 33 * i + 16;
}

/** How far the bends of a wire reach beyond its ends. */
export function bend(l: Line): number {
  return l.x2 >= l.x1 ? 0.5 * (l.x2 - l.x1) : 0.25 * 25 * Math.sqrt(l.x1 - l.x2);
}

/** How far a point is from a wire, by points on it. */
function distance(l: Line, p: Point): number {
  const b = bend(l);
  let least = Infinity;
  for (let i = 0; i <= 24; i++) {
    const t = i / 24;
    const u = 1 - t;
    const x = u * u * u * l.x1 + 3 * u * u * t * (l.x1 + b) + 3 * u * t * t * (l.x2 - b) + t * t * t * l.x2;
    const y = u * u * (1 + 2 * t) * l.y1 + t * t * (3 - 2 * t) * l.y2;
    least = Math.min(least, Math.hypot(x - p.x, y - p.y));
  }
  return least;
}
