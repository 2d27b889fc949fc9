// What was measured of a flow while its page was open: rates and windows over time. Bounded.

import type { Graph } from "./model";

/** Samples of one thing, the oldest first: times in seconds, records a second, bytes that wait in windows. */
export interface Samples {
  at: number[];
  rate: number[];
  waiting: number[];
}

/** Of a thing, the last samples are kept: one a second. */
const mostSamples = 1800;
/** In larger flows, only what is selected is followed. */
const mostEdges = 300;

export class History {
  readonly total: Samples = { at: [], rate: [], waiting: [] };
  private readonly edges = new Map<string, Samples>();

  of(edge: string): Samples | undefined {
    return this.edges.get(edge);
  }

  take(graph: Graph, now: number, chosen: string): void {
    let [rate, waiting] = [0, 0];
    for (const e of graph.edges) {
      rate += e.rate;
      waiting += e.unread;
      if (graph.edges.length > mostEdges && e.id !== chosen) continue;
      let s = this.edges.get(e.id);
      if (!s) this.edges.set(e.id, (s = { at: [], rate: [], waiting: [] }));
      add(s, now, e.rate, e.unread);
    }
    if (graph.edges.length > mostEdges) for (const id of this.edges.keys()) if (id !== chosen) this.edges.delete(id);
    add(this.total, now, rate, waiting);
  }
}

function add(s: Samples, now: number, rate: number, waiting: number): void {
  s.at.push(now / 1000);
  s.rate.push(rate);
  s.waiting.push(waiting);
  if (s.at.length > mostSamples) for (const list of [s.at, s.rate, s.waiting]) list.shift();
}
