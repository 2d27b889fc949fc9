// Where the nodes of a large graph stand. dagre takes a second for 1,000 nodes and minutes for 10,000; this takes time that
// grows with the graph, and gives up only how straight the edges are.

import type { Box, Point } from "./layout";

export interface Link {
  from: string;
  to: string;
}

const gap = { rank: 64, node: 28, part: 64 };
/** Width by height, of the whole. */
const aspect = 1.6;

/** Returns the top left corners of boxes: connected parts side by side, each in layers from left to right. */
export function layers(boxes: readonly Box[], links: readonly Link[]): Map<string, Point> {
  const g = graphOf(boxes, links);
  const area = boxes.reduce((s, b) => s + (b.width + gap.rank) * (b.height + gap.node), 0);
  const most = { width: Math.max(Math.sqrt(area * aspect), 1600), height: Math.max(Math.sqrt(area / aspect), 400) };
  return pack(components(g).map((c) => part(g, c, most)));
}

interface Neighbours {
  box: Box[];
  before: number[][];
  after: number[][];
}

function graphOf(boxes: readonly Box[], links: readonly Link[]): Neighbours {
  const index = new Map(boxes.map((b, i) => [b.id, i]));
  const g: Neighbours = { box: [...boxes], before: boxes.map(() => []), after: boxes.map(() => []) };
  for (const l of links) {
    const [from, to] = [index.get(l.from), index.get(l.to)];
    if (from === undefined || to === undefined || from === to) continue;
    g.after[from]!.push(to);
    g.before[to]!.push(from);
  }
  return g;
}

function components(g: Neighbours): number[][] {
  const seen = new Uint8Array(g.box.length);
  const out: number[][] = [];
  for (let i = 0; i < g.box.length; i++) {
    if (seen[i]) continue;
    seen[i] = 1;
    const part = [i];
    for (const n of part) { // grows
      for (const m of [...g.before[n]!, ...g.after[n]!]) {
        if (seen[m]) continue;
        seen[m] = 1;
        part.push(m);
      }
    }
    out.push(part.sort((a, b) => a - b));
  }
  return out;
}

/** The nodes of a part by the longest path to them. */
function rank(g: Neighbours, nodes: readonly number[]): number[][] {
  const ranks = new Map<number, number>();
  const left = new Map(nodes.map((n) => [n, g.before[n]!.length]));
  const ready = nodes.filter((n) => left.get(n) === 0);
  const put = (n: number) => ranks.set(n, g.before[n]!.reduce((r, b) => Math.max(r, (ranks.get(b) ?? -1) + 1), 0));
  for (const n of ready) { // grows
    put(n);
    for (const m of g.after[n]!) {
      left.set(m, left.get(m)! - 1);
      if (left.get(m) === 0) ready.push(m);
    }
  }
  for (const n of nodes) if (!ranks.has(n)) put(n); // in a cycle
  // What nothing is before stands beside what it is for.
  for (const n of nodes) {
    if (g.before[n]!.length > 0 || g.after[n]!.length === 0) continue;
    ranks.set(n, Math.max(0, g.after[n]!.reduce((r, a) => Math.min(r, ranks.get(a)!), Infinity) - 1));
  }
  const out: number[][] = [];
  for (const n of nodes) (out[ranks.get(n)!] ??= []).push(n);
  return Array.from(out, (r) => r ?? []);
}

/** Orders the nodes of each rank by where their neighbours stand, a few times in both directions. */
function order(g: Neighbours, all: number[][]): void {
  const place = new Map<number, number>();
  const note = (r: number[]) => r.forEach((n, i) => place.set(n, (i + 0.5) / r.length));
  const sort = (r: number[], side: number[][]) => {
    const mean = new Map(r.map((n) => {
      const near = side[n]!;
      return [n, near.length === 0 ? place.get(n)! : near.reduce((s, m) => s + place.get(m)!, 0) / near.length];
    }));
    r.sort((a, b) => mean.get(a)! - mean.get(b)! || a - b);
    note(r);
  };
  all.forEach(note);
  for (let sweep = 0; sweep < 3; sweep++) {
    for (const r of all) sort(r, g.before);
    for (const r of all.toReversed()) sort(r, g.after);
  }
}

interface Part {
  width: number;
  height: number;
  at: Map<string, Point>;
}

/** A part in layers. A rank that is too high becomes several columns, and what is too wide goes on below. */
function part(g: Neighbours, nodes: readonly number[], most: { width: number; height: number }): Part {
  const all = rank(g, nodes);
  order(g, all);
  const columns = all.flatMap((r) => split(g, r, most.height));
  const size = columns.map((c) => ({ width: Math.max(...c.map((n) => g.box[n]!.width)) + gap.rank, height: c.reduce((s, n) => s + g.box[n]!.height + gap.node, -gap.node) }));
  const width = size.reduce((s, c) => s + c.width, 0);
  const height = Math.max(...size.map((c) => c.height));
  const wide = width <= most.width ? width : width / Math.max(1, Math.round(Math.sqrt(width / (aspect * (height + gap.part)))));
  const out: Part = { width: 0, height: 0, at: new Map() };
  let [x, y] = [0, 0];
  for (let i = 0; i < columns.length; i++) {
    if (x > 0 && x + size[i]!.width > wide + gap.rank) [x, y] = [0, y + height + gap.part];
    let top = y + (height - size[i]!.height) / 2;
    for (const n of columns[i]!) {
      out.at.set(g.box[n]!.id, { x, y: top });
      top += g.box[n]!.height + gap.node;
    }
    x += size[i]!.width;
    out.width = Math.max(out.width, x);
  }
  out.height = y + height;
  return out;
}

function split(g: Neighbours, nodes: readonly number[], high: number): number[][] {
  const out: number[][] = [];
  let used = Infinity;
  for (const n of nodes) {
    const h = g.box[n]!.height + gap.node;
    if (used + h > high) {
      out.push([]);
      used = 0;
    }
    out.at(-1)!.push(n);
    used += h;
  }
  return out;
}

/** Puts parts on shelves: high ones first. */
function pack(parts: Part[]): Map<string, Point> {
  const out = new Map<string, Point>();
  const area = parts.reduce((s, p) => s + (p.width + gap.part) * (p.height + gap.part), 0);
  const wide = Math.max(Math.sqrt(area * aspect), ...parts.map((p) => p.width));
  let [x, y, high] = [0, 0, 0];
  for (const p of parts.toSorted((a, b) => b.height - a.height)) {
    if (x > 0 && x + p.width > wide) [x, y, high] = [0, y + high + gap.part, 0];
    for (const [id, at] of p.at) out.set(id, { x: x + at.x, y: y + at.y });
    x += p.width + gap.part;
    high = Math.max(high, p.height);
  }
  return out;
}
