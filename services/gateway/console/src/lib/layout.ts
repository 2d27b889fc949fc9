// Where nodes stand: layers from left to right, by dagre.

import dagre from "@dagrejs/dagre";
import type { Link } from "./layers";

export interface Box {
  id: string;
  width: number;
  height: number;
}

export interface Point {
  x: number;
  y: number;
}

/** dagre takes long for more boxes. */
export const mostArranged = 120;

/** Returns the top left corners of boxes. Edges name boxes. */
export function arrange(boxes: readonly Box[], edges: readonly Link[]): Map<string, Point> {
  const g = new dagre.graphlib.Graph({ multigraph: true });
  g.setGraph({ rankdir: "LR", ranksep: 64, nodesep: 28, marginx: 24, marginy: 64 });
  g.setDefaultEdgeLabel(() => ({}));
  for (const b of boxes) g.setNode(b.id, { width: b.width, height: b.height });
  edges.forEach((e, i) => {
    if (g.hasNode(e.from) && g.hasNode(e.to)) g.setEdge(e.from, e.to, {}, String(i));
  });
  dagre.layout(g);
  const out = new Map<string, Point>();
  for (const b of boxes) {
    const at = g.node(b.id);
    out.set(b.id, { x: at.x - b.width / 2, y: at.y - b.height / 2 });
  }
  return out;
}

/** Returns the same from a worker, also for large graphs: the page does not wait for it. */
export function arrangeBeside(boxes: readonly Box[], links: readonly Link[], signal: AbortSignal): Promise<Map<string, Point>> {
  const worker = new Worker(new URL("./layout.worker.ts", import.meta.url), { type: "module" });
  return new Promise<Map<string, Point>>((done, failed) => {
    signal.addEventListener("abort", () => failed(signal.reason), { once: true });
    worker.onmessage = (e: MessageEvent<Map<string, Point>>) => done(e.data);
    worker.onerror = () => failed(new Error("the graph cannot be laid out"));
    worker.postMessage({ boxes, links });
  }).finally(() => worker.terminate());
}
