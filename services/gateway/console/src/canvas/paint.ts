// Paints a scene into a canvas, from far: one pass for all nodes and wires.

import { num, rate } from "../lib/format";
import type { Edge, EdgeState, Node, State } from "../lib/model";
import { glyphs, hues } from "../parts/glyphs";
import { bend, type Line, type Placed, type Rect, type Scene } from "./scene";

/** From screen to scene: a point of the scene is at zoom × it + (x, y). */
export interface View {
  x: number;
  y: number;
  zoom: number;
}

export interface Picture {
  scene: Scene;
  nodes: ReadonlyMap<string, Node>;
  edges: ReadonlyMap<string, Edge>;
  selected: string;
  /** What has elements, and is not painted. */
  skip: { nodes: ReadonlySet<string>; edges: ReadonlySet<string> };
  still: boolean;
}

export type Colour = (property: string) => string;

const strokes: readonly { state: EdgeState; colour: string; width: number; dash: number[] }[] = [
  { state: "ended", colour: "--off-mark", width: 1.25, dash: [] },
  { state: "idle", colour: "--off-mark", width: 1.5, dash: [1.5, 4] },
  { state: "flowing", colour: "--run-mark", width: 2, dash: [7, 4] },
  { state: "filling", colour: "--wait-mark", width: 3, dash: [14, 3] },
  { state: "blocked", colour: "--block-mark", width: 3, dash: [] },
  { state: "problem", colour: "--fail-mark", width: 2, dash: [5, 3] },
  { state: "failed", colour: "--fail-mark", width: 2.5, dash: [] },
];
/** Of more wires, patterns cannot be told apart and take long to paint. */
const mostPatterns = 400;

/** The part of the scene that a canvas of this size shows. */
export function shown(v: View, width: number, height: number): Rect {
  return { x: -v.x / v.zoom, y: -v.y / v.zoom, width: width / v.zoom, height: height / v.zoom };
}

export function paint(c: CanvasRenderingContext2D, width: number, height: number, v: View, p: Picture, colour: Colour): void {
  c.clearRect(0, 0, width, height);
  const part = shown(v, width, height);
  wires(c, v, p, p.scene.linesIn(part), colour);
  for (const b of p.scene.boxesIn(part)) {
    if (!p.skip.nodes.has(b.id)) box(c, v, p, b, colour);
  }
}

function wires(c: CanvasRenderingContext2D, v: View, p: Picture, lines: readonly Line[], colour: Colour): void {
  const byState = new Map<EdgeState, Line[]>();
  for (const l of lines) {
    if (p.skip.edges.has(l.id)) continue;
    const state = p.edges.get(l.id)?.state ?? "idle";
    const all = byState.get(state);
    if (all) all.push(l);
    else byState.set(state, [l]);
  }
  const patterns = lines.length <= mostPatterns;
  // Thin from very far: a wire is not wider than what it connects.
  const scale = Math.min(1, Math.max(0.35, v.zoom * 2));
  for (const s of strokes) {
    const all = byState.get(s.state);
    if (!all) continue;
    c.strokeStyle = colour(s.colour);
    c.lineWidth = s.width * scale;
    c.setLineDash(patterns ? s.dash : []);
    c.beginPath();
    for (const l of all) trace(c, v, l);
    c.stroke();
  }
  c.setLineDash([]);
  const chosen = lines.find((l) => l.id === p.selected);
  if (!chosen) return;
  c.strokeStyle = colour("--ink");
  c.globalAlpha = 0.13;
  c.lineWidth = 12;
  c.beginPath();
  trace(c, v, chosen);
  c.stroke();
  c.globalAlpha = 1;
}

function trace(c: CanvasRenderingContext2D, v: View, l: Line): void {
  const [x1, y1, x2, y2] = [l.x1 * v.zoom + v.x, l.y1 * v.zoom + v.y, l.x2 * v.zoom + v.x, l.y2 * v.zoom + v.y];
  c.moveTo(x1, y1);
  if (v.zoom < 0.2) {
    c.lineTo(x2, y2);
    return;
  }
  const b = bend(l) * v.zoom;
  c.bezierCurveTo(x1 + b, y1, x2 - b, y2, x2, y2);
}

const paths = new Map<string, Path2D>();

function path(d: string): Path2D {
  let p = paths.get(d);
  if (!p) paths.set(d, (p = new Path2D(d)));
  return p;
}

function glyph(c: CanvasRenderingContext2D, state: State, x: number, y: number, size: number, colour: Colour): void {
  const s = glyphs[state];
  c.save();
  c.translate(x, y);
  c.scale(size / 14, size / 14);
  c.fillStyle = c.strokeStyle = colour(hueOf(state));
  c.lineWidth = s.width ?? 1.5;
  if (s.line) {
    c.setLineDash([...(s.dash ?? [])]);
    c.stroke(path(s.line));
    c.setLineDash([]);
  }
  if (s.fill) c.fill(path(s.fill));
  if (s.ground) {
    c.strokeStyle = colour("--surface");
    c.stroke(path(s.ground));
  }
  c.restore();
}

function hueOf(state: State): string {
  return hues[state] ?? (state === "queued" ? "--wait-mark" : "--off-mark");
}

function box(c: CanvasRenderingContext2D, v: View, p: Picture, b: Placed, colour: Colour): void {
  const [x, y, w, h] = [b.x * v.zoom + v.x, b.y * v.zoom + v.y, b.width * v.zoom, b.height * v.zoom];
  const n = p.nodes.get(b.id);
  if (!n) {
    c.fillStyle = colour("--ink-2");
    c.fillRect(x, y, Math.max(2, w), Math.max(2, h));
    return;
  }
  const chosen = b.id === p.selected;
  if (w < 18) {
    c.fillStyle = colour(hueOf(n.state));
    c.fillRect(x, y, Math.max(1.5, w), Math.max(1.5, h));
    if (chosen || n.firstCause) outline(c, x - 3, y - 3, Math.max(8, w + 6), Math.max(8, h + 6), n.firstCause ? colour("--fail-mark") : colour("--ink"), 2);
    return;
  }
  c.fillStyle = colour(n.downstream ? "--bg" : "--surface");
  c.fillRect(x, y, w, h);
  const blocked = n.state === "blocked";
  outline(c, x, y, w, h, chosen ? colour("--ink") : n.firstCause ? colour("--fail-mark") : blocked ? colour("--block-mark") : colour("--line-strong"), chosen ? 2 : n.firstCause ? 3 : 1);
  if (v.zoom < 0.35) {
    const size = Math.max(5, Math.min(14, w - 4, h - 2));
    glyph(c, n.state, x + (w - size) / 2, y + (h - size) / 2, size, colour);
    return;
  }
  glyph(c, n.state, x + 6, y + h / 2 - 6, 12, colour);
  const names = n.states ? [`${n.progdef} × ${num(n.parts!.length)}`, ""] : [n.id, number(n, p)];
  c.save();
  c.beginPath();
  c.rect(x + 22, y, Math.max(0, w - 26), h);
  c.clip();
  c.textBaseline = "middle";
  c.fillStyle = colour(n.downstream ? "--ink-3" : "--ink");
  c.font = `600 11px ${colour("--sans")}`;
  c.fillText(names[0]!, x + 22, y + h / 2 - (names[1] && h > 26 ? 7 : 0));
  if (names[1] && h > 26) {
    c.fillStyle = colour("--ink-2");
    c.font = `400 11px ${colour("--sans")}`;
    c.fillText(names[1], x + 22, y + h / 2 + 7);
  }
  c.restore();
}

/** The one number of a node that is seen from far. */
function number(n: Node, p: Picture): string {
  if (p.still) return "";
  let best = 0;
  for (const o of n.outputs) best = Math.max(best, p.edges.get(o.edge)?.rate ?? 0);
  return best > 0 ? rate(best) : "";
}

function outline(c: CanvasRenderingContext2D, x: number, y: number, w: number, h: number, colour: string, width: number): void {
  c.strokeStyle = colour;
  c.lineWidth = width;
  c.strokeRect(x, y, w, h);
}
